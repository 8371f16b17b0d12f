// Bun: `bun:ffi`, which calls on the thread of the caller only.

import { builtin, ProcessRuntime } from "./process.ts";
import type { ThreadsInit } from "./threads.ts";
import type { Call, Declaration, Library, Runtime } from "./types.ts";

interface Signature {
  readonly args: readonly string[];
  readonly returns: string;
  /** The address of the function. */
  readonly ptr?: bigint;
}

type Symbols = Record<string, Signature>;

interface Opened {
  readonly symbols: Record<string, Call>;
}

/** What is needed of `bun:ffi`. */
interface Ffi {
  dlopen(path: string, symbols: Symbols): Opened;
  linkSymbols(symbols: Symbols): Opened;
  ptr(bytes: Uint8Array): number;
  toArrayBuffer(address: number, offset: number, length: number): ArrayBuffer;
}

const TYPES = {
  void: "void",
  i32: "i32",
  u32: "u32",
  i64: "i64",
  usize: "u64",
  buffer: "ptr",
} as const;

const RTLD_LAZY = 1;

// void *dlopen(const char *path, int flags), void *dlsym(void *handle, const char *name)
const LOADER = {
  dlopen: { args: ["ptr", "i32"], returns: "u64" },
  dlsym: { args: ["u64", "ptr"], returns: "u64" },
};

/** Opens a function in a Worker, where nothing else of this file is defined. */
function openInWorker(
  _name: string,
  address: bigint,
  count: number,
): (...parameters: bigint[]) => bigint {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: string): Ffi };
  };
  const { linkSymbols } = process.getBuiltinModule("bun:ffi");
  const args = Array(count).fill("i64");
  const call = { args, returns: "i64", ptr: address };
  return linkSymbols({ call }).symbols.call!;
}

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

class Bun extends ProcessRuntime {
  protected override readonly threadsInit: ThreadsInit = {
    openInWorker,
    addressOf: (bytes) => BigInt(this.#ffi.ptr(bytes)),
    execArgv: [],
    areJoined: false,
  };
  #module: Ffi | undefined;
  #loader: Record<string, Call> | undefined;

  get #ffi(): Ffi {
    return this.#module ??= builtin<Ffi>("bun:ffi")!;
  }

  /**
   * The functions of the dynamic linker. Bun's own dlopen loads a file of the working
   * directory where the linker finds no library of a name; libc is always loaded.
   */
  get #linker(): Record<string, Call> {
    if (this.#loader !== undefined) return this.#loader;
    const { dlopen } = this.#ffi;
    let opened: Opened;
    try {
      opened = dlopen("libc.so.6", LOADER);
    } catch {
      opened = dlopen("libdl.so.2", LOADER); // before glibc 2.34
    }
    return this.#loader = opened.symbols;
  }

  override open(path: string, key: string, declaration: Declaration): Library {
    const { name = key, parameters, result } = declaration;
    const { dlopen, dlsym } = this.#linker;
    const handle = dlopen!(cString(path), RTLD_LAZY);
    if (handle === 0n) throw new Error(`No such file: ${path}`);
    const ptr = dlsym!(handle, cString(name));
    const close = () => {};
    if (ptr === 0n) return { call: null, close };
    const args = parameters.map((type) => TYPES[type]);
    const call = { args, returns: TYPES[result], ptr };
    return { call: this.#ffi.linkSymbols({ call }).symbols.call!, close };
  }

  /** Small typed arrays have their bytes elsewhere until then. */
  override get movesBytes(): boolean {
    return true;
  }

  override bufferAt(address: bigint, length: number): ArrayBuffer {
    return this.#ffi.toArrayBuffer(Number(address), 0, length);
  }
}

export const bun: Runtime = new Bun();
