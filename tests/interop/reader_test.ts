/** Protocols of other programs, each read with a BufferedReader: HTTP, QMP, D-Bus. */
import { assert, assertEquals } from "@std/assert";
import { pipe, PipeReader, PipeWriter } from "@linux/ipc/pipe";
import { BufferedReader } from "@linux/ipc/reader";
import { UnixListener, UnixStream } from "@linux/ipc/socket";
import { utf8 } from "../support/bytes.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { spawn, succeeds } from "../support/process.ts";
import { noPython, startPython } from "../support/python.ts";

const WAIT = { timeout: 20_000 };

// --- HTTP/1.0: lines, then bytes up to a length or to the end -----------------

async function get(address: string, url: string) {
  const stream = await UnixStream.connect(address, WAIT);
  await stream.write(utf8(`GET ${url} HTTP/1.0\r\n\r\n`));
  using reader = new BufferedReader(stream);
  const [, status] = (await reader.readLine(WAIT))!.split(" ");
  const headers = new Map<string, string>();
  for (let line; (line = await reader.readLine(WAIT));) {
    const [name, value] = line.split(": ");
    headers.set(name!.toLowerCase(), value!);
  }
  const length = headers.get("content-length");
  const body = length === undefined
    ? await reader.readToEnd(WAIT)
    : await reader.readExactly(Number(length), WAIT);
  return { status: Number(status), body: body! };
}

leakTest(
  "BufferedReader reads the answers of Python's HTTP server",
  { needs: [noPython] },
  async () => {
    using dir = scratch();
    const address = dir.file("socket");
    await using _ = await startPython(
      "import http.server, socketserver, threading",
      "class Handler(http.server.BaseHTTPRequestHandler):",
      "    def do_GET(self):",
      "        body = self.path.encode() * 20000",
      "        self.send_response(200)",
      '        if self.path == "/length":',
      '            self.send_header("Content-Length", str(len(body)))',
      "        self.end_headers()",
      "        self.wfile.write(body)",
      "    def log_message(self, *args): pass",
      '    def address_string(self): return "unix"',
      `server = socketserver.ThreadingUnixStreamServer("${address}", Handler)`,
      "threading.Thread(target=server.serve_forever, daemon=True).start()",
    );
    for (const url of ["/length", "/until-the-end"]) {
      const { status, body } = await get(address, url);
      assertEquals([status, body.length], [200, url.length * 20_000]);
      assert(
        body.every((byte, at) => byte === url.charCodeAt(at % url.length)),
      );
    }
  },
);

// --- QMP, the protocol of QEMU: a line of JSON each way, and descriptors ------

class Qmp implements Disposable {
  readonly #stream: UnixStream;
  readonly #reader: BufferedReader;
  readonly events: unknown[] = [];

  constructor(stream: UnixStream) {
    this.#stream = stream;
    this.#reader = new BufferedReader(stream, { maxDescriptors: 8 });
  }

  async next() {
    return JSON.parse((await this.#reader.readLine(WAIT))!);
  }

  async execute(command: string, ...descriptors: { readonly fd: number }[]) {
    const line = utf8(`${JSON.stringify({ execute: command })}\n`);
    await this.#stream.send(line, { descriptors });
    for (;;) {
      const reply = await this.next();
      if ("return" in reply) {
        return { value: reply.return, passed: this.#reader.takeDescriptors() };
      }
      this.events.push(reply.event);
    }
  }

  [Symbol.dispose]() {
    this.#reader.close();
  }
}

leakTest(
  "BufferedReader speaks QMP, and gets descriptors with any byte of a reply",
  { needs: [noPython] },
  async () => {
    using dir = scratch();
    using listener = UnixListener.listen(dir.file("socket"));
    await using python = await startPython(
      "import array, json, os, socket",
      "its = socket.socket(socket.AF_UNIX)",
      `its.connect("${dir.file("socket")}")`,
      "def say(value, fds=[], at=0):",
      '    line = json.dumps(value).encode() + b"\\r\\n"',
      "    its.sendall(line[:at])",
      "    if fds: socket.send_fds(its, [line[at:]], fds)",
      "    else: its.sendall(line[at:])",
      "    return len(line)",
      "def take():",
      "    line, fds, _, _ = socket.recv_fds(its, 1000, 8)",
      "    return json.loads(line)['execute'], fds",
      "def answer(at):",
      "    command, fds = take()",
      '    say({"event": "BEFORE"})',
      '    size = say({"return": command}, fds, at)',
      "    for fd in fds: os.close(fd)",
      "    return size",
    );
    using qmp = new Qmp(await listener.accept(WAIT));
    await python.ask('say({"QMP": {"capabilities": []}})');
    assertEquals(await qmp.next(), { QMP: { capabilities: [] } });
    let size = 1;
    for (let at = 0; at < size; at++) {
      using ends = pipe();
      const executing = qmp.execute("getfd", ends.reader, ends.writer);
      size = Number(await python.ask(`answer(${at})`));
      const { value, passed } = await executing;
      using _passed = passed;
      assertEquals([value, passed.length], ["getfd", 2]);
      using reader = PipeReader.fromFd(passed[0]!.detach());
      using writer = PipeWriter.fromFd(passed[1]!.detach());
      writer.writeSync(utf8("x"));
      assertEquals(ends.reader.readSync(new Uint8Array(2)), 1);
      assertEquals(reader.tryRead(new Uint8Array(2)), undefined);
    }
    assertEquals(qmp.events.length, size);
  },
);

// --- D-Bus: a header that tells the length, and how many descriptors come ------

/** Values of a D-Bus message, aligned. */
class Marshal {
  readonly bytes: number[] = [];

  align(size: number): this {
    while (this.bytes.length % size !== 0) this.bytes.push(0);
    return this;
  }

  u32(value: number): this {
    this.align(4).bytes.push(...new Uint8Array(Uint32Array.of(value).buffer));
    return this;
  }

  string(text: string): this {
    this.u32(utf8(text).length).bytes.push(...utf8(text), 0);
    return this;
  }

  signature(text: string): this {
    this.bytes.push(text.length, ...utf8(text), 0);
    return this;
  }

  field(code: number, type: string, value: string | number): this {
    this.align(8).bytes.push(code);
    this.signature(type);
    if (typeof value === "number") return this.u32(value);
    return type === "g" ? this.signature(value) : this.string(value);
  }
}

/** One connection to a message bus. */
class Bus implements Disposable {
  readonly #stream: UnixStream;
  readonly #reader: BufferedReader;
  #serial = 0;

  private constructor(stream: UnixStream) {
    this.#stream = stream;
    this.#reader = new BufferedReader(stream, { maxDescriptors: 16 });
  }

  static async connect(path: string): Promise<{ bus: Bus; name: string }> {
    const bus = new Bus(await UnixStream.connect(path, WAIT));
    const uid = utf8(String(Deno.uid())).toHex();
    await bus.#stream.write(utf8(`\0AUTH EXTERNAL ${uid}\r\n`));
    assert((await bus.#reader.readLine(WAIT))!.startsWith("OK "));
    await bus.#stream.write(utf8("NEGOTIATE_UNIX_FD\r\n"));
    assertEquals(await bus.#reader.readLine(WAIT), "AGREE_UNIX_FD");
    await bus.#stream.write(utf8("BEGIN\r\n"));
    const name = "org.freedesktop.DBus";
    await bus.call(name, "Hello", []);
    const { body } = await bus.receive(2);
    return { bus, name: new TextDecoder().decode(body.subarray(4, -1)) };
  }

  async call(to: string, member: string, descriptors: { fd: number }[]) {
    const fields = new Marshal().field(1, "o", "/org/freedesktop/DBus")
      .field(2, "s", "org.freedesktop.DBus").field(3, "s", member)
      .field(6, "s", to);
    const body = new Marshal();
    if (descriptors.length > 0) {
      const types = "h".repeat(descriptors.length);
      fields.field(8, "g", types).field(9, "u", descriptors.length);
      for (const index of descriptors.keys()) body.u32(index);
    }
    const message = new Marshal();
    message.bytes.push("l".charCodeAt(0), 1, 0, 1);
    message.u32(body.bytes.length).u32(++this.#serial);
    message.u32(fields.bytes.length).bytes.push(...fields.bytes);
    message.align(8).bytes.push(...body.bytes);
    await this.#stream.send(Uint8Array.from(message.bytes), { descriptors });
  }

  /** The next message of a type, and its descriptors. */
  async receive(type: number) {
    for (;;) {
      const head = (await this.#reader.peek(16, WAIT))!;
      const view = new DataView(head.buffer);
      const start = 16 + Math.ceil(view.getUint32(12, true) / 8) * 8;
      const size = start + view.getUint32(4, true);
      const message = (await this.#reader.readExactly(size, WAIT))!;
      const descriptors = this.#reader.takeDescriptors();
      if (head[1] === type) {
        return { body: message.subarray(start), descriptors };
      }
    }
  }

  [Symbol.dispose]() {
    this.#reader.close();
  }
}

const noBus = succeeds("dbus-daemon", "--version") ? null : "no dbus-daemon";

leakTest(
  "BufferedReader reads descriptors that the D-Bus daemon forwards",
  { needs: [noBus] },
  async () => {
    using dir = scratch();
    const path = dir.file("bus");
    const address = `unix:path=${path}`;
    await using daemon = spawn("dbus-daemon", {
      args: ["--session", "--nofork", "--print-address", "--address", address],
    });
    await daemon.expect("unix:");
    using one = (await Bus.connect(path)).bus;
    const { bus: other, name } = await Bus.connect(path);
    using _other = other;
    using ends = pipe();
    // All are on their way before any is read.
    for (let count = 0; count < 5; count++) {
      await one.call(name, "Take", Array(count).fill(ends.writer));
    }
    for (let count = 0; count < 5; count++) {
      const { body, descriptors } = await other.receive(1);
      using _descriptors = descriptors;
      assertEquals([body.length, descriptors.length], [4 * count, count]);
      for (const passed of descriptors) {
        using writer = PipeWriter.fromFd(passed.detach());
        writer.writeSync(utf8("x"));
        assertEquals(ends.reader.readSync(new Uint8Array(2)), 1);
      }
    }
  },
);
