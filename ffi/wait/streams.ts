// WHATWG streams over what reads and writes, with back-pressure: what is not taken
// is not read, and what does not fit is waited with.

type Bytes = Uint8Array<ArrayBuffer>;

const CHUNK = 65536; // bytes: what a pipe holds

/** A stream that failed has no end and no abortion any more. */
async function closingOnFailure<T>(
  transfer: () => Promise<T>,
  close: () => void,
): Promise<T> {
  try {
    return await transfer();
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Returns the results of `read` as a stream. Its end, a failure, or its cancellation, calls
 * `close`.
 */
export function readableStream(
  read: (buffer: Bytes, signal: AbortSignal) => Promise<number | null>,
  close: () => void,
): ReadableStream<Bytes> {
  const cancellation = new AbortController();
  const { signal } = cancellation;
  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: CHUNK,
    async pull(controller) {
      const request = controller.byobRequest!; // there is one: see above
      const { buffer, byteOffset, byteLength } = request.view!;
      const view = new Uint8Array(
        buffer as ArrayBuffer,
        byteOffset,
        byteLength,
      );
      const count = await closingOnFailure(() => read(view, signal), close);
      if (count === null) {
        close();
        controller.close();
      }
      request.respond(count ?? 0);
    },
    cancel() {
      cancellation.abort(); // a read that waits would wait on, where close() leaves it
      close();
    },
  });
}

/**
 * Returns a stream that calls `write`. Its end, a failure, or its abortion, calls
 * `close`.
 */
export function writableStream(
  write: (bytes: Uint8Array, signal: AbortSignal) => Promise<unknown>,
  close: () => void,
): WritableStream<Uint8Array> {
  return new WritableStream({
    async write(chunk, { signal }) {
      // With the signal an abortion does not wait for a stalled reader.
      await closingOnFailure(() => write(chunk, signal), close);
    },
    close,
    abort: close,
  });
}
