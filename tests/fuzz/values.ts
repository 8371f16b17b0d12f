/** Arguments: valid ones, those at an edge, and those of a hostile caller. */
import { Buffer } from "node:buffer";
import { Evil, type Fuzz, getTruly, type Item } from "./fuzz.ts";
import type { Arg, Gen } from "./types.ts";

/** An argument that is left out, if it is among the last ones. */
const ABSENT: Arg = { value: undefined, text: "" };

/** A value as the log shows it. */
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return `${value}n`;
    case "symbol":
    case "function":
      return typeof value;
    case "object":
      return value === null ? "null" : value.constructor?.name ?? "object";
  }
  return String(value);
}

/** One of these values. */
export function oneOf(...values: unknown[]): Gen {
  return ({ random }) => {
    const value = random.pick(values);
    return { value, text: show(value) };
  };
}

/** Left out, or that. */
export function maybe(gen: Gen): Gen {
  return (fuzz) => fuzz.random.chance(0.4) ? ABSENT : gen(fuzz);
}

// --- Numbers ------------------------------------------------------------------

// None of them is the size of anything that could be allocated.
const ODD_NUMBERS = [NaN, -1, 1.5, -0, 2 ** 53, Infinity, -Infinity];
const OTHER_TYPES = [
  null,
  "",
  "1",
  true,
  {},
  [],
  [1],
  Symbol.iterator,
  () => 1,
  1n,
];

/** A number, one of these, or one that is none. */
export function number(...values: number[]): Gen {
  return (fuzz) => {
    const { random } = fuzz;
    const plain = random.pick(values);
    if (fuzz.hostile("numbers")) {
      const value = random.pick([...ODD_NUMBERS, -(2 ** 31), 1n, `${plain}`]);
      return { value, text: show(value) };
    }
    if (fuzz.hostile("types")) return otherType(fuzz, plain);
    return { value: plain, text: show(plain) };
  };
}

function otherType(fuzz: Fuzz, plain: number): Arg {
  const { random } = fuzz;
  if (random.chance(0.6)) {
    const value = random.pick(OTHER_TYPES);
    return { value, text: show(value) };
  }
  const evil = fuzz.evil();
  const valueOf = () => {
    evil.run();
    return plain;
  };
  return {
    value: { valueOf, toString: () => String(valueOf()) },
    text: `{ valueOf: ${plain}, ${evil.text} }`,
  };
}

/** An integer from `min` to `max`, or what is none. */
export function integer(min: number, max: number): Gen {
  return (fuzz) =>
    number(min, max, fuzz.random.int(min, max), fuzz.random.int(min, max))(
      fuzz,
    );
}

/** The size of something that is allocated. */
export const size: Gen = number(1, 64, 4095, 4096, 4097, 8192, 65536);
/** An offset in memory. */
export const offset: Gen = number(0, 0, 4, 8, 16, 32, 64, 4096, 4092);
/** A bool. */
export const bool: Gen = oneOf(true, false);

// --- Bytes --------------------------------------------------------------------

const LENGTHS = [0, 1, 7, 8, 16, 24, 32, 64, 100, 1000, 4096, 10_000];
const LIES = [
  ...[50_000, 50_000, 50_000, 1_000_000, 10_000_000], // more than there is
  ...[0, 1, -1, NaN, 1.5, "8", undefined],
];

function plainBytes(fuzz: Fuzz, length: number): Uint8Array<ArrayBuffer> {
  const { random } = fuzz;
  const bytes = random.chance(0.3)
    ? new Uint8Array(length + 16).subarray(8, 8 + length)
    : new Uint8Array(length);
  return bytes.fill(random.int(0, 255));
}

/** Bytes of one of these lengths, or what is none. */
export function bytes(...lengths: number[]): Gen {
  return (fuzz) => {
    const { random } = fuzz;
    const length = random.pick(lengths.length === 0 ? LENGTHS : lengths);
    if (fuzz.hostile("lies")) return lyingBytes(fuzz, plainBytes(fuzz, length));
    if (fuzz.hostile("buffers")) return otherBuffer(fuzz, length);
    if (fuzz.hostile("types")) return noBytes(fuzz, length);
    if (fuzz.hostility > 0 && random.chance(0.08)) {
      const mapped = mappedBytes(fuzz);
      if (mapped !== undefined) return mapped;
    }
    const text = `bytes(${length})`;
    return { value: plainBytes(fuzz, length), text, size: length };
  };
}

const LYING = [
  "length",
  "byteLength",
  "byteOffset",
  "buffer",
  "subarray",
  "slice",
  "set",
  "at",
  "fill",
  "indexOf",
  "constructor",
  "@@iterator",
];

/** Bytes that tell the truth a few times, and then something else. */
export function lyingBytes(
  fuzz: Fuzz,
  base: Uint8Array<ArrayBuffer>,
): Arg {
  const { random } = fuzz;
  const properties = random.chance(0.6)
    ? random.pick([["byteLength"], ["length"], ["length", "byteLength"]])
    : random.sample(LYING, random.int(1, 3));
  const after = random.pick([1, 1, 2, 2, 0, 3, 4]); // times, of each
  const lie = random.pick(LIES);
  const evil = fuzz.traits.has("evil") && random.chance(0.5)
    ? fuzz.evil()
    : undefined;
  class Bytes extends Uint8Array<ArrayBuffer> {
    static get [Symbol.species]() {
      return Uint8Array;
    }
  }
  const value = new Bytes(base.buffer, base.byteOffset, base.length);
  for (const property of properties) {
    let reads = 0;
    const key = property.startsWith("@@") ? Symbol.iterator : property;
    const truth = Reflect.get(base, key);
    const get = () => {
      if (reads++ < after) return truth;
      evil?.run();
      return lieAbout(truth, lie);
    };
    Object.defineProperty(value, key, { get, configurable: true });
  }
  return {
    value,
    size: base.length,
    text: `bytes(${base.length}, ${properties} says ${show(lie)} after ` +
      `${after} times${evil === undefined ? "" : `, ${evil.text}`})`,
  };
}

function lieAbout(truth: unknown, lie: unknown): unknown {
  if (truth instanceof ArrayBuffer) return new ArrayBuffer(8);
  if (typeof truth !== "function") return lie;
  return () => new Uint8Array(typeof lie === "number" && lie > 0 ? lie : 0);
}

/** Bytes over buffers of other kinds. */
function otherBuffer(fuzz: Fuzz, length: number): Arg {
  const { random } = fuzz;
  const whole = Math.max(length, 8);
  switch (random.int(0, 5)) {
    case 0: {
      const buffer = new ArrayBuffer(whole, { maxByteLength: whole * 4 });
      const to = random.pick([0, 1, whole * 4]);
      fuzz.later(
        `buffer of ${whole} resized to ${to}`,
        () => buffer.resize(to),
      );
      return { value: new Uint8Array(buffer), text: `resizable(${whole})` };
    }
    case 1: {
      const value = new Uint8Array(whole);
      fuzz.later(`bytes(${whole}) detached`, () => value.buffer.transfer());
      return { value, text: `bytes(${whole}), soon detached` };
    }
    case 2: {
      const value = new Uint8Array(whole);
      value.buffer.transfer();
      return { value, text: `detached(${whole})` };
    }
    case 3:
      return { value: Buffer.alloc(length, 7), text: `Buffer(${length})` };
    case 4: {
      const shared = new Uint8Array(new SharedArrayBuffer(whole));
      return { value: shared, text: `shared(${whole})` };
    }
  }
  const mapped = mappedBytes(fuzz);
  if (mapped === undefined) return otherBuffer(fuzz, length);
  const view = mapped.value as Uint8Array;
  const { buffer, byteOffset } = view;
  return random.chance(0.5) ? mapped : {
    value: Buffer.from(buffer, byteOffset, view.length),
    text: `Buffer over ${mapped.text}`,
  };
}

const MEMORY = ["Memory", "MemoryMap", "PosixSharedMemory", "SysvSharedMemory"];

/** Some of the bytes of an object in memory. */
function mappedBytes(fuzz: Fuzz): Arg | undefined {
  const { random } = fuzz;
  const item = fuzz.existing(MEMORY);
  if (item === undefined) return undefined;
  try {
    const all = (item.value as { bytes: Uint8Array }).bytes;
    const begin = random.pick([0, 8, 64]);
    const end = begin + random.pick([8, 32, 64, 4096]);
    return {
      value: all.subarray(begin, end),
      text: `${item.text}.bytes.subarray(${begin}, ${end})`,
    };
  } catch {
    return undefined;
  }
}

/** What looks like bytes. */
function noBytes(fuzz: Fuzz, length: number): Arg {
  const truth = new Uint8Array(length);
  const choices: [string, unknown][] = [
    ["null", null],
    ["string", "abc"],
    ["array", [1, 2, 3]],
    ["ArrayBuffer", truth.buffer],
    ["DataView", new DataView(truth.buffer)],
    ["Uint8ClampedArray", new Uint8ClampedArray(length)],
    ["BigInt64Array", new BigInt64Array(2)],
    ["proxy of bytes", new Proxy(truth, {})],
    ["heir of bytes", Object.create(truth)],
    ["false bytes", Object.create(Uint8Array.prototype)],
    ["like bytes", { length, byteLength: length, buffer: truth.buffer }],
  ];
  const [text, value] = fuzz.random.pick(choices);
  return { value, text };
}

// --- Objects ------------------------------------------------------------------

/** An object of one of these kinds. */
export function one(...kinds: string[]): Gen {
  return (fuzz) => {
    if (fuzz.hostile("types")) return noObject(fuzz);
    const item = fuzz.item(fuzz.random.pick(kinds));
    return item ?? noObject(fuzz);
  };
}

/** What is nothing like the object that is wanted. */
function noObject(fuzz: Fuzz): Arg {
  const value = fuzz.random.pick([
    null,
    undefined,
    {},
    [],
    "x",
    new Proxy({}, {}),
    () => {},
  ]);
  return { value, text: show(value) };
}

/** Anything small, for constructors that are not public. */
export const anything: Gen = (fuzz: Fuzz): Arg => {
  const { random } = fuzz;
  const object = fuzz.existing();
  if (object !== undefined && random.chance(0.4)) return object;
  const bigint = random.pick([0n, 8n, 4096n, -1n, 2n ** 47n]);
  const forged = {
    fd: -1,
    subject: "forged",
    address: bigint,
    length: 4096,
    closed: false,
    checkOpen() {},
    checkOwn() {},
    close() {},
  };
  const choices: [string, unknown][] = [
    ["null", null],
    ["undefined", undefined],
    ["-1", -1],
    ["NaN", NaN],
    ["2147483647", 0x7fff_ffff],
    ['"/forged"', "/forged"],
    [`${bigint}n`, bigint],
    [`forged at ${bigint}`, forged],
    ["{}", {}],
    ["bytes(32)", new Uint8Array(32)],
  ];
  const [text, value] = random.pick(choices);
  return { value, text };
};

/** A callback that returns that; a hostile one does something before. */
export function callback(result: unknown): Gen {
  return (fuzz) => {
    if (!fuzz.hostile("evil")) {
      return { value: () => result, text: `() => ${show(result)}` };
    }
    const evil = fuzz.evil();
    const value = () => {
      evil.run();
      return result;
    };
    return { value, text: `() => ${evil.text}` };
  };
}

// --- Options ------------------------------------------------------------------

/** Options: some of these properties. */
export function options(properties: Record<string, Gen>): Gen {
  return (fuzz) => {
    const { random } = fuzz;
    if (random.chance(0.3)) return ABSENT;
    if (fuzz.hostile("types")) return noObject(fuzz);
    return build(fuzz, properties, 0.6);
  };
}

/** An object with these properties, each with that probability. */
function build(
  fuzz: Fuzz,
  properties: Record<string, Gen>,
  probability: number,
): Arg {
  const value: Record<string, unknown> = {};
  const texts: string[] = [];
  let timeout: number | undefined;
  for (const [name, gen] of Object.entries(properties)) {
    if (!fuzz.random.chance(probability)) continue;
    const arg = gen(fuzz);
    if (arg.text === "") continue;
    if (name === "timeout" && typeof arg.value === "number") {
      timeout = arg.value;
    }
    if (fuzz.hostile("evil")) {
      texts.push(`get ${name}: ${defineEvil(fuzz, value, name, arg)}`);
      timeout = undefined;
    } else {
      value[name] = arg.value;
      texts.push(`${name}: ${arg.text}`);
    }
  }
  const text = `{ ${texts.join(", ")} }`;
  return timeout === undefined ? { value, text } : { value, text, timeout };
}

/** A getter that does something, and may change its mind. */
function defineEvil(
  fuzz: Fuzz,
  object: object,
  name: string,
  arg: Arg,
): string {
  const evil = fuzz.evil();
  const at = fuzz.random.int(0, 2);
  const later = fuzz.random.pick([arg.value, undefined, null, 10_000_000, NaN]);
  let reads = 0;
  Object.defineProperty(object, name, {
    enumerable: true,
    get() {
      if (reads++ === at) evil.run();
      return reads > 1 ? later : arg.value;
    },
  });
  return `${arg.text}, then ${show(later)}, ${evil.text} at ${at}`;
}

/** A timeout of a wait that does not block the thread. */
const timeout: Gen = (fuzz) =>
  number(0, 1, 5, 20, 0.5, 50, 2 ** 31, 2 ** 32, 2 ** 53, Infinity)(fuzz);

/** A timeout of a call that blocks: short, always, whatever the object is. */
const shortTimeout: Gen = (fuzz) => {
  if (fuzz.hostile("numbers")) return oneOf(NaN, -1, "5", 5n)(fuzz);
  return oneOf(0, 1, 5, 15, 0.5)(fuzz);
};

/** `timeout` and `signal`, and these, for a call that waits. */
export function wait(properties: Record<string, Gen> = {}): Gen {
  return options({ ...properties, timeout, signal });
}

/** `timeout`, and these, for a call that blocks. It is always there. */
export function syncWait(properties: Record<string, Gen> = {}): Gen {
  return (fuzz) => {
    const rest = build(fuzz, properties, 0.5);
    const limit = shortTimeout(fuzz);
    const value = rest.value as object;
    const text = rest.text.replace(/ }$/, "");
    if (fuzz.hostile("evil")) {
      const shown = defineEvil(fuzz, value, "timeout", limit);
      return { value, text: `${text}, get timeout: ${shown} }` };
    }
    Object.assign(value, { timeout: limit.value });
    const shown = `${text}, timeout: ${limit.text} }`;
    return typeof limit.value === "number"
      ? { value, text: shown, timeout: limit.value }
      : { value, text: shown };
  };
}

// --- Signals ------------------------------------------------------------------

/** A signal: none, one that is aborted soon or never or before; or a false one. */
export const signal: Gen = (fuzz: Fuzz): Arg => {
  const { random } = fuzz;
  if (fuzz.hostile("signals")) return falseSignal(fuzz);
  const controller = new AbortController();
  switch (random.int(0, 6)) {
    case 0:
      controller.abort();
      return { value: controller.signal, text: "aborted" };
    case 1:
      return { value: AbortSignal.timeout(random.int(0, 20)), text: "in time" };
    case 2:
    case 3:
      fuzz.later("abort", () => controller.abort());
      return { value: controller.signal, text: "soon aborted" };
    case 4:
      fuzz.controllers.push(controller);
      return { value: controller.signal, text: "to be aborted" };
    case 5:
      fuzz.controllers.push(controller);
      return {
        value: AbortSignal.any([controller.signal, AbortSignal.timeout(500)]),
        text: "any of two",
      };
  }
  return { value: undefined, text: "undefined" };
};

/** What is no AbortSignal, or one with properties of its own. */
function falseSignal(fuzz: Fuzz): Arg {
  const { random } = fuzz;
  const evil = fuzz.evil();
  const controller = new AbortController();
  const { signal } = controller;
  const define = (name: string, property: PropertyDescriptor) =>
    Object.defineProperty(signal, name, { configurable: true, ...property });
  const like = {
    aborted: false,
    reason: undefined,
    throwIfAborted() {},
    addEventListener() {},
    removeEventListener() {},
  };
  const choices: [string, () => unknown][] = [
    ["null", () => null],
    ["{}", () => ({})],
    ["true", () => true],
    ["controller", () => controller],
    ["EventTarget", () => new EventTarget()],
    ["like a signal", () => like],
    ["heir of a signal", () => Object.create(signal)],
    ["aborted: true", () => define("aborted", { value: true })],
    ["deaf", () => {
      fuzz.later("abort the deaf", () => controller.abort());
      return define("addEventListener", { value: () => {} });
    }],
    ["never calm", () => define("removeEventListener", { value: undefined })],
    [
      "addEventListener calls at once",
      () =>
        define("addEventListener", {
          value: (_: string, listener: () => void) => listener(),
        }),
    ],
    [`get aborted: ${evil.text}`, () =>
      define("aborted", {
        get() {
          evil.run();
          return false;
        },
      })],
    [
      `throwIfAborted: ${evil.text}`,
      () => define("throwIfAborted", { value: evil.run }),
    ],
    [`get reason: ${evil.text}`, () => {
      fuzz.later("abort", () => controller.abort());
      return define("reason", {
        get() {
          evil.run();
          return new Evil("a reason");
        },
      });
    }],
    [
      `addEventListener: ${evil.text}`,
      () => define("addEventListener", { value: evil.run }),
    ],
  ];
  const [text, make] = random.pick(choices);
  return { value: make(), text: `signal ${text}` };
}

// --- Descriptors --------------------------------------------------------------

/** A descriptor: an object, its number, or a copy of it without an owner. */
export function descriptor(...kinds: string[]): Gen {
  return (fuzz) => {
    const { random } = fuzz;
    if (fuzz.hostile("types")) return noObject(fuzz);
    if (fuzz.hostile("numbers")) return badNumber(fuzz);
    const item = fuzz.item(random.pick(kinds));
    if (item === undefined) return noObject(fuzz);
    if (fuzz.hostile("evil")) return movingDescriptor(fuzz, item);
    if (random.chance(0.75)) return item;
    const fd = ownNumber(item);
    return { value: fd, text: `${item.text}.fd` };
  };
}

const badNumber = oneOf(NaN, -1, 1.5, 2 ** 31, 2 ** 53, 999_999, "3", 3n, {});

/** -1 if it is closed. */
function ownNumber(item: Item): unknown {
  return getTruly(item.value, "fd") ?? -1;
}

/** An object whose `fd` is that of one object, and then of another. */
function movingDescriptor(fuzz: Fuzz, item: Item): Arg {
  const evil = fuzz.evil();
  const other = fuzz.item(item.kind) ?? item;
  let reads = 0;
  const value = {
    get fd() {
      const fd = ownNumber(reads++ === 0 ? item : other);
      if (reads === 2) evil.run();
      return fd;
    },
  };
  return { value, text: `{ fd of ${item.text}, then ${evil.text} }` };
}

/** A number for `fromFd`: a copy without an owner, or one that is taken. */
export function foreignFd(...kinds: string[]): Gen {
  return (fuzz) => {
    const { random } = fuzz;
    if (fuzz.hostile("numbers")) return badNumber(fuzz);
    const item = fuzz.item(random.pick(kinds));
    if (item === undefined) return badNumber(fuzz);
    const fd = ownNumber(item);
    if (fd === -1 || random.chance(0.3)) {
      return { value: fd, text: `${item.text}.fd` };
    }
    const copy = fuzz.rawCopy(item);
    return { value: copy, text: `copy of ${item.text}.fd`, given: copy };
  };
}

/** A number that the call only looks at. */
export function lentFd(...kinds: string[]): Gen {
  const given = foreignFd(...kinds);
  return (fuzz) => {
    const { value, text } = given(fuzz);
    return { value, text };
  };
}

// --- Names --------------------------------------------------------------------

const BAD_NAMES = ["", "/", "x", "/a/b", "/a\0b", "/..", `/${"x".repeat(300)}`];

/** A POSIX name. */
export const name: Gen = (fuzz: Fuzz): Arg => {
  if (fuzz.hostile("types")) return noObject(fuzz);
  if (fuzz.hostile("numbers")) return oneOf(...BAD_NAMES)(fuzz);
  const value = fuzz.name();
  return { value, text: `name ${fuzz.names.indexOf(value)}` };
};

/** A System V key. */
export const key: Gen = (fuzz: Fuzz): Arg => {
  if (fuzz.hostile("types")) return noObject(fuzz);
  if (fuzz.hostile("numbers")) return oneOf(NaN, 0, 1.5, 2 ** 33, "1")(fuzz);
  const value = fuzz.key();
  return { value, text: `key ${fuzz.keys.indexOf(value)}` };
};

/** null, or that. */
export function orNull(gen: Gen): Gen {
  return (fuzz) =>
    fuzz.random.chance(0.5) ? { value: null, text: "null" } : gen(fuzz);
}

/** A path: a new one, one that is taken, or a bad one. */
export const path: Gen = (fuzz: Fuzz): Arg => {
  const { random } = fuzz;
  if (fuzz.hostile("types")) return noObject(fuzz);
  if (fuzz.hostile("numbers")) {
    return oneOf("", "\0", "/nowhere/x", "x".repeat(5000), "/proc/x")(fuzz);
  }
  const old = Array.from(Deno.readDirSync(fuzz.directory.file("")))
    .map((entry) => entry.name).sort();
  const value = old.length > 0 && random.chance(0.4)
    ? fuzz.directory.file(random.pick(old))
    : fuzz.path();
  return { value, text: show(value.split("/").at(-1)) };
};

/** An identifier of a System V object: that of one of ours, or one of none. */
export function id(kind: string): Gen {
  return (fuzz) => {
    if (fuzz.hostile("numbers")) {
      return oneOf(NaN, -1, 1.5, 2 ** 31, "1", 1n)(fuzz);
    }
    const item = fuzz.item(kind);
    const value = item === undefined ? -1 : getTruly(item.value, "id") ?? -1;
    return { value, text: `${item?.text}.id` };
  };
}
