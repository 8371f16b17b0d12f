/**
 * What must be the same in the end as in the beginning: bytes, messages, permits,
 * locks; with timeouts and signals at random moments.
 */
import { Buffer } from "node:buffer";
import {
  BufferedReader,
  FramedStream,
  MemoryMap,
  pipe,
  PosixMessageQueue,
  PosixSemaphore,
  SharedMutex,
  SharedRwLock,
  SysvMessageQueue,
  SysvSemaphoreSet,
  UnixSeqpacket,
  UnixStream,
  type WaitOptions,
} from "../../../mod.ts";
import type { Fuzz } from "../fuzz.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const LIMIT = 6_000; // ms, for a whole recipe

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Options of a wait that may be given up. */
function impatient({ random }: Fuzz): WaitOptions {
  switch (random.int(0, 4)) {
    case 0:
      return { timeout: random.pick([0, 0.5, 1, 2, 3, 5, 10]) };
    case 1: {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), random.int(0, 5));
      return { signal: controller.signal };
    }
  }
  return {};
}

// --- Bytes --------------------------------------------------------------------

/** Bytes arrive in order, each once, however often a read is given up. */
export async function bytesInOrder(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const isSocket = random.chance(0.5);
  const ends = fuzz.own({ ...pipe() });
  const [one, other] = fuzz.own(UnixStream.pair());
  const reader = isSocket ? one! : ends.reader;
  const writer = isSocket ? other! : ends.writer;
  const buffered = random.chance(0.5) ? new BufferedReader(reader) : reader;
  const sizes = Array.from(
    { length: random.int(1, 12) },
    () => random.pick([1, 7, 100, 4096, 5000, 70_000]),
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let next = 0;
  const writing = Promise.all(sizes.map((size) => {
    const bytes = Uint8Array.from({ length: size }, () => next++ % 251);
    return writer.write(bytes);
  })).finally(() => writer.close());
  let got = 0;
  let right = true;
  const reading = (async () => {
    for (;;) {
      const buffer = new Uint8Array(random.pick([1, 100, 8192, 65536]));
      const count = await buffered.read(buffer, impatient(fuzz))
        .catch(() => undefined);
      if (count === null) return;
      for (let i = 0; i < (count ?? 0); i++) {
        right &&= buffer[i] === got++ % 251;
      }
      if (random.chance(0.1)) await sleep(1);
    }
  })();
  const kind = isSocket ? "a socket" : "a pipe";
  fuzz.track("writing", writing);
  if (!await fuzz.ends(reading, `bytes through ${kind}`, LIMIT)) return;
  fuzz.check(right && got === total, `${got} of ${total} bytes of ${kind}`);
}

// --- Messages -----------------------------------------------------------------

/** Something that carries messages from one side to another. */
interface Channel {
  readonly name: string;
  readonly send: (data: Bytes, options: WaitOptions) => Promise<unknown>;
  readonly receive: (options: WaitOptions) => Promise<Bytes | null>;
  readonly most: number;
}

/** Frames as a program reads them that takes a few bytes at a time. */
function slowFrames(fuzz: Fuzz, stream: UnixStream): Channel["receive"] {
  let bytes = new Uint8Array();
  return async (options) => {
    for (;;) {
      const header = new DataView(bytes.buffer);
      const end = bytes.length < 4 ? Infinity : 4 + header.getUint32(0);
      if (bytes.length >= end) {
        const data = bytes.slice(4, end);
        bytes = bytes.slice(end);
        return data;
      }
      const buffer = new Uint8Array(fuzz.random.pick([100, 1500, 2500, 4096]));
      const count = await stream.read(buffer, options);
      if (count === null) return null;
      bytes = new Uint8Array([...bytes, ...buffer.subarray(0, count)]);
      if (fuzz.random.chance(0.5)) await sleep(fuzz.random.int(0, 8));
    }
  };
}

const CHANNELS: ((fuzz: Fuzz) => Channel)[] = [
  (fuzz) => {
    const queue = fuzz.own(SysvMessageQueue.create(null));
    return {
      name: "System V queue",
      send: (data, options) => queue.send(data, options),
      receive: async (options) => (await queue.receive(options)).data,
      most: 4000,
    };
  },
  (fuzz) => {
    const queue = fuzz.own(
      PosixMessageQueue.create(fuzz.newName(), { maxMessages: 2, maxSize: 64 }),
    );
    return {
      name: "POSIX queue",
      send: (data, options) => queue.send(data, options),
      receive: async (options) => (await queue.receive(options)).data,
      most: 64,
    };
  },
  (fuzz) => {
    const [one, other] = fuzz.own(UnixSeqpacket.pair());
    return {
      name: "seqpacket",
      send: (data, options) => one!.send(data, options),
      receive: async (options) => (await other!.receive(options))?.data ?? null,
      most: 20_000,
    };
  },
  (fuzz) => {
    const [one, other] = fuzz.own(UnixStream.pair());
    const size = fuzz.random.pick([undefined, 2048, 4608, 6000, 16384]);
    if (size !== undefined) one!.bufferSizes = { send: size };
    const sender = new FramedStream(one!);
    const receive = fuzz.random.chance(0.5)
      ? (options: WaitOptions) => receiver.receive(options)
      : slowFrames(fuzz, other!);
    const receiver = new FramedStream(other!);
    return {
      name: `frames (send buffer ${size})`,
      send: (data, options) => sender.send(data, options),
      receive,
      most: fuzz.random.pick([3_000, 6_000, 60_000]),
    };
  },
  (fuzz) => {
    const ends = fuzz.own({ ...pipe() });
    ends.writer.setCapacity(4096);
    const frames = new FramedStream(ends);
    return {
      name: "frames over a pipe",
      send: (data, options) => frames.send(data, options),
      receive: (options) => frames.receive(options),
      most: 20_000,
    };
  },
];

/** A message that shows whether it has arrived as it was. */
function message(number: number, size: number): Bytes {
  const bytes = new Uint8Array(Math.max(size, 4)).fill(number & 0xff);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

/** The number of a message; -1 if it is not as it was. */
function numberOf(bytes: Bytes): number {
  if (bytes.length < 4) return -1;
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return bytes.subarray(4).every((byte) => byte === (number & 0xff))
    ? number
    : -1;
}

const STALLED = 3_000; // ms without a message: a slow reader takes one a second

/** Each message that was sent arrives once, and as it was. */
export async function messagesOnce(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const channel = random.pick(CHANNELS)(fuzz);
  const count = random.int(5, 60);
  const sent = new Set<number>();
  const refused = new Set<number>();
  const received: number[] = [];
  fuzz.log.note(`${count} messages through ${channel.name}`);
  let over = false;
  const sending = (async () => {
    for (let number = 0; number < count; number++) {
      const size = random.int(4, random.pick([100, channel.most]));
      await channel.send(message(number, size), impatient(fuzz))
        .then(() => sent.add(number), () => refused.add(number));
      if (random.chance(0.1)) await sleep(random.int(0, 5));
    }
  })();
  const laziness = random.pick([0.1, 0.3, 1]); // of the receiver
  const receiving = (async () => {
    if (laziness === 1) await sleep(50);
    while (!over) {
      if (random.chance(laziness)) await sleep(random.int(0, 15));
      const data = await channel.receive({ timeout: 20, ...impatient(fuzz) })
        .catch(() => undefined);
      if (data === null) return;
      if (data !== undefined) received.push(numberOf(data));
    }
  })();
  fuzz.track("receiving", receiving);
  await fuzz.ends(sending, `sending through ${channel.name}`, LIMIT);
  const missing = () => [...sent].filter((one) => !received.includes(one));
  let [before, end] = [received.length, performance.now() + STALLED];
  while (missing().length > 0 && performance.now() < end) {
    await sleep(5);
    if (received.length === before) continue;
    [before, end] = [received.length, performance.now() + STALLED];
  }
  over = true;
  const told = (text: string, numbers: number[]) =>
    fuzz.check(numbers.length === 0, `${channel.name}: ${text} ${numbers}`);
  told("damaged:", received.filter((one) => one < 0));
  told("never arrived:", missing());
  told("came twice:", received.filter((one, i) => received.indexOf(one) < i));
  told("refused, but came:", received.filter((one) => refused.has(one)));
  await fuzz.ends(receiving, `receiving through ${channel.name}`);
}

// --- Permits and locks --------------------------------------------------------

/** Something of which there is only so much. */
interface Supply {
  readonly name: string;
  readonly most: number;
  readonly acquire: (options: WaitOptions) => Promise<{ release(): void }>;
  readonly left: () => number;
}

const SUPPLIES: ((fuzz: Fuzz) => Supply)[] = [
  (fuzz) => {
    const most = fuzz.random.int(1, 4);
    const one = fuzz.own(PosixSemaphore.create(fuzz.newName(), most));
    return {
      name: "PosixSemaphore",
      most,
      acquire: (options) => one.acquire(options),
      left: () => one.value,
    };
  },
  (fuzz) => {
    const most = fuzz.random.int(1, 4);
    const set = fuzz.own(SysvSemaphoreSet.create(null, [most]));
    const one = set.semaphore(0, { undo: fuzz.random.chance(0.5) });
    return {
      name: "SysvSemaphore",
      most,
      acquire: (options) => one.acquire(options),
      left: () => one.value,
    };
  },
  (fuzz) => {
    const one = fuzz.own(SharedMutex.create(null));
    return {
      name: "SharedMutex",
      most: 1,
      acquire: (options) => one.lock(options),
      left: () => one.ownerPid === undefined ? 1 : 0,
    };
  },
  (fuzz) => {
    const one = fuzz.own(SharedRwLock.create(null));
    return {
      name: "SharedRwLock",
      most: 1,
      acquire: (options) => one.lockWrite(options),
      left: () => one.writerPid === undefined ? 1 : 0,
    };
  },
];

/** There are never more in use than there are, and in the end all are back. */
export async function permitsBack(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const { name, most, acquire, left } = random.pick(SUPPLIES)(fuzz);
  let inUse = 0;
  let worst = 0;
  fuzz.log.note(`${most} of ${name}`);
  const worker = async () => {
    for (let i = random.int(1, 12); i > 0; i--) {
      const permit = await acquire(impatient(fuzz)).catch(() => undefined);
      if (permit === undefined) continue;
      worst = Math.max(worst, ++inUse);
      if (random.chance(0.5)) await sleep(random.int(0, 3));
      inUse--;
      permit.release();
    }
  };
  const all = Promise.all(Array.from({ length: random.int(1, 7) }, worker));
  if (!await fuzz.ends(all, `permits of ${name}`, LIMIT)) return;
  fuzz.check(worst <= most, `${name}: ${worst} in use of ${most}`);
  await sleep(60); // what a wait has taken when it was given up is given back
  fuzz.check(left() === most, `${name}: ${left()} are left of ${most}`);
}

// --- Others -------------------------------------------------------------------

/** Requests reach the server as they were sent, and each gets its own reply. */
export async function repliesMatch(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const queue = fuzz.own(SysvMessageQueue.create(null));
  const id = queue.id;
  const server = fuzz.own(SysvMessageQueue.fromId(id));
  const buffer = random.pick([
    undefined,
    new Uint8Array(64),
    Buffer.alloc(64) as unknown as Bytes,
  ]);
  fuzz.log.note(`requests into ${buffer?.constructor.name}`);
  const serving = (async () => {
    const seen: { number: number; data: Bytes }[] = [];
    for await (const request of server.requests({ buffer })) {
      seen.push({ number: numberOf(request.data), data: request.data });
      await request.reply(request.data);
      for (const { number, data } of seen) {
        const now = numberOf(data);
        fuzz.check(now === number, `request ${number} has become ${now}`);
      }
    }
  })();
  const asking = Promise.all(
    Array.from({ length: random.int(1, 6) }, async (_, number) => {
      const reply = await queue.request(message(number, 16), impatient(fuzz))
        .catch(() => undefined);
      if (reply === undefined) return;
      fuzz.check(numberOf(reply) === number, `reply to request ${number}`);
    }),
  );
  await fuzz.ends(asking, "requests", LIMIT);
  server.close();
  await fuzz.ends(serving, "serving requests");
}

/** What is appended is what was there, also out of the map itself. */
export function appendsTruly(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const map = fuzz.own(
    MemoryMap.create(fuzz.path(), 64, { resizable: true }),
  );
  map.write(0, Uint8Array.from({ length: 64 }, (_, i) => i + 1));
  for (let i = 0; i < 4; i++) {
    const begin = random.int(0, 32);
    const own = map.bytes.subarray(begin, begin + random.int(1, 32));
    const kind = random.pick(["view", "copy", "Buffer"]);
    const bytes = kind === "view"
      ? own
      : kind === "copy"
      ? own.slice()
      : Buffer.from(own.buffer, own.byteOffset, own.length);
    const before = own.slice();
    const at = map.append(bytes);
    const after = map.read(at, before.length);
    fuzz.check(
      before.every((byte, i) => byte === after[i]),
      `append of a ${kind} wrote other bytes`,
    );
  }
  return Promise.resolve();
}

/** A refused argument breaks nothing. */
export async function refusalsHarmless(fuzz: Fuzz): Promise<void> {
  const [one, other] = fuzz.own(UnixStream.pair());
  const sender = new FramedStream(one!);
  const receiver = new FramedStream(other!);
  const bad = fuzz.random.pick([-1, NaN, "1" as unknown as number]);
  try {
    sender.sendSync(message(1, 8), { timeout: bad });
  } catch {
    // As it must be.
  }
  await sender.send(message(2, 8)).catch((error) =>
    fuzz.check(false, `a refused timeout has broken the frames: ${error}`)
  );
  const got = receiver.receive({ timeout: 1_000 }).catch(() => null);
  await fuzz.ends(got, "frame after a refused one");
}

/** A frame that was begun is finished, or nothing is sent after it. */
export async function framesWhole(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const [one, other] = fuzz.own(UnixStream.pair());
  one!.bufferSizes = { send: random.pick([1000, 2048, 3000, 4000, 6000]) };
  const frames = new FramedStream(one!);
  const sent: number[] = [];
  const parts: Bytes[] = [];
  let number = 0;
  const send = async (size: number, timeout: number) => {
    const own = number++;
    const data = message(own, size);
    return await frames.send(data, { timeout }).then(() => {
      sent.push(own);
      return true;
    }, () => false);
  };
  const read = async (most: number) => {
    const buffer = new Uint8Array(most);
    const count = await other!.read(buffer, { timeout: 20 }).catch(() => 0);
    parts.push(buffer.slice(0, count ?? 0));
    return (count ?? 0) > 0;
  };
  for (let round = random.int(1, 4); round > 0; round--) {
    const first = random.int(100, 4000);
    await send(first, 1);
    while (await send(random.int(4, 100), 1));
    // The peer reads the first one only: there is room for a part of the next.
    const next = send(random.int(3000, 9000), 20);
    await read(first + 4);
    await next;
    if (random.chance(0.5)) await read(random.int(1, 4000));
  }
  const rest = (async () => {
    while (await read(65536));
  })();
  await send(50, 100);
  await send(50, 100);
  await fuzz.ends(rest, "reading frames");
  const arrived = numbersIn(parts);
  const isRight = sent.every((one, i) => arrived[i] === one);
  fuzz.check(isRight, `frames ${sent} were sent, ${arrived} arrived`);
}

/** The numbers of the messages in frames, up to what is damaged. */
function numbersIn(parts: Bytes[]): number[] {
  const bytes = new Uint8Array(parts.flatMap((part) => [...part]));
  const view = new DataView(bytes.buffer);
  const numbers: number[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + view.getUint32(at);
    if (end > bytes.length) break;
    numbers.push(numberOf(bytes.subarray(at + 4, end)));
    at = end;
  }
  return numbers;
}
