/** Locks between processes. */
import { SharedCondition, SharedMutex, SharedRwLock } from "../../../mod.ts";
import type { ClassTable, Gen, Mechanism } from "../types.ts";
import {
  anything,
  callback,
  id,
  key,
  number,
  one,
  options,
  orNull,
  syncWait,
  wait,
} from "../values.ts";

const mode = number(0o600, 0o666, 0, 0o1000);

/** What makes one. */
function statics(kind: string): Record<string, Gen[]> {
  return {
    create: [orNull(key), options({ mode })],
    open: [key],
    openOrCreate: [key, options({ mode })],
    fromId: [id(kind)],
  };
}

const end: Pick<ClassTable, "enders"> = { enders: ["close", "remove"] };

export const LOCK: Mechanism = {
  classes: {
    SharedMutex: {
      ...end,
      make: () => SharedMutex.create(null),
      statics: statics("SharedMutex"),
      methods: {
        lockSync: [syncWait()],
        tryLock: [],
        lock: [wait()],
        remove: [],
        close: [],
      },
      getters: ["id", "ownerPid"],
      construct: [anything],
    },
    SharedRwLock: {
      ...end,
      make: () => SharedRwLock.create(null),
      statics: statics("SharedRwLock"),
      methods: {
        lockReadSync: [syncWait()],
        tryLockRead: [],
        lockRead: [wait()],
        lockWriteSync: [syncWait()],
        tryLockWrite: [],
        lockWrite: [wait()],
        remove: [],
        close: [],
      },
      getters: ["id", "writerPid", "readers", "waitingWriters"],
      construct: [anything],
    },
    SharedCondition: {
      ...end,
      make: () => SharedCondition.create(null),
      statics: statics("SharedCondition"),
      methods: {
        changing: [],
        lockWhenSync: [one("SharedMutex"), callback(false), syncWait()],
        lockWhen: [one("SharedMutex"), callback(true), wait()],
        remove: [],
        close: [],
      },
      getters: ["id", "waiters"],
      construct: [anything],
    },
    Guard: {
      is: (value) =>
        typeof Reflect.get(value, "release") === "function" &&
        Reflect.has(value, Symbol.dispose) && !Reflect.has(value, "close") &&
        !Reflect.has(value, "ownerDied"), // a guard of a PthreadMutex
      make: () => undefined,
      methods: { release: [], markConsistent: [], "@@dispose": [] },
      getters: ["ownerDied"],
    },
  },
};
