/**
 * One run: its random numbers, the objects that it has, the calls that are pending,
 * and what of it all is a fault.
 */
import * as ipc from "../../mod.ts";
import { scratch, uniqueKey, uniqueName } from "../support/names.ts";
import { closeRaw, duplicate, removeSysv } from "./libc.ts";
import type { Log } from "./log.ts";
import { Prng } from "./prng.ts";
import type { Arg, ClassTable, Gen, Mechanism } from "./types.ts";

/** What a hostile run is hostile with; each has a few of them. */
export const TRAITS = [
  "numbers", // NaN, -1, 1.5, 2 ** 53 ...
  "types", // values of another type, and proxies
  "lies", // typed arrays that say something else of themselves
  "evil", // getters and callbacks that close, resize, abort, call again
  "buffers", // resizable, detached, of node, over a mapping
  "signals", // signals that are none, or that lie
  "forged", // constructors called with other things
  "overrides", // own properties and setters instead of the public ones
  "flags", // O_NONBLOCK cleared by who shares the description
] as const;

/** One of {@linkcode TRAITS}. */
export type Trait = typeof TRAITS[number];

/** An object of the run. */
export interface Item {
  /** The name of its table. */
  readonly kind: string;
  /** The object. */
  readonly value: object;
  /** What the log calls it: "PipeReader#3". */
  readonly text: string;
}

interface Pending {
  readonly text: string;
  readonly begun: number;
  readonly done: Promise<void>;
}

/** What our own getters and callbacks throw. */
export class Evil extends Error {
  override name = "Evil";
}

const MOST = 5; // objects of one kind; the oldest is closed then
const SLOW = 2_500; // ms: no synchronous call has a timeout near that
const GRACE = 3_000; // ms: how late a wait may end after its object is closed
/** Errors of the interpreter itself: no check of the library has told of it. */
const EXPECTED = new Set([
  "TypeError",
  "RangeError",
  "IpcError",
  "ClosedError",
  "TimeoutError",
  "AbortError",
  "Evil",
]);

/** The state of one run. */
export class Fuzz {
  /** The random numbers of the present step. */
  random: Prng;
  /** The object that the present call is of. */
  current: Item | undefined;
  /** How often valid arguments make place for hostile ones, 0 to 1. */
  hostility: number;
  /** What the hostile arguments are. */
  readonly traits: Set<Trait>;
  /** A directory for names. */
  readonly directory: Disposable & { file(name: string): string } = scratch();
  /** POSIX names of queues, semaphores and shared memory; System V keys. */
  readonly names: string[] = [];
  /** System V keys. */
  readonly keys: number[] = [];
  /** Descriptors that the fuzzer alone owns. */
  readonly raw: Map<number, string> = new Map();
  /** Controllers whose signals are in use. */
  readonly controllers: AbortController[] = [];
  /** True while there may be no descriptor to look at /proc with. */
  starved = false;
  /** Parts of the names of what terminated Workers have left open. */
  readonly left: string[] = [];
  /** True once the objects are being closed. */
  ending = false;

  readonly #seed: number;
  readonly #tables = new Map<string, ClassTable>();
  readonly #kinds: string[] = []; // whose calls are made
  readonly #functions = new Map<string, Gen[]>();
  readonly #items = new Map<string, Item[]>();
  readonly #known = new WeakSet<object>();
  readonly #forged = new WeakSet<object>();
  readonly #closers: (() => void)[] = [];
  readonly #removers: (() => void)[] = [];
  readonly #pending = new Set<Pending>();
  readonly log: Log;
  readonly #counts = new Map<string, number>();
  #step = 0;
  #depth = 0;
  #paths = 0;

  /** A run of that seed with the calls of the active ones of the mechanisms. */
  constructor(
    seed: number,
    log: Log,
    mechanisms: Record<string, Mechanism>,
    active: readonly string[],
    hostility: number,
    traits: readonly Trait[],
  ) {
    this.#seed = seed;
    this.log = log;
    this.random = new Prng(seed);
    this.hostility = hostility;
    this.traits = new Set(traits);
    for (const [key, mechanism] of Object.entries(mechanisms)) {
      const { functions = {}, classes } = mechanism;
      for (const [name, table] of Object.entries(classes)) {
        this.#tables.set(name, table);
      }
      if (!active.includes(key)) continue;
      this.#kinds.push(...Object.keys(classes));
      for (const [name, args] of Object.entries(functions)) {
        this.#functions.set(name, args);
      }
    }
  }

  // --- Random choices -------------------------------------------------------

  /** Begins a step, with random numbers of its own. */
  step(number: number): void {
    this.#step = number;
    this.random = new Prng(this.#seed, number);
    this.current = undefined;
  }

  /** Whether the next argument shall be hostile in that way. */
  hostile(trait: Trait): boolean {
    return this.traits.has(trait) && this.random.chance(this.hostility);
  }

  /** Runs something with valid arguments only. */
  valid<T>(make: () => T): T {
    const before = this.hostility;
    this.hostility = 0;
    try {
      return make();
    } finally {
      this.hostility = before;
    }
  }

  /** An object of that kind; made now if there is none. */
  item(kind: string): Item | undefined {
    const items = this.#items.get(kind) ?? [];
    if (items.length > 0 && !this.random.chance(0.1)) {
      return this.random.pick(items);
    }
    this.make(kind);
    return this.#items.get(kind)?.at(-1);
  }

  /** An object of one of these kinds, if there is one already. */
  existing(kinds: readonly string[] = [...this.#items.keys()]):
    | Item
    | undefined {
    const kind = this.random.pick(kinds);
    const items = this.#items.get(kind) ?? [];
    return items.length === 0 ? undefined : this.random.pick(items);
  }

  /** Makes an object of that kind with valid arguments. */
  make(kind: string): void {
    const table = this.#tables.get(kind);
    if (table === undefined) return;
    this.call(`make ${kind}`, () => this.valid(() => table.make(this)));
  }

  /** A path that nothing has yet. */
  path(): string {
    return this.directory.file(`f${this.#paths++}`);
  }

  /** A POSIX name: a new one, or now and then one that is taken. */
  name(): string {
    if (this.names.length > 0 && this.random.chance(0.3)) {
      return this.random.pick(this.names);
    }
    return this.newName();
  }

  /** A POSIX name that nothing has yet. */
  newName(): string {
    const name = uniqueName();
    this.names.push(name);
    this.log.object(`name ${name}`);
    return name;
  }

  /** A System V key: a new one, or now and then one that is taken. */
  key(): number {
    if (this.keys.length > 0 && this.random.chance(0.3)) {
      return this.random.pick(this.keys);
    }
    const key = uniqueKey();
    this.keys.push(key);
    this.log.object(`key ${key}`);
    return key;
  }

  /** A descriptor of the fuzzer's own: a copy of that of an object. */
  rawCopy(item: Item): number {
    const fd = duplicate(getTruly(item.value, "fd") as number ?? -1);
    if (fd !== -1) this.raw.set(fd, linkOf(fd));
    return fd;
  }

  // --- Calls ----------------------------------------------------------------

  /** A random call of the mechanisms of this run. */
  act(): void {
    const kinds = this.#kinds;
    const functions = [...this.#functions.keys()];
    if (this.random.chance(functions.length / (kinds.length * 6 + 1))) {
      const name = this.random.pick(functions);
      this.invoke(ipc, name, name, this.#functions.get(name)!);
    } else this.actOn(this.random.pick(kinds));
  }

  /** A random call of one class. */
  actOn(kind: string): void {
    const table = this.#tables.get(kind)!;
    const statics = Object.entries(table.statics ?? {});
    const owner = Reflect.get(ipc, kind);
    if (statics.length > 0 && this.random.chance(0.12)) {
      const [name, args] = this.random.pick(statics);
      return void this.invoke(owner, name, `${kind}.${name}`, args);
    }
    if (table.construct !== undefined && this.hostile("forged")) {
      const args = table.construct.map((gen) => gen(this));
      const text = `new ${kind}(${args.map((arg) => arg.text).join(", ")})`;
      return void this.call(text, () => {
        const values = args.map((arg) => arg.value);
        const forged: object = Reflect.construct(owner, values);
        this.#forged.add(forged);
        return forged;
      });
    }
    const item = this.item(kind);
    if (item === undefined) return;
    this.current = item;
    if (this.hostile("overrides") && this.random.chance(0.3)) {
      return this.#override(item, table);
    }
    this.#use(item, table);
  }

  #use(item: Item, table: ClassTable): void {
    const { methods, getters = [], setters = {}, enders = ["close"] } = table;
    const ordinary = Object.keys(methods).filter((one) =>
      !enders.includes(one)
    );
    const present = enders.filter((one) => one in methods);
    if (present.length > 0 && this.random.chance(0.08)) {
      const name = this.random.pick(present);
      this.invoke(item.value, name, `${item.text}.${name}`, methods[name]!);
    } else if (getters.length > 0 && this.random.chance(0.15)) {
      const name = this.random.pick(getters);
      this.call(
        `${item.text}.${name}`,
        () => Reflect.get(item.value, name),
      );
    } else if (Object.keys(setters).length > 0 && this.random.chance(0.1)) {
      const [name, gen] = this.random.pick(Object.entries(setters));
      const { value, text } = gen(this);
      this.call(`${item.text}.${name} = ${text}`, () => {
        (item.value as Record<string, unknown>)[name] = value;
      });
    } else if (ordinary.length > 0) {
      const name = this.random.pick(ordinary);
      this.invoke(item.value, name, `${item.text}.${name}`, methods[name]!);
    }
  }

  /** Puts something else in the place of a public property. */
  #override(item: Item, table: ClassTable): void {
    // A handle with other properties would be none, and its memory lost.
    if (item.kind === "MemoryHandle") return;
    const { methods, getters = [] } = table;
    const names = getters.length > 0 && this.random.chance(0.6)
      ? getters
      : Object.keys(methods);
    const name = this.random.pick(names);
    if (name.startsWith("@@")) return;
    const evil = this.evil();
    const value = this.random.pick<unknown>([
      -1,
      NaN,
      8192,
      1_000_000,
      null,
      undefined,
      "x",
      () => undefined,
      () => 50_000,
    ]);
    if (this.random.chance(0.5)) {
      this.call(
        `${item.text}.${name} = ${String(value)}`,
        () => Reflect.set(item.value, name, value),
      );
    } else {
      this.call(
        `define ${item.text}.${name} as ${String(value)}, ${evil.text}`,
        () =>
          Reflect.defineProperty(item.value, name, {
            configurable: true,
            get() {
              evil.run();
              return value;
            },
          }),
      );
    }
  }

  /** Calls a function by its name with arguments that are made now. */
  invoke(owner: object, name: string, text: string, gens: Gen[]): unknown {
    const key = name.startsWith("@@")
      ? Reflect.get(Symbol, name.slice(2)) as symbol
      : name;
    const args: Arg[] = gens.map((gen) => gen(this));
    while (args.length > 0 && args.at(-1)!.text === "") args.pop();
    const shown = args.map((arg) => arg.text || "undefined").join(", ");
    const called = `${text}(${shown})`;
    const timeout = args.find((arg) => arg.timeout !== undefined)?.timeout;
    const result = this.call(called, () => {
      // What is put in its place is for the library to fall for.
      const method = trueProperty(owner, key)?.value;
      const result = Reflect.apply(method, owner, args.map((arg) => arg.value));
      // What was taken over is not ours to close any more.
      for (const { given } of args) {
        if (given !== undefined) this.raw.delete(given);
      }
      return result;
    }, timeout);
    const size = args.find((arg) => arg.size !== undefined)?.size;
    if (size !== undefined && TRANSFER.test(name)) {
      this.#checkCount(called, result, size);
    }
    return result;
  }

  /** No call moves more bytes than there are. */
  #checkCount(text: string, result: unknown, size: number): void {
    const check = (count: unknown) => {
      if (typeof count !== "number") return;
      this.check(count <= size, `${count} of ${size} bytes by ${text}`);
    };
    if (result instanceof Promise) result.then(check, () => {});
    else check(result);
  }

  /** Makes a call, and looks at how it ends. */
  call(text: string, body: () => unknown, timeout?: number): unknown {
    const depth = this.#depth;
    this.log.call(this.#step, "^".repeat(depth) + text);
    const before = depth > 0 || this.ending || this.starved
      ? undefined
      : descriptors();
    const begun = performance.now();
    this.#depth++;
    let result: unknown;
    try {
      result = body();
    } catch (error) {
      this.#depth = depth;
      this.#judge(text, error, begun, timeout);
      this.#checkSpeed(text, begun);
      this.#checkDescriptors(text, before);
      return undefined;
    }
    this.#depth = depth;
    this.#checkSpeed(text, begun);
    if (result instanceof Promise) this.track(text, result, timeout, begun);
    else this.keep(result);
    return result;
  }

  /** Waits for a promise's end without being held by it. */
  track(
    text: string,
    promise: Promise<unknown>,
    timeout?: number,
    begun: number = performance.now(),
  ): Promise<void> {
    const entry: Pending = {
      text,
      begun,
      done: promise.then(
        (value) => this.keep(value),
        (error) => this.#judge(text, error, begun, timeout),
      ).finally(() => this.#pending.delete(entry)),
    };
    this.#pending.add(entry);
    return entry.done;
  }

  /** How many calls are pending. */
  get pending(): number {
    return this.#pending.size;
  }

  #checkSpeed(text: string, begun: number): void {
    const took = performance.now() - begun;
    if (took < SLOW) return;
    this.log.finding("blocked", `${took.toFixed(0)} ms in ${text}`);
  }

  #checkDescriptors(text: string, before: number | undefined): void {
    if (before === undefined) return;
    const after = descriptors();
    // The waiting engine opens two when something begins to wait.
    if (after <= before + 2 || this.#pending.size > 0) return;
    this.log.finding("leak", `${after - before} descriptors by ${text}`);
  }

  #judge(
    text: string,
    error: unknown,
    begun: number,
    timeout: number | undefined,
  ): void {
    if (!(error instanceof Error || error instanceof DOMException)) return;
    const { name, message } = error;
    const known = EXPECTED.has(name) || isDenoError(error) ||
      (name === "Error" && message.startsWith("Cannot "));
    if (!known || message.includes("(EFAULT)")) {
      this.log.finding("error", `${name}: ${message} from ${text}`);
    }
    const took = performance.now() - begun;
    if (name !== "TimeoutError" || timeout === undefined) return;
    // Another message is the reason of AbortSignal.timeout(). A FramedStream that is
    // broken throws again what has broken it.
    if (took >= timeout - 0.5 || !message.startsWith("Timed out")) return;
    if (text.startsWith("FramedStream")) return;
    this.log.finding("early", `after ${took.toFixed(1)} ms: ${text}`);
  }

  /** No descriptor may belong to two objects, except by forgery. */
  checkOwners(): void {
    const owners = new Map<unknown, string>();
    for (const { value, text } of [...this.#items.values()].flat()) {
      if (!OWNERS.has(value.constructor.name) || this.#forged.has(value)) {
        continue;
      }
      const fd = getTruly(value, "fd");
      if (typeof fd !== "number") continue;
      const other = owners.get(fd);
      this.check(other === undefined, `${other} and ${text} both own ${fd}`);
      owners.set(fd, text);
    }
  }

  /** Something that must hold. */
  check(holds: boolean, text: string): void {
    if (!holds) this.log.finding("corrupt", text);
  }

  /** Waits for what must end soon; false, and a finding, if it does not. */
  async ends(
    promise: Promise<unknown>,
    text: string,
    limit: number = GRACE,
  ): Promise<boolean> {
    const done = promise.then(() => true, () => true);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, limit, false);
    });
    const ended = await Promise.race([done, late]);
    clearTimeout(timer);
    if (!ended) this.log.finding("hang", text);
    return ended;
  }

  // --- Objects --------------------------------------------------------------

  /** Keeps the objects in what a call has returned. */
  keep(value: unknown): void {
    if (typeof value !== "object" || value === null) return;
    if (this.#known.has(value) || ArrayBuffer.isView(value)) return;
    this.#known.add(value);
    if (this.ending) this.#closeLate(value);
    const kind = this.#kindOf(value);
    if (kind !== undefined) return this.#add(kind, value);
    for (const key of ["reader", "writer", "value", "descriptors"]) {
      if (Object.hasOwn(value, key)) this.keep(Reflect.get(value, key));
    }
    if (Array.isArray(value)) {
      value.slice(0, 8).forEach((one) => this.keep(one));
    }
  }

  /** Closes an object at the end that no other call may use, or all of several. */
  own<T extends object>(value: T): T {
    if (this.#known.has(value)) return value;
    this.#known.add(value);
    if (Array.isArray(value)) value.forEach((one) => this.own(one));
    else if ("reader" in value && "writer" in value) {
      this.own(value.reader as object);
      this.own(value.writer as object);
    } else {
      this.#closers.push(() => closeTruly(value));
      this.#remember(value.constructor.name, value);
    }
    return value;
  }

  #kindOf(value: object): string | undefined {
    for (const [kind, { is }] of this.#tables) if (is?.(value)) return kind;
    const { name } = value.constructor ?? {};
    const isOurs = this.#tables.has(name) &&
      Reflect.get(ipc, name) === value.constructor;
    return isOurs ? name : undefined;
  }

  #add(kind: string, value: object): void {
    const number = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, number);
    const item = { kind, value, text: `${kind}#${number}` };
    this.log.note(`= ${item.text}`);
    this.#closers.push(() => closeTruly(value));
    this.#remember(kind, value);
    const items = this.#items.get(kind) ?? [];
    this.#items.set(kind, items);
    items.push(item);
    if (items.length > MOST) closeTruly(items.shift()!.value);
  }

  /** What is left of an object when the process crashes, and its removal. */
  #remember(kind: string, value: object): void {
    const type = SYSV[kind];
    if (type !== undefined) {
      const id = getTruly(value, "id") as number;
      this.log.object(`${type} ${id}`);
      if (Number.isInteger(id) && id >= 0) {
        this.#removers.push(() => removeSysv(type, id));
      }
    }
    const name = getTruly(value, "name");
    if (isName(name) && !this.names.includes(name)) {
      this.names.push(name);
      this.log.object(`name ${name}`);
    }
  }

  #closeLate(value: object): void {
    queueMicrotask(() => closeTruly(value));
  }

  // --- Evil -----------------------------------------------------------------

  /** Something that changes the state while a call looks at its arguments. */
  evil(): { text: string; run: () => void } {
    const target = this.random.chance(0.7) && this.current !== undefined
      ? this.current
      : this.existing() ?? this.current;
    const seed = this.random.int(1, 2 ** 30);
    const ways: [string, () => void][] = [
      ["throw", () => {
        throw new Evil("thrown by a getter");
      }],
      ["abort all", () => this.abortAll()],
      ["call again", () => this.#again(seed)],
    ];
    if (target !== undefined) {
      const { value, text } = target;
      const close = () => closeTruly(value);
      ways.push([`close ${text}`, close], [`close ${text}`, close]);
      if ("resize" in value) {
        const size = this.random.pick([1, 4096, 8192, 65536]);
        ways.push([`resize ${text} to ${size}`, () => {
          methodTruly(value, "resize", size, { shrink: true });
        }]);
      }
    }
    const [text, run] = this.random.pick(ways);
    let runs = 0;
    return {
      text,
      run: () => {
        // A call that asks for ever is to be seen as one that does not return.
        if (this.ending || runs++ > 20) return;
        this.log.note(`^ ${text}`);
        run();
      },
    };
  }

  #again(seed: number): void {
    if (this.#depth > 2) return;
    const { random, current } = this;
    this.random = new Prng(seed);
    try {
      if (current === undefined) this.act();
      else this.actOn(current.kind);
    } finally {
      this.random = random;
      this.current = current;
    }
  }

  /** Aborts all signals that are in use. */
  abortAll(): void {
    for (const controller of this.controllers.splice(0)) controller.abort();
  }

  /** Does something soon: in a microtask, a timer, or an immediate. */
  later(text: string, body: () => void): void {
    const run = () => {
      if (this.ending) return;
      this.log.note(`later: ${text}`);
      body();
    };
    const delay = this.random.int(0, 8);
    if (delay === 0) queueMicrotask(run);
    else if (delay === 1) setImmediate(run);
    else setTimeout(run, delay - 2);
  }

  // --- The end --------------------------------------------------------------

  /** Closes everything; what is pending then has to end. */
  async finish(): Promise<void> {
    this.ending = true;
    this.log.note("close everything");
    if (this.random.chance(0.3)) this.abortAll();
    for (const close of this.#closers) close();
    this.log.note(`wait for ${this.#pending.size} calls`);
    for (const [fd, link] of this.raw) if (linkOf(fd) === link) closeRaw(fd);
    this.raw.clear();
    const all = [...this.#pending];
    const end = performance.now() + GRACE;
    await Promise.all(all.map(({ done, text, begun }) =>
      this.ends(
        done,
        `${text}, pending for ${(performance.now() - begun).toFixed(0)} ms`,
        Math.max(end - performance.now(), 1),
      )
    ));
    this.log.note("remove everything");
    this.abortAll();
    for (const remove of this.#removers) remove();
    for (const name of this.names) {
      for (const kind of NAMED) {
        methodTruly(Reflect.get(ipc, kind), "unlink", name);
      }
    }
    this.directory[Symbol.dispose]();
  }
}

/** Classes whose objects have a name that `unlink` removes. */
const NAMED = ["PosixMessageQueue", "PosixSemaphore", "PosixSharedMemory"];

function isName(name: unknown): name is string {
  return typeof name === "string" && /^\/[^/]+$/.test(name);
}

/** Methods that return how many bytes they have moved. */
const TRANSFER = /^(try)?(read|write|send)(Sync)?$/i;

/** Classes whose objects own a descriptor. */
const OWNERS = new Set([
  "PipeReader",
  "PipeWriter",
  "PosixMessageQueue",
  "MemoryFile",
  "PosixSharedMemory",
  "PassedDescriptor",
  "UnixStream",
  "UnixSeqpacket",
  "UnixDatagram",
  "UnixListener",
]);

/** Classes of System V objects, and what `ipcrm` calls them. */
const SYSV: Record<string, "msg" | "shm" | "sem"> = {
  SysvMessageQueue: "msg",
  SysvSharedMemory: "shm",
  SysvSemaphoreSet: "sem",
  SharedMutex: "sem",
  SharedRwLock: "sem",
  SharedCondition: "sem",
};

/** What a descriptor leads to; "" if there is none of that number. */
function linkOf(fd: number): string {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

function descriptors(): number {
  return Array.from(Deno.readDirSync("/proc/self/fd")).length;
}

function isDenoError(error: Error | DOMException): boolean {
  return Object.values(Deno.errors).some((one) => error instanceof one);
}

/** A property as the class has it, whatever the object has in its place. */
function trueProperty(
  value: object,
  name: string | symbol,
): PropertyDescriptor | undefined {
  let place = Object.getPrototypeOf(value);
  for (; place !== null; place = Object.getPrototypeOf(place)) {
    const property = Object.getOwnPropertyDescriptor(place, name);
    if (property !== undefined) return property;
  }
  return Object.getOwnPropertyDescriptor(value, name);
}

/** A property as the class has it; undefined if the getter throws. */
export function getTruly(value: object, name: string): unknown {
  try {
    const property = trueProperty(value, name);
    return property?.get === undefined
      ? property?.value
      : Reflect.apply(property.get, value, []);
  } catch {
    return undefined;
  }
}

function methodTruly(value: object, name: string, ...args: unknown[]): void {
  const method = trueProperty(value, name)?.value;
  if (typeof method !== "function") return;
  try {
    const result = Reflect.apply(method, value, args);
    if (result instanceof Promise) result.catch(() => {});
  } catch {
    // Closed, removed, or never made.
  }
}

/** Closes an object in the way in which its kind is closed. */
export function closeTruly(value: object): void {
  if (
    value instanceof ReadableStream ||
    value instanceof ReadableStreamDefaultReader
  ) {
    methodTruly(value, "cancel");
  } else if (
    value instanceof WritableStream ||
    value instanceof WritableStreamDefaultWriter
  ) {
    methodTruly(value, "abort");
  } else if (Object.hasOwn(value, "address")) {
    // A handle that was not adopted keeps its memory.
    try {
      ipc.Memory.adopt(value as ipc.MemoryHandle).close();
    } catch {
      // Somebody has.
    }
  } else {
    const name = ["close", "return", "release"].find((one) =>
      typeof trueProperty(value, one)?.value === "function"
    );
    if (name !== undefined) methodTruly(value, name);
  }
}
