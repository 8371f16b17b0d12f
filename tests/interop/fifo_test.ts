import { assert, assertEquals } from "@std/assert";
import { assertInterrupted, assertNames } from "../support/asserts.ts";
import { type Scratch, scratch } from "../support/names.ts";
import { type Child, exists } from "../support/process.ts";
import {
  exampleTest,
  PAIRS,
  pairTest,
  peerTest,
  runExample,
  runPeer,
  type Side,
  startExample,
  startPeer,
} from "./peers.ts";

const SERVERS = { TypeScript: "fifo_server.ts", C: "the C server" };
const CLIENTS = { TypeScript: "fifo_client.ts", C: "the C client" };

/** What one client's messages look like. */
const THREE = ["Send Message[0]", "Send Message[1]", "Send Message[2]"];

/** Starts a server and waits until it has its FIFO open. */
async function startServer(side: Side, path: string): Promise<Child> {
  const server = side === "TypeScript"
    ? startExample("fifo_server.ts", ["--path", path])
    : await startPeer("fifo_printer", [path]);
  await server.holds(path);
  return server;
}

/** Runs a client to its end, which sends three messages. */
async function runClient(side: Side, path: string): Promise<void> {
  const ended = side === "TypeScript"
    ? await runExample("fifo_client.ts", ["--path", path])
    : await runPeer("fifo_sender", [path]);
  assertEquals(ended.code, 0, ended.transcript);
  assertEquals(ended.stdout, "");
}

/** Makes a FIFO that no one has open, as a server that was killed leaves one. */
async function abandonedFifo(dir: Scratch): Promise<string> {
  const path = dir.file("named_pipe");
  await using server = await startServer("TypeScript", path);
  server.kill("SIGKILL");
  await server.ended();
  assert(Deno.lstatSync(path).isFifo);
  return path;
}

for (const [by, to] of PAIRS) {
  pairTest(
    `${SERVERS[by]} receives from ${CLIENTS[to]}, three times`,
    async () => {
      using dir = scratch();
      const path = dir.file("named_pipe");
      await using server = await startServer(by, path);
      for (let client = 0; client < 3; client++) {
        await runClient(to, path);
        for (const message of THREE) {
          assertEquals(await server.line(), `recv: ${message}`);
        }
      }
      assertEquals(server.unread, "");
      assert(server.alive);
    },
  );
}

for (const by of ["TypeScript", "C"] as const) {
  peerTest(
    `${SERVERS[by]} receives from clients of both kinds at once`,
    async () => {
      using dir = scratch();
      const path = dir.file("named_pipe");
      await using server = await startServer(by, path);
      const clients = ["C", "TypeScript", "C", "TypeScript"] as const;
      await Promise.all(clients.map((client) => runClient(client, path)));
      const got: string[] = [];
      for (let i = 0; i < clients.length * 3; i++) {
        got.push(await server.line());
      }
      assertEquals(
        got.sort(),
        THREE.flatMap((message) => clients.map(() => `recv: ${message}`)),
      );
    },
  );
}

peerTest("fifo_server.ts receives 200 records, in order", async () => {
  using dir = scratch();
  const path = dir.file("named_pipe");
  await using server = await startServer("TypeScript", path);
  const ended = await runPeer("fifo_sender", [path, "200"]);
  assertEquals(ended.code, 0, ended.transcript);
  for (let i = 0; i < 200; i++) {
    assertEquals(await server.line(), `recv: Send Message[${i}]`);
  }
});

peerTest(
  "fifo_server.ts keeps the order of each of three clients at once",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe");
    const count = 150;
    const names = ["Alpha", "Beta", "Gamma"];
    await using server = await startServer("TypeScript", path);
    const clients = names.map((name) =>
      runPeer("fifo_sender", [path, String(count), name])
    );
    const next = new Map(names.map((name) => [name, 0]));
    for (let i = 0; i < names.length * count; i++) {
      const [, name = "", index] = (await server.line())
        .match(/^recv: (\w+)\[(\d+)\]$/) ?? [];
      assertEquals(Number(index), next.get(name));
      next.set(name, Number(index) + 1);
    }
    for (const ended of await Promise.all(clients)) assertEquals(ended.code, 0);
  },
);

peerTest(
  "fifo_server.ts prints texts up to the whole record, of any script",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe");
    await using server = await startServer("TypeScript", path);
    for (const text of ["", " ", "x".repeat(1020), "메시지 ✉ ".repeat(50)]) {
      assertEquals((await runPeer("fifo_sender", [path, "2", text])).code, 0);
      assertEquals(await server.line(), `recv: ${text}[0]`);
      assertEquals(await server.line(), `recv: ${text}[1]`);
    }
  },
);

exampleTest(
  "fifo_server.ts and fifo_client.ts meet at ./named_pipe",
  async () => {
    using dir = scratch();
    await using server = startExample("fifo_server.ts", [], { cwd: dir.path });
    await server.holds(`${dir.path}/named_pipe`);
    const client = await runExample("fifo_client.ts", [], { cwd: dir.path });
    assertEquals(client.code, 0, client.transcript);
    for (const message of THREE) {
      assertEquals(await server.line(), `recv: ${message}`);
    }
  },
);

exampleTest(
  "fifo_server.ts makes its FIFO for all, as far as the umask goes",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe");
    await using server = await startServer("TypeScript", path);
    const umask = parseInt(
      Deno.readTextFileSync(`/proc/${server.pid}/status`)
        .match(/^Umask:\s*(\w+)/m)![1]!,
      8,
    );
    assertEquals(Deno.lstatSync(path).mode! & 0o777, 0o666 & ~umask);
  },
);

exampleTest(
  "fifo_server.ts removes its FIFO when interrupted before any client",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe");
    await using server = await startServer("TypeScript", path);
    await server.settled();
    server.kill("SIGINT");
    await assertInterrupted(server, path);
  },
);

exampleTest(
  "fifo_server.ts removes its FIFO when interrupted as soon as it is there",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe");
    await using server = startExample("fifo_server.ts", ["--path", path]);
    await server.until(() => exists(path), "FIFO");
    server.kill("SIGINT");
    await assertInterrupted(server, path);
  },
);

peerTest(
  "fifo_server.ts removes its FIFO when interrupted after clients",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe");
    await using server = await startServer("TypeScript", path);
    for (const client of ["C", "TypeScript"] as const) {
      await runClient(client, path);
      await server.expect("Send Message[2]\n");
    }
    server.kill("SIGINT");
    await assertInterrupted(server, path);
    assertEquals(server.unread, "");
  },
);

peerTest("fifo_server.ts takes over an abandoned FIFO", async () => {
  using dir = scratch();
  const path = await abandonedFifo(dir);
  await using server = await startServer("TypeScript", path);
  await runClient("C", path);
  await server.expect("recv: Send Message[2]\n");
});

exampleTest(
  "fifo_server.ts does not touch a file that is no FIFO",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe", "precious");
    assertNames(path, await runExample("fifo_server.ts", ["--path", path]));
    assertEquals(Deno.readTextFileSync(path), "precious");
  },
);

exampleTest("fifo_server.ts names a directory that is missing", async () => {
  using dir = scratch();
  const path = dir.file("missing/named_pipe");
  assertNames(path, await runExample("fifo_server.ts", ["--path", path]));
});

exampleTest("fifo_client.ts names a FIFO that is missing", async () => {
  using dir = scratch();
  const path = dir.file("named_pipe");
  assertNames(path, await runExample("fifo_client.ts", ["--path", path]));
  assertEquals(dir.list(), []);
});

exampleTest("fifo_client.ts names a FIFO without a server", async () => {
  using dir = scratch();
  const path = await abandonedFifo(dir);
  assertNames(path, await runExample("fifo_client.ts", ["--path", path]));
});

exampleTest(
  "fifo_client.ts does not write into a file that is no FIFO",
  async () => {
    using dir = scratch();
    const path = dir.file("named_pipe", "precious");
    assertNames(path, await runExample("fifo_client.ts", ["--path", path]));
    assertEquals(Deno.readTextFileSync(path), "precious");
  },
);

for (const by of ["TypeScript", "C"] as const) {
  for (const there of [false, true]) {
    const state = there ? "without a server" : "that is missing";
    peerTest(
      `fifo_client.ts --wait waits at a FIFO ${state} for ${SERVERS[by]}`,
      async () => {
        using dir = scratch();
        const path = there ? await abandonedFifo(dir) : dir.file("named_pipe");
        await using client = startExample("fifo_client.ts", [
          "--wait",
          "--path",
          path,
        ]);
        await client.settled();
        await using server = await startServer(by, path);
        for (const message of THREE) {
          assertEquals(await server.line(), `recv: ${message}`);
        }
        const ended = await client.ended();
        assertEquals(ended.code, 0, ended.transcript);
      },
    );
  }
}
