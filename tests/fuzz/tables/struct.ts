/** Layouts of C structs, and live views of bytes. */
import {
  array,
  bytes as field,
  cstring,
  i32,
  i64,
  struct,
  u8,
} from "../../../mod.ts";
import type { Gen, Mechanism } from "../types.ts";
import { anything, bytes, maybe, number, oneOf, show } from "../values.ts";

const LAYOUT = struct({
  a: i32,
  b: i64,
  text: cstring(8),
  raw: field(4),
  list: array(i32, 3),
  inner: struct({ x: u8 }),
});
const VALUE = {
  a: 1,
  b: 2n,
  text: "abc",
  raw: new Uint8Array(4),
  list: [1, 2, 3],
  inner: { x: 1 },
};

const value: Gen = (fuzz) => {
  if (fuzz.hostile("types")) return anything(fuzz);
  if (!fuzz.hostile("evil")) return { value: VALUE, text: "value" };
  const evil = fuzz.evil();
  const name = fuzz.random.pick(Object.keys(VALUE)) as keyof typeof VALUE;
  const lie = fuzz.random.pick<unknown>([VALUE[name], null, 2 ** 40, {}]);
  const own = Object.defineProperty({ ...VALUE }, name, {
    get() {
      evil.run();
      return lie;
    },
  });
  return { value: own, text: `value, get ${name}: ${show(lie)}, ${evil.text}` };
};
const place = maybe(number(0, 1, 8, 64));
const type: Gen = (fuzz) =>
  fuzz.hostile("types") ? anything(fuzz) : { value: i32, text: "i32" };

export const STRUCT: Mechanism = {
  functions: {
    array: [type, number(0, 1, 10)],
    bytes: [number(0, 1, 100)],
    cstring: [number(0, 1, 100)],
    struct: [
      oneOf({ a: i32 }, {}, { a: null }),
      maybe(oneOf({ packed: true })),
    ],
  },
  classes: {
    Struct: {
      is: (value) =>
        Object.hasOwn(value, "offsets") && Object.hasOwn(value, "size"),
      make: () => LAYOUT,
      methods: {
        encode: [value],
        decode: [bytes(64, 100, 8), place],
        write: [bytes(64, 100, 8), value, place],
        view: [bytes(64, 100, 8), place],
      },
      getters: ["name", "size", "alignment", "offsets"],
    },
  },
};
