import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  array,
  type ArrayView,
  bool,
  bytes,
  cstring,
  type CType,
  f32,
  f64,
  type Fields,
  i16,
  i32,
  i64,
  i8,
  type Struct,
  struct,
  u16,
  u32,
  u64,
  u8,
  type ValueOf,
  type ViewOf,
} from "../ffi/struct.ts";
import { compileText, noCompiler } from "./support/c.ts";

const human = struct({ age: i16, name: cstring(20) });
const message = struct({ type: i64, data: human });
const game = struct({
  tag: u8,
  scores: array(i32, 3),
  players: array(human, 2),
  key: bytes(4),
});

const ghkim = { age: 80, name: "ghkim" };
const players = [{ age: 1, name: "one" }, { age: 2, name: "two" }];
const key = new Uint8Array([9, 8, 7, 6]);
const round = { tag: 1, scores: [10, -20, 30], players, key };

/** Memory as it may be found: nothing is zero. */
function dirty(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).fill(0xaa);
}

/** Asserts that writing a value throws, and leaves the memory alone. */
function assertRefused<Declared extends Fields>(
  type: Struct<Declared>,
  value: unknown,
  // deno-lint-ignore no-explicit-any
  errorClass: new (...args: any[]) => Error,
  message: string,
) {
  const memory = dirty(type.size);
  const bad = value as Parameters<typeof type.encode>[0];
  const error = assertThrows(() => type.write(memory, bad), errorClass);
  assertEquals(error.message, message);
  assertEquals(memory, dirty(type.size));
  assertThrows(() => type.encode(bad), errorClass, message);
}

// Layout

Deno.test("struct() lays fields out as C does", () => {
  assertEquals(human.size, 22);
  assertEquals(human.alignment, 2);
  assertEquals(human.offsets, { age: 0, name: 2 });
  assertEquals(message.size, 32);
  assertEquals(message.alignment, 8);
  assertEquals(message.offsets, { type: 0, data: 8 });
});

Deno.test("struct() pads before fields and at the end", () => {
  const padded = struct({ a: u8, b: f64, c: u16, d: u8 });
  assertEquals(padded.offsets, { a: 0, b: 8, c: 16, d: 18 });
  assertEquals(padded.size, 24);
});

Deno.test("struct() packs when told, but not what is nested", () => {
  const inner = struct({ a: u8, b: i32 });
  const packed = struct({ a: u8, inner, c: i64 }, { packed: true });
  assertEquals(packed.offsets, { a: 0, inner: 1, c: 9 });
  assertEquals(packed.size, 17);
  assertEquals(packed.alignment, 1);
  assertEquals(struct({ a: u8, packed }).offsets, { a: 0, packed: 1 });
  assertEquals(struct({ a: u8, b: i32 }, { packed: false }).size, 8);
});

Deno.test("array() strides by the padded size", () => {
  const inner = struct({ a: i32, b: u8 });
  const outer = struct({ a: u8, list: array(inner, 3), z: u8 });
  assertEquals(outer.offsets, { a: 0, list: 4, z: 28 });
  assertEquals(outer.size, 32);
});

Deno.test("types say what C calls them", () => {
  assertEquals(array(array(i32, 2), 3).name, "int32_t[3][2]");
  assertEquals(array(cstring(20), 3).name, "char[3][20]");
  assertEquals(array(human, 3).name, "struct[3]");
  assertEquals(bytes(4).name, "uint8_t[4]");
});

Deno.test("struct() refuses what is no declaration", () => {
  const refused = (fields: unknown, message: string) =>
    assertThrows(() => struct(fields as Fields), TypeError, message);
  refused({}, "Cannot lay out a struct: C has none without fields");
  for (const fields of [undefined, null, 5, [i16], new Map()]) {
    refused(fields, "Cannot lay out a struct: expected a plain object");
  }
  const expected = "Cannot lay out field 'a': expected a type such as i32, got";
  refused({ a: undefined }, `${expected} undefined`);
  refused({ a: null }, `${expected} null`);
  refused({ a: "int" }, `${expected} a string`);
  refused({ a: cstring }, `${expected} a function`);
  refused({ a: {} }, `${expected} an object`);
});

Deno.test("struct() refuses names that JavaScript would not keep", () => {
  const refused = (fields: unknown, message: string) =>
    assertThrows(() => struct(fields as Fields), TypeError, message);
  for (const name of ["1", "", "a-b", "a.b", "a b", "1a"]) {
    refused(
      { a: i16, [name]: i16 },
      `Cannot lay out field '${name}': the name`,
    );
  }
  refused({ [Symbol("a")]: i16 }, "Cannot lay out field 'Symbol(a)'");
  refused({ ["__proto__"]: i16 }, "Cannot lay out field '__proto__'");
  refused({ __proto__: i16, a: i16 }, "expected a plain object");
  assertEquals(
    struct({ __proto__: null, a: i16 } as unknown as Fields).size,
    2,
  );
});

Deno.test("struct() takes names that objects have already", () => {
  const odd = struct({
    constructor: i16,
    toString: i32,
    hasOwnProperty: u8,
    toJSON: u8,
    $: u8,
    größe: u8,
  });
  const value = {
    constructor: 1,
    toString: 2,
    hasOwnProperty: 3,
    toJSON: 4,
    $: 5,
    größe: 6,
  };
  const memory = odd.encode(value);
  const view = odd.view(memory);
  assertEquals(Object.entries(odd.decode(memory)), Object.entries(value));
  assertEquals(odd.offsets.toString, 4);
  view.constructor = 7;
  view.hasOwnProperty = 8;
  assertEquals([view.constructor, view.toString, view.toJSON], [7, 2, 4]);
  assertEquals(odd.encode(view), memory);
  assertStringIncludes(Deno.inspect(view), "constructor: 7");
  const missing = { constructor: 1 } as ValueOf<typeof odd>;
  assertThrows(() => odd.encode(missing), TypeError, "field 'toString'");
});

Deno.test("array(), bytes() and cstring() refuse lengths that C has not", () => {
  for (const length of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) {
    const message =
      `the length must be an integer of at least 1, got ${length}`;
    assertThrows(() => array(i32, length), RangeError, message);
    assertThrows(() => bytes(length), RangeError, message);
    assertThrows(() => cstring(length), RangeError, message);
  }
  const length = "3" as unknown as number;
  assertThrows(() => bytes(length), RangeError, "Cannot declare bytes");
  const type = i32.get as unknown as typeof i32;
  assertThrows(() => array(type, 2), TypeError, "Cannot lay out an array");
});

// Values

Deno.test("Struct.encode() and decode() are inverse", () => {
  assertEquals(human.decode(human.encode(ghkim)), ghkim);
  const value = { type: 2n ** 40n, data: ghkim };
  assertEquals(message.decode(message.encode(value)), value);
  assertEquals(game.decode(game.encode(round)), round);
});

Deno.test("Struct.encode() zeroes padding and returns new bytes", () => {
  const padded = struct({ a: u8, b: u32 });
  const first = padded.encode({ a: 255, b: 0xffff_ffff });
  assertEquals(first, new Uint8Array([255, 0, 0, 0, 255, 255, 255, 255]));
  const second = padded.encode({ a: 1, b: 2 });
  assertEquals(first[0], 255);
  assertEquals(second.buffer.byteLength, 8);
});

Deno.test("Struct.decode() copies", () => {
  const memory = game.encode(round);
  const copy = game.decode(memory);
  memory.fill(0);
  assertEquals(copy, round);
  assert(Array.isArray(copy.scores));
});

Deno.test("Struct methods respect the offset and the start of the bytes", () => {
  const buffer = new ArrayBuffer(100);
  const memory = new Uint8Array(buffer, 3, 60); // nothing is aligned
  human.write(memory, ghkim, 5);
  assertEquals(new Uint8Array(buffer)[8], 80);
  assertEquals(human.decode(memory, 5), ghkim);
  const view = human.view(memory, 5);
  assertEquals(view.age, 80);
  view.name = "other";
  assertEquals(human.decode(memory, 5), { age: 80, name: "other" });
  const before = new Uint8Array(buffer, 0, 8);
  const behind = new Uint8Array(buffer, 8 + human.size);
  assert(before.every((byte) => byte === 0));
  assert(behind.every((byte) => byte === 0));
  human.write(memory, ghkim, 60 - human.size);
  assertEquals(human.decode(memory, 60 - human.size), ghkim);
});

Deno.test("Struct methods work on shared memory of JavaScript", () => {
  const memory = new Uint8Array(new SharedArrayBuffer(game.size));
  game.write(memory, round);
  assertEquals(game.decode(memory), round);
  const view = game.view(memory);
  view.players[1]!.name = "zwei";
  assertEquals(game.decode(memory).players[1], { age: 2, name: "zwei" });
});

Deno.test("Struct methods refuse memory that does not suit", () => {
  const refused = (
    memory: unknown,
    offset: number | undefined,
    errorClass: typeof TypeError | typeof RangeError,
    message: string,
  ) => {
    const bytes = memory as Uint8Array;
    const check = (verb: string, method: () => unknown) =>
      assertThrows(method, errorClass, `Cannot ${verb} the struct: ${message}`);
    check("read", () => human.decode(bytes, offset));
    check("view", () => human.view(bytes, offset));
    check("write", () => human.write(bytes, ghkim, offset));
  };
  refused(undefined, 0, TypeError, "expected a Uint8Array, got undefined");
  refused(new ArrayBuffer(22), 0, TypeError, "expected a Uint8Array");
  refused([1, 2, 3], 0, TypeError, "expected a Uint8Array, got an object");
  refused(dirty(21), undefined, RangeError, "22 bytes at offset 0 do not fit");
  refused(
    dirty(0),
    0,
    RangeError,
    "22 bytes at offset 0 do not fit in 0 bytes",
  );
  refused(dirty(30), 9, RangeError, "22 bytes at offset 9 do not fit in 30");
  for (const offset of [-1, 1.5, NaN, Infinity]) {
    refused(dirty(90), offset, RangeError, "the offset must be an integer");
  }
  const offset = "0" as unknown as number;
  refused(dirty(90), offset, RangeError, "the offset must be an integer");
});

Deno.test("Struct methods and live views refuse detached memory", () => {
  const memory = game.encode(round);
  const view = game.view(memory);
  const { scores, players } = view;
  memory.buffer.transfer();
  assertThrows(() => game.decode(memory), TypeError, "detached");
  assertThrows(() => game.view(memory), TypeError, "detached");
  assertThrows(() => game.write(memory, round), TypeError, "detached");
  assertThrows(() => view.tag, TypeError, "detached");
  assertThrows(() => view.key, TypeError, "detached");
  assertThrows(() => view.players[0]!.name, TypeError, "detached");
  assertThrows(() => scores[0], TypeError, "detached");
  assertThrows(() => [...scores], TypeError, "detached");
  assertThrows(() => players[0]!.age, TypeError, "detached");
  assertThrows(() => view.tag = 1, TypeError, "detached");
  assertThrows(() => view.scores = [1, 2, 3], TypeError, "detached");
  assertThrows(() => scores[0] = 1, TypeError, "detached");
  assertThrows(() => JSON.stringify(view), TypeError, "detached");
  assertEquals(Deno.inspect([view, scores]), "[ [detached], [detached] ]");
});

Deno.test("number types keep their extremes and refuse what is beyond", () => {
  const types: [CType<number>, number, number][] = [
    [i8, -(2 ** 7), 2 ** 7 - 1],
    [u8, 0, 2 ** 8 - 1],
    [i16, -(2 ** 15), 2 ** 15 - 1],
    [u16, 0, 2 ** 16 - 1],
    [i32, -(2 ** 31), 2 ** 31 - 1],
    [u32, 0, 2 ** 32 - 1],
  ];
  for (const [type, min, max] of types) {
    const one = struct({ before: u8, n: type });
    for (const n of [min, max, 0, 1]) {
      assertEquals(one.decode(one.encode({ before: 1, n })), { before: 1, n });
    }
    for (const n of [min - 1, max + 1, 0.5, NaN, Infinity, -Infinity]) {
      const range = `an integer from ${min} to ${max} (${type.name})`;
      const message = `Cannot write field 'n': ${n} is not ${range}`;
      assertRefused(one, { before: 1, n }, RangeError, message);
    }
    for (const n of ["1", 1n, null, true, {}]) {
      const got = n === null
        ? null
        : n === Object(n)
        ? "an object"
        : `a ${typeof n}`;
      const message =
        `Cannot write field 'n': expected a number (${type.name}), got ${got}`;
      assertRefused(one, { before: 1, n }, TypeError, message);
    }
  }
});

Deno.test("i64 and u64 take bigints only", () => {
  const types: [CType<bigint>, bigint, bigint][] = [
    [i64, -(2n ** 63n), 2n ** 63n - 1n],
    [u64, 0n, 2n ** 64n - 1n],
  ];
  for (const [type, min, max] of types) {
    const one = struct({ before: u8, n: type });
    for (const n of [min, max, 0n, 1n]) {
      assertEquals(one.decode(one.encode({ before: 1, n })), { before: 1, n });
    }
    for (const n of [min - 1n, max + 1n]) {
      const range = `from ${min}n to ${max}n (${type.name})`;
      const message = `Cannot write field 'n': ${n}n is not ${range}`;
      assertRefused(one, { before: 1, n }, RangeError, message);
    }
    const message =
      `Cannot write field 'n': expected a bigint (${type.name}), got a number`;
    assertRefused(one, { before: 1, n: 1 }, TypeError, message);
  }
});

Deno.test("f32 and f64 keep every number they can hold", () => {
  const floats = struct({ f: f32, d: f64 });
  for (const n of [0, -0, 1.5, NaN, Infinity, -Infinity, 2 ** 100]) {
    const value = { f: n, d: n };
    assertEquals(floats.decode(floats.encode(value)), value);
  }
  const rounded = floats.decode(floats.encode({ f: 0.1, d: 0.1 }));
  assertEquals(rounded, { f: Math.fround(0.1), d: 0.1 });
  assertRefused(
    floats,
    { f: 1e300, d: 1e300 },
    RangeError,
    "Cannot write field 'f': 1e+300 does not fit in a float",
  );
  assertRefused(
    floats,
    { f: 1, d: "1" },
    TypeError,
    "Cannot write field 'd': expected a number (double), got a string",
  );
});

Deno.test("bool is one byte", () => {
  const flags = struct({ a: bool, b: bool, c: bool });
  const memory = flags.encode({ a: true, b: false, c: true });
  assertEquals(memory, new Uint8Array([1, 0, 1]));
  assertEquals(flags.decode(new Uint8Array([255, 0, 2])).a, true);
  assertRefused(
    flags,
    { a: true, b: 1, c: true },
    TypeError,
    "Cannot write field 'b': expected a boolean (bool), got a number",
  );
});

// Text and bytes

Deno.test("cstring() zeroes what an older string left", () => {
  const memory = dirty(human.size);
  human.write(memory, { age: 1, name: "a longer name" });
  human.write(memory, { age: 1, name: "b" });
  const zeros = new Uint8Array(19);
  assertEquals(memory.subarray(2), new Uint8Array([98, ...zeros]));
  const view = human.view(memory);
  view.name = "another long name";
  view.name = "";
  assertEquals(memory.subarray(2), new Uint8Array(20));
});

Deno.test("cstring() reads up to the NUL, or to the end", () => {
  const text = struct({ s: cstring(4) });
  const read = (...memory: number[]) => text.decode(new Uint8Array(memory)).s;
  assertEquals(read(0, 98, 99, 100), "");
  assertEquals(read(97, 0, 99, 100), "a");
  assertEquals(read(97, 98, 99, 100), "abcd");
  assertEquals(read(0xef, 0xbb, 0xbf, 97), "\ufeffa"); // the BOM stays
});

Deno.test("cstring() reads bytes that are not UTF-8 as U+FFFD", () => {
  const text = struct({ s: cstring(4) });
  const cut = new TextEncoder().encode("abcé").subarray(0, 4);
  assertEquals(text.decode(cut), { s: "abc\ufffd" });
  assertEquals(text.view(cut).s, "abc\ufffd");
});

Deno.test("cstring() counts bytes of UTF-8", () => {
  const text = struct({ s: cstring(7) });
  for (const s of ["", "abcdef", "éèê", "한글", "ab🎉"]) {
    assertEquals(text.decode(text.encode({ s })), { s });
  }
  for (const s of ["abcdefg", "éèêa", "한글a", "abc🎉", "한글날"]) {
    const { length } = new TextEncoder().encode(s);
    const message =
      `Cannot write field 's': ${length} bytes do not fit in char[7] (6 and a NUL)`;
    assertRefused(text, { s }, RangeError, message);
  }
  assertEquals(text.decode(text.encode({ s: "\ud800" })), { s: "\ufffd" });
  const empty = struct({ s: cstring(1) });
  assertEquals(empty.encode({ s: "" }), new Uint8Array(1));
  assertThrows(() => empty.encode({ s: "a" }), RangeError, "char[1] (0 and");
});

Deno.test("cstring() refuses a NUL inside, and what is no string", () => {
  assertRefused(
    human,
    { age: 1, name: "a\0b" },
    RangeError,
    "Cannot write field 'name': to C, the string ends with the NUL at index 1",
  );
  assertRefused(
    human,
    { age: 1, name: 5 },
    TypeError,
    "Cannot write field 'name': expected a string (char[20]), got a number",
  );
});

Deno.test("bytes() takes exactly its size", () => {
  const raw = struct({ tag: u8, data: bytes(3) });
  const got = (data: unknown) => ({ tag: 1, data });
  const count = (n: number) =>
    `Cannot write field 'data': uint8_t[3] takes exactly 3, got ${n}`;
  assertRefused(raw, got(new Uint8Array(2)), RangeError, count(2));
  assertRefused(raw, got(new Uint8Array(4)), RangeError, count(4));
  const message =
    "Cannot write field 'data': expected a Uint8Array (uint8_t[3]), got an object";
  assertRefused(raw, got([1, 2, 3]), TypeError, message);
});

// Structs and arrays

Deno.test("Struct.write() names a bad field by its path", () => {
  assertRefused(
    message,
    { type: 1n, data: { age: 40000, name: "x" } },
    RangeError,
    "Cannot write field 'data.age': 40000 is not an integer from -32768 to 32767 (int16_t)",
  );
  assertRefused(
    game,
    { ...round, scores: [1, 2, 0.5] },
    RangeError,
    "Cannot write field 'scores[2]': 0.5 is not an integer from -2147483648 to 2147483647 (int32_t)",
  );
  assertRefused(
    game,
    { ...round, players: [ghkim, { age: 1, name: 2 }] },
    TypeError,
    "Cannot write field 'players[1].name': expected a string (char[20]), got a number",
  );
});

Deno.test("Struct.write() refuses missing and unknown fields", () => {
  assertRefused(
    human,
    { age: 1 },
    TypeError,
    "Cannot write field 'name': the value is missing",
  );
  assertRefused(
    message,
    { type: 1n, data: { age: undefined, name: "" } },
    TypeError,
    "Cannot write field 'data.age': the value is missing",
  );
  assertRefused(
    message,
    { type: 1n, data: { ...ghkim, nick: "k" } },
    TypeError,
    "Cannot write field 'data.nick': the struct has no such field",
  );
  for (const [value, got] of [[undefined, "undefined"], [5, "a number"]]) {
    const expected = `expected an object (struct), got ${got}`;
    assertRefused(
      human,
      value,
      TypeError,
      `Cannot write the struct: ${expected}`,
    );
    const field = `Cannot write field 'data': ${expected}`;
    if (value) {
      assertRefused(message, { type: 1n, data: value }, TypeError, field);
    }
  }
  assertRefused(
    message,
    { type: 1n, data: null },
    TypeError,
    "Cannot write field 'data': expected an object (struct), got null",
  );
});

Deno.test("array() takes exactly its length", () => {
  const list = struct({ tag: u8, n: array(i16, 3) });
  const value = (n: unknown) => ({ tag: 1, n });
  const count = (got: number) =>
    `Cannot write field 'n': int16_t[3] takes exactly 3, got ${got}`;
  assertRefused(list, value([]), RangeError, count(0));
  assertRefused(list, value([1, 2]), RangeError, count(2));
  assertRefused(list, value([1, 2, 3, 4]), RangeError, count(4));
  const typed = list.encode({ tag: 1, n: new Int16Array([1, 2, 3]) });
  assertEquals(list.decode(typed).n, [1, 2, 3]);
  const frozen: readonly number[] = Object.freeze([1, 2, 3]);
  assertEquals(list.encode({ tag: 1, n: frozen }), typed);
  for (
    const [n, got] of [["abc", "a string"], [{}, "an object"], [null, null]]
  ) {
    const expected = `expected an array (int16_t[3]), got ${got}`;
    const message = `Cannot write field 'n': ${expected}`;
    assertRefused(list, value(n), TypeError, message);
  }
  const message =
    "Cannot write field 'n[1]': expected a number (int16_t), got undefined";
  // deno-lint-ignore no-sparse-arrays
  assertRefused(list, value([1, , 3]), TypeError, message);
});

Deno.test("array() nests", () => {
  const matrix = struct({ m: array(array(i16, 2), 3) });
  const value = { m: [[1, 2], [3, 4], [5, 6]] };
  const memory = matrix.encode(value);
  assertEquals([...new Int16Array(memory.buffer)], [1, 2, 3, 4, 5, 6]);
  assertEquals(matrix.decode(memory), value);
  const view = matrix.view(memory);
  view.m[2]![0] = 7;
  view.m[0] = view.m[1]!;
  assertEquals(matrix.decode(memory), { m: [[3, 4], [3, 4], [7, 6]] });
});

Deno.test("Struct.write() survives a value that writes while it is read", () => {
  const memory = dirty(human.size);
  const inner = dirty(human.size);
  human.write(memory, {
    age: 1,
    get name() {
      human.write(inner, { age: 2, name: "inner" });
      return "outer";
    },
  });
  assertEquals(human.decode(memory), { age: 1, name: "outer" });
  assertEquals(human.decode(inner), { age: 2, name: "inner" });
});

Deno.test("Struct.write() of a refused value leaves nothing behind for the next", () => {
  const two = struct({ a: bytes(2), b: u8, c: i32 });
  const bad = { a: new Uint8Array([7, 7]), b: 300, c: 0 };
  assertThrows(() => two.encode(bad), RangeError, "field 'b'");
  const good = two.encode({ a: new Uint8Array(2), b: 0, c: 0 });
  assertEquals(good, new Uint8Array(8));
});

Deno.test("Struct.write() takes values larger than the spare draft", () => {
  const large = struct({ data: bytes(100_000), list: array(u8, 10_000) });
  const value = {
    data: new Uint8Array(100_000).fill(1),
    list: Array.from({ length: 10_000 }, (_, index) => index % 256),
  };
  assertEquals(large.decode(large.encode(value)), value);
});

// Live views

Deno.test("Struct.view() reads and writes the memory at once", () => {
  const memory = message.encode({ type: 1n, data: ghkim });
  const view = message.view(memory);
  const { data } = view;
  assertEquals([view.type, data.age, data.name], [1n, 80, "ghkim"]);
  data.age++;
  view.type = -5n;
  assertEquals(message.decode(memory), {
    type: -5n,
    data: { age: 81, name: "ghkim" },
  });
  memory[8] = 7;
  assertEquals(data.age, 7);
  view.data = { age: 3, name: "new" };
  assertEquals([data.age, data.name], [3, "new"]);
});

Deno.test("Struct.view() shows every type", () => {
  const all = struct({
    a: i8,
    b: u8,
    c: i16,
    d: u16,
    e: i32,
    f: u32,
    g: i64,
    h: u64,
    i: f32,
    j: f64,
    k: bool,
    l: cstring(3),
  });
  const value = {
    a: -1,
    b: 255,
    c: -2,
    d: 65535,
    e: -3,
    f: 2 ** 32 - 1,
    g: -4n,
    h: 2n ** 64n - 1n,
    i: 0.5,
    j: 0.1,
    k: true,
    l: "hi",
  };
  const view = all.view(new Uint8Array(all.size));
  Object.assign(view, value);
  assertEquals(all.encode(view), all.encode(value));
  assertEquals(
    { ...value, ...JSON.parse(stringify(view)) },
    JSON.parse(stringify(value)),
  );
});

function stringify(value: unknown): string {
  const plain = (_: string, value: unknown) =>
    typeof value === "bigint" ? `${value}` : value;
  return JSON.stringify(value, plain);
}

Deno.test("Struct.view() checks like write(), and leaves the memory alone", () => {
  const memory = game.encode(round);
  const before = memory.slice();
  const view = game.view(memory);
  const refused = (
    write: () => unknown,
    errorClass: typeof TypeError | typeof RangeError,
    message: string,
  ) => {
    assertThrows(write, errorClass, message);
    assertEquals(memory, before);
  };
  refused(() => view.tag = 256, RangeError, "field 'tag': 256 is not");
  refused(() => view.scores[1] = 0.5, RangeError, "field '[1]': 0.5 is not");
  refused(() => view.scores = [1, 2], RangeError, "field 'scores'");
  refused(() => view.scores = [1, 2, NaN], RangeError, "field 'scores[2]'");
  refused(
    () => view.players[0]!.name = "x".repeat(20),
    RangeError,
    "field 'name': 20 bytes do not fit in char[20] (19 and a NUL)",
  );
  refused(
    () => view.players[1] = { age: 9, name: "a\0" },
    RangeError,
    "field '[1].name'",
  );
  refused(() => view.key = new Uint8Array(3), RangeError, "field 'key'");
  const nobody = {} as typeof ghkim;
  refused(() => view.players[0] = nobody, TypeError, "field '[0].age'");
});

Deno.test("Struct.view() has a live Uint8Array for bytes()", () => {
  const memory = game.encode(round);
  const view = game.view(memory);
  const { key } = view;
  key[0] = 1;
  assertEquals(memory[game.offsets.key], 1);
  assertEquals(key.buffer, memory.buffer);
  view.key = new Uint8Array([4, 3, 2, 1]);
  assertEquals([...key], [4, 3, 2, 1]);
  view.key = key; // the same memory
  assertEquals([...key], [4, 3, 2, 1]);
});

Deno.test("Struct.view() has live arrays", () => {
  const memory = game.encode(round);
  const { scores, players } = game.view(memory);
  assertEquals(scores.length, 3);
  assertEquals([...scores], [10, -20, 30]);
  assertEquals(Array.from(players, ({ name }) => name), ["one", "two"]);
  scores[0] = 5;
  players[1]!.age += 1;
  players[0] = { age: 9, name: "nine" };
  assertEquals(game.decode(memory).scores, [5, -20, 30]);
  assertEquals(game.decode(memory).players, [
    { age: 9, name: "nine" },
    { age: 3, name: "two" },
  ]);
});

Deno.test("ArrayView has elements at its indices only", () => {
  const { scores } = game.view(game.encode(round));
  const loose = scores as unknown as Record<string, unknown>;
  for (const name of ["3", "-1", "1.5", "01", "", "at", "push", "NaN"]) {
    assertEquals(loose[name], undefined);
    assertEquals(name in loose, false);
    assertThrows(
      () => loose[name] = 1,
      RangeError,
      `Cannot write element '${name}': int32_t[3] has 3 elements`,
    );
  }
  assertThrows(() => loose["length"] = 1, RangeError, "element 'length'");
  assert(0 in scores && "length" in scores);
  assertEquals(Array.prototype.map.call(scores, (n) => n * 2), [20, -40, 60]);
});

Deno.test("Struct.view() copies between views, of the same memory, too", () => {
  const memory = game.encode(round);
  const view = game.view(memory);
  view.players[0] = view.players[1]!;
  const [first] = view.players;
  assertEquals(first!.name, "two");
  const { scores } = view;
  view.scores = scores;
  const other = game.encode({ ...round, scores: [7, 8, 9], players });
  view.scores = game.view(other).scores;
  assertEquals([...view.scores], [7, 8, 9]);
  game.write(memory, game.view(other));
  assertEquals(memory, other);
});

Deno.test("Struct.view() prints and serializes as the present value", () => {
  const memory = game.encode(round);
  const view = game.view(memory);
  assertEquals(Deno.inspect(view), Deno.inspect(round));
  assertEquals(Deno.inspect({ view }), Deno.inspect({ view: round }));
  assertEquals(Deno.inspect(view.scores), Deno.inspect(round.scores));
  assertEquals(JSON.stringify(view), JSON.stringify(round));
  assertEquals(JSON.stringify([view.players]), JSON.stringify([players]));
  view.tag = 2;
  assertStringIncludes(Deno.inspect(view), "tag: 2");
});

// Types

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends
  (<T>() => T extends B ? 1 : 2) ? true : false;

Deno.test("ValueOf and ViewOf are inferred from the declaration", () => {
  true satisfies Same<ValueOf<typeof human>, { age: number; name: string }>;
  true satisfies Same<
    ValueOf<typeof message>,
    { type: bigint; data: { age: number; name: string } }
  >;
  true satisfies Same<ValueOf<typeof game>["scores"], number[]>;
  true satisfies Same<ViewOf<typeof game>["scores"], ArrayView<number>>;
  true satisfies Same<ViewOf<typeof game>["key"], Uint8Array>;
  true satisfies Same<ValueOf<typeof bool>, boolean>;
  // Every value can be assigned to a view.
  const value: ValueOf<typeof game> = round;
  value satisfies ViewOf<typeof game>;
});

Deno.test("Struct has no fields but the declared ones, in its types", () => {
  const memory = human.encode(ghkim);
  // @ts-expect-error No such field
  assertEquals(human.decode(memory).nam, undefined);
  // @ts-expect-error No such field
  assertEquals(human.view(memory).nam, undefined);
  // @ts-expect-error No such field
  assertEquals(human.offsets.nam, undefined);
  // @ts-expect-error A field too many
  assertThrows(() => human.encode({ age: 1, name: "", nam: 1 }));
  // @ts-expect-error A field is missing
  assertThrows(() => human.encode({ age: 1 }));
  // @ts-expect-error A string is not a number
  assertThrows(() => human.encode({ age: "1", name: "" }));
  // @ts-expect-error A number is not a bigint
  assertThrows(() => message.encode({ type: 1, data: ghkim }));
  // @ts-expect-error A string is not a number
  assertThrows(() => human.view(memory).age = "1");
});

Deno.test("CType can be implemented outside of the module", () => {
  const flag: CType<Set<string>> = {
    name: "flags_t",
    size: 1,
    alignment: 1,
    get: (memory, offset) =>
      new Set(
        ["read", "write"].filter((_, bit) => u8.get(memory, offset) >> bit & 1),
      ),
    set: (memory, offset, value, path) => {
      const bits = (value.has("read") ? 1 : 0) | (value.has("write") ? 2 : 0);
      u8.set(memory, offset, bits, path);
    },
    live: (memory, offset) => flag.get(memory, offset),
  };
  const file = struct({ modes: array(flag, 2) });
  const value = { modes: [new Set(["read"]), new Set(["read", "write"])] };
  const memory = file.encode(value);
  assertEquals(memory, new Uint8Array([1, 3]));
  assertEquals(file.decode(memory), value);
  const view = file.view(memory);
  view.modes[0] = new Set();
  assertEquals([...view.modes], [new Set(), value.modes[1]]);
});

Deno.test("CType from outside is read once, and kept inside its field", () => {
  let size = 4;
  const reads: string[] = [];
  const given: number[][] = [];
  const greedy = new Proxy({
    name: "greedy",
    get size() {
      return size;
    },
    alignment: 4,
    get: (memory: DataView, offset: number) => {
      given.push([memory.byteLength, offset]);
      return memory.getUint8(offset);
    },
    set: (memory: DataView, offset: number, value: number) => {
      for (let index = 0; index < value; index++) {
        memory.setUint8(offset + index, 9);
      }
    },
    live: (memory: DataView, offset: number) => memory.getUint8(offset),
  }, {
    get: (type, key) => {
      reads.push(String(key));
      return Reflect.get(type, key);
    },
  });
  const record = struct({ a: i32, it: greedy, b: i32, all: array(greedy, 2) });
  size = 1 << 20;
  const all = ["alignment", "get", "live", "name", "set", "size"];
  assertEquals(reads.sort(), [...all, ...all].sort());
  assertEquals([record.size, record.offsets.b], [20, 8]);

  const memory = record.encode({ a: 1, it: 4, b: 2, all: [0, 4] });
  const value = { a: 1, it: 9, b: 2, all: [0, 9] };
  assertEquals(record.decode(memory), value);
  assertEquals(given, [[4, 0], [4, 0], [4, 0]]);
  const view = record.view(memory);
  assertThrows(() => view.it = 5, RangeError);
  assertThrows(
    () => record.write(memory, { ...value, it: 5, all: [0, 0] }),
    RangeError,
  );
  assertEquals(record.decode(memory), value);
});

Deno.test("struct() refuses a CType that no C compiler has", () => {
  for (
    const wrong of [
      { size: 0 },
      { size: 1.5 },
      { size: 2 ** 60 },
      { size: "4" },
      { alignment: 3 },
      { alignment: 8 },
      { alignment: -4 },
      { alignment: NaN },
    ]
  ) {
    const type = { ...i32, ...wrong } as unknown as CType<number>;
    assertThrows(() => struct({ type }), RangeError);
    assertThrows(() => array(type, 2), RangeError);
  }
  const unnamed = { ...i32, name: 5 } as unknown as CType<number>;
  assertThrows(() => struct({ unnamed }), TypeError);
  assertThrows(() => array(i64, 2 ** 52), RangeError, "too many");
});

Deno.test("types, and what they are made of, cannot be changed", () => {
  const types = { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bool };
  const made = [cstring(4), bytes(4), array(i32, 2), human];
  for (const type of [...Object.values(types), ...made]) {
    for (
      let part: object = type;
      part !== Object.prototype;
      part = Object.getPrototypeOf(part)
    ) {
      assert(Object.isFrozen(part));
    }
  }
  const view = game.view(new Uint8Array(game.size));
  for (const made of [view, view.scores, human]) {
    let part = Object.getPrototypeOf(made);
    for (; part !== Object.prototype; part = Object.getPrototypeOf(part)) {
      assert(Object.isFrozen(part));
      assert(Object.isFrozen(part.constructor));
      assert(Object.isFrozen(part.constructor.handler ?? null));
    }
  }
});

Deno.test("Struct methods ask bytes for nothing that they can lie about", () => {
  let asked = 0;
  class Lying extends Uint8Array {
    override get length() {
      return asked++;
    }
    override get byteLength() {
      return asked++;
    }
    override get byteOffset() {
      return asked++;
    }
    override get buffer() {
      asked++;
      return new ArrayBuffer(64);
    }
    override set() {
      asked++;
    }
    override slice() {
      asked++;
      return this;
    }
  }
  const point = struct({ x: i32, key: bytes(4) });
  const memory = new Lying(8);
  const key = new Lying(4);
  key[0] = 80;
  point.write(memory, { x: 5, key });
  point.view(memory).x++;
  assertEquals(point.decode(memory), { x: 6, key: Uint8Array.of(80, 0, 0, 0) });
  assertEquals(memory[4], 80);
  assertThrows(() => point.decode(memory, 1), RangeError);
  assertThrows(
    () => point.write(memory, { x: 5, key: new Lying(5) }),
    RangeError,
  );
  assertEquals(asked, 0);
});

// The C compiler

/** A struct in both languages, with a value in both. */
interface Case {
  /** The members of the C declaration. */
  readonly members: string;
  /** What follows the declaration: an attribute. */
  readonly attribute?: string;
  readonly type: Struct<Fields>;
  /** The initializer in C. */
  readonly initializer: string;
  readonly value: unknown;
}

/** Checks, as it is written down, that the value belongs to the type. */
function inBoth<Declared extends Fields>(
  members: string,
  type: Struct<Declared>,
  initializer: string,
  value: ValueOf<Struct<Declared>>,
  attribute = "",
): Case {
  return {
    members,
    attribute,
    type: type as unknown as Struct<Fields>,
    initializer,
    value,
  };
}

const PACKED = "__attribute__((packed))";
const packed = { packed: true };
const mixed = struct({ a: u8, b: i32, c: u8 });
const tight = struct({ a: u8, b: i64 }, packed);

// A case may use the structs of those before it: struct s0, struct s1 ...
const CASES: readonly Case[] = [
  inBoth("char a; int b; char c;", mixed, "{ 1, -2, 3 }", {
    a: 1,
    b: -2,
    c: 3,
  }),
  inBoth("short age; char name[20];", human, '{ 80, "ghkim" }', ghkim),
  inBoth(
    "long type; struct s1 data;",
    message,
    '{ -1, { 80, "ghkim" } }',
    { type: -1n, data: ghkim },
  ),
  inBoth(
    "char a; long long b;",
    tight,
    "{ 1, 0x0102030405060708 }",
    { a: 1, b: 0x0102030405060708n },
    PACKED,
  ),
  inBoth("char a;", struct({ a: u8 }), "{ 7 }", { a: 7 }),
  inBoth(
    "double a; char b;",
    struct({ a: f64, b: i8 }),
    "{ 0.1, -1 }",
    { a: 0.1, b: -1 },
  ),
  inBoth(
    "char a; double b; short c; float d; char e;",
    struct({ a: u8, b: f64, c: i16, d: f32, e: u8 }),
    "{ 1, -1e300, -300, 0.5f, 5 }",
    { a: 1, b: -1e300, c: -300, d: 0.5, e: 5 },
  ),
  inBoth(
    "char a; short b; char c; short d; int e; char f;",
    struct({ a: u8, b: u16, c: u8, d: i16, e: u32, f: u8 }),
    "{ 1, (short) 65535, 3, -32768, (int) 4294967295u, 6 }",
    { a: 1, b: 65535, c: 3, d: -32768, e: 4294967295, f: 6 },
  ),
  inBoth(
    "struct s0 list[3]; char end;",
    struct({ list: array(mixed, 3), end: u8 }),
    "{ { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } }, 10 }",
    {
      list: [{ a: 1, b: 2, c: 3 }, { a: 4, b: 5, c: 6 }, { a: 7, b: 8, c: 9 }],
      end: 10,
    },
  ),
  inBoth(
    "char a; struct s3 b; int c;",
    struct({ a: u8, b: tight, c: i32 }),
    "{ 1, { 2, 3 }, 4 }",
    { a: 1, b: { a: 2, b: 3n }, c: 4 },
  ),
  inBoth(
    "char a; struct s0 b; long c;",
    struct({ a: u8, b: mixed, c: i64 }, packed),
    "{ 1, { 2, 3, 4 }, -5 }",
    { a: 1, b: { a: 2, b: 3, c: 4 }, c: -5n },
    PACKED,
  ),
  inBoth(
    "short m[3][2]; char end;",
    struct({ m: array(array(i16, 2), 3), end: u8 }),
    "{ { { 1, 2 }, { 3, 4 }, { 5, 6 } }, 7 }",
    { m: [[1, 2], [3, 4], [5, 6]], end: 7 },
  ),
  inBoth(
    "_Bool a; int b; _Bool c;",
    struct({ a: bool, b: i32, c: bool }),
    "{ 1, 2, 0 }",
    { a: true, b: 2, c: false },
  ),
  inBoth(
    "unsigned char a; unsigned long b; size_t c; unsigned char d[5];",
    struct({ a: u8, b: u64, c: u64, d: bytes(5) }),
    "{ 255, -1ul, 1ul << 63, { 1, 2, 3, 4, 5 } }",
    {
      a: 255,
      b: 2n ** 64n - 1n,
      c: 2n ** 63n,
      d: new Uint8Array([1, 2, 3, 4, 5]),
    },
  ),
  inBoth(
    "char names[3][5]; int count;",
    struct({ names: array(cstring(5), 3), count: i32 }),
    '{ { "a", "", "\\xc3\\xa9ta" }, 3 }',
    { names: ["a", "", "éta"], count: 3 },
  ),
  inBoth(
    "char a; struct s2 b[2]; char c;",
    struct({ a: u8, b: array(message, 2), c: u8 }),
    '{ 1, { { 2, { 3, "x" } }, { 4, { 5, "y" } } }, 6 }',
    {
      a: 1,
      b: [
        { type: 2n, data: { age: 3, name: "x" } },
        { type: 4n, data: { age: 5, name: "y" } },
      ],
      c: 6,
    },
  ),
  inBoth(
    "float a[3]; double b; float c;",
    struct({ a: array(f32, 3), b: f64, c: f32 }),
    "{ { 1, -2, 0.25f }, 3, INFINITY }",
    { a: [1, -2, 0.25], b: 3, c: Infinity },
  ),
  inBoth(
    "struct s3 list[3]; short end;",
    struct({ list: array(tight, 3), end: i16 }),
    "{ { { 1, 2 }, { 3, 4 }, { 5, 6 } }, -7 }",
    { list: [{ a: 1, b: 2n }, { a: 3, b: 4n }, { a: 5, b: 6n }], end: -7 },
  ),
  inBoth(
    "int8_t a; uint16_t b; int32_t c; uint64_t d; pid_t e; time_t f; mode_t g;",
    struct({ a: i8, b: u16, c: i32, d: u64, e: i32, f: i64, g: u32 }),
    "{ -128, 65535, -1, 1, 2, 3, 0600 }",
    { a: -128, b: 65535, c: -1, d: 1n, e: 2, f: 3n, g: 0o600 },
  ),
];

/** Prints a line per struct, then their bytes; then compares with stdin. */
function cProgram(): string {
  const declarations = CASES.map(({ members, attribute, initializer }, n) =>
    `struct s${n} { ${members} } ${attribute};
static const struct s${n} v${n} = ${initializer};`
  );
  const layouts = CASES.map(({ type }, n) => {
    const names = Object.keys(type.offsets);
    const offsets = names.map((name) => `offsetof(struct s${n}, ${name})`);
    const values = [`sizeof v${n}`, `_Alignof(struct s${n})`, ...offsets];
    const format = values.map(() => "%zu").join(" ");
    return `fprintf(stderr, "${format}\\n", ${values.join(", ")});`;
  });
  const exchanges = CASES.map((_, n) =>
    `fwrite(&v${n}, sizeof v${n}, 1, stdout);
  if (fread(buffer, sizeof v${n}, 1, stdin) != 1) return 1;
  if (memcmp(buffer, &v${n}, sizeof v${n}) != 0) return 2;`
  );
  // One struct is read in the way of a C program: member by member.
  return `#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
${declarations.join("\n")}
int main(void) {
  char buffer[4096];
  struct s15 s;
  ${layouts.join("\n  ")}
  ${exchanges.join("\n  ")}
  if (fread(&s, sizeof s, 1, stdin) != 1) return 3;
  fprintf(stderr, "%d %ld %d %s %ld %d %s %d\\n", s.a, s.b[0].type,
    s.b[0].data.age, s.b[0].data.name, s.b[1].type, s.b[1].data.age,
    s.b[1].data.name, s.c);
  return 0;
}
`;
}

/** Compiles a C program and runs it. */
async function runC(source: string, input: Uint8Array<ArrayBuffer>) {
  const child = new Deno.Command(await compileText(source, "-w"), {
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  // The program stops reading at the first struct that differs.
  await new Blob([input]).stream().pipeTo(child.stdin).catch(() => {});
  const { code, stdout, stderr } = await output;
  const lines = new TextDecoder().decode(stderr).trim().split("\n");
  return { code, bytes: stdout, lines };
}

Deno.test({
  name: `struct() agrees with the C compiler${
    noCompiler === null ? "" : ` (ignored: ${noCompiler})`
  }`,
  ignore: noCompiler !== null,
  fn: async () => {
    const encoded = CASES.map(({ type, value }) =>
      type.encode(value as ValueOf<typeof type>)
    );
    const last = encoded[15]!;
    const input = new Blob([...encoded, last]);
    const { code, bytes, lines } = await runC(cProgram(), await input.bytes());

    const layouts = CASES.map(({ type }) =>
      [type.size, type.alignment, ...Object.values(type.offsets)].join(" ")
    );
    assertEquals(lines, [...layouts, "1 2 3 x 4 5 y 6"]);
    let offset = 0;
    for (const [n, { type, value, members }] of CASES.entries()) {
      assertEquals(bytes.subarray(offset, offset + type.size), encoded[n]);
      assertEquals(type.decode(bytes, offset), value, members);
      const view = type.view(bytes, offset);
      assertEquals(type.encode(view), encoded[n], members);
      offset += type.size;
    }
    assertEquals(bytes.length, offset);
    assertEquals(code, 0);
  },
});
