// What Node and Bun have in common: the global `process`, and the modules of Node.

import { pinned, Threads, type ThreadsInit } from "./threads.ts";
import type {
  Call,
  Declaration,
  ErrorClass,
  Library,
  Permission,
  Runtime,
} from "./types.ts";

/** What is needed of the global `process`. */
interface Process {
  readonly platform: string;
  readonly arch: string;
  readonly pid: number;
  readonly version: string;
  readonly execArgv: readonly string[];
  readonly env: Record<string, string | undefined>;
  readonly permission?: { has(scope: string): boolean };
  getBuiltinModule?(name: string): unknown;
}

/** Undefined in a browser, where importing this module works, too. */
export function processOf(): Process | undefined {
  return (globalThis as { process?: Process }).process;
}

/** A module of the runtime; undefined if this version does not have it. */
export function builtin<T>(name: string): T | undefined {
  return processOf()?.getBuiltinModule?.(name) as T | undefined;
}

// The names of targets that differ from those of `process`.
const SYSTEMS: Record<string, string> = { win32: "windows" };
const MACHINES: Record<string, string> = { x64: "x86_64", arm64: "aarch64" };

function errorClass(name: string): ErrorClass {
  const type = class extends Error {
    override readonly name = name;
  };
  Object.defineProperty(type, "name", { value: name });
  return type;
}

interface Timer {
  ref(): void;
  unref(): void;
}

type Inspect = (value: unknown, options?: object) => string;

function inspect(value: unknown, options?: object): string {
  return builtin<{ inspect: Inspect }>("node:util")!.inspect(value, options);
}

/** The base of Node and Bun. */
export abstract class ProcessRuntime implements Runtime {
  readonly errors: Runtime["errors"] = {
    InvalidData: errorClass("InvalidData"),
    NotCapable: errorClass("NotCapable"),
    NotSupported: errorClass("NotSupported"),
    UnexpectedEof: errorClass("UnexpectedEof"),
  };
  protected abstract readonly threadsInit: ThreadsInit;
  #threads: Threads | undefined;

  abstract open(key: string, name: string, declaration: Declaration): Library;
  abstract bufferAt(address: bigint, length: number): ArrayBuffer;

  get os(): string {
    const { platform = "unknown" } = processOf() ?? {};
    return SYSTEMS[platform] ?? platform;
  }

  get arch(): string {
    const { arch = "unknown" } = processOf() ?? {};
    return MACHINES[arch] ?? arch;
  }

  /** The binaries that npm has of both are linked with glibc. */
  readonly isMusl = false;

  get pid(): number {
    return processOf()?.pid ?? 0;
  }

  permission(): Permission {
    const isGranted = processOf()?.permission?.has("ffi") ?? true;
    return { state: isGranted ? "granted" : "prompt", partial: false };
  }

  get movesBytes(): boolean {
    return false;
  }

  requestPermission(): void {} // it never asks

  checkMemory(): void {}

  get #pool(): Threads {
    return this.#threads ??= new Threads(this.threadsInit);
  }

  get longestBlock(): number {
    return this.#pool.longestBlock;
  }

  blocking(address: bigint, name: string, declaration: Declaration): Call {
    return this.#pool.blocking(address, name, declaration);
  }

  pinned(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    return pinned(bytes);
  }

  onExit(end: () => void): () => void {
    return this.#pool.onExit(end);
  }

  refCall(call: Promise<unknown>): void {
    this.#pool.ref(call);
  }

  unrefCall(call: Promise<unknown>): void {
    this.#pool.unref(call);
  }

  refTimer(timer: unknown): void {
    (timer as Timer).ref();
  }

  unrefTimer(timer: unknown): void {
    (timer as Timer).unref();
  }

  variable(name: string): string | undefined {
    return processOf()?.env[name];
  }

  deleteVariable(name: string): void {
    delete processOf()?.env[name];
  }

  inspect(value: unknown): string {
    return inspect(value);
  }

  inspectAs<T extends object>(
    prototype: T,
    text: (object: T, show: (value: unknown) => string) => string,
  ): void {
    const value = function (this: T, depth: number, options: object) {
      return text(this, (part) => inspect(part, { ...options, depth }));
    };
    const key = Symbol.for("nodejs.util.inspect.custom");
    Object.defineProperty(prototype, key, { value });
  }
}
