/** Unions, big-endian numbers and enumerations, held against the C compiler. */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import {
  array,
  bigEndian,
  bits,
  bool,
  bytes,
  cstring,
  type CType,
  enumeration,
  f32,
  f64,
  i16,
  i32,
  i64,
  i8,
  struct,
  u16,
  u32,
  u64,
  u8,
  union,
  type ValueOf,
} from "../ffi/struct.ts";
import { noCompiler, runC } from "./support/c.ts";
import { leakTest } from "./support/leaks.ts";

const point = struct({ x: i16, y: f64 });

const payload = union({
  number: i32,
  text: cstring(9),
  point,
  numbers: array(u16, 3),
  flags: bits(u8, 3),
});

const message = struct({ kind: u8, payload, end: u8 });

const PROGRAM = `
  #include <stdint.h>
  #include <stdio.h>
  #include <string.h>
  struct point { int16_t x; double y; };
  union payload {
    int32_t number; char text[9]; struct point point; uint16_t numbers[3];
    unsigned char flags : 3;
  };
  struct message { uint8_t kind; union payload payload; uint8_t end; };
  union odd { char text[5]; short number; };
  union packed { char text[5]; long number; } __attribute__((packed));
  union bits { unsigned flag : 1; char text; };
  enum state { idle, running, failed = 99 };
  enum level { low = -1, high = 1 };
  enum __attribute__((packed)) tiny { one = 1, most = 255 };
  struct enums { char c; enum state state; enum level level; enum tiny tiny; };
  struct big { uint16_t a; int32_t b; uint64_t c; float d; double e; uint16_t f[2]; };
  static void swap(void *bytes, size_t size) {
    for (char *low = bytes, *high = low + size - 1; low < high; low++, high--) {
      char byte = *low;
      *low = *high;
      *high = byte;
    }
  }
  #define SWAP(field) swap(&value.field, sizeof value.field)
  static void show(const void *bytes, size_t size, size_t alignment) {
    printf("%zu %zu ", size, alignment);
    for (size_t i = 0; i < size; i++) {
      printf("%02x", ((const unsigned char *) bytes)[i]);
    }
    puts("");
  }
  #define SHOW(type, ...) do { \\
    type value; \\
    memset(&value, 0, sizeof value); \\
    __VA_ARGS__; \\
    show(&value, sizeof value, _Alignof(type)); \\
  } while (0)
  int main(void) {
    SHOW(struct message, value.kind = 1; value.payload.number = -2; value.end = 3);
    SHOW(struct message, strcpy(value.payload.text, "8 bytes!"));
    SHOW(struct message, value.payload.point.x = 5; value.payload.point.y = 1.5);
    SHOW(struct message, value.payload.numbers[2] = 513);
    SHOW(struct message, value.payload.flags = 5);
    SHOW(union odd, value.number = 258);
    SHOW(union packed, value.number = 258);
    SHOW(union bits, value.flag = 1);
    SHOW(struct enums, value.state = failed; value.level = low; value.tiny = most);
    SHOW(struct big, value.a = 258; value.b = -2; value.c = 0x0102030405060708;
      value.d = 1.5f; value.e = -0.1; value.f[0] = 1; value.f[1] = 2;
      SWAP(a); SWAP(b); SWAP(c); SWAP(d); SWAP(e); SWAP(f[0]); SWAP(f[1]));
    return 0;
  }
`;

const enums = struct({
  c: i8,
  state: enumeration({ idle: 0, running: 1, failed: 99 }),
  level: enumeration({ low: -1, high: 1 }),
  tiny: enumeration({ one: 1, most: 255 }, u8),
});

const big = struct({
  a: bigEndian(u16),
  b: bigEndian(i32),
  c: bigEndian(u64),
  d: bigEndian(f32),
  e: bigEndian(f64),
  f: array(bigEndian(u16), 2),
});

leakTest("union(), enumeration() and bigEndian() agree with the C compiler", {
  needs: [noCompiler],
}, async () => {
  const odd = union({ text: bytes(5), number: i16 });
  const packed = union({ text: bytes(5), number: i64 }, { packed: true });
  const flag = union({ flag: bits(u32, 1), text: i8 });
  const none = { kind: 0, end: 0 };
  const values = {
    a: 258,
    b: -2,
    c: 0x0102030405060708n,
    d: 1.5,
    e: -0.1,
    f: [1, 2],
  };
  const state = { c: 0, state: "failed", level: "low", tiny: "most" } as const;
  const told: [CType<unknown>, Uint8Array][] = [
    [message, message.encode({ kind: 1, payload: { number: -2 }, end: 3 })],
    [message, message.encode({ ...none, payload: { text: "8 bytes!" } })],
    [
      message,
      message.encode({ ...none, payload: { point: { x: 5, y: 1.5 } } }),
    ],
    [message, message.encode({ ...none, payload: { numbers: [0, 0, 513] } })],
    [message, message.encode({ ...none, payload: { flags: 5 } })],
    [odd, odd.encode({ number: 258 })],
    [packed, packed.encode({ number: 258n })],
    [flag, flag.encode({ flag: 1 })],
    [enums, enums.encode(state)],
    [big, big.encode(values)],
  ] as [CType<unknown>, Uint8Array<ArrayBuffer>][];
  assertEquals(
    told.map(([type, bytes]) => {
      const hex = Array.from(
        bytes,
        (byte) => byte.toString(16).padStart(2, "0"),
      );
      return `${type.size} ${type.alignment} ${hex.join("")}`;
    }),
    (await runC(PROGRAM)).trimEnd().split("\n"),
  );
  assertEquals(enums.decode(told[8]![1]), state);
  assertEquals(big.decode(told[9]![1]), values);
});

leakTest("union() writes back what was read, all bytes of it", () => {
  const bytes = new Uint8Array(message.size).map((_, index) => index + 1);
  const value = message.decode(bytes);
  const { kind, payload: read, end } = value;
  assertEquals([kind, read.number, end], [1, 0x0c0b0a09, 25]);
  const again = message.encode(value);
  assertEquals(again.subarray(8, 24), bytes.subarray(8, 24));
  assertEquals(payload.encode(message.view(bytes).payload), bytes.slice(8, 24));
  assertThrows(() => (read as { number: number }).number = 1, TypeError);
  // Values with the same bytes are equal, others are not.
  assertEquals(message.decode(again).payload, read);
  bytes[8]!++;
  assertNotEquals(message.decode(bytes).payload, read);
});

leakTest("union() has live members", () => {
  const bytes = new Uint8Array(message.size).fill(0xff);
  const view = message.view(bytes);
  view.payload.number = 7;
  assertEquals(bytes.subarray(8, 14), Uint8Array.of(7, 0, 0, 0, 0xff, 0xff));
  view.payload.point.x = 9;
  assertEquals([view.payload.number, view.payload.flags], [9, 1]);
  view.payload = { flags: 2 } as ValueOf<typeof payload>;
  assertEquals(bytes.subarray(8, 24), Uint8Array.of(2, ...new Uint8Array(15)));
  const numbers = { number: 2, text: "\x02", point: { x: 2, y: 0 } };
  const all = { ...numbers, numbers: [2, 0, 0], flags: 2 };
  assertEquals(JSON.parse(JSON.stringify(view.payload)), all);
  assert(Deno.inspect(view.payload).includes("number: 2"));
});

leakTest("union() takes one member", () => {
  const bytes = payload.encode({ number: 5 });
  const refused: [unknown, ErrorConstructor, string][] = [
    [
      {},
      TypeError,
      "expected one member of number, text, point, numbers, flags, got none",
    ],
    [{ number: 1, text: "" }, TypeError, "got number, text"],
    [{ other: 1 }, TypeError, "got other"],
    [{ ...payload.decode(bytes) }, TypeError, "got number, text, point"],
    [union({ number: i32 }).decode(bytes), TypeError, "is missing"],
    [null, TypeError, "expected an object (union), got null"],
    [5, TypeError, "got a number"],
    [{ number: 2 ** 31 }, RangeError, "field 'number'"],
  ];
  refused.splice(4, 1);
  for (const [value, type, text] of refused) {
    assertThrows(() => payload.write(bytes, value as never), type, text);
  }
  assertEquals(payload.decode(bytes).number, 5);
  assertThrows(() => union({}), TypeError);
});

leakTest("enumeration() knows names and numbers", () => {
  const level = enumeration({ low: -1, none: 0, zero: 0, high: 1 });
  const type = struct({ level });
  const encoded = type.encode({ level: "zero" });
  assertEquals(type.decode(encoded).level, "none");
  assertEquals(type.decode(type.encode({ level: 5 })).level, 5);
  const bad = (level: unknown) => () => type.encode({ level } as never);
  assertThrows(bad("toString"), RangeError, '"toString" is none of low, none');
  assertThrows(bad(2 ** 31), RangeError, "int32_t");
  assertThrows(bad(1n), TypeError, "a name or a number");
  const declare = enumeration as (...args: unknown[]) => unknown;
  assertThrows(() => declare({}), TypeError, "without names");
  assertThrows(() => declare({ a: 256 }, u8), RangeError, "field 'a'");
  assertThrows(() => declare({ a: 0.5 }), RangeError, "field 'a'");
  for (const type of [u64, f32, bool, cstring(4), {}]) {
    assertThrows(() => declare({ a: 1 }, type), TypeError, "such as i32");
  }
  const network = struct({ kind: enumeration({ ping: 1 }, bigEndian(u16)) });
  assertEquals(network.encode({ kind: "ping" }), Uint8Array.of(0, 1));
});

leakTest("bigEndian() takes number types", () => {
  assertEquals(bigEndian(u8), u8);
  assertEquals(bigEndian(bool), bool);
  assertEquals(bigEndian(i64).name, "int64_t (big-endian)");
  const declare = bigEndian as (type: unknown) => unknown;
  for (const type of [bigEndian(u16), cstring(2), array(u16, 2), point, 1]) {
    assertThrows(() => declare(type), TypeError, "such as u32");
  }
  const type = struct({ a: bigEndian(i16) });
  assertThrows(() => type.encode({ a: 2 ** 15 }), RangeError, "int16_t");
});
