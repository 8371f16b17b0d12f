/** PostgreSQL, through its Unix socket: it knows its client by `peerCredentials`. */
import { assert, assertEquals } from "@std/assert";
import { BufferedReader } from "@linux/ipc/reader";
import { UnixStream } from "@linux/ipc/socket";
import { utf8 } from "../support/bytes.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { exists, run, spawn } from "../support/process.ts";
import { bound } from "./program.ts";

const WAIT = { timeout: 20_000 };
const NOBODY = 65534; // the server refuses to be root
const DIRECTORY = "/usr/lib/postgresql";
const PROTOCOL = 3 << 16;

const [version] = exists(DIRECTORY)
  ? [...Deno.readDirSync(DIRECTORY)].map(({ name }) => name)
  : [];
const programs = `${DIRECTORY}/${version}/bin`;
const isHere = version !== undefined && exists(`${programs}/initdb`);
const noServer = isHere ? null : "no initdb (on Debian: postgresql)";

/** Bytes with their length, which counts itself, before them. */
function withLength(...parts: Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 4);
  const prefix = new DataView(new ArrayBuffer(4));
  prefix.setUint32(0, length);
  const all = [new Uint8Array(prefix.buffer), ...parts];
  return Uint8Array.from(all.flatMap((part) => [...part]));
}

/** Reads messages until one of a type, and returns its bytes. */
async function until(
  reader: BufferedReader,
  wanted: string,
): Promise<Uint8Array<ArrayBuffer>> {
  for (;;) {
    const header = (await reader.readExactly(5, WAIT))!;
    const length = new DataView(header.buffer).getUint32(1) - 4;
    const bytes = (await reader.readExactly(length, WAIT))!;
    const type = String.fromCharCode(header[0]!);
    assert(type !== "E", new TextDecoder().decode(bytes));
    if (type === wanted) return bytes;
  }
}

leakTest("PostgreSQL lets in whom the kernel names", {
  needs: [noServer],
}, async () => {
  using dir = scratch();
  const owner = Deno.uid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (Deno.uid() === 0) Deno.chownSync(dir.path, NOBODY, NOBODY);
  const user = (await run("id", { args: ["-un"] })).stdout.trim();
  const data = dir.file("data");
  const made = await run(`${programs}/initdb`, {
    args: ["-D", data, "-U", user, "--auth=peer", "--no-locale", "--no-sync"],
    cwd: dir.path,
    ...owner,
  });
  assertEquals(made.code, 0, made.transcript);
  await using server = spawn(`${programs}/postgres`, {
    args: ["-D", data, "-k", dir.path, "-c", "listen_addresses=", "-F"],
    cwd: dir.path,
    ...owner,
  });
  await bound(dir.file(".s.PGSQL.5432"));
  await server.expectError("ready to accept connections");
  const stream = await UnixStream.connect(dir.file(".s.PGSQL.5432"), WAIT);
  using reader = new BufferedReader(stream);
  const version = new DataView(new ArrayBuffer(4));
  version.setUint32(0, PROTOCOL);
  const startup = utf8(`user\0${user}\0database\0postgres\0\0`);
  await stream.write(withLength(new Uint8Array(version.buffer), startup));
  assertEquals(await until(reader, "R"), new Uint8Array(4)); // AuthenticationOk
  await until(reader, "Z"); // ready
  const query = utf8("SELECT 'is ' || current_user\0");
  await stream.write(Uint8Array.of(81, ...withLength(query))); // Q
  const row = await until(reader, "D");
  assertEquals(new TextDecoder().decode(row.subarray(6)), `is ${user}`);
  assertEquals(stream.peerCredentials.pid, server.pid);
  reader.close();
  server.kill("SIGINT"); // fast shutdown
  assertEquals((await server.ended()).code, 0);
});
