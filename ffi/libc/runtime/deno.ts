// Deno.

import type { Call, Permission, Runtime } from "./types.ts";

/** The functions of the runtime for its own listeners and connections. */
interface Core {
  refOpPromise(promise: Promise<unknown>): void;
  unrefOpPromise(promise: Promise<unknown>): void;
}

/** Undefined in a version that does not tell; a call keeps the program alive there. */
function core(): Core | undefined {
  const { internal } = Deno as unknown as { internal: symbol };
  return (Deno as unknown as Record<symbol, { core?: Core }>)[internal]?.core;
}

/** Shows a part in the style that was asked for. */
type Inspect = (value: unknown, options: unknown) => string;

export const deno: Runtime = {
  get os() {
    return Deno.build.os;
  },
  get arch() {
    return Deno.build.arch;
  },
  get isMusl() {
    return Deno.build.env === "musl";
  },
  get pid() {
    return Deno.pid;
  },
  get errors() {
    return Deno.errors;
  },

  permission(path): Permission {
    const { state, partial = false } = Deno.permissions.querySync(
      path === undefined ? { name: "ffi" } : { name: "ffi", path },
    );
    return { state, partial };
  },
  requestPermission() {
    Deno.permissions.requestSync({ name: "ffi" });
  },

  open(library, key, declaration) {
    const symbols = { [key]: { ...declaration, optional: true as const } };
    const opened = Deno.dlopen(library, symbols);
    return {
      call: opened.symbols[key] as Call | null,
      close: () => opened.close(),
    };
  },
  blocking(address, _name, declaration) {
    const pointer = Deno.UnsafePointer.create<Deno.ForeignFunction>(address);
    const call = new Deno.UnsafeFnPointer(
      pointer!,
      declaration as Deno.ForeignFunction,
    );
    return (...parameters) => call.call(...parameters);
  },
  movesBytes: false,
  checkMemory() {
    Deno.UnsafePointer.create(1n);
  },
  bufferAt(address, length) {
    const pointer = Deno.UnsafePointer.create(address)!;
    return Deno.UnsafePointerView.getArrayBuffer(pointer, length);
  },

  longestBlock: Infinity,
  pinned: (bytes) => bytes,
  onExit: () => () => {},
  refCall(call) {
    core()?.refOpPromise(call);
  },
  unrefCall(call) {
    core()?.unrefOpPromise(call);
  },
  refTimer(timer) {
    Deno.refTimer(timer as number);
  },
  unrefTimer(timer) {
    Deno.unrefTimer(timer as number);
  },

  variable(name) {
    return Deno.env.get(name);
  },
  deleteVariable(name) {
    Deno.env.delete(name);
  },

  inspect(value) {
    return Deno.inspect(value);
  },
  inspectAs<T extends object>(
    prototype: T,
    text: (object: T, show: (value: unknown) => string) => string,
  ) {
    const value = function (this: T, inspect: Inspect, options: unknown) {
      return text(this, (part) => inspect(part, options));
    };
    Object.defineProperty(prototype, Symbol.for("Deno.customInspect"), {
      value,
    });
  },
};
