// WHATWG streams over a descriptor, with back-pressure: what is not taken is not
// read, and what does not fit is waited with.

import type { Descriptor } from "../libc/descriptor.ts";
import { read, write } from "./transfer.ts";

const CHUNK = 65536; // bytes: what a pipe holds

/** The bytes of a descriptor as a stream. Its end, or its cancellation, calls `close`. */
export function readableStream(
  source: Descriptor,
  close: () => void,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: CHUNK,
    async pull(controller) {
      const request = controller.byobRequest!; // there is one: see above
      const { buffer, byteOffset, byteLength } = request.view!;
      const view = new Uint8Array(buffer, byteOffset, byteLength);
      const count = await read(source, view);
      if (count === null) {
        close();
        controller.close();
      }
      request.respond(count ?? 0);
    },
    cancel: close,
  });
}

/** A descriptor to write to as a stream. Its end, or its abortion, calls `close`. */
export function writableStream(
  target: Descriptor,
  close: () => void,
): WritableStream<Uint8Array<ArrayBuffer>> {
  return new WritableStream({
    async write(chunk) {
      await write(target, chunk);
    },
    close,
    abort: close,
  });
}
