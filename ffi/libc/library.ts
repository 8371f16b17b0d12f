// Finds libc, opens it, and reads its errno.

// The bare name is looked up by the dynamic linker and is always right. But
// under a permission for a path, or one given at the prompt, Deno takes it for
// a file in the working directory; then these are tried.
const NAME = "libc.so.6";
const DIRECTORIES = [
  `/lib/${Deno.build.arch}-linux-gnu`,
  `/usr/lib/${Deno.build.arch}-linux-gnu`,
  "/lib64",
  "/usr/lib64",
  "/lib",
  "/usr/lib",
];

/** The functions of one C header. */
export type Symbols<S extends Deno.ForeignLibraryInterface> =
  Deno.DynamicLibrary<S>["symbols"];

function granted(path?: string): boolean {
  const ffi = path === undefined
    ? { name: "ffi" as const }
    : { name: "ffi" as const, path };
  return Deno.permissions.querySync(ffi).state === "granted";
}

function open<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Symbols<S> {
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
  if (granted()) return Deno.dlopen(NAME, symbols).symbols;
  for (const directory of DIRECTORIES) {
    const path = `${directory}/${NAME}`;
    if (!granted(path)) continue;
    try {
      return Deno.dlopen(path, symbols).symbols;
    } catch {
      // A grant for a path where this distribution keeps no libc.
    }
  }
  // Asks at a terminal; elsewhere the answer is the present state.
  if (Deno.permissions.requestSync({ name: "ffi" }).state === "granted") {
    return Deno.dlopen(NAME, symbols).symbols;
  }
  throw new Deno.errors.NotCapable(
    `Cannot call libc: run again with the --allow-ffi flag`,
  );
}

const errnoSymbols = {
  __errno_location: { parameters: [], result: "usize" }, // int *(void)
  memcpy: { parameters: ["buffer", "usize", "usize"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

let errnoTable: Symbols<typeof errnoSymbols> | undefined;
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
  errnoTable!.memcpy(errnoCell, errnoAddress, 4n);
  return errnoCell[0]!;
}

/**
 * Declares the functions of one C header. The library is opened at the first
 * call of what this returns, not at import, so that importing needs neither
 * Linux nor a permission.
 */
export function header<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): () => Symbols<S> {
  let table: Symbols<S> | undefined;
  return () => {
    if (table !== undefined) return table;
    if (errnoTable === undefined) {
      errnoTable = open(errnoSymbols);
      errnoAddress = BigInt(errnoTable.__errno_location());
    }
    return table = open(symbols);
  };
}
