/** Semaphores, POSIX and System V. */
import { MemoryMap, PosixSemaphore, SysvSemaphoreSet } from "../../../mod.ts";
import type { Fuzz } from "../fuzz.ts";
import type { Arg, Gen, Mechanism } from "../types.ts";
import {
  anything,
  bool,
  bytes,
  id,
  integer,
  key,
  lyingBytes,
  name,
  number,
  oneOf,
  options,
  orNull,
  syncWait,
  wait,
} from "../values.ts";

const mode = number(0o600, 0o666, 0, 0o1000);
const count = number(0, 1, 2, 70, 0x7fff_ffff);
const sysvCount = number(0, 1, 2, 70, 32767);
const index = number(0, 1, 2, 0, 0);
const operation: Gen = (fuzz): Arg => {
  const place = index(fuzz);
  const change = number(1, -1, 0, 2, -2)(fuzz);
  const value = {
    index: place.value,
    delta: change.value,
    undo: fuzz.random.chance(0.3),
  };
  const text = `${place.text}: ${change.text}`;
  if (!fuzz.hostile("evil")) return { value, text };
  const evil = fuzz.evil();
  Object.defineProperty(value, "delta", {
    get() {
      evil.run();
      return change.value;
    },
  });
  return { value, text: `${text}, ${evil.text}` };
};
const operations: Gen = (fuzz) => {
  if (fuzz.hostile("types")) return anything(fuzz);
  const all = Array.from(
    { length: fuzz.random.int(0, 3) },
    () => operation(fuzz),
  );
  return {
    value: all.map((one) => one.value),
    text: `[${all.map((one) => one.text).join(", ")}]`,
  };
};
const values = oneOf([0], [1, 2, 3], [70], [], [-1], [32768], [1.5]);

// Memory that has a semaphore in it and is used for nothing else: the C library
// ends the process when a semaphore has been overwritten.
const dedicated = new WeakSet<object>();

function semaphoreMemory(fuzz: Fuzz): MemoryMap {
  const map = MemoryMap.anonymous(4096);
  dedicated.add(map);
  fuzz.keep(map);
  return map;
}

const place: Gen = (fuzz) => {
  if (fuzz.random.chance(0.3)) {
    return fuzz.valid(() => bytes(32, 64, 8)(fuzz)); // of no mapping
  }
  const { bytes: all } = semaphoreMemory(fuzz);
  const begin = fuzz.random.pick([0, 8, 4]);
  const value = all.subarray(begin, begin + fuzz.random.pick([32, 64, 8]));
  if (fuzz.hostile("lies")) return lyingBytes(fuzz, value);
  return { value, text: `memory.subarray(${begin}, ${begin + value.length})` };
};

export const SEMAPHORE: Mechanism = {
  classes: {
    PosixSemaphore: {
      make: (fuzz) => {
        const { random } = fuzz;
        const value = random.pick([0, 1, 3]);
        if (random.chance(0.5)) {
          return PosixSemaphore.create(fuzz.name(), value);
        }
        return PosixSemaphore.init(semaphoreMemory(fuzz).bytes, value);
      },
      statics: {
        create: [orNull(name), count, options({ mode })],
        open: [name],
        openOrCreate: [name, count, options({ mode })],
        unlink: [name],
        list: [],
        init: [place, count],
        at: [place],
      },
      methods: {
        acquireSync: [syncWait()],
        tryAcquire: [],
        acquire: [wait()],
        release: [],
        close: [],
        "@@dispose": [],
      },
      enders: ["close", "@@dispose"],
      getters: ["value", "name"],
      construct: [orNull(name), oneOf(0n, 8n, 4096n, -1n, null), anything],
    },
    SemaphoreMemory: {
      is: (value) => dedicated.has(value),
      make: semaphoreMemory,
      methods: { close: [], resize: [number(4096, 8192)], moveTo: [number(0)] },
      enders: ["close", "resize"],
    },
    SysvSemaphoreSet: {
      make: ({ random }) =>
        SysvSemaphoreSet.create(null, random.pick([[0], [1, 2, 3], [5, 0]])),
      statics: {
        create: [orNull(key), values, options({ mode })],
        open: [key, syncWait({ untouched: bool })],
        openOrCreate: [key, values, syncWait({ mode, untouched: bool })],
        fromId: [id("SysvSemaphoreSet")],
        list: [],
      },
      methods: {
        operateSync: [operations, syncWait()],
        tryOperate: [operations],
        operate: [operations, wait()],
        semaphore: [index, options({ undo: bool })],
        getAll: [],
        setAll: [values],
        getValue: [index],
        setValue: [index, sysvCount],
        lastPid: [index],
        waiters: [index],
        stat: [],
        change: [options({ mode })],
        remove: [],
        close: [],
        "@@dispose": [],
      },
      enders: ["close", "remove", "@@dispose"],
      getters: ["id", "size"],
      construct: [anything],
    },
    SysvSemaphore: {
      make: (fuzz) => {
        const set = SysvSemaphoreSet.create(null, [2, 0]);
        fuzz.keep(set);
        return set.semaphore(fuzz.random.int(0, 1));
      },
      methods: {
        acquireSync: [syncWait()],
        tryAcquire: [],
        acquire: [wait()],
        release: [],
      },
      getters: ["value", "index"],
      construct: [anything, integer(0, 2), anything],
    },
  },
};
