// Finds libc, opens it, and reads its errno.

// To the dynamic linker the bare name is the libc that this process has loaded:
// always the right one, wherever the distribution keeps it. Deno hands the name on
// as it is only under a grant without any restriction. Otherwise it makes it a path
// in the working directory, and a foreign file there would be loaded: then these
// paths are tried, and nothing else.
const NAME = "libc.so.6";
const PATHS = [
  `/lib/${Deno.build.arch}-linux-gnu`,
  `/usr/lib/${Deno.build.arch}-linux-gnu`,
  "/lib64",
  "/usr/lib64",
  "/lib",
  "/usr/lib",
].map((directory) => `${directory}/${NAME}`);

/** The functions of one C header. */
export type Symbols<S extends Deno.ForeignLibraryInterface> =
  Deno.DynamicLibrary<S>["symbols"];

/** What the process may open: that file, or without a path any. */
function permission(path?: string): Deno.PermissionStatus {
  return Deno.permissions.querySync(
    path === undefined ? { name: "ffi" } : { name: "ffi", path },
  );
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
  const table = openPermitted(symbols);
  if (table !== undefined) return table;
  // Asks at a terminal. What this returns does not say whether a denial remains,
  // so the permission is queried again.
  Deno.permissions.requestSync({ name: "ffi" });
  const granted = openPermitted(symbols);
  if (granted !== undefined) return granted;
  throw new Deno.errors.NotCapable(`Cannot call libc: ${remedy()}`);
}

/** Opens libc by a name that the present permission allows, if there is one. */
function openPermitted<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Symbols<S> | undefined {
  const { state, partial } = permission();
  if (state === "granted" && !partial) {
    return Deno.dlopen(NAME, symbols).symbols;
  }
  const states = PATHS.map((path) => permission(path).state);
  // Deno compares the text of paths. These may name one file, so that a denial of
  // one of them counts for all.
  const denied = PATHS[states.indexOf("denied")];
  if (denied !== undefined && state !== "denied") {
    throw new Deno.errors.NotCapable(
      `Cannot call libc: ${denied} is denied; run again with a --deny-ffi flag ` +
        "that leaves it out",
    );
  }
  for (const [index, path] of PATHS.entries()) {
    if (states[index] !== "granted") continue;
    try {
      return Deno.dlopen(path, symbols).symbols;
    } catch (error) {
      // A grant for a path where this distribution keeps no libc.
      if (!String(error).includes("No such file")) throw error;
    }
  }
  return undefined;
}

/** What makes libc available where no name of it may be opened. */
function remedy(): string {
  const { state } = permission();
  if (state === "granted") {
    return `a --deny-ffi flag allows absolute paths only, and ${NAME} is at ` +
      `none of ${PATHS.join(", ")}; run again without the --deny-ffi flag`;
  }
  const flag = "run again with the --allow-ffi flag";
  return state === "denied"
    ? `${flag}, and without --deny-ffi`
    : `${flag}, for all paths or for the absolute path of ${NAME}`;
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
