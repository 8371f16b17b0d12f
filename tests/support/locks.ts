/** For tests of locks between processes: where they meet, and how a lock ended. */
import { IpcError, SysvSemaphoreSet } from "../../ffi/semaphore.ts";
import { compile } from "./c.ts";
import { codeWith } from "./code.ts";
import { type Child, spawn } from "./process.ts";
import { Words } from "./words.ts";

/** Declares, in a child, `told()`. */
const TOLD = `
  /** What a call returns, or how it fails, as one line. */
  async function told(call) {
    try {
      const result = await call();
      return result === null || result === undefined
        ? String(result)
        : result.ownerDied ? "owner died" : "locked";
    } catch (error) {
      const { name, code } = error;
      return typeof code === "string" ? name + " " + code : name;
    }
  }
`;

/** A lock and memory that processes share, and how others get at them. */
export class Place<Lock extends { readonly id: number }> implements Disposable {
  readonly lock: Lock;
  readonly words: Int32Array;
  readonly #shared: Words;
  readonly #prelude: string;

  /** Children have `ipc`, `lock` and `words`, and then these lines. */
  constructor(lock: Lock, words: number, prelude = "") {
    this.lock = lock;
    this.#shared = new Words(words);
    this.words = this.#shared.words;
    this.#prelude = prelude;
  }

  /** Code that has them as `lock` and `words`, for a Worker as well. */
  get code(): string {
    const { name } = this.lock.constructor;
    return `
      const ipc = await import("${MODULE}");
      const lock = ipc.${name}.fromId(${this.lock.id});
      ${this.#shared.code}
      ${TOLD} ${this.#prelude}`;
  }

  /** A Deno that runs code, which says "up" first. */
  spawn(text: string): Child {
    return spawnCode(`${this.code} console.log("up"); ${text}`);
  }

  /** The same, when it is up. */
  async start(text: string): Promise<Child> {
    const child = this.spawn(text);
    await child.expect("up\n");
    return child;
  }

  /** A Deno that holds what a call gives until a line tells it to unlock. */
  async holder(call: string): Promise<Child> {
    const child = await this.start(`
      const guard = ${call};
      console.log("holds");
      await Deno.stdin.read(new Uint8Array(1));
      guard.release();
      console.log("unlocked");`);
    await child.expect("holds\n");
    return child;
  }

  /** A C program of tests/interop/c that uses the same lock and memory. */
  async peer(program: string, ...more: number[]): Promise<Child> {
    const source = new URL(`../interop/c/${program}.c`, import.meta.url);
    const args = [this.lock.id, this.#shared.id, ...more].map(String);
    const child = spawn(await compile(source), { args });
    await child.expect("up\n");
    return child;
  }

  [Symbol.dispose](): void {
    try {
      // Whatever a test has made of it.
      SysvSemaphoreSet.fromId(this.lock.id).remove();
    } catch (error) {
      if ((error as Partial<IpcError>).code !== "EIDRM") throw error;
    } finally {
      this.#shared[Symbol.dispose]();
    }
  }
}

const MODULE = import.meta.resolve("../../ffi/lock.ts");
const { spawnCode } = codeWith({}, "");

/** The address of a module with that text, for a Worker. */
export function urlOfWorker(text: string): string {
  return `data:text/javascript,${encodeURIComponent(text)}`;
}

/** How a wait for a lock ended; what it got is unlocked. */
export async function outcome(
  lock: Promise<Disposable & { readonly ownerDied: boolean }>,
): Promise<string> {
  try {
    using guard = await lock;
    return guard.ownerDied ? "owner died" : "locked";
  } catch (error) {
    if (!(error instanceof Error)) return String(error);
    return error instanceof IpcError ? error.code : error.name;
  }
}

/** Takes a semaphore of a lock out of its order, as no user of it would. */
export function tamper(
  lock: { readonly id: number },
  ...values: number[]
): void {
  using set = SysvSemaphoreSet.fromId(lock.id);
  set.setAll(values);
}

// semop and semtimedop
const SEMOP = Deno.build.arch === "x86_64" ? ["65", "220"] : ["193", "192"];

/** Whether one of a process's threads is in an operation on semaphores. */
export function isInSemop(pid: number | "self"): boolean {
  return Array.from(Deno.readDirSync(`/proc/${pid}/task`)).some(({ name }) => {
    try {
      const path = `/proc/${pid}/task/${name}/syscall`;
      return SEMOP.includes(Deno.readTextFileSync(path).split(" ")[0]!);
    } catch {
      return false; // the thread has ended
    }
  });
}
