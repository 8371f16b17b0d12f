/** Unix domain sockets and frames. */
import {
  BufferedReader,
  FramedStream,
  pipe,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "../../../mod.ts";
import type { Arg, Gen, Mechanism } from "../types.ts";
import {
  anything,
  bool,
  bytes,
  callback,
  descriptor,
  foreignFd,
  number,
  one,
  oneOf,
  options,
  path,
  syncWait,
  wait,
} from "../values.ts";

const mode = number(0o600, 0o666, 0, 0o1000);
const anyDescriptor = descriptor("PipeReader", "PipeWriter", "UnixStream");
const descriptors: Gen = (fuzz): Arg => {
  const all = Array.from(
    { length: fuzz.random.pick([0, 1, 2, 3]) },
    () => anyDescriptor(fuzz),
  );
  if (fuzz.hostile("types")) return anything(fuzz);
  return {
    value: all.map((one) => one.value),
    text: `[${all.map((one) => one.text).join(", ")}]`,
  };
};
const address: Gen = (fuzz): Arg => {
  const { random } = fuzz;
  if (random.chance(0.5)) return path(fuzz);
  const name = fuzz.names.length === 0 || random.chance(0.3)
    ? fuzz.name()
    : random.pick(fuzz.names);
  const abstract = fuzz.hostile("types") || random.chance(0.2)
    ? bytes(1, 8, 107, 108)(fuzz).value
    : name;
  return { value: { abstract }, text: "{ abstract }" };
};
const maybeAddress: Gen = (fuzz): Arg =>
  fuzz.random.chance(0.6) ? { value: null, text: "null" } : address(fuzz);
/** An address that a listener may have. */
const peer: Gen = (fuzz): Arg => {
  const item = fuzz.existing(["UnixListener", "UnixDatagram"]);
  if (item === undefined || fuzz.random.chance(0.2)) return address(fuzz);
  try {
    const { localAddress } = item.value as UnixListener;
    return { value: localAddress, text: `${item.text}.localAddress` };
  } catch {
    return address(fuzz);
  }
};
const maxSize = number(1, 16, 100, 4096, 65536, 0);
const receiving = {
  buffer: bytes(0, 8, 100, 4096, 65536),
  maxSize,
  maxDescriptors: number(0, 1, 2, 253, 254),
};
const binding = {
  mode,
  reclaim: bool,
  passCredentials: bool,
  passDescriptors: bool,
};
const credentials = options({
  pid: number(1, Deno.pid, 0, -1),
  uid: number(0, 65534, -1),
  gid: number(0, 65534, 2 ** 32),
});
const passing = { descriptors, credentials };
const peeking = {
  peekSync: [syncWait(receiving)],
  peek: [wait(receiving)],
  tryPeek: [options(receiving)],
};
const sizes = options({
  send: number(1, 2048, 4608, 65536, 0),
  receive: number(2048, 0),
});

const socket = {
  inherit: [callback(1)],
  close: [],
  "@@dispose": [],
};
const socketGetters = [
  "fd",
  "localAddress",
  "passCredentials",
  "passDescriptors",
];
const channel = { ...socket, isDrained: [], drained: [wait()] };
const channelGetters = [
  ...socketGetters,
  "remoteAddress",
  "available",
  "bufferSizes",
];
const connection = { ...channel, closeWrite: [], peerPidfd: [] };
const connectionGetters = [...channelGetters, "peerCredentials"];
const setters = {
  bufferSizes: sizes,
  passCredentials: oneOf(true, false, 1),
  passDescriptors: oneOf(true, false, 1),
};
const enders = ["close", "@@dispose", "closeWrite"];
const data = bytes(0, 1, 8, 100, 4096, 65536, 300_000);
const message = bytes(0, 1, 8, 100, 4096, 65536);

/** Something that a FramedStream reads from and writes to. */
const frameStream: Gen = (fuzz): Arg => {
  if (!fuzz.hostile("evil")) return one("UnixStream")(fuzz);
  const evil = fuzz.evil();
  const answer = fuzz.random.pick([0, -1, NaN, 1.5, 1e9, "4", null, 4]);
  const lie = () => {
    evil.run();
    return answer;
  };
  const later = () => Promise.resolve(answer);
  const value = {
    read: later,
    readSync: lie,
    tryRead: lie,
    write: later,
    writeSync: lie,
    tryWrite: lie,
    close() {},
  };
  return { value, text: `stream that answers ${answer}` };
};

const itemSize = number(0, 1, 8, 100, 65_536, 2 ** 40);
const delimiter = oneOf("\n", "ab", new Uint8Array([0]), "");
const readerMethods = {
  readExactly: [itemSize, wait()],
  readExactlySync: [itemSize, syncWait()],
  tryReadExactly: [itemSize],
  readUntil: [delimiter, wait()],
  readUntilSync: [delimiter, syncWait()],
  tryReadUntil: [delimiter],
  readLine: [wait()],
  readLineSync: [syncWait()],
  tryReadLine: [],
  peek: [itemSize, wait()],
  peekSync: [itemSize, syncWait()],
  tryPeek: [itemSize],
  read: [bytes(), wait()],
  readSync: [bytes(), syncWait()],
  tryRead: [bytes()],
  readToEnd: [wait()],
  readToEndSync: [syncWait()],
  tryReadToEnd: [],
};

export const SOCKET: Mechanism = {
  functions: {
    listenFds: [],
    sdNotify: [
      oneOf("READY=1", "BARRIER=1", "FDSTORE=1", "", "x"),
      wait({ descriptors }),
    ],
    sdNotifySync: [oneOf("READY=1", "BARRIER=1", ""), syncWait()],
    watchdogTimeout: [],
  },
  classes: {
    UnixStream: {
      make: () => UnixStream.pair(),
      statics: {
        pair: [],
        connect: [peer, wait()],
        connectSync: [peer, syncWait()],
        fromFd: [foreignFd("UnixStream"), options({ name: oneOf("a") })],
      },
      methods: {
        ...connection,
        readSync: [bytes(), syncWait()],
        read: [bytes(), wait()],
        tryRead: [bytes()],
        writeSync: [data, syncWait()],
        write: [data, wait()],
        tryWrite: [data],
        sendSync: [data, syncWait(passing)],
        send: [data, wait(passing)],
        trySend: [data, options(passing)],
        receiveSync: [syncWait(receiving)],
        receive: [wait(receiving)],
        tryReceive: [options(receiving)],
        ...peeking,
      },
      enders,
      getters: [...connectionGetters, "readable", "writable"],
      setters,
      construct: [anything],
    },
    UnixSeqpacket: {
      make: () => UnixSeqpacket.pair(),
      statics: {
        pair: [],
        connect: [peer, wait()],
        connectSync: [peer, syncWait()],
        fromFd: [foreignFd("UnixSeqpacket")],
      },
      methods: {
        ...connection,
        sendSync: [message, syncWait(passing)],
        send: [message, wait(passing)],
        trySend: [message, options(passing)],
        receiveSync: [syncWait(receiving)],
        receive: [wait(receiving)],
        tryReceive: [options(receiving)],
        ...peeking,
        "@@asyncIterator": [],
      },
      enders,
      getters: connectionGetters,
      setters,
      construct: [anything],
    },
    UnixDatagram: {
      make: ({ random }) =>
        random.chance(0.5) ? UnixDatagram.pair() : UnixDatagram.create(null),
      statics: {
        pair: [],
        create: [maybeAddress, options(binding)],
        connect: [peer, wait({ ...binding, from: maybeAddress })],
        connectSync: [peer, syncWait({ ...binding, from: maybeAddress })],
        fromFd: [foreignFd("UnixDatagram")],
      },
      methods: {
        ...channel,
        chmod: [mode],
        sendSync: [message, syncWait({ ...passing, to: peer })],
        send: [message, wait({ ...passing, to: peer })],
        trySend: [message, options({ ...passing, to: peer })],
        receiveSync: [syncWait(receiving)],
        receive: [wait(receiving)],
        tryReceive: [options(receiving)],
        ...peeking,
        "@@asyncIterator": [],
      },
      enders,
      getters: channelGetters,
      setters,
      construct: [anything, anything],
    },
    UnixListener: {
      make: () => UnixListener.listen(null),
      statics: {
        listen: [
          maybeAddress,
          options({
            ...binding,
            type: oneOf("stream", "seqpacket", "x"),
            backlog: number(0, 1, 128),
          }),
        ],
        fromFd: [foreignFd("UnixListener"), options({ type: oneOf("stream") })],
      },
      methods: {
        ...socket,
        chmod: [mode],
        acceptSync: [syncWait()],
        accept: [wait()],
        tryAccept: [],
        "@@asyncIterator": [],
      },
      enders,
      getters: socketGetters,
      construct: [anything, callback({}), anything],
    },
    FramedStream: {
      make: (fuzz) => {
        const { random } = fuzz;
        const [one, other] = UnixStream.pair();
        fuzz.keep([one, other]);
        if (random.chance(0.3)) {
          const ends = pipe();
          fuzz.keep(ends);
          return new FramedStream(ends);
        }
        if (random.chance(0.3)) {
          const delimiter = "\0";
          return new FramedStream(one, { delimiter });
        }
        if (random.chance(0.3)) {
          return new FramedStream(one, { maxDescriptors: 2 });
        }
        if (random.chance(0.5)) one.bufferSizes = { send: 2048 };
        return [new FramedStream(one), new FramedStream(other)];
      },
      methods: {
        send: [data, wait({ descriptors })],
        sendSync: [data, syncWait({ descriptors })],
        receive: [wait()],
        receiveSync: [syncWait()],
        tryReceive: [],
        receiveMessage: [wait()],
        receiveMessageSync: [syncWait()],
        tryReceiveMessage: [],
        "@@asyncIterator": [],
        close: [],
        "@@dispose": [],
      },
      enders,
      construct: [
        frameStream,
        options({
          maxSize,
          prefixSize: number(1, 2, 4, 8, 3),
          littleEndian: bool,
          prefixIncluded: bool,
          delimiter: oneOf("\n", undefined, undefined, ""),
          maxDescriptors: number(0, 1, 253, 254),
        }),
      ],
    },
    BufferedReader: {
      make: (fuzz) => {
        const { random } = fuzz;
        const [one, other] = UnixStream.pair();
        fuzz.keep([one, other]);
        const maxSize = random.pick([1, 100, 65_536, 2 ** 31 - 1]);
        if (random.chance(0.3)) {
          return new BufferedReader(other.readable, { maxSize });
        }
        const maxDescriptors = random.pick([0, 1, 253]);
        return new BufferedReader(one, { maxSize, maxDescriptors });
      },
      methods: {
        ...readerMethods,
        takeDescriptors: [number(0, 1, 2, -1)],
        detach: [],
        close: [],
        "@@dispose": [],
      },
      getters: ["position", "buffered", "descriptors", "readable"],
      enders: [...enders, "detach"],
      construct: [
        frameStream,
        options({ maxSize, maxDescriptors: number(0, 1, 253, 254) }),
      ],
    },
    PassedDescriptor: {
      make: (fuzz) => {
        const [one, other] = UnixStream.pair();
        fuzz.keep([one, other]);
        one.sendSync(new Uint8Array(1), { descriptors: [one] });
        return other.receiveSync();
      },
      methods: { close: [], "@@dispose": [] },
      getters: ["fd", "kind"],
      construct: [anything],
    },
  },
};
