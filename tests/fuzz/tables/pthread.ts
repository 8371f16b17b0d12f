/** The locks of C in shared memory, whose bytes other programs overwrite. */
import {
  MemoryFile,
  MemoryMap,
  PthreadBarrier,
  PthreadCondition,
  PthreadMutex,
  PthreadRwLock,
} from "../../../mod.ts";
import type { Fuzz } from "../fuzz.ts";
import type { Arg, ClassTable, Gen, Mechanism } from "../types.ts";
import {
  anything,
  bool,
  bytes,
  callback,
  number,
  one,
  oneOf,
  options,
  syncWait,
  wait,
} from "../values.ts";

const SIZE = 8192;

// Memory that has nothing else in it.
const dedicated = new WeakSet<object>();

function newMemory(fuzz: Fuzz): MemoryMap {
  let map;
  if (fuzz.random.chance(0.5)) map = MemoryMap.anonymous(SIZE);
  else {
    const file = MemoryFile.create("fuzz", SIZE);
    map = MemoryMap.fromFd(file.fd, { resizable: true });
    file.close();
  }
  dedicated.add(map);
  fuzz.keep(map);
  return map;
}

function memoryOf(fuzz: Fuzz): MemoryMap {
  const present = fuzz.existing(["PthreadMemory"]);
  return present === undefined || fuzz.random.chance(0.3)
    ? newMemory(fuzz)
    : present.value as MemoryMap;
}

// Few places, so that objects are at the same ones: at the end of a page, across two.
const PLACES = [0, 64, 128, 4032, 4056, 4064, 4088];
const offset = number(...PLACES, 4, SIZE - 8);
const memory = one("PthreadMemory", "PthreadMemory", "MemoryMap");
const type = oneOf("normal", "recursive", "errorcheck", "adaptive");
const mutexOptions = { type, robust: bool, inheritPriority: bool };

interface Kind {
  init(memory: MemoryMap, offset: number): unknown;
}

const made = (kind: Kind) => (fuzz: Fuzz) => {
  const { random } = fuzz;
  const map = memoryOf(fuzz);
  return kind.init(map, random.pick(PLACES.slice(0, 4)));
};

const guard: Gen = (fuzz): Arg =>
  fuzz.existing(["PthreadGuard"]) ?? anything(fuzz);

const common: Pick<ClassTable, "construct"> = { construct: [anything, offset] };
const release = { release: [], "@@dispose": [] };

export const PTHREAD: Mechanism = {
  classes: {
    PthreadMemory: {
      is: (value) => dedicated.has(value),
      make: newMemory,
      methods: {
        write: [offset, bytes(1, 4, 8, 40, 64)],
        fill: [number(0, 1, 255), options({ offset, length: number(4, 64) })],
        close: [],
        resize: [number(4096, 8192, 12288), options({ shrink: bool })],
      },
      enders: ["close", "resize"],
    },
    PthreadMutex: {
      ...common,
      make: (fuzz) => {
        const { random } = fuzz;
        return PthreadMutex.init(memoryOf(fuzz), random.pick(PLACES), {
          type: random.pick(["normal", "recursive", "errorcheck"]),
          robust: random.chance(0.7),
          inheritPriority: random.chance(0.3),
        });
      },
      statics: {
        init: [memory, offset, options(mutexOptions)],
        at: [memory, offset],
      },
      methods: { lockSync: [syncWait()], tryLock: [], lock: [wait()] },
      getters: ["type", "robust", "inheritsPriority", "ownerTid"],
    },
    PthreadGuard: {
      is: (value) => Reflect.has(value, "ownerDied"),
      make: () => undefined,
      methods: { ...release, markConsistent: [] },
      getters: ["ownerDied"],
    },
    PthreadCondition: {
      ...common,
      make: made(PthreadCondition),
      statics: {
        init: [
          memory,
          offset,
          options({ clock: oneOf("realtime", "monotonic") }),
        ],
        at: [memory, offset],
      },
      methods: {
        signal: [],
        broadcast: [],
        waitSync: [guard, callback(false), syncWait()],
        wait: [guard, callback(false), wait()],
      },
      getters: ["waiters"],
    },
    PthreadRwLock: {
      ...common,
      make: made(PthreadRwLock),
      statics: {
        init: [memory, offset, options({ prefer: oneOf("reader", "writer") })],
        at: [memory, offset],
      },
      methods: {
        lockReadSync: [syncWait()],
        tryLockRead: [],
        lockRead: [wait()],
        lockWriteSync: [syncWait()],
        tryLockWrite: [],
        lockWrite: [wait()],
      },
      getters: ["readers", "writerTid"],
    },
    PthreadBarrier: {
      ...common,
      make: (fuzz) => {
        const { random } = fuzz;
        const count = random.pick([1, 2, 3]);
        const map = memoryOf(fuzz);
        return PthreadBarrier.init(map, random.pick(PLACES), { count });
      },
      statics: {
        init: [memory, offset, options({ count: number(1, 2, 3, 0) })],
        at: [memory, offset],
      },
      methods: { waitSync: [syncWait()], tryWait: [], wait: [wait()] },
      getters: ["count", "arrived"],
    },
  },
};
