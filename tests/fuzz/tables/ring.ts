/** Rings and broadcasts in shared memory. */
import {
  i32,
  MemoryMap,
  SharedBroadcast,
  SharedRing,
  struct,
  StructConsumer,
  StructProducer,
} from "../../../mod.ts";
import type { Fuzz } from "../fuzz.ts";
import type { ClassTable, Mechanism } from "../types.ts";
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

const CAPACITY = 1024;
const layout = struct({ number: i32 });
const value = oneOf({ number: 1 }, { number: -1 });
const type = number(1, 2, 2 ** 31 - 1, 0, -1);
const data = bytes(0, 1, 8, 100, 128, 129);
const list = oneOf([], [new Uint8Array(3), new Uint8Array(128)], [1]);
const memory = one("MemoryMap", "SysvSharedMemory", "PosixSharedMemory");
const where = { offset: number(0, 64, 4096, 8) };
const limit = number(1, 5, 0);
const spin = options({ spin: bool });

/** A ring or a broadcast in memory of its own. */
function ringIn<T>(fuzz: Fuzz, create: (memory: MemoryMap) => T): T {
  const map = MemoryMap.anonymous(SharedRing.size(CAPACITY));
  fuzz.keep(map);
  return create(map);
}

const newRing = (fuzz: Fuzz) =>
  ringIn(fuzz, (map) => SharedRing.create(map, { capacity: CAPACITY }));
const newBroadcast = (fuzz: Fuzz) =>
  ringIn(fuzz, (map) => SharedBroadcast.create(map, { capacity: CAPACITY }));

const common: Pick<ClassTable, "enders" | "construct" | "getters"> = {
  enders: ["close", "@@dispose"],
  construct: [anything],
};
const shown = ["capacity", "maxMessageLength", "closed"];

const reading: ClassTable["methods"] = {
  tryRead: [callback(undefined), limit],
  readSync: [syncWait()],
  read: [wait()],
  waitSync: [syncWait()],
  wait: [wait()],
  close: [],
};

export const RING: Mechanism = {
  classes: {
    SharedRing: {
      make: newRing,
      statics: {
        size: [number(64, 1024, 100)],
        create: [
          memory,
          options({ ...where, producers: oneOf("one", "many", "two") }),
        ],
        open: [memory, options(where)],
      },
      methods: { producer: [spin], consumer: [spin] },
      getters: ["capacity", "maxMessageLength", "producers"],
      construct: [anything],
    },
    RingProducer: {
      ...common,
      make: (fuzz) => newRing(fuzz).producer(),
      methods: {
        tryWrite: [data, type],
        writeSync: [data, syncWait({ type })],
        write: [data, wait({ type })],
        tryWriteAll: [list, type],
        writeAllSync: [list, syncWait({ type })],
        writeAll: [list, wait({ type })],
        tryClaim: [number(0, 8, 128, 129), type],
        claimSync: [number(0, 8, 128, 129), syncWait({ type })],
        claim: [number(0, 8, 128, 129), wait({ type })],
        close: [],
      },
      getters: [...shown, "consumer"],
    },
    RingClaim: {
      make(fuzz) {
        const producer = newRing(fuzz).producer();
        fuzz.keep(producer);
        return producer.tryClaim(16);
      },
      methods: { commit: [], abort: [], "@@dispose": [] },
      getters: ["bytes"],
      construct: [anything],
    },
    RingConsumer: {
      ...common,
      make: (fuzz) => newRing(fuzz).consumer(),
      methods: reading,
      getters: [...shown, "lost"],
    },
    StructProducer: {
      make(fuzz) {
        const producer = newRing(fuzz).producer();
        fuzz.keep(producer);
        return new StructProducer(producer, layout);
      },
      methods: {
        tryWrite: [value, type],
        writeSync: [value, syncWait({ type })],
        write: [value, wait({ type })],
      },
    },
    StructConsumer: {
      make(fuzz) {
        const consumer = newRing(fuzz).consumer();
        fuzz.keep(consumer);
        return new StructConsumer(consumer, layout);
      },
      methods: { tryRead: [], readSync: [syncWait()], read: [wait()] },
    },
    SharedBroadcast: {
      make: newBroadcast,
      statics: {
        size: [number(64, 1024, 100)],
        create: [memory, options(where)],
        open: [memory, options(where)],
      },
      methods: { producer: [], receiver: [spin] },
      getters: ["capacity", "maxMessageLength"],
      construct: [anything],
    },
    BroadcastProducer: {
      ...common,
      make: (fuzz) => newBroadcast(fuzz).producer(),
      methods: { write: [data, type], close: [] },
      getters: shown,
    },
    BroadcastReceiver: {
      ...common,
      make: (fuzz) => newBroadcast(fuzz).receiver(),
      methods: reading,
      getters: [...shown, "missed", "missedBytes"],
    },
  },
};
