/** Message queues, System V and POSIX. */
import { PosixMessageQueue, SysvMessageQueue } from "../../../mod.ts";
import type { Gen, Mechanism } from "../types.ts";
import {
  anything,
  bool,
  bytes,
  callback,
  foreignFd,
  id,
  integer,
  key,
  maybe,
  name,
  number,
  one,
  oneOf,
  options,
  orNull,
  syncWait,
  wait,
} from "../values.ts";

const type: Gen = (fuzz) => {
  const { random } = fuzz;
  return random.chance(0.3)
    ? oneOf(1n, 2n ** 40n, 2n ** 63n - 1n, -(2n ** 63n), 0n)(fuzz)
    : number(1, 2, 3, 7, 0, -2)(fuzz);
};
const priority = number(0, 1, 7, 32767, 32768);
const mode = number(0o600, 0o666, 0, 0o1000);
const small = bytes(0, 1, 8, 16, 24, 100, 4096);
const message = bytes(0, 1, 8, 16, 32);
const truncate = number(0, 1, 8, 100);
const receiving = {
  type,
  except: bool,
  truncate,
  buffer: bytes(0, 8, 16, 100, 8192),
};
const posixReceiving = { buffer: bytes(0, 32, 64, 8192) };
const attributes = {
  mode,
  maxMessages: number(1, 2, 3, 0),
  maxSize: number(1, 16, 32, 64, 0),
  access: oneOf("both", "receive", "send", "none"),
};

export const QUEUE: Mechanism = {
  classes: {
    SysvMessageQueue: {
      make: () => SysvMessageQueue.create(null),
      statics: {
        create: [orNull(key), options({ mode })],
        open: [key],
        openOrCreate: [key, options({ mode })],
        fromId: [id("SysvMessageQueue")],
        list: [],
      },
      methods: {
        sendSync: [small, syncWait({ type })],
        send: [small, wait({ type })],
        trySend: [small, options({ type })],
        receiveSync: [syncWait(receiving)],
        receive: [wait(receiving)],
        tryReceive: [options(receiving)],
        tryPeek: [number(0, 1, 5)],
        messages: [wait(receiving)],
        "@@asyncIterator": [],
        request: [small, wait({ type })],
        requests: [wait(receiving)],
        stat: [],
        change: [options({ mode, maxBytes: number(0, 1, 100, 16384) })],
        remove: [],
        close: [],
        "@@dispose": [],
      },
      enders: ["close", "remove", "@@dispose"],
      getters: ["id"],
      construct: [id("SysvMessageQueue"), anything],
    },
    SysvRequest: {
      make: () => undefined,
      methods: { reply: [small, wait()] },
      getters: ["type", "data", "pid"],
      construct: [one("SysvMessageQueue"), anything, anything],
    },
    PosixMessageQueue: {
      make: (fuzz) =>
        PosixMessageQueue.create(fuzz.name(), { maxMessages: 2, maxSize: 32 }),
      statics: {
        create: [orNull(name), options(attributes)],
        open: [name, options({ access: attributes.access })],
        openOrCreate: [name, options(attributes)],
        fromFd: [foreignFd("PosixMessageQueue")],
        unlink: [name],
      },
      methods: {
        sendSync: [message, syncWait({ priority })],
        send: [message, wait({ priority })],
        trySend: [message, options({ priority })],
        receiveSync: [syncWait(posixReceiving)],
        receive: [wait(posixReceiving)],
        tryReceive: [options(posixReceiving)],
        notified: [wait()],
        messages: [wait()],
        "@@asyncIterator": [],
        stat: [],
        inherit: [callback(1)],
        close: [],
        "@@dispose": [],
      },
      enders: ["close", "@@dispose"],
      getters: ["fd", "name", "maxSize"],
      construct: [name, anything],
    },
  },
  functions: {
    ftok: [oneOf("/", "/tmp", "/nowhere", ""), maybe(integer(0, 255))],
  },
};
