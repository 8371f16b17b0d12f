// Finds libc, opens its functions, and reads its errno.

const LIBC = "libc.so.6";
// Before glibc 2.34 some functions are in libraries of their own.
const LIBRARIES = [LIBC, "librt.so.1", "libpthread.so.0", "libdl.so.2"];

// To the dynamic linker the bare name is the libc that this process has loaded:
// always the right one, wherever the distribution keeps it. Deno hands the name on
// as it is only under a grant without any restriction. Otherwise it makes it a path
// in the working directory, and a foreign file there would be loaded: then these
// directories are tried, and nothing else.
const DIRECTORIES = [
  `/lib/${Deno.build.arch}-linux-gnu`,
  `/usr/lib/${Deno.build.arch}-linux-gnu`,
  "/lib64",
  "/usr/lib64",
  "/lib",
  "/usr/lib",
];

/** The functions of one C header. */
type Symbols<S extends Deno.ForeignLibraryInterface> = Deno.DynamicLibrary<
  S
>["symbols"];

/** Returns the functions of one C header; {@linkcode header} makes it. */
export type Header<S extends Deno.ForeignLibraryInterface> = () => Symbols<S>;

// deno-lint-ignore no-explicit-any -- its declaration says what it takes and returns
type Call = (...parameters: any[]) => any;

const { defineProperty, keys } = Object;

/** The permission to open that file, or without a path any. */
function permission(path?: string): Deno.PermissionStatus {
  return Deno.permissions.querySync(
    path === undefined ? { name: "ffi" } : { name: "ffi", path },
  );
}

/** Whether the process may open any file, and use any pointer. */
function isUnscoped(): boolean {
  const { state, partial } = permission();
  return state === "granted" && !partial;
}

function pathsOf(library: string): string[] {
  return DIRECTORIES.map((directory) => `${directory}/${library}`);
}

/** The names by which the present permission allows to open a library. */
function namesOf(library: string): string[] {
  if (isUnscoped()) return [library];
  const paths = pathsOf(library);
  const states = paths.map((path) => permission(path).state);
  // Deno compares the text of paths. These may name one file, so that a denial of
  // one of them counts for all.
  const denied = paths[states.indexOf("denied")];
  if (denied !== undefined && permission().state !== "denied") {
    throw new Deno.errors.NotCapable(
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
  Deno.permissions.requestSync({ name: "ffi" });
  return namesOf(LIBC);
}

/** The remedy where no name of libc may be opened. */
function remedy(): string {
  const { state } = permission();
  if (state === "granted") {
    return `a --deny-ffi flag allows absolute paths only, and ${LIBC} is at ` +
      `none of ${
        pathsOf(LIBC).join(", ")
      }; run again without the --deny-ffi flag`;
  }
  const flag = "run again with the --allow-ffi flag";
  if (state === "denied") return `${flag}, and without --deny-ffi`;
  const relative = permission(LIBC).state === "granted"
    ? `--allow-ffi=${LIBC} names a file of the working directory; `
    : "";
  return `${relative}${flag}, for all paths or for the absolute path of ${LIBC}`;
}

/** The error of a view of memory, which Deno makes under a grant for all paths only. */
export function viewError(error: unknown): unknown {
  if (!(error instanceof Deno.errors.NotCapable)) return error;
  if (permission().state === "denied") return error;
  return new Deno.errors.NotCapable(
    "Cannot make a view of memory: the permission is for some paths only, and this needs " +
      "it for all; run again with --allow-ffi, without a path and without --deny-ffi",
    { cause: error },
  );
}

function checkSystem(): void {
  const { os, arch } = Deno.build;
  if (os !== "linux") {
    throw new Deno.errors.NotSupported(
      `Cannot call libc: this module needs Linux, and this system is ${os}`,
    );
  }
  if (arch !== "x86_64" && arch !== "aarch64") {
    throw new Deno.errors.NotSupported(
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
  declared: Deno.ForeignFunction,
  use: (call: Call | null) => T,
): T | undefined {
  const symbols = { [key]: { ...declared, optional: true as const } };
  for (const name of names) {
    try {
      const library = Deno.dlopen(name, symbols);
      try {
        return use(library.symbols[key] as Call | null);
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
  declared: Deno.ForeignFunction,
): Call {
  if (!isUnscoped()) {
    return (...parameters) =>
      withFunction(names, key, declared, (call) => call!(...parameters));
  }
  const name = new TextEncoder().encode(`${declared.name ?? key}\0`);
  const address = Deno.UnsafePointer.create<Deno.ForeignFunction>(
    own.dlsym(0n, name),
  );
  const pointer = new Deno.UnsafeFnPointer(address!, declared);
  return (...parameters) => pointer.call(...parameters);
}

function openFunction(key: string, declared: Deno.ForeignFunction): Call {
  checkSystem();
  const names = namesOfLibc();
  if (names.length === 0) {
    throw new Deno.errors.NotCapable(`Cannot call libc: ${remedy()}`);
  }
  if (declared.nonblocking) return openNonblocking(names, key, declared);
  for (const library of LIBRARIES) {
    const all = library === LIBC ? names : namesOf(library);
    const call = withFunction(all, key, declared, (call) => call);
    if (call) return call;
  }
  throw new Deno.errors.NotSupported(
    `Cannot call ${declared.name ?? key}: it is in none of the libraries ` +
      `${LIBRARIES.join(", ")} that the --allow-ffi flag names`,
  );
}

/** Declares functions, and opens each of them when it is first read. */
function lazily<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Symbols<S> {
  const table = {};
  for (const key of keys(symbols)) {
    let call: Call | undefined;
    const declared = symbols[key] as Deno.ForeignFunction;
    const get = () => call ??= openFunction(key, declared);
    defineProperty(table, key, { get, enumerable: true });
  }
  return table as Symbols<S>;
}

const own = lazily({
  __errno_location: { parameters: [], result: "usize" }, // int *(void)
  memcpy: { parameters: ["buffer", "usize", "usize"], result: "void" },
  // void *dlsym(void *handle, const char *symbol)
  dlsym: { parameters: ["usize", "buffer"], result: "usize" },
});

let errnoAddress = 0n;
const errnoCell = new Int32Array(1);

/**
 * The error number of the libc call just made on this thread. Nothing of Deno
 * may run between the call and this.
 *
 * The address is fixed for a thread, and a module instance belongs to one. The
 * copy through memcpy, unlike a pointer view, works under a path-scoped grant.
 */
export function errno(): number {
  own.memcpy(errnoCell, errnoAddress, 4n);
  return errnoCell[0]!;
}

function openErrno(): void {
  errnoAddress = BigInt(own.__errno_location());
  errno(); // opens memcpy before a call whose error number matters
}

/**
 * Declares the functions of one C header. Importing opens nothing, so that it needs
 * neither Linux nor a permission. A function is opened when it is first used, because
 * Deno compiles code for each, which takes a few tenths of a millisecond.
 */
export function header<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Header<S> {
  let table: Symbols<S> | undefined;
  return () => {
    if (table !== undefined) return table;
    if (errnoAddress === 0n) openErrno();
    return table = lazily(symbols);
  };
}
