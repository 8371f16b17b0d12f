// Objects that the kernel would keep after the end of the process: they are removed.

const objects: { remove(): void }[] = [];

function removeAll(): void {
  for (const object of objects.splice(0)) object.remove();
}

/** Removes it when the process ends, also by Ctrl-C. */
export function removeAtEnd(object: { remove(): void }): void {
  objects.push(object);
  if (objects.length > 1) return;
  globalThis.addEventListener("unload", removeAll);
  Deno.addSignalListener("SIGINT", () => {
    removeAll();
    Deno.exit(130);
  });
}
