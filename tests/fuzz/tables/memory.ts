/** Shared memory and memory maps. */
import {
  i32,
  MemoryFile,
  MemoryMap,
  PosixSharedMemory,
  SequenceBytes,
  SequenceCell,
  struct,
  SysvSharedMemory,
} from "../../../mod.ts";
import type { Arg, ClassTable, Gen, Mechanism } from "../types.ts";
import {
  anything,
  bool,
  bytes,
  callback,
  foreignFd,
  id,
  integer,
  key,
  lentFd,
  maybe,
  name,
  number,
  offset,
  one,
  oneOf,
  options,
  orNull,
  path,
  size,
  syncWait,
  wait,
} from "../values.ts";

const mode = number(0o600, 0o666, 0, 0o1000);
const pair = struct({ a: i32, b: i32 });
const layout: Gen = (fuzz) =>
  fuzz.hostile("types") ? anything(fuzz) : { value: pair, text: "pair" };
const pairValue: Gen = (fuzz) => {
  if (!fuzz.hostile("evil")) return { value: { a: 1, b: 1 }, text: "{ a, b }" };
  const evil = fuzz.evil();
  return {
    value: {
      a: 1,
      get b() {
        evil.run();
        return 1;
      },
    },
    text: `{ a, get b: ${evil.text} }`,
  };
};
const range = { offset, length: number(1, 8, 4096, 8192, 0) };
const target: Gen = (fuzz): Arg =>
  fuzz.random.chance(0.5) ? number(0, 1, 8, 64, 4096)(fuzz) : bytes()(fuzz);
const search: Gen = (fuzz): Arg =>
  fuzz.random.chance(0.5) ? integer(0, 255)(fuzz) : bytes(0, 1, 2, 8)(fuzz);
const resizing = options({ shrink: bool, reserve: bool });
const word = number(0, 1, -1, 2 ** 31, 2 ** 32 - 1);

/** What all memory has. */
const common: ClassTable["methods"] = {
  view: [offset, layout],
  read: [offset, target],
  write: [offset, bytes()],
  indexOf: [search, maybe(offset)],
  notify: [offset, maybe(number(0, 1, 5))],
  wait: [offset, word, wait()],
  waitSync: [offset, word, syncWait()],
  advise: [oneOf("normal", "cold", "pageout", "dontdump", "x"), options(range)],
  populate: [options(range)],
  lock: [options(range)],
  unlock: [options(range)],
  residency: [options(range)],
  share: [],
  close: [],
  "@@dispose": [],
};
const getters = ["byteLength", "bytes", "atomics"];

export const MEMORY: Mechanism = {
  classes: {
    Memory: {
      make: (fuzz) => {
        const map = MemoryMap.anonymous(4096);
        fuzz.keep(map);
        return map.share();
      },
      statics: { adopt: [one("MemoryHandle")] },
      methods: common,
      enders: ["close", "@@dispose"],
      getters,
      construct: [anything],
    },
    MemoryHandle: {
      is: (value) => Object.hasOwn(value, "address"),
      make: (fuzz) => {
        const map = MemoryMap.anonymous(4096);
        fuzz.keep(map);
        return map.share();
      },
      methods: {},
      getters: ["address", "length", "state"],
    },
    MemoryFile: {
      make: () => MemoryFile.create("fuzz", 4096),
      statics: {
        create: [oneOf("a", ""), size, options({ hugePages: bool })],
        fromFd: [foreignFd("MemoryFile"), options({ seals: oneOf([]) })],
      },
      methods: {
        seal: [oneOf([], ["shrink"], ["grow"], ["write"], ["x"], ["seal"])],
        resize: [size, resizing],
        map: [options({ ...range, private: bool, readonly: bool })],
        inherit: [callback(1)],
        close: [],
        "@@dispose": [],
      },
      enders: ["close", "@@dispose", "seal"],
      getters: ["fd", "size", "seals"],
      construct: [anything],
    },
    MemoryMap: {
      make: (fuzz) => {
        const { random } = fuzz;
        const resizable = random.chance(0.6);
        return MemoryMap.create(fuzz.path(), random.pick([4096, 10_000]), {
          resizable,
        });
      },
      statics: {
        open: [
          path,
          options({
            ...range,
            private: bool,
            readonly: bool,
            resizable: bool,
            populate: bool,
          }),
        ],
        fromFd: [
          lentFd("MemoryFile", "PosixSharedMemory"),
          options({ ...range, private: bool, readonly: bool, resizable: bool }),
        ],
        create: [path, size, options({ mode, reserve: bool, resizable: bool })],
        anonymous: [size, options({ private: bool, populate: bool })],
      },
      methods: {
        ...common,
        resize: [size, resizing],
        append: [bytes()],
        moveTo: [offset, maybe(number(1, 4096, 8192))],
        flush: [options(range)],
        flushSync: [options(range)],
      },
      enders: ["close", "@@dispose", "resize"],
      getters: [...getters, "size"],
      construct: [anything, anything, anything],
    },
    PosixSharedMemory: {
      make: (fuzz) => PosixSharedMemory.create(fuzz.name(), 4096),
      statics: {
        create: [orNull(name), size, options({ mode, reserve: bool })],
        open: [
          name,
          options({
            ...range,
            private: bool,
            readonly: bool,
            populate: bool,
            timeout: number(0, 1, 5),
          }),
        ],
        openOrCreate: [name, size, options({ mode, reserve: bool })],
        fromFd: [
          foreignFd("PosixSharedMemory"),
          options({ ...range, private: bool, readonly: bool }),
        ],
        list: [],
        unlink: [name],
      },
      methods: {
        ...common,
        stat: [],
        resize: [size, resizing],
        inherit: [callback(1)],
      },
      enders: ["close", "@@dispose", "resize"],
      getters: [...getters, "fd", "size", "name"],
      construct: [name, anything, anything, anything],
    },
    SysvSharedMemory: {
      make: () => SysvSharedMemory.create(null, 4096),
      statics: {
        create: [orNull(key), size, options({ mode })],
        open: [key, options({ size, readonly: bool })],
        openOrCreate: [key, size, options({ mode })],
        fromId: [id("SysvSharedMemory"), options({ size, readonly: bool })],
        list: [],
      },
      methods: {
        ...common,
        stat: [],
        change: [options({ mode })],
        lockSegment: [],
        unlockSegment: [],
        remove: [],
      },
      enders: ["close", "@@dispose", "remove"],
      getters: [...getters, "id"],
      construct: [id("SysvSharedMemory"), anything, anything],
    },
    SequenceBytes: {
      make: (fuzz) => {
        const map = MemoryMap.anonymous(4096);
        fuzz.keep(map);
        return new SequenceBytes(map, 64, 8);
      },
      statics: { size: [number(0, 1, 8, 4096)] },
      methods: {
        write: [bytes(0, 7, 8)],
        tryRead: [options({ buffer: bytes(0, 7, 8) })],
        readSync: [syncWait({ buffer: bytes(0, 7, 8) })],
        read: [wait({ buffer: bytes(0, 7, 8) })],
        changed: [number(0, 1, 2, 2 ** 32 - 1), wait()],
      },
      getters: ["sequence", "byteLength"],
      construct: [
        one("MemoryMap", "SysvSharedMemory", "Memory"),
        offset,
        number(0, 1, 8, 4096),
      ],
    },
    SequenceCell: {
      make: (fuzz) => {
        const map = MemoryMap.anonymous(4096);
        fuzz.keep(map);
        return new SequenceCell(map, 64, pair);
      },
      statics: { size: [layout] },
      methods: {
        write: [pairValue],
        tryRead: [],
        readSync: [syncWait()],
        read: [wait()],
        changed: [number(0, 1, 2, 2 ** 32 - 1), wait()],
      },
      getters: ["sequence"],
      construct: [
        one("MemoryMap", "SysvSharedMemory", "Memory"),
        offset,
        layout,
      ],
    },
  },
};
