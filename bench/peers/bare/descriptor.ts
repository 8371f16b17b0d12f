// The baseline: libc called directly, with nothing around it. Waiting without
// blocking is poll(2) on a thread of the runtime.

import { fill, fillAsync, play, playAsync, task } from "../task.ts";

const POLLIN = 1;

/** Plays through two descriptors. */
export async function playThrough(
  reader: number,
  writer: number,
): Promise<never> {
  const { read, write, poll } = Deno.dlopen("libc.so.6", {
    // ssize_t read(int fd, void *buf, size_t count), and write
    read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    // int poll(struct pollfd *fds, nfds_t nfds, int timeout)
    poll: {
      parameters: ["buffer", "u32", "i32"],
      result: "i32",
      nonblocking: true,
    },
  }).symbols;
  const message = new Uint8Array(task.size);
  const send = () => void write(writer, message, message.length);
  const readOnce = (into: Uint8Array<ArrayBuffer>) =>
    read(reader, into, into.length) || null;
  if (task.mode === "sync") {
    play({ send, receive: () => fill(message, readOnce) });
  }
  const request = new Uint8Array(8); // struct pollfd
  new Int32Array(request.buffer, 0, 1)[0] = reader;
  new Int16Array(request.buffer, 4, 1)[0] = POLLIN;
  return await playAsync({
    // deno-lint-ignore require-await -- it is as long as the others' are
    send: async () => send(),
    receive: () =>
      fillAsync(message, async (into) => {
        await poll(request, 1, -1);
        return readOnce(into);
      }),
  });
}
