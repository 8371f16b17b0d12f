import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  IpcError,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { unistd } from "../ffi/libc/unistd.ts";
import { stale } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { noCompiler } from "./support/c.ts";
import { inChild, spawnCall } from "./support/child.ts";
import { assertRefused } from "./support/asserts.ts";
import {
  denoArgs,
  exists,
  run,
  runDeno,
  spawnDeno,
  succeeds,
} from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { refusing } from "./support/seccomp.ts";
import { noOtherUser, spawnAsNobody } from "./support/user.ts";

const SOCKET = new URL("../ffi/socket.ts", import.meta.url);
const ONE = Uint8Array.of(1);
const noStrace = succeeds("strace", "-qq", "-o", "/dev/null", "true")
  ? null
  : "no strace that works";

leakTest("UnixListener accepts sync, async and by trying", async () => {
  using dir = scratch();
  using listener = UnixListener.listen(dir.file("socket"));
  assertEquals(listener.localAddress, dir.file("socket"));
  assertEquals(listener.tryAccept(), undefined);
  assertThrows(() => listener.acceptSync({ timeout: 5 }), DOMException);
  await assertRejects(() => listener.accept({ timeout: 5 }), DOMException);
  const accepting = listener.accept();
  using client = await UnixStream.connect(dir.file("socket"));
  using server = await accepting;
  assertEquals(client.remoteAddress, dir.file("socket"));
  assertEquals(server.peerCredentials.pid, Deno.pid);
  using second = UnixStream.connectSync(dir.file("socket"), { timeout: 1000 });
  using accepted = listener.tryAccept()!;
  second.writeSync(Uint8Array.of(1));
  assertEquals(accepted.readSync(new Uint8Array(4)), 1);
});

leakTest(
  "UnixListener.close() ends waits and loops, and removes its file",
  async () => {
    using dir = scratch();
    const listener = UnixListener.listen(dir.file("socket"));
    const pending = listener.accept().catch((error) => error);
    const loop = (async () => {
      for await (const _ of listener);
    })();
    await Promise.resolve();
    listener.close();
    listener.close();
    assertInstanceOf(await pending, ClosedError);
    await loop;
    assertEquals(dir.list(), []);
    assertThrows(() => listener.tryAccept(), ClosedError);
  },
);

leakTest("UnixListener.close() removes no file but its own", () => {
  using dir = scratch();
  const listener = UnixListener.listen(dir.file("socket"));
  Deno.removeSync(dir.file("socket"));
  using other = UnixListener.listen(dir.file("socket"));
  listener.close();
  assertEquals(dir.list(), ["socket"]);
  other.close();
  assertEquals(dir.list(), []);
});

leakTest(
  "UnixListener.listen() gives the file its mode, from the beginning",
  () => {
    using dir = scratch();
    const modeOf = (path: unknown) =>
      Deno.lstatSync(path as string).mode! & 0o777;
    const before = Deno.umask();
    try {
      for (const umask of [0o022, 0o077, 0o777, 0o000]) {
        Deno.umask(umask);
        for (const mode of [undefined, 0o600, 0o666, 0o620, 0o000]) {
          using listener = UnixListener.listen(dir.file("socket"), { mode });
          assertEquals(modeOf(listener.localAddress), mode ?? 0o600);
          using socket = UnixDatagram.create(dir.file("receiver"), { mode });
          assertEquals(modeOf(socket.localAddress), mode ?? 0o600);
        }
      }
    } finally {
      Deno.umask(before);
    }
    assertThrows(
      () => UnixListener.listen(dir.file("socket"), { mode: 0o1000 }),
      RangeError,
    );
    assertThrows(
      () => UnixListener.listen(dir.file("socket"), { backlog: 0 }),
      RangeError,
    );
    // deno-lint-ignore no-explicit-any -- what TypeScript refuses
    const wrong = { type: "raw" } as any;
    assertThrows(
      () => UnixListener.listen(dir.file("socket"), wrong),
      TypeError,
    );
    assertEquals(dir.list(), []);
  },
);

leakTest(
  "a socket file never has more permissions than its mode",
  { needs: [noStrace] },
  async () => {
    using dir = scratch();
    const script = dir.file(
      "server.ts",
      `import { UnixListener } from "${SOCKET}";
       Deno.umask(0o077);
       UnixListener.listen(Deno.args[0], { mode: 0o640 }).close();`,
    );
    const log = dir.file("log");
    const ended = await run("strace", {
      args: [
        "-f",
        "-qq",
        "-o",
        log,
        "-e",
        "trace=/^(.*chmod.*|bind|umask|listen|unlink)$",
        Deno.execPath(),
        ...denoArgs(script, [dir.file("socket")]),
      ],
    });
    assertEquals(ended.code, 0, ended.transcript);
    const calls = Deno.readTextFileSync(log).split("\n").flatMap((line) => {
      const [, name, rest] = line.match(/^\d+\s+(\w+)\((.*)/) ?? [];
      return name === undefined ? [] : [
        name.includes("chmod") ? `chmod ${rest!.match(/0\d+/)}` : name,
      ];
    });
    const start = calls.lastIndexOf("umask") + 1; // the script's
    assertEquals(
      calls.slice(start),
      ["chmod 0640", "bind", "chmod 0640", "listen", "unlink"],
    );
  },
);

leakTest(
  "chmod() changes the mode of the file that was bound, and no other",
  () => {
    using dir = scratch();
    const modeOf = (name: string) =>
      Deno.lstatSync(dir.file(name)).mode! & 0o777;
    for (
      const [name, socket] of [
        ["listener", UnixListener.listen(dir.file("listener"))],
        ["datagram", UnixDatagram.create(dir.file("datagram"))],
      ] as const
    ) {
      for (const mode of [0o666, 0o000, 0o640]) {
        socket.chmod(mode);
        assertEquals(modeOf(name), mode);
      }
      assertThrows(() => socket.chmod(0o1000), RangeError);
      assertThrows(() => socket.chmod("rw" as never), TypeError);
      assertEquals(modeOf(name), 0o640);

      Deno.renameSync(dir.file(name), dir.file("moved"));
      assertRefused(() => socket.chmod(0o666), "ENOENT", "statx");
      Deno.writeTextFileSync(dir.file("target"), "", { mode: 0o600 });
      Deno.symlinkSync("target", dir.file(name));
      assertRefused(() => socket.chmod(0o666), "ENOENT", "fchmodat");
      assertEquals(modeOf("target"), 0o600);
      Deno.removeSync(dir.file(name));
      Deno.removeSync(dir.file("moved"));
      Deno.removeSync(dir.file("target"));
      socket.close();
      assertThrows(() => socket.chmod(0o666), ClosedError);
    }
    using abstract = UnixListener.listen(null);
    assertThrows(() => abstract.chmod(0o666), TypeError, "no file");
    using ends = UnixDatagram.pair();
    assertThrows(() => ends[0].chmod(0o666), TypeError, "no file");
    using adopted = UnixListener.fromFd(
      UnixListener.listen(dir.file("adopted")).detach(),
    );
    assertThrows(() => adopted.chmod(0o666), TypeError, "no file");
  },
);

/** What was bound to a path. */
const BOUND = {
  UnixListener: (path: string) => UnixListener.listen(path),
  UnixDatagram: (path: string) => UnixDatagram.create(path),
};

for (const [name, bound] of Object.entries(BOUND)) {
  leakTest(`${name}.close() after a hand-over keeps the file`, async () => {
    using dir = scratch();
    const path = dir.file("socket");
    using ends = UnixStream.pair();
    const [one, other] = ends;
    const handOvers: Record<
      string,
      (socket: UnixListener | UnixDatagram) => unknown
    > = {
      inherit: (socket) => socket.inherit(() => {}),
      "inherit, closed by the callback": (socket) =>
        socket.inherit(() => socket.close()),
      sendSync: (socket) => one.sendSync(ONE, { descriptors: [socket] }),
      send: (socket) => one.send(ONE, { descriptors: [socket] }),
      trySend: (socket) => one.trySend(ONE, { descriptors: [socket] }),
      "send, by number": (socket) =>
        one.send(ONE, { descriptors: [socket.fd] }),
      detach: (socket) => unistd().close(socket.detach()),
    };
    for (const [how, handOver] of Object.entries(handOvers)) {
      const socket = bound(path);
      await handOver(socket);
      socket.close();
      assertEquals([how, exists(path)], [how, true]);
      Deno.removeSync(path);
    }
    for (let i = 0; i < 4; i++) other.receiveSync();

    // What was not handed over: the file goes.
    const full = new Uint8Array(65536);
    while (one.trySend(full) !== undefined);
    const failures: Record<
      string,
      (socket: UnixListener | UnixDatagram) => unknown
    > = {
      "inherit that throws": (socket) =>
        socket.inherit(() => {
          throw new Error("no child");
        }),
      "send that times out": (socket) =>
        one.send(ONE, { descriptors: [socket], timeout: 5 }),
    };
    for (const [how, fail] of Object.entries(failures)) {
      const socket = bound(path);
      await assertRejects(async () => await fail(socket));
      socket.close();
      assertEquals([how, exists(path)], [how, false]);
    }
    // A number that is another's by now is not handed over.
    const first = bound(path);
    const { fd } = first;
    first.inherit(() => {});
    first.close();
    Deno.removeSync(path);
    const second = bound(path);
    assertEquals(second.fd, fd);
    second.close();
    assertEquals(exists(path), false);
  });
}

leakTest(
  "the heir of a listener serves on when the parent has closed it",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    const listener = UnixListener.listen(path);
    await using child = listener.inherit((fd) =>
      spawnCall(async (fd: number) => {
        const { UnixListener } = await import("../ffi/socket.ts");
        using listener = UnixListener.fromFd(fd);
        using client = await listener.accept();
        client.writeSync(Uint8Array.of(7));
      }, { argument: fd })
    );
    listener.close();
    using client = await UnixStream.connect(path);
    const buffer = new Uint8Array(2);
    assertEquals([await client.read(buffer), buffer[0]], [1, 7]);
    assertEquals((await child.ended()).code, 0);
  },
);

leakTest(
  "UnixListener.listen() says EADDRINUSE, and reclaims what is dead only",
  () => {
    using dir = scratch();
    const path = dir.file("socket");
    const code = (options = {}) =>
      assertThrows(() => UnixListener.listen(path, options), IpcError).code;

    stale(path);
    assertEquals(code(), "EADDRINUSE");
    using live = UnixListener.listen(path, { reclaim: true });
    assertEquals(code({ reclaim: true }), "EADDRINUSE");
    assertEquals(code({ reclaim: true, type: "seqpacket" }), "EADDRINUSE");
    assertEquals(live.tryAccept(), undefined); // and no connection was made
    live.close();

    for (
      const make of [
        () => Deno.writeTextFileSync(path, "text"),
        () => Deno.mkdirSync(path),
        () => Deno.symlinkSync("nowhere", path),
      ]
    ) {
      make();
      assertEquals(code({ reclaim: true }), "EADDRINUSE");
      assertEquals(dir.list(), ["socket"]);
      Deno.removeSync(path);
    }
    stale(path);
    using packets = UnixListener.listen(path, {
      reclaim: true,
      type: "seqpacket",
    });
    using client = UnixSeqpacket.connectSync(path);
    assertEquals(client.remoteAddress, path);
    using server = packets.acceptSync();
    server.sendSync(Uint8Array.of(1));
    assertEquals(client.receiveSync()?.data, Uint8Array.of(1));
  },
);

leakTest(
  "UnixListener.listen() does not reclaim one that is bound and does not listen yet",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    const { sysSocket } = await import("../ffi/libc/sys_socket.ts");
    const { unistd } = await import("../ffi/libc/unistd.ts");
    const { encodeAddress } = await import("../ffi/socket/address.ts");
    const name = encodeAddress(path);
    const fd = sysSocket().socket(1, 1 | 0x80000, 0);
    assertEquals(sysSocket().bind(fd, name, name.length), 0);
    assertThrows(
      () => UnixListener.listen(path, { reclaim: true }),
      IpcError,
      "EADDRINUSE",
    );
    unistd().close(fd);
    UnixListener.listen(path, { reclaim: true }).close();
  },
);

leakTest(
  "of many processes that reclaim, at most one serves, and is never unlinked",
  { soak: "also", limit: 120_000 },
  async () => {
    const ROUNDS = rounds(150, 1_500);
    using dir = scratch();
    const racer = dir.file(
      "racer.ts",
      `import { UnixListener, UnixStream } from "${SOCKET}";
       const [path, holder, rounds] = Deno.args;
       const same = (a, b) => a.ino === b.ino && a.dev === b.dev;
       let served = 0, refused = 0;
       console.log("ready");
       await Deno.stdin.read(new Uint8Array(1));
       for (let round = 0; round < Number(rounds); round++) {
         let listener;
         try {
           listener = UnixListener.listen(path, { reclaim: true });
         } catch (error) {
           if (error.code !== "EADDRINUSE") throw error;
           refused++;
           continue;
         }
         // Alone: no other process may have created this at the same time.
         Deno.openSync(holder, { createNew: true, write: true }).close();
         const mine = Deno.lstatSync(path);
         for (let look = 0; look < 3; look++) {
           using client = UnixStream.connectSync(path);
           using server = listener.acceptSync({ timeout: 5000 });
           if (client.peerCredentials.pid !== Deno.pid) throw new Error("not mine");
           if (!same(mine, Deno.lstatSync(path))) throw new Error("unlinked");
         }
         Deno.removeSync(holder);
         served++;
         // A kill every other time: the socket is gone, its file is not.
         if (round % 2 === 0) listener.close();
         else UnixListener.fromFd(listener.detach()).close();
       }
       console.log(served, refused);`,
    );
    const children = Array.from({ length: 8 }, () =>
      spawnDeno(racer, {
        args: [dir.file("socket"), dir.file("holder"), `${ROUNDS}`],
        limit: 100_000,
      }));
    let served = 0;
    let refused = 0;
    try {
      for (const child of children) await child.expect("ready\n");
      for (const child of children) await child.send("go");
      for (const child of children) {
        const { code, stdout, transcript } = await child.ended();
        assertEquals(code, 0, transcript);
        const [, yes, no] = stdout.match(/(\d+) (\d+)/)!;
        served += Number(yes);
        refused += Number(no);
      }
    } finally {
      for (const child of children) await child[Symbol.asyncDispose]();
    }
    assertEquals(served + refused, 8 * ROUNDS);
    assert(served > ROUNDS / 15, `served ${served}, refused ${refused}`);
    assert(refused > 0, "there was no race");
  },
);

leakTest(
  "a socket file with mode 600 keeps other users out",
  { needs: [noOtherUser] },
  async () => {
    using dir = scratch();
    Deno.chmodSync(dir.path, 0o755);
    using closed = UnixListener.listen(dir.file("closed"));
    using open = UnixListener.listen(dir.file("open"), { mode: 0o666 });
    Deno.chmodSync(dir.file("open"), 0o666); // whatever the umask is
    await using child = spawnAsNobody(
      `import { UnixStream } from "@linux/ipc/socket";
       try { UnixStream.connectSync(Deno.args[0]!); } catch (error) { console.log(error.code); }
       using stream = UnixStream.connectSync(Deno.args[1]!);
       console.log(stream.peerCredentials.uid);
       stream.readSync(new Uint8Array(1));`,
      { args: [dir.file("closed"), dir.file("open")] },
    );
    using server = await open.accept({ timeout: 20_000 });
    assertEquals(await child.line(), "EACCES");
    assertEquals(await child.line(), String(Deno.uid()));
    const { pid, uid, gid } = server.peerCredentials;
    assertEquals([pid, uid, gid], [child.pid, 65534, 65534]);
    server.writeSync(Uint8Array.of(1));
    await child.ended();
    assertEquals(closed.tryAccept(), undefined);
  },
);

leakTest("UnixListener.fromFd() adopts what a parent has passed", async () => {
  using dir = scratch();
  using listener = UnixListener.listen(dir.file("socket"));
  assertThrows(
    () => UnixListener.fromFd(listener.fd, { type: "seqpacket" }),
    TypeError,
  );
  using ends = UnixStream.pair();
  assertThrows(() => UnixListener.fromFd(ends[0].fd), TypeError);
  const script = dir.file(
    "child.ts",
    `import { UnixListener } from "${SOCKET}";
     using listener = UnixListener.fromFd(Number(Deno.args[0]));
     using client = await listener.accept();
     await client.readable.pipeTo(client.writable);`,
  );
  const child = listener.inherit((fd) =>
    spawnDeno(script, { args: [String(fd)] })
  );
  await using _ = child;
  using client = UnixStream.connectSync(dir.file("socket"));
  client.writeSync(Uint8Array.of(1, 2, 3));
  client.closeWrite();
  assertEquals(
    new Uint8Array(await new Response(client.readable).arrayBuffer()),
    Uint8Array.of(1, 2, 3),
  );
  assertEquals((await child.ended()).code, 0);
  assert(exists(dir.file("socket"))); // the child has left the file alone
});

leakTest("listenFds() takes what systemd passes, once", async () => {
  using dir = scratch();
  using listener = UnixListener.listen(dir.file("socket"));
  const script = dir.file(
    "service.ts",
    `import { listenFds, UnixListener } from "${SOCKET}";
     const found = listenFds();
     console.log(JSON.stringify(found), listenFds().length, Deno.env.has("LISTEN_FDS"));
     for (const { fd } of found) {
       using listener = UnixListener.fromFd(fd);
       using client = await listener.accept();
       client.writeSync(new TextEncoder().encode(String(Deno.pid)));
     }`,
  );
  const command = [
    Deno.execPath(),
    "run",
    "--allow-ffi",
    "--allow-env",
    "--quiet",
    script,
  ].join(" ");
  const start = (variables: string) =>
    listener.inherit((fd) =>
      run("bash", {
        args: ["-c", `exec 3<&${fd} ${fd}<&-; ${variables} exec ${command}`],
      })
    );
  const serving = start("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web");
  using client = await UnixStream.connect(dir.file("socket"));
  assert(await client.read(new Uint8Array(16), { timeout: 20_000 }));
  assertEquals(
    (await serving).stdout,
    '[{"fd":3,"name":"web"}] 0 false\n',
  );
  for (
    const [variables, output] of [
      ["", "[] 0 false\n"],
      ["LISTEN_PID=1 LISTEN_FDS=1", "[] 0 false\n"],
      ["LISTEN_PID=$$ LISTEN_FDS=0", "[] 0 false\n"],
      ["LISTEN_PID=$$ LISTEN_FDS=0 LISTEN_FDNAMES=", "[] 0 false\n"],
    ] as const
  ) {
    assertEquals((await start(variables)).stdout, output);
  }
  for (
    const [variables, message] of [
      ["LISTEN_PID=x LISTEN_FDS=1", '"LISTEN_PID" must be a number'],
      ["LISTEN_PID=$$ LISTEN_FDS=-1", '"LISTEN_FDS" must be a number'],
      ["LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=a:b", "must have 1 names"],
      [
        "LISTEN_PID=$$ LISTEN_FDS=2147483647",
        '"LISTEN_FDS" must be an integer',
      ],
      [
        "LISTEN_PID=$$ LISTEN_FDS=2147483644",
        "descriptor 2147483646 (LISTEN_FDS is 2147483644): Bad file descriptor",
      ],
    ] as const
  ) {
    const { code, stderr } = await start(variables);
    assert(code !== 0 && stderr.includes(message), stderr);
  }
});

leakTest(
  "for await of a listener goes on when descriptors are free again",
  async () => {
    const seen = await inChild(async () => {
      const { UnixListener, UnixStream } = await import("../ffi/socket.ts");
      const { sysEventfd } = await import("../ffi/libc/sys_eventfd.ts");
      const { unistd } = await import("../ffi/libc/unistd.ts");
      const pause = () => new Promise((resolve) => setTimeout(resolve, 60));
      // Deno opens descriptors for signals at its first need, and panics without them.
      const nothing = () => {};
      Deno.addSignalListener("SIGUSR2", nothing);
      Deno.removeSignalListener("SIGUSR2", nothing);
      using first = UnixListener.listen(null);
      await first.accept({ timeout: 60 }).catch(() => {}); // the runtime has its own
      const fill = () => {
        const filled: number[] = [];
        for (let fd; (fd = sysEventfd().eventfd(0, 0)) !== -1;) filled.push(fd);
        return () => filled.forEach((fd) => unistd().close(fd));
      };
      const seen: unknown[] = [];
      for (const isWaiting of [false, true]) {
        const listener = UnixListener.listen(null);
        const to = listener.localAddress!;
        let accepted = 0;
        const serve = async () => {
          for await (const client of listener) {
            accepted++;
            client.close();
          }
          return "closed";
        };
        let loop = isWaiting ? serve() : undefined;
        if (isWaiting) await pause();
        const clients = [
          UnixStream.connectSync(to),
          UnixStream.connectSync(to),
        ];
        const free = fill();
        loop ??= serve();
        try {
          listener.tryAccept();
        } catch (error) {
          seen.push((error as { code: string }).code);
        }
        await pause();
        seen.push(accepted);
        free();
        while (accepted < 2) await pause();
        clients.forEach((client) => client.close());
        UnixStream.connectSync(to).close();
        while (accepted < 3) await pause();
        listener.close();
        seen.push(await loop);
      }
      return seen;
    }, { wrapper: ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh"] });
    assertEquals(seen, ["EMFILE", 0, "closed", "EMFILE", 0, "closed"]);
  },
);

leakTest("accept() reports a lack of memory, for await waits for its end", {
  needs: [noCompiler],
}, async () => {
  for (const error of ["ENOBUFS", "ENOMEM", "ENFILE"]) {
    const wrapper = await refusing({
      call: "accept4",
      argument: 3,
      value: "02000000", // SOCK_CLOEXEC
      error,
    });
    const seen = await inChild(async () => {
      const { UnixListener, UnixStream } = await import("../ffi/socket.ts");
      const listener = UnixListener.listen(null);
      using _client = UnixStream.connectSync(listener.localAddress!);
      const seen: unknown[] = [];
      const note = (value: unknown) => seen.push(value);
      try {
        listener.acceptSync();
      } catch (error) {
        note((error as { code: string }).code);
      }
      // deno-lint-ignore no-explicit-any
      await listener.accept().catch((error: any) => note(error.code));
      const loop = (async () => {
        for await (const _ of listener) note("accepted");
      })().then(() => note("closed"), note);
      await new Promise((resolve) => setTimeout(resolve, 200));
      note("waits");
      listener.close();
      await loop;
      return seen;
    }, { wrapper });
    assertEquals(seen, [error, error, "waits", "closed"]);
  }
});

leakTest(
  "a connection that fails is passed over",
  { needs: [noStrace] },
  async () => {
    for (const error of ["ECONNABORTED", "EPROTO", "EINTR"]) {
      const inject = `inject=accept4:error=${error}:when=1..3`;
      const seen = await inChild(async () => {
        const { UnixListener, UnixStream } = await import("../ffi/socket.ts");
        using listener = UnixListener.listen(null);
        const to = listener.localAddress!;
        using client = UnixStream.connectSync(to);
        client.writeSync(Uint8Array.of(7));
        using server = await listener.accept();
        return server.readSync(new Uint8Array(2));
      }, {
        wrapper: [
          "strace",
          "-f",
          "-qq",
          "-o",
          "/dev/null",
          "-e",
          "trace=accept4",
          "-e",
          inject,
        ],
      });
      assertEquals(seen, 1);
    }
  },
);

leakTest(
  "a listener out of descriptors says EMFILE, and the client goes on waiting",
  async () => {
    using dir = scratch();
    const script = dir.file(
      "limited.ts",
      `import { UnixListener, UnixStream } from "${SOCKET}";
     const listener = UnixListener.listen(null);
     const client = UnixStream.connectSync(listener.localAddress);
     const spare = UnixStream.pair();
     const libc = Deno.dlopen("libc.so.6", {
       setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
     });
     libc.symbols.setrlimit(7, BigUint64Array.of(3n, 256n));
     try { listener.acceptSync(); } catch (error) { console.log(error.code); }
     libc.symbols.setrlimit(7, BigUint64Array.of(256n, 256n));
     console.log(listener.acceptSync().peerCredentials.pid === Deno.pid);`,
    );
    const { stdout, transcript } = await runDeno(script);
    assertEquals(stdout, "EMFILE\ntrue\n", transcript);
  },
);
