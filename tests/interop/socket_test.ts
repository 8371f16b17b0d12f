import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { UnixListener } from "@linux/ipc/socket";
import { assertInterrupted, assertNames } from "../support/asserts.ts";
import { scratch } from "../support/names.ts";
import { type Child, exists, listening } from "../support/process.ts";
import { share } from "../support/rounds.ts";
import {
  exampleTest,
  pairTest,
  peerTest,
  runExample,
  runPeer,
  type Side,
  startExample,
  startPeer,
} from "./peers.ts";

/** The original C server, or one that sends the "end" too. */
type Server = Side | "C with end";

const SERVERS = {
  "TypeScript": "socket_server.ts",
  "C": "the C server that never says end",
  "C with end": "the C server that says end",
};
const CLIENTS = { TypeScript: "socket_client.ts", C: "the C client" };

/**
 * The mixed pairs that can talk, and in the long run the others that can: the two original
 * C programs cannot.
 */
const TALKS: readonly (readonly [Server, Side])[] = share([
  ["TypeScript", "C"],
  ["C", "TypeScript"],
  ["C with end", "TypeScript"],
  ["TypeScript", "TypeScript"],
  ["C with end", "C"],
], 3);

const PROMPT = "입력 : ";
const ANSWER = "IPC SUCCESS\n";
const MESSAGES = [
  "hello",
  "한글 메시지",
  "a b  c",
  "end",
  "endless",
  "x",
  "qui",
];

/** Starts a server and waits until it listens. */
async function startServer(side: Server, path: string): Promise<Child> {
  const server = side === "TypeScript"
    ? startExample("socket_server.ts", [path])
    : await startPeer("line_server", side === "C" ? [path] : [path, "end"]);
  await server.until(() => listening(path), "listening socket");
  return server;
}

/** Starts a client and waits for its prompt. */
async function startClient(
  side: Side,
  path: string,
  ...more: string[]
): Promise<Child> {
  const client = side === "TypeScript"
    ? startExample("socket_client.ts", [path])
    : await startPeer("line_client", [path, ...more]);
  assertEquals(await client.expect(PROMPT), PROMPT);
  return client;
}

/** Types a line; the client prints one answer and is at its prompt again. */
async function talk(client: Child, server: Child, line: string): Promise<void> {
  await client.send(line);
  assertEquals(await server.line(), line);
  assertEquals(await client.expect(PROMPT), ANSWER + PROMPT);
}

/** Types "quit": both sides take it as the end of this client. */
async function quit(client: Child, server: Child): Promise<void> {
  await client.send("quit");
  assertEquals(await server.line(), "quit");
  const { code, stderr, transcript } = await client.ended();
  assertEquals([code, stderr, client.unread], [0, "", ""], transcript);
}

exampleTest(
  "socket_client.ts tells an answer from the end that comes with it",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    using listener = UnixListener.listen(path);
    await using client = startExample("socket_client.ts", [path]);
    assertEquals(await client.expect(PROMPT), PROMPT);
    using server = await listener.accept();
    const buffer = new Uint8Array(255);
    for (const text of ["oneend", "two", "endthreeend"]) {
      await client.send("hello");
      assertEquals(await server.read(buffer), "hello\n".length);
      await server.write(new TextEncoder().encode(text));
      const answer = text.replaceAll("end", "");
      assertEquals(await client.expect(PROMPT), `${answer}\n${PROMPT}`);
    }
    await client.send("quit");
    assertEquals((await client.ended()).code, 0);
  },
);

for (const [by, to] of TALKS) {
  pairTest(
    `${CLIENTS[to]} is at its prompt again after every message to ${
      SERVERS[by]
    }`,
    async () => {
      using dir = scratch();
      const path = dir.file("socket");
      await using server = await startServer(by, path);
      for (let left = 2; left > 0; left--) {
        await using client = await startClient(to, path);
        for (const message of MESSAGES) await talk(client, server, message);
        await quit(client, server);
      }
      assertEquals(server.unread, "");
      assert(server.alive);
    },
  );

  pairTest(
    `${CLIENTS[to]} sends prepared lines to ${SERVERS[by]}`,
    async () => {
      using dir = scratch();
      const path = dir.file("socket");
      await using server = await startServer(by, path);
      const lines = Array.from({ length: 50 }, (_, i) => `line ${i}`);
      const stdin = [...lines, "quit", "not sent", ""].join("\n");
      const ended = to === "TypeScript"
        ? await runExample("socket_client.ts", [path], { stdin })
        : await runPeer("line_client", [path], { stdin });
      assertEquals(ended.code, 0, ended.transcript);
      assertEquals(ended.stdout, (PROMPT + ANSWER).repeat(50) + PROMPT);
      for (const line of lines) assertEquals(await server.line(), line);
      assertEquals(await server.line(), "quit");
      assertEquals(server.unread, "");
    },
  );

  pairTest(
    `${CLIENTS[to]} gets long lines through to ${SERVERS[by]}`,
    async () => {
      using dir = scratch();
      const path = dir.file("socket");
      await using server = await startServer(by, path);
      await using client = await startClient(to, path);
      for (
        const line of [
          ...[252, 253, 254, 255, 256, 509, 600].map((n) => "x".repeat(n)),
          "가".repeat(200),
        ]
      ) {
        await client.send(line);
        assertEquals(await server.line(), line);
        assert((await client.expect(PROMPT)).startsWith(ANSWER));
        await client.send("again");
        assertEquals(await server.line(), "again");
      }
      await quitLater(client, server);
    },
  );
}

/** Types "quit" into a client that has still prompts to print. */
async function quitLater(client: Child, server: Child): Promise<void> {
  await client.send("quit");
  assertEquals(await server.line(), "quit");
  const { code, stdout, transcript } = await client.ended();
  assertEquals(code, 0, transcript);
  assertEquals(stdout.replaceAll(PROMPT, "").replaceAll(ANSWER, ""), "");
}

peerTest(
  "socket_server.ts talks with clients of both kinds at once",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    await using server = await startServer("TypeScript", path);
    await using one = await startClient("C", path);
    await using two = await startClient("TypeScript", path);
    await using three = await startClient("C", path);
    for (let i = 0; i < 5; i++) {
      await talk(one, server, `one ${i}`);
      await talk(three, server, `three ${i}`);
      await talk(two, server, `two ${i}`);
    }
    await quit(one, server);
    await talk(two, server, "still there");
    await quit(three, server);
    await talk(two, server, "still there");
    await quit(two, server);
  },
);

peerTest(
  "socket_server.ts talks with twenty clients one after another",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    await using server = await startServer("TypeScript", path);
    for (let i = 0; i < 20; i++) {
      await using client = await startClient("C", path);
      await talk(client, server, `client ${i}`);
      await quit(client, server);
    }
    await server.until(
      () => openSockets(server.pid, path) === 1,
      "closed connections",
    );
  },
);

/** How many Unix sockets a server has that bear its path. */
function openSockets(pid: number, path: string): number {
  const bound = new Set(
    Deno.readTextFileSync("/proc/net/unix").split("\n")
      .filter((row) => row.endsWith(` ${path}`))
      .map((row) => `socket:[${row.trim().split(/\s+/)[6]}]`),
  );
  let open = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      if (bound.has(Deno.readLinkSync(`/proc/${pid}/fd/${name}`))) open++;
    } catch {
      // Closed since the directory was listed.
    }
  }
  return open;
}

peerTest("socket_server.ts survives clients that are killed", async () => {
  using dir = scratch();
  const path = dir.file("socket");
  await using server = await startServer("TypeScript", path);
  for (const side of ["C", "TypeScript", "C"] as const) {
    await using client = await startClient(side, path);
    await talk(client, server, "mortal");
    client.kill("SIGKILL");
    await client.ended();
  }
  await using client = await startClient("C", path);
  await talk(client, server, "next");
  await quit(client, server);
});

peerTest(
  "socket_server.ts sends the end only after the answer was read",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    await using server = await startServer("TypeScript", path);
    await using client = await startClient("C", path, "slow");
    for (let i = 0; i < 5; i++) await talk(client, server, `patience ${i}`);
    await quit(client, server);
  },
);

exampleTest(
  "socket_server.ts sends the answer, the end and the farewell as parts",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    await using server = await startServer("TypeScript", path);
    using connection = await Deno.connect({ transport: "unix", path });
    const buffer = new Uint8Array(255);
    const read = async (size = 255) => {
      const length = await connection.read(buffer.subarray(0, size));
      return length === null
        ? null
        : new TextDecoder().decode(buffer.subarray(0, length));
    };
    const write = (text: string) =>
      connection.write(new TextEncoder().encode(text));

    for (let i = 0; i < 3; i++) {
      await write(`message ${i}\n`);
      assertEquals(await server.line(), `message ${i}`);
      assertEquals(await read(), "IPC SUCCESS");
      assertEquals(await read(), "end");
    }
    await write("slowly\n");
    for (const byte of "IPC") {
      await server.settled();
      assertEquals(await read(1), byte);
    }
    for (const byte of " SUCCESS") assertEquals(await read(1), byte);
    assertEquals(await read(), "end");
    await write("quit\n");
    assertEquals(await read(), "Connection Closed\n");
    assertEquals(await read(), null);
    assertEquals(await server.line(), "slowly");
    assertEquals(await server.line(), "quit");
  },
);

peerTest("socket_server.ts serves others while one does not read", async () => {
  using dir = scratch();
  const path = dir.file("socket");
  await using server = await startServer("TypeScript", path);
  using deaf = await Deno.connect({ transport: "unix", path });
  await deaf.write(new TextEncoder().encode("deaf\n"));
  assertEquals(await server.line(), "deaf");
  // Waiting for that one costs nothing.
  await server.settled();
  await using client = await startClient("C", path);
  for (let i = 0; i < 5; i++) await talk(client, server, `served ${i}`);
  await quit(client, server);
});

for (const by of ["TypeScript", "C", "C with end"] as const) {
  peerTest(
    `socket_client.ts waits quietly at its prompt, with ${SERVERS[by]}`,
    async () => {
      using dir = scratch();
      const path = dir.file("socket");
      await using server = await startServer(by, path);
      await using client = await startClient("TypeScript", path);
      for (let i = 0; i < 3; i++) {
        await client.settled();
        await server.settled();
        assertEquals(client.unread, "");
        await talk(client, server, `message ${i}`);
      }
      await client.settled();
      await quit(client, server);
    },
  );

  peerTest(
    `socket_client.ts ends with its input, with ${SERVERS[by]}`,
    async () => {
      using dir = scratch();
      const path = dir.file("socket");
      await using server = await startServer(by, path);
      for (let left = 2; left > 0; left--) {
        await using client = await startClient("TypeScript", path);
        await talk(client, server, "last words");
        await client.closeStdin();
        const { code, stderr, transcript } = await client.ended();
        assertEquals([code, stderr], [0, ""], transcript);
      }
      assertEquals(server.unread, "");
    },
  );

  peerTest(`socket_client.ts says that ${SERVERS[by]} has gone`, async () => {
    using dir = scratch();
    const path = dir.file("socket");
    await using server = await startServer(by, path);
    await using client = await startClient("TypeScript", path);
    await talk(client, server, "hello");
    server.kill("SIGKILL");
    await server.ended();
    // It may have noticed by itself.
    await client.send("anyone?").catch(() => {});
    const ended = await client.ended();
    assertNotEquals(ended.code, 0, ended.transcript);
    assertEquals(ended.signal, null, ended.transcript);
    assertNotEquals(ended.stderr, "");
  });
}

for (
  const when of [
    "at once",
    "after a client",
    "with a client",
    "with a deaf client",
  ]
) {
  exampleTest(
    `socket_server.ts removes its socket when interrupted ${when}`,
    async () => {
      using dir = scratch();
      const path = dir.file("socket");
      await using server = when === "at once"
        ? startExample("socket_server.ts", [path])
        : await startServer("TypeScript", path);
      if (when === "at once") {
        await server.until(() => exists(path), "socket");
      } else if (when === "with a deaf client") {
        using deaf = await Deno.connect({ transport: "unix", path });
        await deaf.write(new TextEncoder().encode("deaf\n"));
        assertEquals(await server.line(), "deaf");
        server.kill("SIGINT");
        return await assertInterrupted(server, path);
      } else {
        await using client = await startClient("TypeScript", path);
        await talk(client, server, "hello");
        if (when === "after a client") await quit(client, server);
        else {
          server.kill("SIGINT");
          return await assertInterrupted(server, path);
        }
      }
      server.kill("SIGINT");
      await assertInterrupted(server, path);
    },
  );
}

exampleTest(
  "socket_server.ts takes over the socket of a dead server",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    {
      await using dead = await startServer("TypeScript", path);
      dead.kill("SIGKILL");
      await dead.ended();
    }
    assert(Deno.lstatSync(path).isSocket);
    assertNames(path, await runExample("socket_client.ts", [path]));
    await using server = await startServer("TypeScript", path);
    await using client = await startClient("TypeScript", path);
    await talk(client, server, "hello");
    await quit(client, server);
  },
);

exampleTest(
  "socket_server.ts does not touch a file that is no socket",
  async () => {
    using dir = scratch();
    const path = dir.file("socket", "precious");
    assertNames(path, await runExample("socket_server.ts", [path]));
    assertEquals(Deno.readTextFileSync(path), "precious");
  },
);

for (const script of ["socket_server.ts", "socket_client.ts"]) {
  exampleTest(
    `${script} takes a path relative to the working directory`,
    async () => {
      using dir = scratch();
      const cwd = dir.path;
      await using server = startExample("socket_server.ts", ["./socket"], {
        cwd,
      });
      await server.until(
        () =>
          exists(dir.file("socket")) &&
          (listening("./socket") || listening(dir.file("socket"))),
        "server",
      );
      await using client = startExample("socket_client.ts", ["socket"], {
        cwd,
      });
      await client.expect(PROMPT);
      await talk(client, server, script);
      await quit(client, server);
    },
  );

  exampleTest(
    `${script} without a path prints the usage and fails`,
    async () => {
      const ended = await runExample(script);
      assertNotEquals(ended.code, 0, ended.transcript);
      assertEquals([ended.signal, ended.stdout], [null, ""]);
      assert(/usage/i.test(ended.stderr), ended.transcript);
    },
  );

  exampleTest(`${script} refuses a path that is too long`, async () => {
    using dir = scratch();
    const path = dir.file("x".repeat(256));
    const ended = await runExample(script, [path]);
    assertNotEquals(ended.code, 0, ended.transcript);
    assertEquals(ended.signal, null);
    assertNotEquals(ended.stderr, "");
    assertEquals(dir.list(), []);
  });
}

exampleTest("socket_client.ts names a socket that is missing", async () => {
  using dir = scratch();
  const path = dir.file("socket");
  const ended = await runExample("socket_client.ts", [path]);
  assertNames(path, ended);
  assertEquals(ended.stdout, "");
});
