/** How {@linkcode TextLineStream} splits. */
export interface TextLineStreamOptions {
  /** Whether a lone `\r` ends a line too. It does not unless asked for. */
  allowCR?: boolean;
}

/** Takes text in pieces of any size and gives it back line by line. */
export class TextLineStream extends TransformStream<string, string> {
  /** A new splitter. */
  constructor(options?: TextLineStreamOptions);
  #private;
}

/** All chunks of one stream after the other, in the order given. */
export function concatReadableStreams<T>(
  ...streams: ReadableStream<T>[]
): ReadableStream<T>;

/** The chunks of all streams, as they come. */
export function mergeReadableStreams<T>(
  ...streams: ReadableStream<T>[]
): ReadableStream<T>;

/** Everything a stream of bytes carries, in one piece. */
export function toBytes(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array>;

/** Everything a stream carries, as one text. Bytes are read as UTF-8. */
export function toText(
  stream: ReadableStream<string> | ReadableStream<Uint8Array>,
): Promise<string>;
