/** Waits for several, streams and generators: what the mechanisms have in common. */
import { pipe, SysvMessageQueue, UnixStream } from "../../../mod.ts";
import type { Arg, Gen, Mechanism } from "../types.ts";
import { anything, bytes, descriptor, wait } from "../values.ts";

const any = descriptor(
  "PipeReader",
  "PipeWriter",
  "UnixStream",
  "UnixListener",
);
const target: Gen = (fuzz): Arg => {
  const arg = any(fuzz);
  if (fuzz.random.chance(0.6)) return arg;
  return { value: { writable: arg.value }, text: `{ writable: ${arg.text} }` };
};
const targets: Gen = (fuzz): Arg => {
  if (fuzz.hostile("types")) return anything(fuzz);
  const all = Array.from(
    { length: fuzz.random.pick([0, 1, 2, 3, 5]) },
    () => target(fuzz),
  );
  const value = all.map((one) => one.value);
  const text = all.map((one) => one.text).join(", ");
  if (!fuzz.hostile("evil")) return { value, text: `[${text}]` };
  const evil = fuzz.evil();
  let calls = 0;
  Object.defineProperty(value, "map", {
    value: (...args: Parameters<typeof Array.prototype.map>) => {
      if (calls++ > 0) evil.run();
      return Array.prototype.map.apply(value, args);
    },
  });
  return { value, text: `[${text}], map: ${evil.text}` };
};
const chunk: Gen = bytes(0, 8, 5000, 100_000);

export const WAIT: Mechanism = {
  functions: {
    waitAny: [targets, wait()],
    waitReadable: [any, wait()],
    waitWritable: [any, wait()],
  },
  classes: {
    ReadableStream: {
      is: (value) => value instanceof ReadableStream,
      make: (fuzz) => {
        const ends = pipe();
        fuzz.keep(ends);
        return ends.reader.readable;
      },
      methods: { getReader: [], cancel: [], tee: [] },
      enders: ["cancel"],
    },
    StreamReader: {
      is: (value) => value instanceof ReadableStreamDefaultReader,
      make: (fuzz) => {
        const ends = pipe();
        fuzz.keep(ends);
        ends.writer.tryWrite(new Uint8Array(100));
        return ends.reader.readable.getReader();
      },
      methods: { read: [], cancel: [], releaseLock: [] },
      enders: ["cancel", "releaseLock"],
    },
    WritableStream: {
      is: (value) => value instanceof WritableStream,
      make: (fuzz) => {
        const [one, other] = UnixStream.pair();
        fuzz.keep([one, other]);
        return one.writable;
      },
      methods: { getWriter: [], abort: [], close: [] },
      enders: ["abort", "close"],
    },
    StreamWriter: {
      is: (value) => value instanceof WritableStreamDefaultWriter,
      make: (fuzz) => {
        const ends = pipe();
        fuzz.keep(ends);
        return ends.writer.writable.getWriter();
      },
      methods: { write: [chunk], abort: [], close: [], releaseLock: [] },
      enders: ["abort", "close", "releaseLock"],
    },
    Generator: {
      is: (value) =>
        Reflect.has(value, Symbol.asyncIterator) &&
        typeof Reflect.get(value, "next") === "function",
      make: (fuzz) => {
        const queue = SysvMessageQueue.create(null);
        fuzz.keep(queue);
        return queue.messages();
      },
      methods: { next: [], return: [] },
      enders: ["return"],
    },
  },
};
