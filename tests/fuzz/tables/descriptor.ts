/** Files, events, timers, processes and locks of files. */
import { EventFd, File, FileLock, PidFd, TimerFd } from "../../../mod.ts";
import type { Gen, Mechanism } from "../types.ts";
import {
  anything,
  bool,
  bytes,
  callback,
  descriptor,
  foreignFd,
  integer,
  number,
  offset,
  one,
  oneOf,
  options,
  path,
  size,
  syncWait,
  wait,
} from "../values.ts";

const owner = { close: [], "@@dispose": [], inherit: [callback(1)] };
const enders = ["close", "@@dispose"];
const data = bytes(0, 1, 8, 100, 4096);
const mode = integer(0, 0o777);
const named = options({ name: oneOf("a", "") });
const value = oneOf(1, 0, 5, 1n, 2n ** 64n - 2n, 2n ** 64n - 3n, -1, 1.5);
const moment = number(0, 1, 2.5, 20, 1e6);

function fromFd(...kinds: string[]): Record<string, Gen[]> {
  return { fromFd: [foreignFd(...kinds), named] };
}

const foreign = foreignFd(
  "File",
  "EventFd",
  "TimerFd",
  "PipeReader",
  "UnixStream",
  "MemoryFile",
);

/** What adoptDescriptor() takes. */
const adoptable: Gen = (fuzz) =>
  fuzz.random.chance(0.5) ? one("PassedDescriptor")(fuzz) : foreign(fuzz);

export const DESCRIPTOR: Mechanism = {
  functions: {
    adoptDescriptor: [adoptable],
  },
  classes: {
    File: {
      make: (fuzz) => File.openOrCreate(fuzz.path()),
      statics: {
        ...fromFd("File", "PipeReader", "EventFd", "MemoryFile"),
        open: [path, options({ write: bool, append: bool })],
        create: [path, options({ mode, append: bool })],
        openOrCreate: [path, options({ mode, append: bool })],
      },
      methods: {
        ...owner,
        readSync: [bytes(), syncWait()],
        read: [bytes(), wait()],
        tryRead: [bytes()],
        writeSync: [data, syncWait()],
        write: [data, wait()],
        tryWrite: [data],
        pread: [bytes(), offset],
        pwrite: [data, offset],
        truncate: [size],
        seek: [offset, oneOf("start", "current", "end", "x")],
        sync: [],
        syncData: [],
      },
      enders,
      getters: ["fd", "kind", "size", "readable", "writable"],
      construct: [anything],
    },
    EventFd: {
      make: () => EventFd.create(),
      statics: {
        ...fromFd("EventFd", "TimerFd"),
        create: [integer(0, 3), options({ semaphore: bool })],
      },
      methods: {
        ...owner,
        readSync: [syncWait()],
        read: [wait()],
        tryRead: [],
        writeSync: [value, syncWait()],
        write: [value, wait()],
        tryWrite: [value],
      },
      enders,
      getters: ["fd"],
      construct: [anything],
    },
    TimerFd: {
      make: () => TimerFd.create(),
      statics: {
        ...fromFd("TimerFd", "EventFd"),
        create: [options({ clock: oneOf("monotonic", "realtime", "x") })],
      },
      methods: {
        ...owner,
        arm: [options({ after: moment, at: moment, interval: moment })],
        disarm: [],
        now: [],
        readSync: [syncWait()],
        read: [wait()],
        tryRead: [],
      },
      enders,
      getters: ["fd", "status"],
      construct: [anything],
    },
    PidFd: {
      make: () => PidFd.open(Deno.pid),
      statics: {
        ...fromFd("PidFd", "EventFd"),
        open: [oneOf(Deno.pid, 2 ** 31 - 1, 0, -1)],
      },
      methods: {
        ...owner,
        signal: [oneOf(0, -1, 65, "SIGTERM")],
        exitedSync: [syncWait()],
        exited: [wait()],
        tryExited: [],
      },
      enders,
      getters: ["fd", "pid"],
      construct: [anything],
    },
    FileLock: {
      make: (fuzz) => {
        const file = File.openOrCreate(fuzz.path());
        fuzz.keep([file]);
        return FileLock.of(file);
      },
      statics: {
        of: [
          one("File", "MemoryFile"),
          options({ start: offset, length: size }),
        ],
      },
      methods: {
        lockSync: [syncWait({ shared: bool })],
        lock: [wait({ shared: bool })],
        tryLock: [options({ shared: bool })],
        holder: [options({ shared: bool })],
      },
      getters: ["start", "length"],
      construct: [descriptor("File"), anything],
    },
  },
};
