// Finds libc, opens its functions, and reads its errno.

import { runtime } from "./runtime/mod.ts";
import type {
  Call,
  Declaration,
  Declarations,
  Functions,
} from "./runtime/types.ts";

const LIBC = "libc.so.6";
// Before glibc 2.34 some functions are in libraries of their own.
const LIBRARIES = [LIBC, "librt.so.1", "libpthread.so.0", "libdl.so.2"];

// To the dynamic linker the bare name is the libc that this process has loaded:
// always the right one, wherever the distribution keeps it. Deno hands the name on
// as it is only under a grant without any restriction. Otherwise it makes it a path
// in the working directory, and a foreign file there would be loaded: then these
// directories are tried, and nothing else.
const DIRECTORIES = [
  `/lib/${runtime.arch}-linux-gnu`,
  `/usr/lib/${runtime.arch}-linux-gnu`,
  "/lib64",
  "/usr/lib64",
  "/lib",
  "/usr/lib",
];
// musl has everything in one library. To its dynamic linker each of LIBRARIES, as a bare
// name, is this one. In a process with glibc its functions would overwrite what is glibc's.
const MUSL = runtime.isMusl
  ? [
    `/lib/ld-musl-${runtime.arch}.so.1`,
    `/lib/libc.musl-${runtime.arch}.so.1`,
  ]
  : [];

/** Returns the functions of one C header; {@linkcode header} makes it. */
export type Header<S extends Declarations> = () => Functions<S>;

const { defineProperty, keys } = Object;

/**
 * Whether the process may open any file, and make views of memory: under a grant for
 * some paths it can only call functions.
 */
export function mayView(): boolean {
  const { state, partial } = runtime.permission();
  return state === "granted" && !partial;
}

function pathsOf(library: string): string[] {
  const paths = DIRECTORIES.map((directory) => `${directory}/${library}`);
  return library === LIBC ? [...paths, ...MUSL] : paths;
}

/** The names by which the present permission allows to open a library. */
function namesOf(library: string): string[] {
  if (mayView()) return [library];
  const paths = pathsOf(library);
  const states = paths.map((path) => runtime.permission(path).state);
  // Deno compares the text of paths. These may name one file, so that a denial of
  // one of them counts for all.
  const denied = paths[states.indexOf("denied")];
  if (denied !== undefined && runtime.permission().state !== "denied") {
    throw new runtime.errors.NotCapable(
      `Cannot call libc: ${denied} is denied; run again with a --deny-ffi flag ` +
        "that leaves it out",
    );
  }
  return paths.filter((_, index) => states[index] === "granted");
}

/** The names of libc; asks at a terminal if none is permitted yet. */
function namesOfLibc(): string[] {
  const names = namesOf(LIBC);
  if (names.length > 0) return names;
  // What this returns does not say whether a denial remains, so the permission is
  // queried again.
  runtime.requestPermission();
  return namesOf(LIBC);
}

/** The remedy where no name of libc may be opened. */
function remedy(): string {
  const { state } = runtime.permission();
  if (state === "granted") {
    return `a --deny-ffi flag allows absolute paths only, and ${LIBC} is at ` +
      `none of ${
        pathsOf(LIBC).join(", ")
      }; run again without the --deny-ffi flag`;
  }
  const flag = "run again with the --allow-ffi flag";
  if (state === "denied") return `${flag}, and without --deny-ffi`;
  const relative = runtime.permission(LIBC).state === "granted"
    ? `--allow-ffi=${LIBC} names a file of the working directory; `
    : "";
  return `${relative}${flag}, for all paths or for the absolute path of ${LIBC}`;
}

/** The error of a view of memory, which needs a grant for all paths. */
export function viewError(error: unknown): unknown {
  if (!(error instanceof runtime.errors.NotCapable)) return error;
  if (runtime.permission().state === "denied") return error;
  return new runtime.errors.NotCapable(
    "Cannot make a view of memory: the permission is for some paths only, and this needs " +
      "it for all; run again with --allow-ffi, without a path and without --deny-ffi",
    { cause: error },
  );
}

function checkSystem(): void {
  const { os, arch } = runtime;
  if (os !== "linux") {
    throw new runtime.errors.NotSupported(
      `Cannot call libc: this module needs Linux, and this system is ${os}`,
    );
  }
  if (arch !== "x86_64" && arch !== "aarch64") {
    throw new runtime.errors.NotSupported(
      `Cannot call libc: this module knows x86_64 and aarch64, not ${arch}`,
    );
  }
}

/**
 * Hands a function to `use`, from the first of the names that leads to a library; null
 * if the library does not have it. Undefined where there is no such library.
 *
 * Deno's test runner reports libraries that are left open. Deno is linked with these:
 * closing one unloads nothing, and its functions stay.
 */
function withFunction<T>(
  names: string[],
  key: string,
  declared: Declaration,
  use: (call: Call | null) => T,
): T | undefined {
  for (const name of names) {
    try {
      const library = runtime.open(name, key, declared);
      try {
        return use(library.call);
      } finally {
        library.close();
      }
    } catch (error) {
      // A grant for a path where this distribution keeps no such file.
      if (!String(error).includes("No such file")) throw error;
    }
  }
  return undefined;
}

/**
 * A function that is called on a thread of the pool. Deno looks it up at each call: by
 * its address, which needs the unscoped permission, or in a library.
 */
function openNonblocking(
  names: string[],
  key: string,
  declared: Declaration,
): Call {
  if (!mayView()) {
    return (...parameters) =>
      withFunction(names, key, declared, (call) => call!(...parameters));
  }
  const name = new TextEncoder().encode(`${declared.name ?? key}\0`);
  return runtime.blocking(own.dlsym(0n, name), declared.name ?? key, declared);
}

/** Opens a function; null if it is declared as optional, and no library has it. */
function openFunction(
  key: string,
  declared: Declaration,
): Call | null {
  checkSystem();
  const names = namesOfLibc();
  if (names.length === 0) {
    throw new runtime.errors.NotCapable(`Cannot call libc: ${remedy()}`);
  }
  if (declared.nonblocking) return openNonblocking(names, key, declared);
  for (const library of LIBRARIES) {
    const all = library === LIBC ? names : namesOf(library);
    const call = withFunction(all, key, declared, (call) => call);
    if (call) return call;
  }
  if (declared.optional) return null;
  throw new runtime.errors.NotSupported(
    `Cannot call ${declared.name ?? key}: it is in none of the libraries ` +
      `${LIBRARIES.join(", ")} that the --allow-ffi flag names`,
  );
}

/**
 * Declares functions, and opens each of them when it is first read. One that is optional
 * is null if the C library does not have it.
 */
function lazily<const S extends Declarations>(
  symbols: S,
): Functions<S> {
  const table = {};
  for (const key of keys(symbols)) {
    let call: Call | null | undefined;
    const declared = symbols[key] as Declaration;
    const get = () => {
      if (call === undefined) call = openFunction(key, declared);
      return call;
    };
    defineProperty(table, key, { get, enumerable: true });
  }
  return table as Functions<S>;
}

const own = lazily({
  __errno_location: { parameters: [], result: "usize" }, // int *(void)
  memcpy: { parameters: ["buffer", "usize", "usize"], result: "void" },
  // void *dlsym(void *handle, const char *symbol)
  dlsym: { parameters: ["usize", "buffer"], result: "usize" },
  // const char *gnu_get_libc_version(void)
  gnu_get_libc_version: { parameters: [], result: "usize", optional: true },
});

/** Whether the C library is musl. The other one is glibc. */
export function isMusl(): boolean {
  return own.gnu_get_libc_version === null;
}

let errnoAddress = 0n;
let errnoCell = new Int32Array(1);
let isCopied = false;

/**
 * The error number of the libc call just made on this thread. Nothing of Deno
 * may run between the call and this.
 *
 * The address is fixed for a thread, and a module instance belongs to one. A copy
 * through memcpy, unlike a view of memory, works under a path-scoped grant.
 */
export function errno(): number {
  if (isCopied) own.memcpy(errnoCell, errnoAddress, 4n);
  return errnoCell[0]!;
}

function openErrno(): void {
  errnoAddress = own.__errno_location();
  isCopied = !mayView();
  if (isCopied) errno(); // opens memcpy before a call whose error number matters
  else errnoCell = new Int32Array(runtime.bufferAt(errnoAddress, 4));
}

/**
 * Declares the functions of one C header. Importing opens nothing, so that it needs
 * neither Linux nor a permission. A function is opened when it is first used, because
 * Deno compiles code for each, which takes a few tenths of a millisecond.
 */
export function header<const S extends Declarations>(
  symbols: S,
): Header<S> {
  let table: Functions<S> | undefined;
  return () => {
    if (table !== undefined) return table;
    if (errnoAddress === 0n) openErrno();
    return table = lazily(symbols);
  };
}
