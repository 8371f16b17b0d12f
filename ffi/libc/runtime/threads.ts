// Threads for the calls that block, where the runtime has none: Workers that call one
// function each. They are started when they are needed, and let the program end.

import type { Declaration } from "./types.ts";

/** What is needed of `node:worker_threads`. */
interface Worker {
  on(event: "message", listener: (result: bigint) => void): void;
  on(event: "error", listener: (error: unknown) => void): void;
  postMessage(request: Request): void;
  ref(): void;
  unref(): void;
  terminate(): void;
}

interface WorkerThreads {
  readonly isMainThread: boolean;
  readonly parentPort: {
    on(event: "message", listener: (request: Request) => void): void;
    postMessage(result: bigint): void;
  };
  readonly workerData: Int32Array;
  readonly Worker: new (
    code: string,
    options: {
      eval: true;
      workerData: Int32Array;
      execArgv: readonly string[];
    },
  ) => Worker;
}

interface Process {
  getBuiltinModule(name: "node:worker_threads"): WorkerThreads;
  on(event: "exit", listener: () => void): void;
}

/** A call of a C function. All that the registers of the machine hold is 64 bits wide. */
interface Request {
  readonly name: string;
  readonly address: bigint;
  readonly parameters: bigint[];
  /** The memory that the parameters point to. */
  readonly memory: SharedArrayBuffer[];
}

/** Opens a function of so many 64-bit parameters. Its source runs in the Worker. */
export type Opener = (
  name: string,
  address: bigint,
  count: number,
) => (...parameters: bigint[]) => bigint;

// The words that a Worker shares with its creator.
const BLOCKED = 0; // whether it may be in a call
const ENDING = 1; // whether it must not begin another one

/** The code of the Workers, where nothing else of this file is defined. */
function serve(open: Opener, blocked: number, ending: number): void {
  const { process } = globalThis as unknown as { process: Process };
  const { parentPort, workerData: words } = process.getBuiltinModule(
    "node:worker_threads",
  );
  const functions = new Map<string, ReturnType<Opener>>();
  // The memory of a request must outlive the call, also if its creator has ended.
  let present: Request | undefined;
  parentPort.on("message", (request) => {
    present = request;
    const { name, address, parameters } = present;
    const key = name + parameters.length;
    const call = functions.get(key) ?? open(name, address, parameters.length);
    functions.set(key, call);
    Atomics.store(words, blocked, 1);
    const isEnding = Atomics.load(words, ending) === 1;
    const result = isEnding ? -1n : call(...parameters);
    Atomics.store(words, blocked, 0);
    present = undefined;
    parentPort.postMessage(result);
  });
}

const MAX_IDLE = 2; // Workers that wait for the next call; others are ended
const EXIT_ROUNDS = 1000; // ms: the longest that a call which nothing ends delays the exit

/** A Worker, and the call that it is in. */
class Thread {
  readonly worker: Worker;
  readonly #words = new Int32Array(new SharedArrayBuffer(8));
  #settle: PromiseWithResolvers<bigint> | undefined;

  constructor(
    code: string,
    execArgv: readonly string[],
    ended: (thread: Thread, works: boolean) => void,
  ) {
    const { Worker } = threadsOf();
    const options = {
      eval: true,
      workerData: this.#words,
      execArgv, // not those of the program, such as --import
    } as const;
    this.worker = new Worker(code, options);
    this.worker.unref();
    this.worker.on("message", (result) => {
      this.worker.unref();
      const settle = this.#settle;
      ended(this, true);
      settle?.resolve(result);
    });
    this.worker.on("error", (error) => {
      ended(this, false);
      this.#settle?.reject(error);
    });
  }

  get isBlocked(): boolean {
    return Atomics.load(this.#words, BLOCKED) === 1;
  }

  call(request: Request): Promise<bigint> {
    this.worker.ref();
    this.worker.postMessage(request);
    this.#settle = Promise.withResolvers();
    return this.#settle.promise;
  }

  /** Has it begin no other call. */
  end(): void {
    Atomics.store(this.#words, ENDING, 1);
  }
}

function processOf(): Process {
  return (globalThis as unknown as { process: Process }).process;
}

function threadsOf(): WorkerThreads {
  return processOf().getBuiltinModule("node:worker_threads");
}

/** What a runtime says of its threads. */
export interface ThreadsInit {
  readonly openInWorker: Opener;
  /** The address of bytes. */
  readonly addressOf: (bytes: Uint8Array) => bigint;
  /** The options of a Worker's command line. */
  readonly execArgv: readonly string[];
  /** Whether the end of the program, or of a Worker, waits for the end of its Workers. */
  readonly areJoined: boolean;
}

/** The threads of one thread of JavaScript. */
export class Threads {
  readonly #init: ThreadsInit;
  readonly #all = new Set<Thread>();
  readonly #idle: Thread[] = [];
  readonly #threadOf = new WeakMap<Promise<unknown>, Thread>();
  readonly #ends = new Set<() => void>();
  #code: string | undefined;

  constructor(init: ThreadsInit) {
    this.#init = init;
  }

  /**
   * The most milliseconds that a call may block. Of a Worker that is terminated nothing
   * tells, and its end waits for that of the call.
   */
  get longestBlock(): number {
    const isEndless = !this.#init.areJoined || threadsOf().isMainThread;
    return isEndless ? Infinity : 100;
  }

  /** A function that is called on one of the threads. */
  blocking(
    address: bigint,
    name: string,
    { parameters, result }: Declaration,
  ): (...values: unknown[]) => Promise<number | bigint> {
    return (...values) => {
      const memory: SharedArrayBuffer[] = [];
      const words = parameters.map((type, index) => {
        const value = values[index];
        if (type !== "buffer") return BigInt(value as number | bigint);
        if (value === null) return 0n;
        const bytes = pinned(bytesOf(value as BufferSource));
        memory.push(bytes.buffer as unknown as SharedArrayBuffer);
        return this.#init.addressOf(bytes);
      });
      const thread = this.#idle.pop() ?? this.#start();
      const call = thread.call({ name, address, parameters: words, memory })
        .then((word) =>
          result === "i32" ? Number(BigInt.asIntN(32, word)) : word
        );
      this.#threadOf.set(call, thread);
      return call;
    };
  }

  ref(call: Promise<unknown>): void {
    this.#threadOf.get(call)?.worker.ref();
  }

  unref(call: Promise<unknown>): void {
    this.#threadOf.get(call)?.worker.unref();
  }

  /**
   * Calls `end`, perhaps several times, when the program ends during a call: what it
   * does ends the call. Returns how to take that back.
   */
  onExit(end: () => void): () => void {
    this.#ends.add(end);
    return () => this.#ends.delete(end);
  }

  #start(): Thread {
    const { openInWorker, execArgv, areJoined } = this.#init;
    if (this.#code === undefined && areJoined) {
      processOf().on("exit", () => this.#endAll());
    }
    this.#code ??= `(${serve})(${openInWorker}, ${BLOCKED}, ${ENDING})`;
    const thread = new Thread(this.#code, execArgv, (thread, works) => {
      if (works && this.#idle.length < MAX_IDLE) {
        this.#idle.push(thread);
        return;
      }
      this.#all.delete(thread);
      thread.worker.terminate();
    });
    this.#all.add(thread);
    return thread;
  }

  #endAll(): void {
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (const thread of this.#all) thread.end();
    for (let round = 0; round < EXIT_ROUNDS; round++) {
      if (![...this.#all].some((thread) => thread.isBlocked)) return;
      for (const end of this.#ends) end();
      Atomics.wait(clock, 0, 0, 1);
    }
  }
}

function bytesOf(source: BufferSource): Uint8Array {
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
}

/** Bytes in memory that a call on another thread may use; a copy, if these are not. */
export function pinned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes;
  if (buffer instanceof SharedArrayBuffer) {
    return bytes as Uint8Array<ArrayBuffer>;
  }
  const copy = new Uint8Array(new SharedArrayBuffer(byteLength));
  copy.set(bytes);
  return copy as unknown as Uint8Array<ArrayBuffer>;
}
