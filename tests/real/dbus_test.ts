/** D-Bus: a descriptor goes from one client through the daemon to another one. */
import { assert, assertEquals } from "@std/assert";
import { adoptDescriptor, EventFd } from "@linux/ipc/descriptor";
import { BufferedReader, type TakenDescriptors } from "@linux/ipc/reader";
import { UnixStream } from "@linux/ipc/socket";
import { runExample } from "../interop/peers.ts";
import { utf8 } from "../support/bytes.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { spawn } from "../support/process.ts";
import { bound, missing } from "./program.ts";

const WAIT = { timeout: 20_000 };
const METHOD_CALL = 1;
const METHOD_RETURN = 2;
const HEADER = 16;

/** Fields of a header: its code, and its value with its signature. */
type Fields = [code: number, signature: "o" | "s" | "g" | "u", unknown][];

/** A message, in the byte order of this machine. */
function encode(serial: number, fields: Fields, body: number[]): Uint8Array {
  const out: number[] = [];
  const align = (size: number) => {
    while (out.length % size !== 0) out.push(0);
  };
  const u32 = (value: number) => {
    align(4);
    out.push(...new Uint8Array(Uint32Array.of(value).buffer));
  };
  out.push("l".charCodeAt(0), METHOD_CALL, 0, 1);
  for (const value of [body.length, serial, 0]) u32(value);
  for (const [code, signature, value] of fields) {
    align(8);
    out.push(code, 1, signature.charCodeAt(0), 0);
    const text = utf8(`${value}`);
    if (signature === "u") u32(value as number);
    else if (signature === "g") out.push(text.length, ...text, 0);
    else {
      u32(text.length);
      out.push(...text, 0);
    }
  }
  const length = out.length - HEADER;
  align(8);
  const bytes = Uint8Array.from([...out, ...body]);
  new DataView(bytes.buffer).setUint32(12, length, true);
  return bytes;
}

/** A message as far as this test looks at it. */
interface Message {
  readonly type: number;
  readonly body: Uint8Array;
  readonly descriptors: TakenDescriptors;
}

/** A client of the daemon. */
class Client implements Disposable {
  readonly stream: UnixStream;
  readonly reader: BufferedReader;
  name = "";
  #serial = 0;

  constructor(stream: UnixStream) {
    this.stream = stream;
    this.reader = new BufferedReader(stream, { maxDescriptors: 4 });
  }

  static async connect(path: string): Promise<Client> {
    const client = new Client(await UnixStream.connect(path, WAIT));
    const id = utf8(`${Deno.uid()}`).toHex();
    await client.say(`\0AUTH EXTERNAL ${id}\r\n`, /^OK /);
    await client.say("NEGOTIATE_UNIX_FD\r\n", /^AGREE_UNIX_FD/);
    await client.stream.write(utf8("BEGIN\r\n"));
    await client.call("org.freedesktop.DBus", "Hello", []);
    const { body } = await client.receive(METHOD_RETURN);
    client.name = new TextDecoder().decode(body.subarray(4, -1));
    return client;
  }

  async say(line: string, answer: RegExp): Promise<void> {
    await this.stream.write(utf8(line), WAIT);
    const text = await this.reader.readLine(WAIT);
    assert(answer.test(text!), text!);
  }

  async call(
    destination: string,
    member: string,
    descriptors: EventFd[],
  ): Promise<void> {
    const fields: Fields = [
      [1, "o", "/org/freedesktop/DBus"],
      [2, "s", "org.freedesktop.DBus"],
      [3, "s", member],
      [6, "s", destination],
    ];
    if (descriptors.length > 0) fields.push([8, "g", "h"], [9, "u", 1]);
    const body = descriptors.length > 0 ? [0, 0, 0, 0] : [];
    const bytes = encode(++this.#serial, fields, body);
    await this.stream.send(bytes, { descriptors, ...WAIT });
  }

  /** The next message of a type; others are signals. */
  async receive(type: number): Promise<Message> {
    for (;;) {
      const header = (await this.reader.peek(HEADER, WAIT))!;
      const view = new DataView(header.buffer);
      const start = HEADER + ((view.getUint32(12, true) + 7) & ~7);
      const size = start + view.getUint32(4, true);
      const bytes = (await this.reader.readExactly(size, WAIT))!;
      const descriptors = this.reader.takeDescriptors();
      const body = bytes.subarray(start);
      if (header[1] === type) return { type, body, descriptors };
    }
  }

  [Symbol.dispose](): void {
    this.reader.close();
  }
}

leakTest(
  "a descriptor goes through the D-Bus daemon, and the example lists its names",
  {
    needs: [missing("dbus-daemon", "dbus")],
  },
  async () => {
    using dir = scratch();
    const path = dir.file("bus");
    await using daemon = spawn("dbus-daemon", {
      args: [
        "--session",
        "--nofork",
        "--nopidfile",
        `--address=unix:path=${path}`,
      ],
    });
    await bound(path);
    using one = await Client.connect(path);
    using other = await Client.connect(path);
    assert(/^:1\.\d+$/.test(one.name) && one.name !== other.name, one.name);
    const listed = await runExample("dbus_call.ts", ["--path", path]);
    assertEquals([listed.code, listed.stderr], [0, ""], listed.transcript);
    const names = listed.stdout.trim().split("\n");
    assert(names.includes("org.freedesktop.DBus"), listed.transcript);
    assert(names.includes(one.name) && names.includes(other.name));

    using event = EventFd.create();
    await one.call(other.name, "Take", [event]);
    const { descriptors } = await other.receive(METHOD_CALL);
    assertEquals(descriptors.map(({ kind }) => kind), ["eventfd"]);
    using same = adoptDescriptor(descriptors[0]!);
    assert(same instanceof EventFd);
    same.writeSync(42);
    assertEquals(await event.read(WAIT), 42n);
    daemon.kill();
    await daemon.ended();
  },
);
