// Node: `node:ffi`, which is experimental, and calls on the thread of the caller only.

import { builtin, processOf, ProcessRuntime } from "./process.ts";
import type { ThreadsInit } from "./threads.ts";
import type { Call, Declaration, Library, Runtime } from "./types.ts";

interface Signature {
  readonly arguments: readonly string[];
  readonly return: string;
}

interface DynamicLibrary {
  getFunction(name: string, signature: Signature): Call;
}

/** What is needed of `node:ffi`. */
interface Ffi {
  readonly DynamicLibrary: new (path: string | null) => DynamicLibrary;
  getRawPointer(bytes: Uint8Array): bigint;
  toArrayBuffer(address: bigint, length: number, copy: boolean): ArrayBuffer;
}

const TYPES = {
  void: "void",
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  usize: "uint64",
  buffer: "buffer",
} as const;

/** Opens a function in a Worker, where nothing else of this file is defined. */
function openInWorker(
  name: string,
  _address: bigint,
  count: number,
): (...parameters: bigint[]) => bigint {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: string): Ffi };
  };
  const { DynamicLibrary } = process.getBuiltinModule("node:ffi");
  const library = new DynamicLibrary(null); // all that the process has loaded
  return library.getFunction(name, {
    arguments: Array(count).fill("int64"),
    return: "int64",
  });
}

class Node extends ProcessRuntime {
  protected override readonly threadsInit: ThreadsInit = {
    openInWorker,
    addressOf: (bytes) => this.#ffi.getRawPointer(bytes),
    get execArgv() {
      const { execArgv = [] } = processOf() ?? {};
      const flags = execArgv.filter((flag) => flag === "--experimental-ffi");
      // Node has told the user once.
      return [...flags, "--disable-warning=ExperimentalWarning"];
    },
    areJoined: true,
  };
  // A library that is collected might take its functions along.
  readonly #libraries: DynamicLibrary[] = [];
  #module: Ffi | undefined;

  get #ffi(): Ffi {
    this.#module ??= builtin("node:ffi");
    if (this.#module !== undefined) return this.#module;
    throw new this.errors.NotSupported(
      "Cannot call libc: this is Node " +
        `${processOf()?.version} without node:ffi, which is in Node 26.9 and later, ` +
        "in Node 26.1 and later with the --experimental-ffi flag, and in none that was " +
        "built without it or started with --no-experimental-ffi",
    );
  }

  override open(path: string, key: string, declaration: Declaration): Library {
    const { DynamicLibrary } = this.#ffi;
    const { name = key, parameters, result } = declaration;
    // One for each function: a library rejects a second declaration of the same one.
    const library = new DynamicLibrary(path);
    this.#libraries.push(library);
    const close = () => {};
    try {
      const call = library.getFunction(name, {
        arguments: parameters.map((type) => TYPES[type]),
        return: TYPES[result],
      });
      return { call, close };
    } catch (error) {
      if (!String(error).includes("undefined symbol")) throw error;
      return { call: null, close };
    }
  }

  override bufferAt(address: bigint, length: number): ArrayBuffer {
    return this.#ffi.toArrayBuffer(address, length, false);
  }
}

export const node: Runtime = new Node();
