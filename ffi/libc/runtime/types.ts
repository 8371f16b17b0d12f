// What this module needs of a JavaScript runtime, in words that all of them share.

/** The type of a C parameter. */
export type ParameterType = "i32" | "u32" | "i64" | "usize" | "buffer";

/** The type of what a C function returns. */
export type ResultType = "void" | "i32" | "u32" | "i64" | "usize";

/** The prototype of a C function. */
export interface Declaration {
  /** The name in the library; if absent, that of the property. */
  readonly name?: string;
  readonly parameters: readonly ParameterType[];
  readonly result: ResultType;
  /** Whether it blocks, and so is called on another thread: it returns a promise. */
  readonly nonblocking?: boolean;
  /** Whether it is null where the library does not have it. */
  readonly optional?: boolean;
}

/** The prototypes of several functions. */
export type Declarations = Readonly<Record<string, Declaration>>;

type Argument<T> = T extends "buffer" ? BufferSource | null
  : T extends "i64" | "usize" ? number | bigint
  : number;

type Arguments<T extends readonly ParameterType[]> = {
  -readonly [K in keyof T]: Argument<T[K]>;
};

type Result<T> = T extends "void" ? void
  : T extends "i64" | "usize" ? bigint
  : number;

type Function<D extends Declaration> = (
  ...parameters: Arguments<D["parameters"]>
) => D extends { nonblocking: true } ? Promise<Result<D["result"]>>
  : Result<D["result"]>;

/** The functions that declarations declare. */
export type Functions<S extends Declarations> = {
  readonly [K in keyof S]: S[K] extends { optional: true }
    ? Function<S[K]> | null
    : Function<S[K]>;
};

/** A C function. Its declaration says what it takes and returns. */
// deno-lint-ignore no-explicit-any -- as it says
export type Call = (...parameters: any[]) => any;

/** Whether the program may do something. */
export interface Permission {
  readonly state: "granted" | "denied" | "prompt";
  /** Whether a part of it is denied. */
  readonly partial: boolean;
}

/** The constructor of an error. */
export type ErrorClass = new (message: string, options?: ErrorOptions) => Error;

/** The library of the system, opened. */
export interface Library {
  /** The function of that name; null if the library does not have it. */
  readonly call: Call | null;
  /** Drops the library; the function stays. */
  close(): void;
}

/** A JavaScript runtime. Nothing of it is read at import that would load more code. */
export interface Runtime {
  /** As in the name of a target, such as "linux". */
  readonly os: string;
  /** As in the name of a target, such as "x86_64". */
  readonly arch: string;
  /** Whether the runtime is linked with musl. */
  readonly isMusl: boolean;
  readonly pid: number;
  readonly errors: {
    readonly InvalidData: ErrorClass;
    readonly NotCapable: ErrorClass;
    readonly NotSupported: ErrorClass;
    readonly UnexpectedEof: ErrorClass;
  };

  /** The permission to open that library, or without a path any, and to use memory. */
  permission(path?: string): Permission;
  /** Asks for the permission at a terminal, if the runtime does that. */
  requestPermission(): void;

  /** Opens a library, and a function in it. Throws if there is no such library. */
  open(library: string, key: string, declaration: Declaration): Library;
  /** The function at an address, which is called on another thread. */
  blocking(address: bigint, name: string, declaration: Declaration): Call;
  /** Whether the first use of the `buffer` of a typed array may move its bytes. */
  readonly movesBytes: boolean;
  /** Throws if the program may not use memory by its address; asks as above. */
  checkMemory(): void;
  /** The memory at an address. The runtime never frees it. */
  bufferAt(address: bigint, length: number): ArrayBuffer;

  /**
   * The most milliseconds that a call may block on another thread, if nothing but time
   * ends it: where that thread is waited for when this one ends.
   */
  readonly longestBlock: number;
  /**
   * Bytes that a call on another thread may use, at the same address, also if this thread
   * ends first: these, or a copy. The bytes of any other parameter are copied for a call.
   */
  pinned(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /**
   * Calls `end`, perhaps several times, if the program ends during calls on other threads
   * and would wait for them. Returns how to take that back.
   */
  onExit(end: () => void): () => void;

  /** Whether a pending call on another thread keeps the program alive. */
  refCall(call: Promise<unknown>): void;
  unrefCall(call: Promise<unknown>): void;
  /** Whether a timer keeps the program alive. */
  refTimer(timer: unknown): void;
  unrefTimer(timer: unknown): void;

  /** An environment variable. */
  variable(name: string): string | undefined;
  deleteVariable(name: string): void;

  /** The text that the runtime shows for a value. */
  inspect(value: unknown): string;
  /**
   * Has the runtime show `text` for objects with this prototype. `show` is the text of
   * a part, in the style that was asked for.
   */
  inspectAs<T extends object>(
    prototype: T,
    text: (object: T, show: (value: unknown) => string) => string,
  ): void;
}
