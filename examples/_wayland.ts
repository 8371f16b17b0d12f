// The messages of Wayland: requests to a compositor and events of it, which are words of
// 32 bits and texts. Descriptors go along with the bytes.

import { BufferedReader } from "@linux/ipc/reader";
import { type DescriptorLike, IpcError, UnixStream } from "@linux/ipc/socket";

const HEADER = 8; // bytes: an object, the number of its method or event, and the size

/** The object that is there from the beginning. */
export const DISPLAY = 1;

/** What happened to an object: one of its events, by number. */
export interface WaylandEvent {
  readonly object: number;
  readonly event: number;
  readonly args: Uint32Array<ArrayBuffer>;
}

/** A text as an argument: its size with a NUL, then its bytes in whole words. */
function textWords(text: string): number[] {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const padded = new Uint8Array((bytes.length + 3) & ~3);
  padded.set(bytes);
  return [bytes.length, ...new Uint32Array(padded.buffer)];
}

/** The text whose size is the argument at an index. */
export function textAt(args: Uint32Array<ArrayBuffer>, index: number): string {
  const start = args.byteOffset + 4 * (index + 1);
  const bytes = new Uint8Array(args.buffer, start, args[index]! - 1);
  return new TextDecoder().decode(bytes);
}

/** A connection to a compositor. */
export class Wayland implements Disposable {
  readonly #stream: UnixStream;
  readonly #reader: BufferedReader;
  #last = DISPLAY;

  constructor(stream: UnixStream) {
    this.#stream = stream;
    this.#reader = new BufferedReader(stream);
  }

  /** Connects to the socket of a compositor. */
  static async connect(path: string): Promise<Wayland> {
    return new Wayland(await UnixStream.connect(path, { timeout: 10_000 }));
  }

  /** Gives a number to an object that the next request makes. */
  newObject(): number {
    return ++this.#last;
  }

  /** Calls a method that makes an object; returns its number. */
  async create(
    object: number,
    method: number,
    args: (number | string)[],
    ...descriptors: DescriptorLike[]
  ): Promise<number> {
    const made = this.newObject();
    await this.request(object, method, [made, ...args], ...descriptors);
    return made;
  }

  /** Calls a method of an object, by number. */
  async request(
    object: number,
    method: number,
    args: (number | string)[],
    ...descriptors: DescriptorLike[]
  ): Promise<void> {
    const words = args.flatMap((arg) =>
      typeof arg === "string" ? textWords(arg) : arg
    );
    const size = HEADER + 4 * words.length;
    const message = Uint32Array.of(object, size << 16 | method, ...words);
    const bytes = new Uint8Array(message.buffer);
    try {
      await this.#stream.send(bytes, { descriptors });
    } catch (error) {
      const isClosed = error instanceof IpcError && error.code === "EPIPE";
      if (!isClosed) throw error; // event() tells why it was closed
    }
  }

  /** Waits for the next event. Throws if it is an error: the connection is over then. */
  async event(timeout?: number): Promise<WaylandEvent> {
    const header = await this.#reader.peek(HEADER, { timeout });
    if (header === null) throw new Error("The compositor has gone");
    const [object = 0, word = 0] = new Uint32Array(header.buffer);
    const size = Math.max(word >>> 16, HEADER);
    const bytes = await this.#reader.readExactly(size, { timeout });
    const args = new Uint32Array(bytes!.buffer, HEADER);
    const event = word & 0xffff;
    if (object !== DISPLAY || event !== 0) return { object, event, args };
    throw new Error(
      `The compositor refuses: error ${args[1]}, ${textAt(args, 2)}`,
    );
  }

  /** Binds to globals of the compositor, by name; returns the objects. */
  async bind(...names: string[]): Promise<number[]> {
    const registry = await this.create(DISPLAY, 1, []); // get_registry
    const listed = await this.create(DISPLAY, 0, []); // sync: an event after all others
    const globals = new Map<string, number>();
    for (let event; (event = await this.event()).object !== listed;) {
      const { object, args } = event;
      if (object === registry) globals.set(textAt(args, 1), args[0]!);
    }
    return await Promise.all(names.map(async (name) => {
      const number = globals.get(name);
      if (number === undefined) {
        throw new Error(`The compositor has no ${name}`);
      }
      const object = this.newObject();
      await this.request(registry, 0, [number, name, 1, object]); // bind
      return object;
    }));
  }

  [Symbol.dispose](): void {
    this.#reader.close();
  }
}
