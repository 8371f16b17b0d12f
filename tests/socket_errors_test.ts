/**
 * Every errno that the documentation of the sockets names: a call that fails with it, or
 * the reason why there is none here.
 */
import { assert, assertEquals } from "@std/assert";
import {
  IpcError,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { sysSocket } from "../ffi/libc/sys_socket.ts";
import { encodeAddress } from "../ffi/socket/address.ts";
import { setOption } from "../ffi/socket/socket_option.ts";
import { noCompiler } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { type Scratch, scratch } from "./support/names.ts";
import { unshareFlags } from "./support/namespaces.ts";
import { succeeds } from "./support/process.ts";
import { refusing } from "./support/seccomp.ts";

const ONE = Uint8Array.of(1);
const NO_FD = 987_654;
const isRoot = Deno.uid() === 0;

/** Calls a method; its last argument are the options of the method. */
// deno-lint-ignore no-explicit-any
type Call = (target: any, ...args: unknown[]) => unknown;

/** How a call is made to fail: what it returns is awaited. */
type Provoke = (call: Call, dir: Scratch) => unknown;

/** Calls that have the same errors. A text is the reason why one is not provoked. */
interface Group {
  /** Static methods, or of instances. */
  methods: string[];
  errors: Record<string, Provoke | string>;
}

const GLOBAL = "the table of the whole system would have to be full";
const BY_FILTER = "only a filter refuses it: see below";
const ELSEWHERE = "tests/socket_rights_test.ts does it, as another user";
const MOUNTED = "a file system is mounted for it: see below";
const WHOLE = "the file system, and not its mount, must be read-only";
const MOMENT = "the peer must close in the middle of the call";

const libc = Deno.dlopen("libc.so.6", {
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setfsuid: { parameters: ["u32"], result: "i32" },
});
globalThis.addEventListener("unload", () => libc.close());

/** Calls without a free descriptor. */
async function withoutDescriptors(call: () => unknown): Promise<unknown> {
  const RLIMIT_NOFILE = 7;
  const before = new BigUint64Array(2);
  libc.symbols.getrlimit(RLIMIT_NOFILE, before);
  const after = BigUint64Array.of(3n, before[1]!);
  libc.symbols.setrlimit(RLIMIT_NOFILE, after);
  try {
    return await call();
  } finally {
    libc.symbols.setrlimit(RLIMIT_NOFILE, before);
  }
}

/** Calls with the permissions of another user than root. */
async function asNobody(call: () => unknown): Promise<unknown> {
  if (isRoot) libc.symbols.setfsuid(65534); // of this thread
  try {
    return await call();
  } finally {
    if (isRoot) libc.symbols.setfsuid(0);
  }
}

/** What root alone can provoke. */
function byRoot(provoke: Provoke): Provoke | string {
  return isRoot ? provoke : "only root can";
}

/** A directory that is closed to others. */
function closedDirectory(dir: Scratch): string {
  Deno.mkdirSync(dir.file("closed"));
  Deno.chmodSync(dir.path, 0o755);
  Deno.chmodSync(dir.file("closed"), 0o000);
  return dir.file("closed/socket");
}

/** Paths that fail for themselves. */
const PATHS: Record<string, Provoke> = {
  ENOTDIR: (call, dir) => call(dir.file("file", "") + "/socket"),
  ELOOP: (call, dir) => {
    Deno.symlinkSync("loop", dir.file("loop"));
    return call(dir.file("loop") + "/socket");
  },
  EACCES: (call, dir) => {
    const path = closedDirectory(dir);
    return asNobody(() => call(path));
  },
};

const CONNECT: Group["errors"] = {
  ...PATHS,
  ENOENT: (call, dir) => call(dir.file("missing")),
  EPROTOTYPE: async (call, dir) => {
    const path = dir.file("socket");
    const wrong = call.name.startsWith("UnixStream") ? "seqpacket" : "stream";
    using _ = UnixListener.listen(path, { type: wrong as "stream" });
    await call(path);
  },
  EROFS: WHOLE,
  EMFILE: (call) => withoutDescriptors(() => call({ abstract: "nobody" })),
  ENFILE: GLOBAL,
  ENOBUFS: BY_FILTER,
  ENOMEM: BY_FILTER,
};

const SENDS: Group["errors"] = {
  EBADF: (call) => {
    using ends = socketsOf(call).pair();
    return call(ends[0], ONE, { descriptors: [NO_FD] });
  },
  EPERM: async (call) => {
    using ends = socketsOf(call).pair();
    ends[1].passDescriptors = false;
    await call(ends[0], ONE, { descriptors: [0] });
  },
  ESRCH: byRoot(async (call) => {
    using ends = socketsOf(call).pair();
    await call(ends[0], ONE, { credentials: { pid: 0x7fff_ffff } });
  }),
  ETOOMANYREFS: ELSEWHERE,
};

const STREAM_WRITES: Group["errors"] = {
  EPIPE: async (call) => {
    const [one, other] = UnixStream.pair();
    other.close();
    using _ = one;
    await call(one, ONE);
  },
  ECONNRESET: MOMENT,
};

/** An error that follows what the peer has sent. */
async function resetReceive(call: Call): Promise<void> {
  const [one, other] = socketsOf(call).pair();
  using _ = one;
  one.sendSync(ONE);
  other.close();
  await call(one, {});
}

/** What an error of a send to an address has. */
const TO: Group["errors"] = Object.fromEntries(
  Object.entries({ ...PATHS, ENOENT: CONNECT.ENOENT as Provoke }).map((
    [code, provoke],
  ) => [code, (call, dir) => {
    using socket = UnixDatagram.create(null);
    return provoke((to) => call(socket, ONE, { to }), dir);
  }]),
);

/** Connects as C may. */
function connectRaw(socket: UnixDatagram, to: UnixDatagram): void {
  const name = encodeAddress(to.localAddress!);
  sysSocket().connect(socket.fd, name, name.length);
}

const GROUPS: Group[] = [
  {
    methods: [
      "UnixStream.connectSync",
      "UnixStream.connect",
      "UnixSeqpacket.connectSync",
      "UnixSeqpacket.connect",
    ],
    errors: {
      ...CONNECT,
      ECONNREFUSED: (call, dir) => call(dir.file("file", "")),
    },
  },
  {
    methods: ["UnixDatagram.connectSync", "UnixDatagram.connect"],
    errors: {
      ...CONNECT,
      ECONNREFUSED: async (call, dir) => {
        const socket = UnixDatagram.create(dir.file("stale"));
        UnixDatagram.fromFd(socket.detach()).close();
        await call(dir.file("stale"));
      },
      EPERM: async (call) => {
        using receiver = UnixDatagram.create(null);
        using other = UnixDatagram.create(null);
        connectRaw(receiver, other);
        await call(receiver.localAddress);
      },
    },
  },
  {
    methods: ["UnixListener.listen", "UnixDatagram.create"],
    errors: {
      ...PATHS,
      ENOENT: (call, dir) => call(dir.file("missing/socket")),
      EADDRINUSE: (call, dir) => call(dir.file("file", ""), { reclaim: true }),
      ENAMETOOLONG: async (call, dir) => {
        const path = dir.file("x".repeat(248));
        const socket = UnixDatagram.create(path);
        UnixDatagram.fromFd(socket.detach()).close(); // leaves the file
        await call(path, { reclaim: true });
      },
      EPERM: byRoot((call) => call("/dev/pts/socket")), // devpts has no sockets
      EMFILE: (call) => withoutDescriptors(() => call(null)),
      EROFS: MOUNTED,
      ENOSPC: MOUNTED,
      EDQUOT: "it takes a file system with quotas",
      ENFILE: GLOBAL,
      ENOBUFS: BY_FILTER,
      ENOMEM: BY_FILTER,
    },
  },
  {
    methods: ["UnixListener.chmod", "UnixDatagram.chmod"],
    errors: {
      ENOENT: (call, dir) => {
        using socket = bound(call, dir.file("socket"));
        Deno.removeSync(dir.file("socket"));
        return call(socket, 0o600);
      },
      EACCES: async (call, dir) => {
        Deno.mkdirSync(dir.file("inner"));
        using socket = bound(call, dir.file("inner/socket"));
        Deno.chmodSync(dir.path, 0o755);
        Deno.chmodSync(dir.file("inner"), 0o000);
        try {
          await asNobody(() => call(socket, 0o600));
        } finally {
          Deno.chmodSync(dir.file("inner"), 0o700);
        }
      },
      EPERM: byRoot(async (call, dir) => {
        using socket = bound(call, dir.file("socket"));
        Deno.chmodSync(dir.path, 0o755);
        await asNobody(() => call(socket, 0o600));
      }),
      EROFS: MOUNTED,
      EMFILE: async (call, dir) => {
        using socket = bound(call, dir.file("socket"));
        await withoutDescriptors(() => call(socket, 0o600));
      },
    },
  },
  {
    methods: ["UnixStream.pair", "UnixSeqpacket.pair", "UnixDatagram.pair"],
    errors: {
      EMFILE: (call) => withoutDescriptors(() => call(undefined)),
      ENFILE: GLOBAL,
    },
  },
  {
    methods: [
      "UnixStream.fromFd",
      "UnixSeqpacket.fromFd",
      "UnixDatagram.fromFd",
      "UnixListener.fromFd",
    ],
    errors: { EBADF: (call) => call(NO_FD) },
  },
  {
    methods: [
      "UnixListener.acceptSync",
      "UnixListener.accept",
      "UnixListener.tryAccept",
    ],
    errors: {
      EMFILE: async (call) => {
        using listener = UnixListener.listen(null);
        using _client = UnixStream.connectSync(listener.localAddress!);
        await withoutDescriptors(() => call(listener));
      },
      ENFILE: BY_FILTER,
      ENOBUFS: BY_FILTER,
      ENOMEM: BY_FILTER,
    },
  },
  {
    methods: [
      "UnixStream.writeSync",
      "UnixStream.write",
      "UnixStream.tryWrite",
    ],
    errors: STREAM_WRITES,
  },
  {
    methods: ["UnixStream.sendSync", "UnixStream.send", "UnixStream.trySend"],
    errors: { ...STREAM_WRITES, ...SENDS },
  },
  {
    methods: [
      "UnixSeqpacket.sendSync",
      "UnixSeqpacket.send",
      "UnixSeqpacket.trySend",
    ],
    errors: {
      ...SENDS,
      EMSGSIZE: tooLong,
      ENOBUFS: byRoot(tooLongToAllocate),
      EPIPE: async (call) => {
        const [one, other] = UnixSeqpacket.pair();
        using _ = one;
        other.close();
        await call(one, ONE);
      },
      ECONNRESET: async (call) => {
        const [one, other] = UnixSeqpacket.pair();
        using _ = one;
        one.sendSync(ONE);
        other.close();
        await call(one, ONE);
      },
    },
  },
  {
    methods: [
      "UnixDatagram.sendSync",
      "UnixDatagram.send",
      "UnixDatagram.trySend",
    ],
    errors: {
      ...SENDS,
      ...TO,
      EROFS: WHOLE,
      EMSGSIZE: tooLong,
      ENOBUFS: byRoot(tooLongToAllocate),
      ECONNREFUSED: async (call) => {
        const [one, other] = UnixDatagram.pair();
        using _ = one;
        other.close();
        await call(one, ONE);
      },
      ENOTCONN: async (call) => {
        using socket = UnixDatagram.create(null);
        await call(socket, ONE);
      },
      EPIPE: async (call) => {
        using ends = UnixDatagram.pair();
        sysSocket().shutdown(ends[1].fd, 0); // SHUT_RD
        await call(ends[0], ONE);
      },
      EPERM: async (call) => {
        using receiver = UnixDatagram.create(null);
        using other = UnixDatagram.create(null);
        using sender = UnixDatagram.create(null);
        connectRaw(receiver, other);
        await call(sender, ONE, { to: receiver.localAddress! });
      },
      EPROTOTYPE: async (call, dir) => {
        const to = dir.file("socket");
        using _ = UnixListener.listen(to);
        using sender = UnixDatagram.create(null);
        await call(sender, ONE, { to });
      },
      EMFILE: async (call) => {
        using receiver = UnixDatagram.create(null);
        using sender = UnixDatagram.create(null);
        const to = receiver.localAddress!;
        while (sender.trySend(ONE, { to }));
        if (call.name === "UnixDatagram.trySend") { // which does not wait
          call = (socket: UnixDatagram, ...args) =>
            socket.sendSync(...args as [Uint8Array]);
        }
        await withoutDescriptors(() =>
          call(sender, ONE, { to, timeout: 5000 })
        );
      },
      ENFILE: GLOBAL,
    },
  },
  {
    methods: [
      "UnixStream.readSync",
      "UnixStream.read",
      "UnixStream.tryRead",
    ],
    errors: {
      ECONNRESET: (call) =>
        resetReceive(Object.defineProperty(
          (stream: UnixStream) => call(stream, new Uint8Array(1)),
          "name",
          { value: call.name },
        )),
    },
  },
  {
    methods: ["UnixStream", "UnixSeqpacket"].flatMap((name) => [
      `${name}.receiveSync`,
      `${name}.receive`,
      `${name}.tryReceive`,
      `${name}.peekSync`,
      `${name}.peek`,
      `${name}.tryPeek`,
    ]),
    errors: { ECONNRESET: resetReceive },
  },
  {
    methods: [
      "UnixDatagram.receiveSync",
      "UnixDatagram.receive",
      "UnixDatagram.tryReceive",
      "UnixDatagram.peekSync",
      "UnixDatagram.peek",
      "UnixDatagram.tryPeek",
    ],
    errors: {
      ECONNRESET: async (call) => {
        using server = UnixDatagram.create(null);
        using other = UnixDatagram.create(null);
        const to = server.localAddress!;
        using client = UnixDatagram.connectSync(to, { from: null });
        connectRaw(server, client);
        client.sendSync(ONE);
        connectRaw(server, other);
        await call(client);
      },
    },
  },
];

const CLASSES = { UnixStream, UnixSeqpacket, UnixDatagram, UnixListener };

/** The class of a method. */
function socketsOf({ name }: Call): typeof UnixSeqpacket {
  return CLASSES[name.split(".")[0] as "UnixSeqpacket"];
}

function bound({ name }: Call, path: string): UnixListener | UnixDatagram {
  return name.startsWith("UnixListener")
    ? UnixListener.listen(path)
    : UnixDatagram.create(path);
}

async function tooLong(call: Call): Promise<void> {
  using ends = socketsOf(call).pair();
  await call(ends[0], new Uint8Array(ends[0].bufferSizes.send));
}

async function tooLongToAllocate(call: Call): Promise<void> {
  const SO_SNDBUFFORCE = 32; // what root may
  using ends = socketsOf(call).pair();
  setOption(ends[0].fd, SO_SNDBUFFORCE, 16 << 20, "");
  await call(ends[0], new Uint8Array(8 << 20));
}

/** Calls a method by its name, such as "UnixStream.write". */
function callOf(method: string): Call {
  const [owner, name] = method.split(".") as [keyof typeof CLASSES, string];
  // deno-lint-ignore no-explicit-any
  const statics = CLASSES[owner] as any;
  const call: Call = name in statics
    ? (target, ...args) => statics[name](target, ...args)
    : (target, ...args) => target[name](...args);
  return Object.defineProperty(call, "name", { value: method });
}

for (const { methods, errors } of GROUPS) {
  for (const method of methods) {
    leakTest(
      `${method}() fails with each errno that is documented`,
      async () => {
        const seen: Record<string, string> = {};
        const expected: Record<string, string> = {};
        for (const [code, provoke] of Object.entries(errors)) {
          if (typeof provoke === "string") continue;
          expected[code] = code;
          const dir = scratch();
          try {
            await provoke(callOf(method), dir);
            seen[code] = "no error";
          } catch (error) {
            seen[code] = error instanceof IpcError ? error.code : String(error);
          } finally {
            if (isRoot) Deno.chmodSync(dir.path, 0o700);
            dir[Symbol.dispose]();
          }
        }
        assertEquals(seen, expected);
      },
    );
  }
}

/** The errno names in the documentation of each method, without references. */
async function documented(): Promise<Map<string, string>> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", new URL("../ffi/socket.ts", import.meta.url).href],
    stderr: "null",
  }).output();
  const found = new Map<string, string>();
  // deno-lint-ignore no-explicit-any
  const nodes: any = JSON.parse(new TextDecoder().decode(stdout)).nodes;
  // deno-lint-ignore no-explicit-any
  for (const { symbols } of Object.values<any>(nodes)) {
    for (const { name, declarations } of symbols) {
      for (const { def } of declarations) {
        for (const { name: method, jsDoc } of def?.methods ?? []) {
          const texts = (jsDoc?.tags ?? [])
            // deno-lint-ignore no-explicit-any
            .filter(({ tsType }: any) =>
              (tsType?.repr ?? "IpcError") === "IpcError"
            )
            .map((tag: { doc: string }) => tag.doc);
          const key = `${name}.${method}`;
          found.set(key, [found.get(key) ?? "", ...texts].join(" "));
        }
      }
    }
  }
  return found;
}

/** The errno names of a method: those of another one that it refers to, too. */
function codesOf(method: string, docs: Map<string, string>): string[] {
  const text = docs.get(method) ?? "";
  const own = text.match(/\bE[A-Z0-9]{3,}\b/g) ?? [];
  const [, other] =
    text.match(/\bAs\s+\{@linkcode\s+(?:\S+\s+\|\s+)?([\w.]+)\}/) ??
      [];
  return [...own, ...(other === undefined ? [] : codesOf(other, docs))];
}

Deno.test("the documentation names these errno, and no others", async () => {
  const docs = await documented();
  for (const { methods, errors } of GROUPS) {
    for (const method of methods) {
      const names = [...new Set(codesOf(method, docs))].sort();
      assertEquals([method, names], [method, Object.keys(errors).sort()]);
    }
  }
});

leakTest(
  "what the kernel lacks is reported",
  { needs: [noCompiler] },
  async () => {
    const SOCK_DGRAM = 0o2000002; // with SOCK_CLOEXEC
    const none = "ECONNREFUSED";
    for (
      const [error, call, argument, value, ...expected] of [
        ["ENOBUFS", "socket", 0, 1, ...Array(5).fill("ENOBUFS"), null, null],
        ["ENOMEM", "socket", 0, 1, ...Array(5).fill("ENOMEM"), null, null],
        ["ENFILE", "socket", 0, 1, ...Array(5).fill("ENFILE"), null, null],
        [
          "ENFILE",
          "socketpair",
          1,
          SOCK_DGRAM,
          null,
          null,
          none,
          none,
          none,
          null,
          "ENFILE",
        ],
      ]
    ) {
      const wrapper = await refusing({ call, argument, value, error });
      const seen = await inChild(async () => {
        const { UnixDatagram, UnixListener, UnixSeqpacket, UnixStream } =
          await import("../ffi/socket.ts");
        const to = { abstract: "nobody" };
        const codes: unknown[] = [];
        for (
          const call of [
            () => UnixListener.listen(null),
            () => UnixDatagram.create(null),
            () => UnixDatagram.connect(to),
            () => UnixSeqpacket.connectSync(to),
            () => UnixStream.connect(to),
            () => UnixStream.pair(),
            () => UnixDatagram.pair(),
          ]
        ) {
          try {
            await call();
            codes.push(undefined);
          } catch (error) {
            codes.push((error as { code: string }).code);
          }
        }
        return codes;
      }, { wrapper });
      assertEquals(seen, expected);
    }
  },
);

const mounting = unshareFlags(
  "--mount",
  "mount",
  "-t",
  "tmpfs",
  "tmpfs",
  "/mnt",
);

leakTest("what the file system refuses is reported", {
  needs: [
    mounting !== undefined && succeeds("mount", "--version")
      ? null
      : "nothing can be mounted",
  ],
}, async () => {
  using dir = scratch();
  const seen = await inChild(async (directory: string) => {
    const { UnixDatagram, UnixListener } = await import("../ffi/socket.ts");
    const mount = (...args: string[]) =>
      new Deno.Command("mount", { args: [...args, directory] }).outputSync();
    const path = `${directory}/socket`;
    const codes: string[] = [];
    const code = (call: () => unknown) => {
      try {
        call();
        codes.push("no error");
      } catch (error) {
        codes.push((error as { code: string }).code);
      }
    };
    mount("-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs");
    code(() => UnixListener.listen(path));
    code(() => UnixDatagram.create(path));
    mount("-t", "tmpfs", "tmpfs");
    const socket = UnixListener.listen(path);
    mount("-o", "remount,bind,ro"); // without options that name users
    code(() => UnixListener.listen(`${path}2`));
    code(() => UnixDatagram.create(`${path}2`));
    code(() => socket.chmod(0o666));
    socket.close();
    return codes;
  }, { argument: dir.path, wrapper: ["unshare", ...mounting!] });
  assertEquals(seen, ["ENOSPC", "ENOSPC", "EROFS", "EROFS", "EROFS"]);
});

leakTest("what needs /proc names it where it is not mounted", {
  needs: [mounting !== undefined ? null : "nothing can be mounted"],
}, async () => {
  using dir = scratch();
  const seen = await inChild(async (directory: string) => {
    const { UnixDatagram, UnixListener } = await import("../ffi/socket.ts");
    const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
    const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
    const path = `${directory}/socket`;
    const long = `${directory}/${"x".repeat(120)}`;
    using listener = UnixListener.listen(path);
    using _there = UnixListener.listen(long);
    using socket = UnixDatagram.create(null);
    const queue = PosixMessageQueue.create(null);
    PosixMessageQueue.unlink(queue.name);
    const queueFd = queue.detach();
    const memory = PosixSharedMemory.create(null, 8);
    PosixSharedMemory.unlink(memory.name);
    const memoryFd = memory.fd;
    const over = ["-t", "tmpfs", "none", "/proc"];
    new Deno.Command("mount", { args: over }).outputSync();
    const said: string[] = [];
    const calls = [
      () => listener.chmod(0o666),
      () => UnixListener.listen(`${long}2`),
      () => UnixDatagram.create(`${long}3`),
      () => UnixDatagram.connectSync(long),
      () => socket.trySend(Uint8Array.of(1), { to: long }),
      () => PosixMessageQueue.fromFd(queueFd),
      () => PosixSharedMemory.fromFd(memoryFd),
    ];
    for (const call of calls) {
      try {
        call();
        said.push("no error");
      } catch (error) {
        const { name, message } = error as Error;
        said.push(/\/proc is not mounted/.test(message) ? name : message);
      }
    }
    return said;
  }, { argument: dir.path, wrapper: ["unshare", ...mounting!] });
  // The first one needs it only before Linux 6.6 and glibc 2.39.
  assertEquals(seen.slice(1), Array(6).fill("NotSupported"));
  assert(["NotSupported", "no error"].includes(seen[0]!), seen[0]);
});
