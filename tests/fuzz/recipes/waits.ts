/**
 * Ordinary code: a wait begins, and its object is closed, resized or removed, or the
 * wait is aborted, in the same tick or soon after.
 */
import {
  BufferedReader,
  type DescriptorLike,
  Fifo,
  FramedStream,
  i32,
  MemoryMap,
  pipe,
  PosixMessageQueue,
  PosixSemaphore,
  SequenceCell,
  SharedCondition,
  SharedMutex,
  SharedRwLock,
  splice,
  struct,
  SysvMessageQueue,
  SysvSemaphoreSet,
  tee,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
  waitAny,
  type WaitOptions,
  waitReadable,
  waitWritable,
} from "../../../mod.ts";
import { Evil, type Fuzz } from "../fuzz.ts";

type Options = WaitOptions | undefined;

/** A wait that does not end by itself. */
interface Wait {
  /** Begins it. */
  readonly begin: (options: Options) => Promise<unknown>;
  /** What ends it. */
  readonly enders: Record<string, () => void>;
  /** False if it takes no signal. */
  readonly abortable?: boolean;
  /** Something that happens after that. */
  readonly after?: () => void;
}

const pair = struct({ a: i32, b: i32 });
const full = (
  writer: { tryWrite(bytes: Uint8Array<ArrayBuffer>): unknown },
) => {
  while (writer.tryWrite(new Uint8Array(65536)) !== undefined);
};
const byte = () => Uint8Array.of(1);

/** A wait on one object, which `close()` ends. */
function on<T extends { close(): void }>(
  object: T,
  begin: (object: T, options: Options) => Promise<unknown>,
  more: Record<string, () => void> = {},
): Wait {
  return {
    begin: (options) => begin(object, options),
    enders: { close: () => object.close(), ...more },
  };
}

/** A wait of a stream, which has methods of its own to end it. */
function unabortable(...args: Parameters<typeof on>): Wait {
  return { ...on(...args), abortable: false };
}

function queue(fuzz: Fuzz): SysvMessageQueue {
  const made = SysvMessageQueue.create(null);
  fuzz.own(made);
  return made;
}

function fullQueue(fuzz: Fuzz): SysvMessageQueue {
  const made = queue(fuzz);
  while (made.trySend(new Uint8Array(8000)));
  return made;
}

function posixQueue(fuzz: Fuzz): PosixMessageQueue {
  const made = PosixMessageQueue.create(fuzz.newName(), {
    maxMessages: 1,
    maxSize: 8,
  });
  fuzz.own(made);
  return made;
}

function ends(fuzz: Fuzz) {
  const made = pipe();
  fuzz.own(made);
  return made;
}

function streams(fuzz: Fuzz) {
  const made = UnixStream.pair();
  fuzz.own(made);
  return made;
}

/** A semaphore in memory, and what makes it unusable. */
function unnamed(fuzz: Fuzz): Wait {
  const map = fuzz.own(
    MemoryMap.create(fuzz.path(), 4096, { resizable: true }),
  );
  const semaphore = PosixSemaphore.init(map.bytes, 0);
  return on(semaphore, (one, options) => one.acquire(options), {
    "map.close": () => map.close(),
    "map.resize": () => map.resize(8192),
  });
}

/** A move between two pipes, of which either may go. */
function moving(
  fuzz: Fuzz,
  move: (
    source: DescriptorLike,
    target: DescriptorLike,
    options: Options,
  ) => Promise<unknown>,
): Wait {
  const one = ends(fuzz);
  const other = ends(fuzz);
  if (fuzz.random.chance(0.3)) {
    full(other.writer);
    one.writer.tryWrite(byte());
  }
  return {
    begin: (options) => move(one.reader, other.writer, options),
    enders: {
      "source.close": () => one.reader.close(),
      "target.close": () => other.writer.close(),
    },
    after: () => {
      ends(fuzz); // takes the number
      one.writer.tryWrite(byte());
    },
  };
}

/** Waits, each made anew. */
const WAITS: Record<string, (fuzz: Fuzz) => Wait> = {
  "PosixSemaphore.acquire": (fuzz) =>
    on(
      fuzz.own(PosixSemaphore.create(fuzz.newName(), 0)),
      (one, options) => one.acquire(options),
    ),
  "PosixSemaphore.acquire in memory": unnamed,
  "SysvSemaphore.acquire": (fuzz) => {
    const set = fuzz.own(SysvSemaphoreSet.create(null, [0]));
    return on(set, (_, options) => set.semaphore(0).acquire(options), {
      remove: () => set.remove(),
    });
  },
  "SysvSemaphoreSet.operate": (fuzz) => {
    const set = fuzz.own(SysvSemaphoreSet.create(null, [0, 0]));
    const operations = [{ index: 0, delta: 1 }, { index: 1, delta: -1 }];
    return on(set, (_, options) => set.operate(operations, options), {
      remove: () => set.remove(),
    });
  },
  "SysvMessageQueue.receive": (fuzz) => {
    const one = queue(fuzz);
    return on(one, (_, options) => one.receive(options), {
      remove: () => one.remove(),
    });
  },
  "SysvMessageQueue.send": (fuzz) => {
    const one = fullQueue(fuzz);
    return on(one, (_, options) => one.send(new Uint8Array(8000), options), {
      remove: () => one.remove(),
    });
  },
  "SysvMessageQueue.request": (fuzz) =>
    on(queue(fuzz), (one, options) => one.request(byte(), options)),
  "SysvMessageQueue.requests": (fuzz) =>
    on(queue(fuzz), (one, options) => one.requests(options).next()),
  "PosixMessageQueue.receive": (fuzz) =>
    on(posixQueue(fuzz), (one, options) => one.receive(options)),
  "PosixMessageQueue.send": (fuzz) => {
    const one = posixQueue(fuzz);
    one.trySend(byte());
    return on(one, (_, options) => one.send(byte(), options));
  },
  "PosixMessageQueue.notified": (fuzz) =>
    on(posixQueue(fuzz), (one, options) => one.notified(options)),
  "PipeReader.read": (fuzz) =>
    on(
      ends(fuzz).reader,
      (one, options) => one.read(new Uint8Array(8), options),
    ),
  "PipeWriter.write": (fuzz) => {
    const { writer } = ends(fuzz);
    full(writer);
    return on(writer, (one, options) => one.write(byte(), options));
  },
  "PipeReader.readable": (fuzz) => {
    const { reader } = ends(fuzz);
    const stream = reader.readable.getReader();
    return unabortable(reader, () => stream.read(), {
      cancel: () => void stream.cancel().catch(() => {}),
    });
  },
  "PipeWriter.writable": (fuzz) => {
    const { writer } = ends(fuzz);
    full(writer);
    const stream = writer.writable.getWriter();
    stream.closed.catch(() => {});
    return unabortable(writer, () => stream.write(byte()), {
      abort: () => void stream.abort().catch(() => {}),
    });
  },
  "Fifo.openReader": (fuzz) =>
    on(
      fuzz.own(Fifo.create(fuzz.path())),
      (one, options) => one.openReader(options),
    ),
  "Fifo.openWriter": (fuzz) =>
    on(
      fuzz.own(Fifo.create(fuzz.path())),
      (one, options) => one.openWriter(options),
    ),
  "UnixStream.read": (fuzz) =>
    on(
      streams(fuzz)[0],
      (one, options) => one.read(new Uint8Array(8), options),
    ),
  "UnixStream.write": (fuzz) => {
    const [one] = streams(fuzz);
    full(one);
    return on(one, (_, options) => one.write(byte(), options));
  },
  "UnixStream.send": (fuzz) => {
    const [one] = streams(fuzz);
    full(one);
    return on(
      one,
      (_, options) => one.send(byte(), { ...options, descriptors: [one] }),
    );
  },
  "UnixStream.receive": (fuzz) =>
    on(streams(fuzz)[0], (one, options) => one.receive(options)),
  "UnixStream.drained": (fuzz) => {
    const [one] = streams(fuzz);
    one.tryWrite(byte());
    return on(one, (_, options) => one.drained(options));
  },
  "UnixSeqpacket.receive": (fuzz) =>
    on(
      fuzz.own(UnixSeqpacket.pair())[0],
      (one, options) => one.receive(options),
    ),
  "UnixSeqpacket.send": (fuzz) => {
    const [one] = fuzz.own(UnixSeqpacket.pair());
    while (one.trySend(new Uint8Array(4096)));
    return on(one, (_, options) => one.send(new Uint8Array(4096), options));
  },
  "UnixDatagram.receive": (fuzz) =>
    on(
      fuzz.own(UnixDatagram.pair())[0],
      (one, options) => one.receive(options),
    ),
  "UnixListener.accept": (fuzz) =>
    on(
      fuzz.own(UnixListener.listen(null)),
      (one, options) => one.accept(options),
    ),
  "BufferedReader.readExactly": (fuzz) =>
    on(
      fuzz.own(new BufferedReader(streams(fuzz)[0])),
      (one, options) => one.readExactly(8, options),
    ),
  "FramedStream.receive": (fuzz) =>
    on(
      fuzz.own(new FramedStream(streams(fuzz)[0])),
      (one, options) => one.receive(options),
    ),
  "FramedStream.send": (fuzz) =>
    on(
      fuzz.own(new FramedStream(streams(fuzz)[0])),
      (one, options) => one.send(new Uint8Array(500_000), options),
    ),
  "SharedMutex.lock": (fuzz) => {
    const one = fuzz.own(SharedMutex.create(null));
    fuzz.own(one.lockSync());
    return on(one, (_, options) => one.lock(options), {
      remove: () => one.remove(),
    });
  },
  "SharedRwLock.lockRead": (fuzz) => {
    const one = fuzz.own(SharedRwLock.create(null));
    fuzz.own(one.lockWriteSync());
    return on(one, (_, options) => one.lockRead(options));
  },
  "SharedRwLock.lockWrite": (fuzz) => {
    const one = fuzz.own(SharedRwLock.create(null));
    fuzz.own(one.lockReadSync());
    return on(one, (_, options) => one.lockWrite(options));
  },
  "SharedCondition.lockWhen": (fuzz) => {
    const mutex = fuzz.own(SharedMutex.create(null));
    const one = fuzz.own(SharedCondition.create(null));
    return on(one, (_, options) => one.lockWhen(mutex, () => false, options), {
      "mutex.close": () => mutex.close(),
      "mutex.remove": () => mutex.remove(),
    });
  },
  "Memory.wait": (fuzz) => {
    const one = fuzz.own(MemoryMap.anonymous(4096));
    return on(one, (_, options) => one.wait(8, 0, options));
  },
  "SequenceCell.changed": (fuzz) => {
    const one = fuzz.own(MemoryMap.anonymous(4096));
    const cell = new SequenceCell(one, 0, pair);
    return on(one, (_, options) => cell.changed(0, options));
  },
  "SequenceCell.read": (fuzz) => {
    const one = fuzz.own(MemoryMap.anonymous(4096));
    const cell = new SequenceCell(one, 0, pair);
    one.atomics.int32[0] = 1; // as of a writer that died
    return on(one, (_, options) => cell.read(options));
  },
  splice: (fuzz) =>
    moving(
      fuzz,
      (source, target, options) => splice(source, target, 100, options),
    ),
  tee: (fuzz) =>
    moving(
      fuzz,
      (source, target, options) => tee(source, target, 100, options),
    ),
  waitAny: (fuzz) => {
    const all = [ends(fuzz).reader, ends(fuzz).reader, streams(fuzz)[0]];
    const one = fuzz.random.pick(all);
    return on(one, (_, options) => waitAny(all, options));
  },
  waitReadable: (fuzz) =>
    on(ends(fuzz).reader, (one, options) => waitReadable(one, options)),
  waitWritable: (fuzz) => {
    const { writer } = ends(fuzz);
    full(writer);
    return on(writer, (one, options) => waitWritable(one, options));
  },
};

// --- When the event loop has its turn -----------------------------------------

const MOST = 300; // deliveries until there is a turn, if there is one at all
let period: number | undefined;

function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

/**
 * Waits that end at once leave the event loop a turn now and then. Counts them until
 * the next one does.
 */
async function untilTurn(target: DescriptorLike): Promise<number> {
  spin(1.5); // it is too early for a turn, otherwise
  for (let count = 1; count < MOST; count++) {
    let turned = false;
    const immediate = setImmediate(() => {
      turned = true;
    });
    await waitReadable(target);
    clearImmediate(immediate);
    if (turned) return count;
  }
  return MOST;
}

/** Makes so many waits that the next one is the one that leaves a turn. */
async function beforeTurn(fuzz: Fuzz): Promise<void> {
  const { reader, writer } = ends(fuzz);
  writer.tryWrite(byte());
  await untilTurn(reader);
  period ??= await untilTurn(reader);
  spin(1.5);
  for (let i = 1; i < period; i++) await waitReadable(reader);
}

// --- The recipe ---------------------------------------------------------------

/** Runs something now, or a little later. */
async function soon(fuzz: Fuzz, body: () => void): Promise<string> {
  const when = fuzz.random.pick([
    "now",
    "now",
    "now",
    "microtask",
    "turn",
    "ms",
  ]);
  if (when === "microtask") await null;
  if (when === "turn") await new Promise((resolve) => setImmediate(resolve));
  if (when === "ms") await new Promise((resolve) => setTimeout(resolve, 2));
  body();
  return when;
}

/** What follows may find everything closed. */
function attempt(body: (() => void) | undefined): void {
  try {
    body?.();
  } catch {
    // It does.
  }
}

/** Begins a wait, ends it, and looks whether it ends. */
async function endedWait(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const title = random.pick(Object.keys(WAITS));
  const { begin, enders, after, abortable = true } = WAITS[title]!(fuzz);
  const controller = new AbortController();
  const abort = () => controller.abort(new Evil("abort"));
  const all = abortable ? { ...enders, abort } : enders;
  const ender = random.pick(Object.keys(all));
  const isAligned = random.chance(0.7);
  const count = random.pick([1, 1, 1, 2, 5]);
  const signal = ender === "abort" ? { signal: controller.signal } : undefined;
  const timeout = random.chance(0.2) ? { timeout: 2 ** 33 } : undefined;
  if (isAligned) await beforeTurn(fuzz);
  fuzz.log.note(`${count} times ${title}${isAligned ? ", at a turn" : ""}`);
  const waits = Array.from(
    { length: count },
    () => begin(signal || timeout ? { ...signal, ...timeout } : undefined),
  );
  for (const wait of waits) fuzz.track(title, wait);
  fuzz.log.note(`then ${ender}`);
  const when = await soon(fuzz, () => attempt(all[ender]));
  if (random.chance(0.5)) attempt(after);
  const text = `${title} after ${ender} (${when}${
    isAligned ? ", at a turn" : ""
  })`;
  // A wait in line may have to wait until those before it have ended.
  for (const wait of waits) await fuzz.ends(wait, text);
}

/** {@linkcode endedWait}, several times. */
export async function endedWaits(fuzz: Fuzz): Promise<void> {
  for (let i = fuzz.random.int(3, 8); i > 0; i--) await endedWait(fuzz);
}

/** Own properties of a signal, and what is no signal. */
const FALSE_SIGNALS: Record<string, (signal: AbortSignal) => unknown> = {
  "own addEventListener": (signal) =>
    Object.defineProperty(signal, "addEventListener", { value() {} }),
  "own removeEventListener": (signal) =>
    Object.defineProperty(signal, "removeEventListener", { value: null }),
  "own aborted": (signal) =>
    Object.defineProperty(signal, "aborted", { value: false }),
  "own throwIfAborted": (signal) =>
    Object.defineProperty(signal, "throwIfAborted", { value() {} }),
  "an heir": (signal) => Object.create(signal),
  "an object like one": () => ({
    aborted: false,
    reason: undefined,
    throwIfAborted() {},
    addEventListener() {},
    removeEventListener() {},
  }),
  "an EventTarget": () => new EventTarget(),
  true: () => true,
};

/**
 * A signal that lies of itself is aborted all the same, and what is none is refused:
 * either way the wait ends without its object being closed.
 */
export async function falseSignals(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const title = random.pick(Object.keys(WAITS));
  const { begin, enders, abortable = true } = WAITS[title]!(fuzz);
  if (!abortable) return;
  const kind = random.pick(Object.keys(FALSE_SIGNALS));
  const controller = new AbortController();
  const signal = FALSE_SIGNALS[kind]!(controller.signal) as AbortSignal;
  if (random.chance(0.3)) controller.abort(new Evil("abort"));
  fuzz.log.note(`${title} with ${kind} as a signal`);
  const wait = begin({ signal });
  fuzz.track(title, wait);
  if (random.chance(0.5)) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  controller.abort(new Evil("abort"));
  await fuzz.ends(wait, `${title} with ${kind} as a signal`, 1_000);
  for (const ender of Object.values(enders)) attempt(ender);
}
