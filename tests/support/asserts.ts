/** What tests of several mechanisms assert: of children, and of refused calls. */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { IpcError } from "../../ffi/errors.ts";
import { type Child, type Ended, exists } from "./process.ts";

/** The child has ended well, and this is all that it printed. */
export function assertPrinted(ended: Ended, ...lines: string[]): void {
  const { code, signal, stdout, stderr } = ended;
  const text = lines.map((line) => `${line}\n`).join("");
  assertEquals(
    { code, signal, stdout, stderr },
    { code: 0, signal: null, stdout: text, stderr: "" },
    ended.transcript,
  );
}

/** The child ends well, and complains of nothing. Returns what it printed. */
export async function assertSucceeded(child: Child): Promise<string> {
  const ended = await child.ended();
  assertEquals([ended.code, ended.stderr], [0, ""], ended.transcript);
  return ended.stdout;
}

/** The server ended as it should, and its FIFO or socket is gone. */
export async function assertInterrupted(
  server: Child,
  path: string,
): Promise<void> {
  const ended = await server.ended();
  assertEquals(
    { code: ended.code, signal: ended.signal, stderr: ended.stderr },
    { code: 0, signal: null, stderr: "" },
    ended.transcript,
  );
  assert(!exists(path), `${path} is still there`);
}

/** The kernel says no to a call, for this reason. */
export function assertRefused(
  call: () => unknown,
  code: string,
  syscall: string,
  subject?: string,
): IpcError {
  const error = assertThrows(call, IpcError);
  assertEquals([error.code, error.syscall], [code, syscall], error.message);
  if (subject !== undefined) assertEquals(error.subject, subject);
  return error;
}

/** What a promise rejects with; undefined if it is fulfilled. */
export const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => undefined, (reason) => reason);

/** What a promise is fulfilled with, or rejects with. */
export const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((reason) => reason);

/** A program says what is wrong with the path, and fails. */
export function assertNames(path: string, ended: Ended): void {
  assertNotEquals(ended.code, 0, ended.transcript);
  assertEquals([ended.signal, ended.stdout], [null, ""], ended.transcript);
  assert(ended.stderr.includes(path), ended.transcript);
}
