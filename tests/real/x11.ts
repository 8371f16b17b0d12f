/** A client of an X11 server, as far as shared memory goes: MIT-SHM. */
import { assert, assertEquals } from "@std/assert";
import { BufferedReader, type TakenDescriptors } from "@linux/ipc/reader";
import { type DescriptorLike, UnixStream } from "@linux/ipc/socket";
import { concatenate } from "../support/process.ts";

const WAIT = { timeout: 20_000 };
const ERROR = 0;
const REPLY = 1;
const MESSAGE = 32; // bytes; a reply may have more
const CREATE_PIXMAP = 53;
const CREATE_GC = 55;
const QUERY_EXTENSION = 98;
const SHM = { attach: 1, put: 3, get: 4, attachFd: 6, createSegment: 7 };
const DEPTH = 24; // bits of a pixel that count; it has 32
const Z_PIXMAP = 2; // whole pixels
const ALL_PLANES = 0xffffffff;

/** Fields of a request: a word, or smaller fields that fill words. */
type Field = number | Uint8Array | Uint16Array;

function bytesOf(fields: Field[]): Uint8Array<ArrayBuffer> {
  return concatenate(fields.map((field) => {
    const words = typeof field === "number" ? Uint32Array.of(field) : field;
    return new Uint8Array(words.buffer);
  }));
}

/** A picture in memory: the segment, and where it begins. Its left upper corner is 0, 0. */
export interface Picture {
  segment: number;
  offset: number;
  width: number;
  height: number;
}

/** A pixmap, and the graphics context that draws there. */
export interface Canvas {
  pixmap: number;
  context: number;
}

/** A connection to an X11 server. */
export class X11 implements Disposable {
  readonly #stream: UnixStream;
  readonly #reader: BufferedReader;
  #nextId = 0;
  #shm = 0;
  #completion = 0;

  /** The window that is the whole screen; its pixels have 32 bits each. */
  root = 0;

  private constructor(stream: UnixStream) {
    this.#stream = stream;
    this.#reader = new BufferedReader(stream, { maxDescriptors: 1 });
  }

  /** Connects to the socket of a server. */
  static async connect(path: string): Promise<X11> {
    const client = new X11(await UnixStream.connect(path, WAIT));
    await client.#stream.write(bytesOf([
      Uint8Array.of("l".charCodeAt(0), 0, 11, 0), // little-endian, version 11.0
      0,
      0,
    ]));
    const start = (await client.#reader.readExactly(8, WAIT))!;
    const size = 4 * new DataView(start.buffer).getUint16(6, true);
    const rest = (await client.#reader.readExactly(size, WAIT))!;
    assert(start[0] === 1, new TextDecoder().decode(rest));
    const view = new DataView(rest.buffer);
    client.#nextId = view.getUint32(4, true);
    const vendor = (view.getUint16(16, true) + 3) & ~3;
    client.root = view.getUint32(32 + vendor + 8 * rest[21]!, true);
    const name = new TextEncoder().encode("MIT-SHM\0");
    await client.#send(QUERY_EXTENSION, 0, [Uint16Array.of(7, 0), name]);
    const reply = await client.#expect(REPLY);
    assert(reply[8] === 1, "the server has no MIT-SHM");
    client.#shm = reply[9]!;
    client.#completion = reply[10]!;
    return client;
  }

  async #send(
    opcode: number,
    minor: number,
    fields: Field[],
    descriptors: DescriptorLike[] = [],
  ): Promise<void> {
    const data = bytesOf(fields);
    const head = Uint8Array.of(opcode, minor, 0, 0);
    new DataView(head.buffer).setUint16(2, 1 + data.length / 4, true);
    await this.#stream.send(concatenate([head, data]), { descriptors });
  }

  /** The next reply, event or error. */
  async #receive(): Promise<Uint8Array<ArrayBuffer>> {
    const head = (await this.#reader.peek(MESSAGE, WAIT))!;
    const more = head[0] === REPLY
      ? 4 * new DataView(head.buffer).getUint32(4, true)
      : 0;
    return (await this.#reader.readExactly(MESSAGE + more, WAIT))!;
  }

  /** The next message, which has a type; throws if it is an error. */
  async #expect(type: number): Promise<Uint8Array<ArrayBuffer>> {
    const message = await this.#receive();
    if (message[0] === ERROR) throw new Error(`X11 error ${message[1]}`);
    assertEquals(message[0], type);
    return message;
  }

  /** Waits until a request is done that has no reply; throws if it has an error. */
  async #done(): Promise<void> {
    await this.#send(QUERY_EXTENSION, 0, [0]);
    try {
      await this.#expect(REPLY);
    } catch (error) {
      await this.#expect(REPLY); // that of QueryExtension comes after the error
      throw error;
    }
  }

  /** Makes a pixmap. */
  async createCanvas(width: number, height: number): Promise<Canvas> {
    const [pixmap, context] = [this.#nextId++, this.#nextId++];
    const size = Uint16Array.of(width, height);
    await this.#send(CREATE_PIXMAP, DEPTH, [pixmap, this.root, size]);
    await this.#send(CREATE_GC, 0, [context, pixmap, 0]);
    await this.#done();
    return { pixmap, context };
  }

  /** ShmAttach: a System V segment, by its identifier. */
  async attach(id: number): Promise<number> {
    const segment = this.#nextId++;
    await this.#send(this.#shm, SHM.attach, [segment, id, 0]);
    await this.#done();
    return segment;
  }

  /** ShmAttachFd: memory whose descriptor goes along. */
  async attachFd(memory: DescriptorLike): Promise<number> {
    const segment = this.#nextId++;
    await this.#send(this.#shm, SHM.attachFd, [segment, 0], [memory]);
    await this.#done();
    return segment;
  }

  /** ShmCreateSegment: memory that the server makes; its descriptor comes along. */
  async createSegment(size: number): Promise<[number, TakenDescriptors]> {
    const segment = this.#nextId++;
    await this.#send(this.#shm, SHM.createSegment, [segment, size, 0]);
    await this.#expect(REPLY);
    return [segment, this.#reader.takeDescriptors()];
  }

  /** ShmPutImage: from memory to a pixmap. Waits until the server has read it. */
  async put({ pixmap, context }: Canvas, picture: Picture): Promise<void> {
    const { segment, offset, width, height } = picture;
    await this.#send(this.#shm, SHM.put, [
      pixmap,
      context,
      Uint16Array.of(width, height, 0, 0, width, height, 0, 0),
      Uint8Array.of(DEPTH, Z_PIXMAP, 1, 0), // 1: with an event when it is done
      segment,
      offset,
    ]);
    await this.#expect(this.#completion);
  }

  /** ShmGetImage: from a pixmap or a window to memory. */
  async get(drawable: number, picture: Picture): Promise<void> {
    const { segment, offset, width, height } = picture;
    await this.#send(this.#shm, SHM.get, [
      drawable,
      Uint16Array.of(0, 0, width, height),
      ALL_PLANES,
      Z_PIXMAP,
      segment,
      offset,
    ]);
    await this.#expect(REPLY);
  }

  [Symbol.dispose](): void {
    this.#reader.close();
  }
}
