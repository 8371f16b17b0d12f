/**
 * Exact reads over a stream of bytes: so many bytes, up to a delimiter, a line; with the
 * descriptors that come along.
 *
 * **Choose it** to speak a protocol over a pipe, a FIFO, a stream socket or a web stream:
 * `read(2)` returns what is there, which may be a part of a message, or several.
 *
 * **Choose something else** if all messages have a length in front or a delimiter at
 * their end, and nothing else is needed: `FramedStream` of `@linux/ipc/frames` sends and
 * receives them.
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
  BufferedReader,
  type BufferedReaderOptions,
  type DetachedBuffer,
  type TakenDescriptors,
} from "./reader/buffered_reader.ts";
export type { DescriptorOwner } from "./kernel/descriptor_owner.ts";
export type { ArrivedDescriptor } from "./reader/descriptor_queue.ts";
export type { ByteSource } from "./reader/source.ts";
export type { PassedDescriptor } from "./socket/passed_descriptor.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
