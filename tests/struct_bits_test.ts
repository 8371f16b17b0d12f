/** Bit-fields: their layout and values, held against those of the C compiler. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  array,
  bigEndian,
  bits,
  bool,
  cstring,
  type CType,
  enumeration,
  f32,
  type Fields,
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
} from "../ffi/struct.ts";
import { leakTest } from "./support/leaks.ts";
import { noCompiler, runC } from "./support/c.ts";

/** A type, and what C calls it. */
interface Named {
  readonly type: CType<unknown>;
  readonly c: string;
  readonly width: number;
  readonly signed: boolean;
}

const color = enumeration({ red: 0, green: 1, blue: 7 });

const TYPES: readonly Named[] = [
  { type: i8, c: "signed char", width: 8, signed: true },
  { type: u8, c: "unsigned char", width: 8, signed: false },
  { type: i16, c: "signed short", width: 16, signed: true },
  { type: u16, c: "unsigned short", width: 16, signed: false },
  { type: i32, c: "signed int", width: 32, signed: true },
  { type: u32, c: "unsigned", width: 32, signed: false },
  { type: i64, c: "signed long", width: 64, signed: true },
  { type: u64, c: "unsigned long", width: 64, signed: false },
  { type: bool, c: "_Bool", width: 1, signed: false },
  { type: color, c: "enum color", width: 32, signed: false },
];

/** Numbers that look random, and are the same in each run. */
function* numbers(): Generator<number, never> {
  for (let state = 20261128;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state >>> 8;
  }
}

/** A declaration in both languages, with values for it. */
interface Case {
  readonly fields: Fields;
  readonly packed: boolean;
  readonly values: Record<string, unknown>;
  /** The members in C. */
  readonly members: string[];
  /** What C assigns. */
  readonly assigned: string[];
}

/** A value that fits, in JavaScript and in C. */
function valueFor(
  { type, width, signed }: Named,
  bitWidth: number,
  pick: (count: number) => number,
): { value: unknown; c: string } {
  if (width === 1) {
    const value = pick(2) === 1;
    return { value, c: `${Number(value)}` };
  }
  const min = signed ? -(2n ** BigInt(bitWidth - 1)) : 0n;
  const max = min + 2n ** BigInt(bitWidth) - 1n;
  const random = BigInt(pick(2 ** 24)) * 2n ** 40n +
    BigInt(pick(2 ** 24)) * 2n ** 20n + BigInt(pick(2 ** 20));
  const extremes = [min, max, min + random % 2n ** BigInt(bitWidth)];
  const exact = extremes[pick(3)]!;
  const text = exact < 0n
    ? `(long) (${exact + 1n}l - 1)`
    : `${exact}${signed ? "l" : "ul"}`;
  const value = type === i64 || type === u64 ? exact : Number(exact);
  const name = ["red", "green"][Number(exact)] ??
    (exact === 7n ? "blue" : undefined);
  return { value: type === color ? name ?? value : value, c: text };
}

function makeCase(pick: (count: number) => number): Case {
  const fields: Record<string, CType<unknown>> = {};
  const members: string[] = [];
  const assigned: string[] = [];
  const values: Record<string, unknown> = {};
  const count = 1 + pick(7);
  for (let index = 0; index < count; index++) {
    const name = `f${index}`;
    const named = TYPES[pick(TYPES.length)]!;
    const kind = pick(8);
    const least = named.type === color ? 3 : 1;
    const width = kind < 2
      ? named.width
      : Math.max(least, 1 + pick(named.width));
    const isField = kind >= 2;
    const type = isField ? bits(named.type, width) : named.type;
    const suffix = isField ? `: ${width}` : "";
    const { value, c } = valueFor(named, width, pick);
    if (kind === 7) {
      fields[name] = union({ other: u8, member: type }) as CType<unknown>;
      members.push(
        `union { unsigned char other; ${named.c} member${suffix}; } ${name};`,
      );
      assigned.push(`${name}.member = ${c};`);
      values[name] = { member: value };
    } else {
      fields[name] = type;
      members.push(`${named.c} ${name}${suffix};`);
      assigned.push(`${name} = ${c};`);
      values[name] = value;
    }
  }
  return { fields, packed: pick(4) === 0, values, members, assigned };
}

/** A program that prints size, alignment and bytes of each struct. */
function program(cases: readonly Case[]): string {
  const structs = cases.map(({ members, packed, assigned }, index) => `
    static void show${index}(void) {
      struct s { ${members.join(" ")} } ${
    packed ? "__attribute__((packed))" : ""
  } s;
      memset(&s, 0, sizeof s);
      ${assigned.map((text) => `s.${text}`).join("\n      ")}
      show(&s, sizeof s, _Alignof(struct s));
    }`);
  return `#include <stdio.h>
    #include <string.h>
    enum color { red, green, blue = 7 };
    static void show(const void *bytes, size_t size, size_t alignment) {
      printf("%zu %zu ", size, alignment);
      for (size_t i = 0; i < size; i++) {
        printf("%02x", ((const unsigned char *) bytes)[i]);
      }
      puts("");
    }
    ${structs.join("")}
    int main(void) {
      ${cases.map((_, index) => `show${index}();`).join(" ")}
      return 0;
    }`;
}

leakTest("bits() agrees with the C compiler", {
  needs: [noCompiler],
}, async () => {
  const random = numbers();
  const pick = (count: number) => random.next().value % count;
  const cases = Array.from({ length: 500 }, () => makeCase(pick));
  const lines = (await runC(program(cases))).trimEnd().split("\n");
  assertEquals(lines.length, cases.length);
  for (const [index, { fields, packed, values, members }] of cases.entries()) {
    const type = struct(fields, { packed });
    const bytes = type.encode(values);
    const text = `${type.size} ${type.alignment} ${bytes.toHex()}`;
    const about = `${packed ? "packed " : ""}${members.join(" ")} of ${
      Deno.inspect(values)
    }`;
    assertEquals(text, lines[index], about);
    // What was written is read, and written back as it was.
    const decoded = type.decode(bytes) as Record<string, unknown>;
    for (const [name, value] of Object.entries(values)) {
      const member = Object(value) === value
        ? { member: (decoded[name] as { member: unknown }).member }
        : decoded[name];
      assertEquals(member, value, about);
    }
    assertEquals(type.encode(decoded), bytes, about);
    assertEquals(type.encode(type.view(bytes)), bytes, about);
    // A write of each field changes no other one.
    const filled = new Uint8Array(type.size).fill(0xff);
    const view = type.view(filled) as Record<string, unknown>;
    for (const [name, value] of Object.entries(values)) view[name] = value;
    for (const [name, value] of Object.entries(decoded)) {
      assertEquals(type.decode(filled)[name], value, about);
    }
  }
});

leakTest("bits() refuses what does not fit, and changes nothing", () => {
  const type = struct({
    a: bits(u8, 3),
    b: bits(i8, 3),
    c: bits(bool, 1),
    d: bits(u64, 40),
    e: bits(i64, 40),
  });
  const bytes = new Uint8Array(type.size).fill(0xa5);
  const view = type.view(bytes);
  const refused: [string, unknown, string][] = [
    ["a", 8, "Cannot write field 'a': 8 does not fit in uint8_t:3"],
    ["a", -1, "-1 is not an integer from 0 to 255 (uint8_t)"],
    ["a", 256, "256 is not"],
    ["b", 4, "4 does not fit in int8_t:3"],
    ["b", -5, "-5 does not fit in int8_t:3"],
    ["d", 2n ** 40n, "1099511627776 does not fit in uint64_t:40"],
    ["e", 2n ** 39n, "549755813888 does not fit in int64_t:40"],
    ["e", -(2n ** 39n) - 1n, "-549755813889 does not fit"],
  ];
  for (const [name, value, message] of refused) {
    const set = () => (view as Record<string, unknown>)[name] = value;
    assertThrows(set, RangeError, message);
  }
  for (const [name, value] of [["a", 1n], ["c", 1], ["d", 1], ["e", "1"]]) {
    const set = () => (view as Record<string, unknown>)[name as string] = value;
    assertThrows(set, TypeError, `field '${name}'`);
  }
  assertEquals(bytes, new Uint8Array(type.size).fill(0xa5));
});

leakTest("bits() refuses what C has not", () => {
  for (const width of [0, -1, 9, 1.5, NaN, "1", undefined]) {
    assertThrows(() => bits(u8, width as number), RangeError, "1 to 8");
  }
  assertThrows(() => bits(bool, 2), RangeError, "from 1 to 1 (bool)");
  const types = [
    f32,
    cstring(4),
    struct({ a: u8 }),
    bigEndian(u16),
    bits(u8, 1),
  ];
  for (const type of types as CType<number>[]) {
    assertThrows(() => bits(type, 1), TypeError, "not an integer type of C");
  }
  assertThrows(() => bits(8 as never, 1), TypeError, "a bit-field");
  assertThrows(() => array(bits(u8, 1), 2), TypeError, "bit-fields");
});
