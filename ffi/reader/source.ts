// What a buffered reader reads from: a stream of the caller's, in three ways.

import {
  type Limits,
  NO_LIMITS,
  type SyncWaitOptions,
  timeoutUntil,
  type WaitOptions,
} from "../wait/options.ts";
import type { Source } from "../wait/attempt.ts";
import { WebStreamSource } from "./web_stream.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A stream of bytes to read from, such as a `PipeReader` or a `UnixStream`. */
export interface ByteSource {
  /**
   * Reads at least 1 byte, waiting until there is data, the timeout has passed or the
   * signal is aborted; null at the end. If it fails, it has read nothing.
   */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null>;
  /**
   * Reads at least 1 byte, blocking this thread until there is data; null at the end.
   * Without it, nothing can be read synchronously.
   */
  readSync?(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null;
  /**
   * Reads the bytes that are available now; undefined if there are none; null at the
   * end. Without it, only buffered bytes can be read without waiting.
   */
  tryRead?(buffer: Uint8Array<ArrayBuffer>): number | null | undefined;
  /** Keeps the program alive while its waits are pending, if it can do that. */
  ref?(): void;
  /** Lets the program end while its waits are pending, if it can do that. */
  unref?(): void;
  /** Closes the stream. */
  close(): void;
}

/** The ways to read from a source. */
interface Reading {
  /** Reads at least 1 byte, blocking this thread; null at the end. */
  block(buffer: Bytes, deadline: number): number | null;
  /** Reads what is there; undefined if nothing is; null at the end. */
  tryOnce(buffer: Bytes): number | null | undefined;
}

/** A channel that tells when a try may succeed. */
export interface ReadyChannel extends Reading {
  readonly readiness: Source;
}

/** A channel that waits by itself. */
export interface WaitingChannel extends Reading {
  readonly readiness?: undefined;
  /** Reads at least 1 byte; null at the end. */
  wait(buffer: Bytes, limits: Limits): Promise<number | null>;
}

/** How to read from a source, and to wait for it. */
export type Channel = ReadyChannel | WaitingChannel;

/** The channel of a source of the caller's. */
export function channelOf(source: ByteSource): WaitingChannel {
  return {
    wait(buffer, limits) {
      if (limits === NO_LIMITS) return source.read(buffer);
      const { deadline, signal } = limits;
      return source.read(buffer, { timeout: timeoutUntil(deadline), signal });
    },
    block(buffer, deadline) {
      if (source.readSync === undefined) {
        throw missing("block this thread", "readSync");
      }
      return source.readSync(buffer, { timeout: timeoutUntil(deadline) });
    },
    tryOnce(buffer) {
      if (source.tryRead !== undefined) return source.tryRead(buffer);
      throw missing("read without waiting", "tryRead");
    },
  };
}

function missing(action: string, method: string): TypeError {
  return new TypeError(`Cannot ${action}: the source has no ${method}()`);
}

/** The source in an argument: a stream of this module, of the caller's, or of the web. */
export function sourceOf(name: string, value: unknown): ByteSource {
  if (value instanceof ReadableStream) return new WebStreamSource(value);
  const isObject = typeof value === "object" && value !== null;
  if (isObject && typeof (value as ByteSource).read === "function") {
    return value as ByteSource;
  }
  throw new TypeError(
    `Argument "${name}" must be an object with read() and close(), or a ` +
      "ReadableStream",
  );
}

/** Checks a count of bytes that a stream of the caller's has returned. */
export function checkCount(
  method: string,
  count: unknown,
  min: number,
  max: number,
): asserts count is number {
  if (
    Number.isInteger(count) && count as number >= min && count as number <= max
  ) return;
  throw new TypeError(
    `Method "${method}" of the stream must return a count of bytes from ${min} to ${max}: ${
      String(count)
    }`,
  );
}
