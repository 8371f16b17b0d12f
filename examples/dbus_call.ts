// A call over D-Bus: asks the daemon of the session which programs are connected to it.
// The protocol is a line-based login, and then binary messages over the same socket.

import { Buffer } from "node:buffer";
import process from "node:process";
import { BufferedReader } from "@linux/ipc/reader";
import { UnixStream } from "@linux/ipc/socket";
import { commandLine, main } from "./_cli.ts";

const HELP = `Usage: dbus_call.ts [--path PATH]

Prints the names on the message bus of the session, one a line.

Options:
  --path PATH  the socket of the daemon (default: that of $DBUS_SESSION_BUS_ADDRESS)
  --help       show this`;

const WAIT = { timeout: 10_000 };
const METHOD_CALL = 1;
const METHOD_RETURN = 2;
const LITTLE_ENDIAN = "l".charCodeAt(0); // in both directions: the daemon answers alike
const HEADER = 16; // bytes before the fields of a header
const BUS = "org.freedesktop.DBus";
const encoder = new TextEncoder();

/** Bytes with the alignment that D-Bus wants. */
class Writer {
  readonly bytes: number[] = [];

  align(size: number): void {
    while (this.bytes.length % size !== 0) this.bytes.push(0);
  }

  u32(value: number): void {
    this.align(4);
    this.bytes.push(value & 255, value >> 8 & 255, value >> 16 & 255, 0);
  }

  /** A field of the header: its code, the signature of its value, and the value. */
  field(code: number, signature: "o" | "s", value: string): void {
    this.align(8);
    this.bytes.push(code, 1, signature.charCodeAt(0), 0);
    const text = encoder.encode(value);
    this.u32(text.length);
    this.bytes.push(...text, 0);
  }
}

/** The call of a method of the daemon that takes no arguments. */
function call(serial: number, member: string): Uint8Array {
  const fields = new Writer(); // they begin at a multiple of 8
  fields.field(1, "o", "/org/freedesktop/DBus");
  fields.field(2, "s", BUS);
  fields.field(3, "s", member);
  fields.field(6, "s", BUS);
  const header = new Writer();
  header.bytes.push(LITTLE_ENDIAN, METHOD_CALL, 0, 1);
  for (const word of [0, serial, fields.bytes.length]) header.u32(word);
  fields.align(8);
  return Uint8Array.from([...header.bytes, ...fields.bytes]);
}

/** The body of the next answer; signals are skipped. */
async function answer(reader: BufferedReader): Promise<DataView> {
  for (;;) {
    const header = viewOf(await reader.peek(HEADER, WAIT));
    const start = HEADER + ((header.getUint32(12, true) + 7) & ~7); // its fields
    const size = start + header.getUint32(4, true);
    const bytes = (await reader.readExactly(size, WAIT))!;
    const type = header.getUint8(1);
    if (type === METHOD_RETURN) return viewOf(bytes.slice(start));
    if (type === 3) throw new Error("The daemon answers with an error");
  }
}

function viewOf(bytes: Uint8Array<ArrayBuffer> | null): DataView {
  if (bytes !== null) return new DataView(bytes.buffer);
  throw new Error("The daemon has closed the connection");
}

/** An array of strings. */
function strings(view: DataView): string[] {
  const all: string[] = [];
  for (let at = 4; at < view.byteLength;) {
    at = (at + 3) & ~3;
    const length = view.getUint32(at, true);
    const bytes = new Uint8Array(view.buffer, at + 4, length);
    all.push(new TextDecoder().decode(bytes));
    at += 4 + length + 1;
  }
  return all;
}

await main(async () => {
  const line = commandLine(HELP, { values: ["path"] });
  const address = process.env.DBUS_SESSION_BUS_ADDRESS ?? "";
  const path = line.value("path") ?? address.match(/unix:path=([^,;]+)/)?.[1];
  if (path === undefined) throw new Error("No message bus: give its --path");
  const stream = await UnixStream.connect(path, WAIT);
  using reader = new BufferedReader(stream);
  const user = Buffer.from(`${process.getuid!()}`).toString("hex");
  await stream.write(encoder.encode(`\0AUTH EXTERNAL ${user}\r\n`), WAIT);
  const reply = await reader.readLine(WAIT);
  if (!reply?.startsWith("OK ")) throw new Error(`The daemon says ${reply}`);
  await stream.write(encoder.encode("BEGIN\r\n"), WAIT);
  await stream.write(call(1, "Hello"), WAIT); // the daemon wants it first
  await answer(reader);
  await stream.write(call(2, "ListNames"), WAIT);
  for (const name of strings(await answer(reader))) console.log(name);
});
