/**
 * Exact reads over a stream of bytes: so many bytes, up to a delimiter, a line; with the
 * descriptors that come along.
 *
 * **Choose it** to speak a protocol over a pipe, a FIFO, a stream socket or a web stream:
 * `read(2)` returns what is there, which may be a part of a message, or several.
 *
 * **Choose something else** if all messages have a length in front or a delimiter at
 * their end, and nothing else is needed: `FramedStream` of
 * {@link [frames] @linux/ipc/frames} sends and receives them.
 *
 * ```ts
 * import { BufferedReader } from "@linux/ipc/reader";
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * const [client, server] = UnixStream.pair();
 * server.writeSync(new TextEncoder().encode("HTTP/1.0 200 OK\r\n\r\nhello"));
 * server.close();
 *
 * using reader = new BufferedReader(client);
 * assertEquals(await reader.readLine(), "HTTP/1.0 200 OK");
 * while (await reader.readLine() !== ""); // the headers
 * assertEquals(await reader.readToEnd(), new TextEncoder().encode("hello"));
 * ```
 *
 * @module
 */

export {
  /**
   * Reads a stream of bytes exactly: `read(2)` into a buffer, from which each call
   * takes what it is asked for, and waits until that is complete.
   */
  BufferedReader,
  /** Options of a `BufferedReader`. */
  type BufferedReaderOptions,
  /** What a reader has read from its source and not returned. */
  type DetachedBuffer,
  /** Descriptors that were taken from a reader. */
  type TakenDescriptors,
} from "./reader/buffered_reader.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
} from "./kernel/descriptor_owner.ts";
export type {
  /** A descriptor that has arrived, and is not taken yet. */
  ArrivedDescriptor,
} from "./reader/descriptor_queue.ts";
export type {
  /** A stream of bytes to read from, such as a `PipeReader` or a `UnixStream`. */
  ByteSource,
} from "./reader/source.ts";
export type {
  /** A descriptor that was received. */
  PassedDescriptor,
} from "./socket/passed_descriptor.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
