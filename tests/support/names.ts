/**
 * Names for tests: System V keys, POSIX names and scratch directories that no
 * other test, test file or process uses, and that `leaks.ts` knows to be ours.
 */

/** Is part of every name that this test file makes. */
export const PREFIX = `ipc${Deno.pid}x${randomInteger().toString(36)}`;

/** The keys that {@linkcode uniqueKey} has given out. */
export const issuedKeys: Set<number> = new Set();

/** Names the directory of what the test files of one run share. */
export const SHARED = "TEST_SHARED";

/** The scratch directories that exist at the moment. */
export const scratchDirectories: Set<string> = new Set();

let counter = 0;

/** A random integer from 1 to 2^31 - 1. */
function randomInteger(): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0]! >>> 1) || 1;
}

/** A System V key under which no queue, segment or semaphore set exists. */
export function uniqueKey(): number {
  while (true) {
    const key = randomInteger();
    if (issuedKeys.has(key) || keysInUse().has(key)) continue;
    issuedKeys.add(key);
    return key;
  }
}

/** The keys of all System V objects of this machine. */
function keysInUse(): Set<number> {
  const keys = new Set<number>();
  for (const table of ["msg", "shm", "sem"]) {
    const rows = Deno.readTextFileSync(`/proc/sysvipc/${table}`);
    for (const row of rows.trimEnd().split("\n").slice(1)) {
      keys.add(Number(row.trim().split(/\s+/)[0]) | 0);
    }
  }
  return keys;
}

/** A POSIX name ("/ipc12x3ab-1") for a queue, an object or a semaphore. */
export function uniqueName(): string {
  return `/${PREFIX}-${++counter}`;
}

/** A directory of one test's own; leaving its `using` block removes it. */
export class Scratch implements Disposable {
  /** The absolute path, short enough for a Unix socket's name in it. */
  readonly path: string;

  /** Makes the directory, open to this user alone. */
  constructor() {
    const parent = Deno.env.get("TMPDIR") ?? "/tmp";
    this.path = Deno.makeTempDirSync({
      dir: parent.length > 40 ? "/tmp" : parent,
      prefix: `${PREFIX}-`,
    });
    scratchDirectories.add(this.path);
  }

  /** The path of a file in the directory; with content, writes it first. */
  file(name: string, content?: string | Uint8Array): string {
    const path = `${this.path}/${name}`;
    if (typeof content === "string") Deno.writeTextFileSync(path, content);
    else if (content !== undefined) Deno.writeFileSync(path, content);
    return path;
  }

  /** The sorted names of what is in the directory. */
  list(): string[] {
    return Array.from(Deno.readDirSync(this.path), (entry) => entry.name)
      .sort();
  }

  [Symbol.dispose](): void {
    removeAll(this.path);
    scratchDirectories.delete(this.path);
  }
}

/** Removes a directory and what is in it, also what its permissions would keep. */
function removeAll(path: string): void {
  try {
    try {
      Deno.removeSync(path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
      makeWritable(path);
      Deno.removeSync(path, { recursive: true });
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Gives the owner of a directory all permissions, there and below. */
function makeWritable(path: string): void {
  Deno.chmodSync(path, 0o700);
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    if (isDirectory) makeWritable(`${path}/${name}`);
  }
}

/** `using dir = scratch()`: a new, empty {@linkcode Scratch} directory. */
export function scratch(): Scratch {
  return new Scratch();
}

let ownDirectory: string | undefined;

/** A directory for what takes long to make: of the run, or of this file alone. */
export function sharedDirectory(): string {
  return Deno.env.get(SHARED) ?? (ownDirectory ??= makeSharedDirectory());
}

/** Makes a directory that others may enter; the caller's to remove. */
export function makeSharedDirectory(): string {
  const path = Deno.makeTempDirSync({ prefix: `${PREFIX}-shared-` });
  Deno.chmodSync(path, 0o755);
  return path;
}

globalThis.addEventListener("unload", () => {
  if (ownDirectory !== undefined) {
    Deno.removeSync(ownDirectory, { recursive: true });
  }
  for (const path of scratchDirectories) {
    try {
      Deno.removeSync(path, { recursive: true });
    } catch {
      // The test that made it has failed already, or removed it itself.
    }
  }
});
