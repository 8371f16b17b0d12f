// What the command does on signals: to be stopped, and to be resized.

/** Calls these functions on signals, until the result is disposed of. */
export function listenFor(
  listeners: Partial<Record<Deno.Signal, () => void>>,
): Disposable {
  const all = Object.entries(listeners) as [Deno.Signal, () => void][];
  for (const entry of all) Deno.addSignalListener(...entry);
  return {
    [Symbol.dispose]() {
      for (const entry of all) Deno.removeSignalListener(...entry);
    },
  };
}
