// The pipes of a child of Deno.Command: what one has without FIFOs. The timed peer
// starts the one who serves.

import { drain, fillAsync, playAsync, serving, task } from "../task.ts";

const message = new Uint8Array(task.size);
if (task.serves) {
  await playAsync({
    send: () => drain(message, (bytes) => Deno.stdout.write(bytes)),
    receive: () => fillAsync(message, (into) => Deno.stdin.read(into)),
  });
} else {
  const { stdin, stdout } = start();
  const writer = stdin.getWriter();
  const reader = stdout.getReader();
  let unread = 0; // bytes: a chunk may be many messages
  await playAsync({
    send: () => writer.write(message),
    receive: async () => {
      while (unread < task.size) {
        unread += (await reader.read()).value?.length ?? Deno.exit();
      }
      unread -= task.size;
    },
  });
}

function start(): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--allow-all",
      import.meta.filename!,
      ...serving(),
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
}
