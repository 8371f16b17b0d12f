/** What tests of several mechanisms assert: of children, and of refused calls. */
import { assert, assertEquals, assertThrows } from "@std/assert";
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
