/** Pipes and FIFOs. */
import { duplexPipe, Fifo, pipe } from "../../../mod.ts";
import type { Mechanism } from "../types.ts";
import {
  anything,
  bool,
  bytes,
  callback,
  descriptor,
  foreignFd,
  integer,
  number,
  oneOf,
  options,
  path,
  syncWait,
  wait,
} from "../values.ts";

const capacity = number(1, 4096, 8192, 65536, 1 << 20);
const length = number(1, 4096, 65536, 2 ** 31 - 4096);
const source = descriptor("PipeReader", "UnixStream", "PipeReader");
const target = descriptor("PipeWriter", "UnixStream", "PipeWriter");

export const PIPE: Mechanism = {
  functions: {
    pipe: [options({ packets: bool })],
    duplexPipe: [],
    splice: [source, target, length, wait()],
    tee: [
      descriptor("PipeReader"),
      descriptor("PipeWriter"),
      length,
      wait(),
    ],
  },
  classes: {
    PipeReader: {
      make: ({ random }) => random.chance(0.8) ? pipe() : duplexPipe().flat(),
      statics: {
        fromFd: [foreignFd("PipeReader"), options({ name: oneOf("a", "") })],
      },
      methods: {
        readSync: [bytes(), syncWait()],
        read: [bytes(), wait()],
        tryRead: [bytes()],
        setCapacity: [capacity],
        inherit: [callback(1)],
        close: [],
        "@@dispose": [],
      },
      enders: ["close", "@@dispose"],
      getters: ["fd", "available", "capacity", "readable"],
      construct: [anything],
    },
    PipeWriter: {
      make: () => pipe(),
      statics: {
        fromFd: [foreignFd("PipeWriter"), options({ name: oneOf("a", "") })],
      },
      methods: {
        writeSync: [bytes(), syncWait()],
        write: [bytes(0, 8, 100, 5000, 70_000, 200_000), wait()],
        tryWrite: [bytes(0, 8, 100, 5000, 70_000)],
        setCapacity: [capacity],
        inherit: [callback(1)],
        close: [],
        "@@dispose": [],
      },
      enders: ["close", "@@dispose"],
      getters: ["fd", "capacity", "writable"],
      construct: [anything],
    },
    Fifo: {
      make: (fuzz) => Fifo.create(fuzz.path()),
      statics: {
        create: [path, options({ mode: integer(0, 0o777) })],
        open: [path],
      },
      methods: {
        openReaderSync: [syncWait()],
        openReader: [wait()],
        openWriterSync: [syncWait()],
        openWriter: [wait()],
        tryOpenWriter: [],
        openBoth: [],
        unlink: [],
        close: [],
      },
      enders: ["close", "unlink"],
      getters: ["path"],
      construct: [path, anything],
    },
  },
};
