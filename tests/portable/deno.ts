// deno-lint-ignore-file no-explicit-any -- what it stands for is typed by Deno
/**
 * The part of `Deno` that the tests use, on Node and Bun: over the modules of Node. It
 * is loaded before a test file, and before the scripts that tests start.
 *
 * It has no `dlopen`: that tells the library that this is not Deno.
 */
import { resolveObjectURL } from "node:buffer";
import * as cp from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as os from "node:os";
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { Worker as Thread } from "node:worker_threads";
import { test } from "./test.ts";

const IS_BUN = "Bun" in globalThis;

type Path = string | URL;
type Options = Record<string, any>;

function pathOf(path: Path): string {
  const text = String(path);
  return text.startsWith("file:") ? fileURLToPath(text) : text;
}

/** An error class that recognises errors of Node by their code, or of us by name. */
function errorLike(name: string, ...codes: string[]) {
  const type = class extends Error {
    override name = name;
    static override [Symbol.hasInstance](value: any): boolean {
      return value instanceof Error &&
        (value.name === name || codes.includes((value as any).code) &&
            !("syscall" in value && "errno" in value && "subject" in value));
    }
  };
  Object.defineProperty(type, "name", { value: name });
  return type;
}

const errors = {
  NotFound: errorLike("NotFound", "ENOENT"),
  AlreadyExists: errorLike("AlreadyExists", "EEXIST"),
  PermissionDenied: errorLike("PermissionDenied", "EACCES", "EPERM"),
  Interrupted: errorLike("Interrupted", "EINTR"),
  InvalidData: errorLike("InvalidData"),
  NotCapable: errorLike("NotCapable", "ERR_ACCESS_DENIED"),
  NotSupported: errorLike("NotSupported"),
  UnexpectedEof: errorLike("UnexpectedEof"),
};

interface Entry {
  name: string;
  isFile: boolean;
  isDirectory: boolean;
  isSymlink: boolean;
}

/** Node fails if what it lists in /proc ends before it asks for its type. */
function* readDirSync(path: Path): Generator<Entry> {
  const directory = pathOf(path);
  for (const name of fs.readdirSync(directory)) {
    const stat = () =>
      fs.lstatSync(`${directory}/${name}`, { throwIfNoEntry: false });
    yield {
      name,
      get isFile() {
        return stat()?.isFile() ?? false;
      },
      get isDirectory() {
        return stat()?.isDirectory() ?? false;
      },
      get isSymlink() {
        return stat()?.isSymbolicLink() ?? false;
      },
    };
  }
}

function infoOf(stat: fs.Stats) {
  return {
    isFile: stat.isFile(),
    isDirectory: stat.isDirectory(),
    isSymlink: stat.isSymbolicLink(),
    isFifo: stat.isFIFO(),
    isSocket: stat.isSocket(),
    isCharDevice: stat.isCharacterDevice(),
    isBlockDevice: stat.isBlockDevice(),
    size: stat.size,
    mode: stat.mode,
    ino: stat.ino,
    dev: stat.dev,
    nlink: stat.nlink,
    uid: stat.uid,
    gid: stat.gid,
    blocks: stat.blocks,
    blksize: stat.blksize,
    mtime: stat.mtime,
    atime: stat.atime,
  };
}

function flagsOf(options: Options): number {
  const { read = true, write, append, truncate, create, createNew } = options;
  const c = fs.constants;
  const writes = write || append;
  return (writes
    ? (read && options.read ? c.O_RDWR : c.O_WRONLY)
    : c.O_RDONLY) |
    (append ? c.O_APPEND : 0) | (truncate ? c.O_TRUNC : 0) |
    (create || createNew ? c.O_CREAT : 0) | (createNew ? c.O_EXCL : 0);
}

class FsFile {
  readonly fd: number;
  #position: number | null = null; // the file's own, unless it was set here

  constructor(fd: number) {
    this.fd = fd;
  }
  readSync(bytes: Uint8Array): number | null {
    const count = fs.readSync(this.fd, bytes, 0, bytes.length, this.#position);
    if (this.#position !== null) this.#position += count;
    return count === 0 && bytes.length > 0 ? null : count;
  }
  writeSync(bytes: Uint8Array): number {
    const count = fs.writeSync(this.fd, bytes, 0, bytes.length, this.#position);
    if (this.#position !== null) this.#position += count;
    return count;
  }
  read(bytes: Uint8Array): Promise<number | null> {
    return new Promise((resolve, reject) =>
      fs.read(
        this.fd,
        bytes,
        0,
        bytes.length,
        this.#position,
        (error, count) => {
          if (error) return reject(error);
          if (this.#position !== null) this.#position += count;
          resolve(count === 0 ? null : count);
        },
      )
    );
  }
  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) =>
      fs.write(
        this.fd,
        bytes,
        0,
        bytes.length,
        this.#position,
        (error, count) => {
          if (error) return reject(error);
          if (this.#position !== null) this.#position += count;
          resolve(count);
        },
      )
    );
  }
  seekSync(offset: number | bigint, whence = 0): number {
    const base = whence === 0
      ? 0
      : whence === 1
      ? this.#position ?? 0
      : fs.fstatSync(this.fd).size;
    return this.#position = base + Number(offset);
  }
  truncateSync(length = 0): void {
    fs.ftruncateSync(this.fd, length);
  }
  statSync() {
    return infoOf(fs.fstatSync(this.fd));
  }
  lockSync(): void {} // one thread runs tests
  unlockSync(): void {}
  close(): void {
    fs.closeSync(this.fd);
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

function openSync(path: Path, options: Options = { read: true }): FsFile {
  return new FsFile(fs.openSync(pathOf(path), flagsOf(options), options.mode));
}

interface Status {
  success: boolean;
  code: number;
  signal: string | null;
}

function statusOf(code: number | null, signal: string | null): Status {
  const number = signal === null ? 0 : (os.constants.signals as any)[signal];
  return { success: code === 0, code: code ?? 128 + number, signal };
}

/** Descriptors that programs inherit. Bun closes them unless it is told of each. */
function inherited(): number[] {
  return fs.readdirSync("/proc/self/fdinfo").map(Number).filter((fd) => {
    if (fd < 3) return false;
    try {
      const info = fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
      return (parseInt(info.match(/^flags:\s*(\d+)/m)![1]!, 8) & 0o2000000) ===
        0;
    } catch {
      return false;
    }
  });
}

const STDIO: Record<string, string> = {
  piped: "pipe",
  null: "ignore",
  inherit: "inherit",
};

class Command {
  readonly #path: string;
  readonly #options: Options;

  constructor(path: Path, options: Options = {}) {
    this.#path = pathOf(path);
    this.#options = options;
  }
  #settings(standard: string): [string[], any] {
    const { args = [], cwd, env, clearEnv, uid, gid, signal } = this.#options;
    const { stdin, stdout, stderr } = this.#options;
    const inputs = standard === "piped" ? "null" : standard;
    const stdio: any[] = [
      STDIO[stdin ?? inputs],
      STDIO[stdout ?? standard],
      STDIO[stderr ?? standard],
    ];
    if (IS_BUN) {
      for (const fd of inherited()) {
        while (stdio.length < fd) stdio.push("ignore");
        stdio.push(fd);
      }
    }
    return [args.map(String), {
      cwd: cwd === undefined ? undefined : pathOf(cwd),
      env: { ...(clearEnv ? {} : process.env), ...env },
      stdio,
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(signal === undefined ? {} : { signal, killSignal: "SIGTERM" }),
    }];
  }
  #spawn(standard: string) {
    const child = cp.spawn(this.#path, ...this.#settings(standard));
    const failed = new Promise<never>((_, reject) => child.on("error", reject));
    failed.catch(() => {});
    if (child.pid === undefined) {
      throw new errors.NotFound(`Failed to spawn '${this.#path}': ENOENT`);
    }
    const ended = new Promise<Status>((resolve) =>
      child.on("exit", (code, signal) => resolve(statusOf(code, signal)))
    );
    return { child, ended };
  }
  spawn() {
    const { child, ended } = this.#spawn("inherit");
    child.stdin?.on("error", () => {});
    const stdout = child.stdout && bytesOf(child.stdout);
    const stderr = child.stderr && bytesOf(child.stderr);
    return {
      pid: child.pid!,
      stdin: child.stdin && inputOf(child.stdin),
      stdout,
      stderr,
      status: ended,
      kill: (signal = "SIGTERM") => {
        if (!child.kill(signal as any)) throw new TypeError("Child has ended");
      },
      ref: () => child.ref(),
      unref: () => child.unref(),
      output: () => collect(ended, stdout, stderr),
    };
  }
  output() {
    const { child, ended } = this.#spawn("piped");
    return collect(ended, bytesOf(child.stdout!), bytesOf(child.stderr!));
  }
  outputSync() {
    const [args, options] = this.#settings("piped");
    const done = cp.spawnSync(this.#path, args, { ...options, maxBuffer: 1e9 });
    if (done.error !== undefined) throw done.error;
    const { status, signal, stdout, stderr } = done;
    return { ...statusOf(status, signal), stdout, stderr };
  }
}

/** A stream that writes. Bun's own says that it has written before it has. */
function inputOf(stream: Writable): WritableStream<Uint8Array> {
  return new WritableStream({
    write: (chunk) =>
      new Promise((resolve, reject) =>
        stream.write(chunk, (error) => {
          if (error) reject(error);
          else setTimeout(resolve, IS_BUN ? 5 : 0);
        })
      ),
    // Node destroys the stream when the child ends; end() never calls back then.
    close: () =>
      new Promise((resolve) => {
        if (stream.destroyed) return resolve();
        stream.on("close", resolve);
        stream.end(() => resolve());
      }),
    abort: () => void stream.destroy(),
  });
}

/** A stream of plain bytes; those of Node are Buffers. */
function bytesOf(stream: Readable): ReadableStream<Uint8Array> {
  return IS_BUN ? bytesOnBun(stream) : bytesOnNode(stream);
}

/** Listens at once: Node drops what nobody reads when a child ends. */
function bytesOnNode(stream: Readable): ReadableStream<Uint8Array> {
  let over = false;
  return new ReadableStream({
    start(controller) {
      stream.on("data", (chunk) => {
        if (over) return;
        controller.enqueue(new Uint8Array(chunk));
        if (controller.desiredSize! <= 0) stream.pause();
      });
      const end = () => {
        if (!over) controller.close();
        over = true;
      };
      for (const event of ["end", "close", "error"]) stream.on(event, end);
    },
    pull() {
      stream.resume();
    },
    cancel() {
      over = true;
      stream.destroy();
    },
  }, { highWaterMark: 16 });
}

/** Iterates: Bun does not always tell listeners of the end. */
function bytesOnBun(stream: Readable): ReadableStream<Uint8Array> {
  const chunks = stream[Symbol.asyncIterator]();
  const over = { done: true, value: undefined } as const;
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next().catch(() => over);
      if (done) controller.close();
      else controller.enqueue(new Uint8Array(value));
    },
    cancel() {
      stream.destroy();
    },
  });
}

/** What a child prints, and how it ends; nobody else may read its streams. */
async function collect(
  ended: Promise<Status>,
  ...outputs: (ReadableStream<Uint8Array> | null)[]
) {
  const all = async (stream: ReadableStream<Uint8Array> | null) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream ?? []) chunks.push(chunk);
    return new Uint8Array(Buffer.concat(chunks));
  };
  const [status, stdout, stderr] = await Promise.all([
    ended,
    ...outputs.map(all),
  ]);
  return { ...status, stdout: stdout!, stderr: stderr! };
}

/** A connection of a Unix socket, or its server. */
function connectionOf(socket: net.Socket) {
  const chunks = bytesOf(socket).getReader();
  return {
    async read(bytes: Uint8Array): Promise<number | null> {
      const { done, value } = await chunks.read();
      if (done) return null;
      bytes.set(value.subarray(0, bytes.length));
      return Math.min(value.length, bytes.length);
    },
    write: (bytes: Uint8Array) =>
      new Promise<number>((resolve, reject) =>
        socket.write(
          bytes,
          (error) => error ? reject(error) : resolve(bytes.length),
        )
      ),
    close: () => void socket.destroy(),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

function connect({ path }: { path: string }) {
  const socket = net.connect(path);
  return new Promise((resolve, reject) => {
    socket.on("connect", () => resolve(connectionOf(socket)));
    socket.on("error", reject);
  });
}

let input: ReadableStream<Uint8Array> | undefined;

const stdin = {
  get readable() {
    return input ??= bytesOf(process.stdin);
  },
  readSync(bytes: Uint8Array): number | null {
    for (;;) {
      try {
        return new FsFile(0).readSync(bytes);
      } catch (error) { // what Node makes for its children may not block
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
  },
  async read(bytes: Uint8Array): Promise<number | null> {
    for (;;) {
      try {
        return await new FsFile(0).read(bytes);
      } catch (error) {
        if ((error as { code?: string }).code !== "EAGAIN") throw error;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  },
};

const listeners = new Map<() => void, (...args: unknown[]) => void>();

const random = () => Math.random().toString(36).slice(2);

function tempPath({ dir, prefix = "", suffix = "" }: Options = {}): string {
  return `${dir ?? process.env.TMPDIR ?? "/tmp"}/${prefix}${random()}${suffix}`;
}

function makeTempDirSync(options?: Options): string {
  const path = tempPath(options);
  fs.mkdirSync(path, { mode: 0o700 });
  return path;
}

function makeTempFileSync(options?: Options): string {
  const path = tempPath(options);
  fs.writeFileSync(path, "", { mode: 0o600 });
  return path;
}

function writeFileSync(
  path: Path,
  data: string | Uint8Array,
  options?: Options,
) {
  const { mode, append, create, createNew } = options ?? {};
  const flag = append ? "a" : createNew ? "wx" : create === false ? "r+" : "w";
  fs.writeFileSync(pathOf(path), data, { mode, flag });
  if (mode !== undefined) fs.chmodSync(pathOf(path), mode);
}

function removeSync(path: Path, options: Options = {}): void {
  const text = pathOf(path);
  if (options.recursive) fs.rmSync(text, { recursive: true });
  else if (fs.lstatSync(text).isDirectory()) fs.rmdirSync(text);
  else fs.unlinkSync(text);
}

/** The two kinds of a function: at once, and as a promise. */
const later = <A extends unknown[], R>(call: (...args: A) => R) =>
(
  ...args: A
): Promise<R> =>
  new Promise((resolve, reject) => {
    try {
      resolve(call(...args));
    } catch (error) {
      reject(error);
    }
  });

const readTextFileSync = (path: Path) => fs.readFileSync(pathOf(path), "utf8");
const readFileSync = (path: Path) =>
  new Uint8Array(fs.readFileSync(pathOf(path)));
const statSync = (path: Path) => infoOf(fs.statSync(pathOf(path)));
const truncateSync = (path: Path, length = 0) =>
  fs.truncateSync(pathOf(path), length);

function inspectAs(value: unknown, options: Options = {}): string {
  // The text of Deno differs in its quotes.
  return inspect(value, options)
    .replace(/'([^'"\n]*)'/g, '"$1"');
}

const Deno = {
  // In a child this is an absolute path, as in Deno.
  args: process.argv.slice(2).filter((arg, at) => at > 0 || arg !== "-"),
  build: {
    os: "linux",
    arch: process.arch === "arm64" ? "aarch64" : "x86_64",
  },
  get pid() {
    return process.pid;
  },
  get ppid() {
    return process.ppid;
  },
  uid: () => process.getuid!(),
  gid: () => process.getgid!(),
  errors,
  test,
  /** A program that understands the command line of Deno: tests/portable/mod.ts. */
  execPath: () => process.env.PORTABLE_DENO ?? process.execPath,
  cwd: () => process.cwd(),
  chdir: (path: Path) => process.chdir(pathOf(path)),
  exit: (code?: number) => process.exit(code),
  umask: (mask?: number) =>
    mask === undefined ? process.umask() : process.umask(mask),
  memoryUsage: () => process.memoryUsage(),
  inspect: inspectAs,
  customInspect: Symbol.for("nodejs.util.inspect.custom"),
  env: {
    get: (name: string) => process.env[name],
    set: (name: string, value: string) => void (process.env[name] = value),
    has: (name: string) => name in process.env,
    delete: (name: string) => void delete process.env[name],
    toObject: () => ({ ...process.env }),
  },
  permissions: { querySync: () => ({ state: "granted", partial: false }) },
  unrefTimer: (timer: any) => timer.unref(),
  refTimer: (timer: any) => timer.ref(),
  addSignalListener(signal: string, listener: () => void) {
    const wrapped = () => listener();
    listeners.set(listener, wrapped);
    process.on(signal, wrapped);
  },
  removeSignalListener(signal: string, listener: () => void) {
    process.off(signal, listeners.get(listener)!);
  },
  kill: (pid: number, signal = "SIGTERM") => void process.kill(pid, signal),
  Command,
  connect,
  FsFile,
  SeekMode: { Start: 0, Current: 1, End: 2 },
  stdin,
  stdout: { writeSync: (bytes: Uint8Array) => fs.writeSync(1, bytes) },
  stderr: { writeSync: (bytes: Uint8Array) => fs.writeSync(2, bytes) },
  openSync,
  open: later(openSync),
  readTextFileSync,
  readTextFile: later(readTextFileSync),
  readFileSync,
  readFile: later(readFileSync),
  writeTextFileSync: writeFileSync,
  writeTextFile: later(writeFileSync),
  writeFileSync,
  writeFile: later(writeFileSync),
  readDirSync,
  readLinkSync: (path: Path) => fs.readlinkSync(pathOf(path)),
  realPathSync: (path: Path) => fs.realpathSync(pathOf(path)),
  statSync,
  stat: later(statSync),
  lstatSync: (path: Path) => infoOf(fs.lstatSync(pathOf(path))),
  chmodSync: (path: Path, mode: number) => fs.chmodSync(pathOf(path), mode),
  chownSync: (path: Path, uid: number, gid: number) =>
    fs.chownSync(pathOf(path), uid, gid),
  mkdirSync: (path: Path, options: Options = {}) =>
    void fs.mkdirSync(pathOf(path), options),
  removeSync,
  remove: later(removeSync),
  renameSync: (from: Path, to: Path) => fs.renameSync(pathOf(from), pathOf(to)),
  linkSync: (from: Path, to: Path) => fs.linkSync(pathOf(from), pathOf(to)),
  symlinkSync: (from: Path, to: Path) =>
    fs.symlinkSync(pathOf(from), pathOf(to)),
  copyFileSync: (from: Path, to: Path) =>
    fs.copyFileSync(pathOf(from), pathOf(to)),
  truncateSync,
  truncate: later(truncateSync),
  utimeSync: (path: Path, atime: number, mtime: number) =>
    fs.utimesSync(pathOf(path), atime, mtime),
  makeTempDirSync,
  makeTempDir: later(makeTempDirSync),
  makeTempFileSync,
  makeTempFile: later(makeTempFileSync),
};

/** What the code of a Worker finds of the web. */
const WORKER_GLOBALS = `
  import ${JSON.stringify(import.meta.url)};
  import { parentPort } from "node:worker_threads";
  globalThis.self = globalThis;
  globalThis.WorkerGlobalScope = class {};
  globalThis.postMessage = (data) => parentPort.postMessage(data);
  globalThis.close = () => process.exit();
  let handler; // as on the web, messages wait until there is one
  Object.defineProperty(globalThis, "onmessage", {
    get: () => handler,
    set(value) {
      if (handler === undefined) {
        parentPort.on("message", (data) => handler?.({ data }));
      }
      handler = value;
    },
  });
`;

/** The code that is at a URL. */
function codeAt(url: string): string | Promise<string> {
  if (url.startsWith("data:")) {
    return decodeURIComponent(url.slice(url.indexOf(",") + 1));
  }
  if (url.startsWith("blob:")) return resolveObjectURL(url)!.text();
  return `await import(${JSON.stringify(url)});`;
}

/** The Worker of the web, over that of Node. */
class WebWorker extends EventTarget {
  onmessage: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  #thread: Thread | undefined;
  readonly #messages: unknown[] = []; // before it starts

  constructor(url: Path) {
    super();
    const code = codeAt(String(url));
    if (typeof code === "string") this.#start(code);
    else code.then((code) => this.#start(code));
  }
  #start(code: string): void {
    const text = encodeURIComponent(WORKER_GLOBALS + code);
    const thread = new Thread(new URL(`data:text/javascript,${text}`));
    thread.on("message", (data) => {
      const event = new MessageEvent("message", { data });
      this.onmessage?.(event);
      this.dispatchEvent(event);
    });
    thread.on("error", (error) => {
      const message = String(error);
      const event = Object.assign(new Event("error"), { message });
      this.onerror?.(event);
      this.dispatchEvent(event);
    });
    for (const message of this.#messages) thread.postMessage(message);
    this.#thread = thread;
  }
  postMessage(data: unknown): void {
    if (this.#thread === undefined) this.#messages.push(data);
    else this.#thread.postMessage(data);
  }
  terminate(): void {
    this.#thread?.terminate();
  }
}

Object.assign(globalThis, { Deno });
if (!IS_BUN) {
  Object.assign(globalThis, { Worker: WebWorker });
} else {
  (globalThis as any).gc ??= () => (globalThis as any).Bun.gc(true);
}
const unload = globalThis.addEventListener?.bind(globalThis);
globalThis.addEventListener =
  ((type: string, listener: any, ...rest: any[]) => {
    if (type === "unload") process.on("exit", () => listener());
    else unload?.(type as any, listener, ...rest);
  }) as typeof globalThis.addEventListener;
