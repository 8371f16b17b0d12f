// A C struct, in JavaScript.

import { cstring, i16, struct } from "@linux/ipc/struct";

const human = struct({ age: i16, name: cstring(20) });
const value = { age: 80, name: "ghkim" };
const bytes = human.encode(value);
const view = human.view(bytes);
const data = new DataView(bytes.buffer);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

{
  const group = "struct: bytes from values";
  Deno.bench("DataView by hand", { group, baseline: true }, () => {
    const made = new Uint8Array(22);
    new DataView(made.buffer).setInt16(0, value.age, true);
    encoder.encodeInto(value.name, made.subarray(2));
  });
  Deno.bench("encode", { group }, () => {
    human.encode(value);
  });
  Deno.bench("write", { group }, () => {
    human.write(bytes, value);
  });
}

{
  const group = "struct: values from bytes";
  Deno.bench("DataView by hand", { group, baseline: true }, () => {
    const end = bytes.indexOf(0, 2);
    const name = decoder.decode(bytes.subarray(2, end));
    return void { age: data.getInt16(0, true), name };
  });
  Deno.bench("decode", { group }, () => {
    human.decode(bytes);
  });
}

{
  const group = "struct: one number in place";
  Deno.bench("DataView", { group, baseline: true }, () => {
    data.setInt16(0, data.getInt16(0, true) ^ 1, true);
  });
  Deno.bench("view", { group }, () => {
    view.age ^= 1;
  });
}
