/**
 * What a memory cgroup does not have is refused before the kernel kills the process
 * for it. The files of the cgroup are of a file system that the test has mounted in
 * its place, in a mount namespace of its own.
 */
import { assertEquals } from "@std/assert";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { uniqueName } from "./support/names.ts";
import { unshareFlags } from "./support/namespaces.ts";

const MIB = 1 << 20;

interface Kind {
  title: string;
  /** What the line of the mount has in /proc/self/mountinfo. */
  mount: RegExp;
  limit: string;
  files: Record<string, string>;
}

const kinds: Kind[] = [
  {
    title: "version 2",
    mount: /^(?:\S+ ){4}(\S+) .* - cgroup2 /,
    limit: "memory.max",
    files: {
      "memory.max": `${64 * MIB}`,
      "memory.swap.max": "0",
      "memory.swap.current": "0",
      "memory.stat": `anon ${8 * MIB}\nfile ${32 * MIB}\nshmem ${8 * MIB}`,
    },
  },
  {
    title: "version 1",
    mount: /^(?:\S+ ){4}(\S+) .* - cgroup \S+ (?:\S*,)?memory(?:,|$)/,
    limit: "memory.limit_in_bytes",
    files: {
      "memory.limit_in_bytes": `${64 * MIB}`,
      "memory.stat": `rss 1\nshmem 1\ntotal_rss ${8 * MIB}\n` +
        `total_cache ${32 * MIB}\ntotal_shmem ${8 * MIB}`,
    },
  },
];

function mountPoint({ mount }: Kind): string | undefined {
  const rows = Deno.readTextFileSync("/proc/self/mountinfo").split("\n");
  return rows.map((row) => row.match(mount)?.[1]).find((path) => path);
}

for (const kind of kinds) {
  const place = mountPoint(kind);
  const flags = place === undefined
    ? undefined
    : unshareFlags("--mount", "mount", "-t", "tmpfs", "none", place);
  const reason = place === undefined
    ? "no such cgroup here"
    : flags === undefined
    ? "nothing may be mounted"
    : null;
  leakTest(
    `Memory that a cgroup of ${kind.title} does not have is refused`,
    { needs: [reason] },
    async () => {
      const lines = Object.entries(kind.files).map(([name, text]) =>
        `printf '%b' '${text.replaceAll("\n", "\\n")}' > ${place}/${name}`
      );
      const script = [`mount -t tmpfs none ${place}`, ...lines, 'exec "$@"'];
      const names = [uniqueName(), uniqueName()];
      const told = await inChild(refusals, {
        wrapper: [
          "unshare",
          ...flags!,
          "sh",
          "-ec",
          script.join("\n"),
          "sh",
        ],
        argument: { names },
      });
      const refused = [
        "ENOMEM",
        `${place}/${kind.limit}`,
        64 * MIB,
      ];
      assertEquals(told, {
        "shm create": refused,
        "shm resize": refused,
        "memfd resize": refused,
        "anonymous populate": refused,
        populate: refused,
        lock: refused,
        "open populate": refused,
        left: false,
        fits: ["returns", "returns", "returns", "returns"],
      });
    },
  );
}

async function refusals({ names }: { names: [string, string] }) {
  const { IpcError, MemoryFile, MemoryMap, PosixSharedMemory } = await import(
    "../ffi/shared_memory.ts"
  );
  const { outcome } = await import("./support/child.ts");
  const meminfo = Deno.readTextFileSync("/proc/meminfo");
  const swap = Number(meminfo.match(/^SwapFree: *(\d+)/m)![1]) * 1024;
  const large = (49 << 20) + swap; // with what is used, more than there is
  const small = 20 << 20;

  function refusal(call: () => unknown) {
    try {
      call();
      return "returns";
    } catch (error) {
      if (!(error instanceof IpcError)) return String(error);
      return [error.code, error.limit?.name, error.limit?.value];
    }
  }
  const told: Record<string, unknown> = {};
  const before = Deno.readTextFileSync("/proc/self/maps").match(/dev.shm/g);
  told["shm create"] = refusal(() => PosixSharedMemory.create(names[0], large));
  const after = Deno.readTextFileSync("/proc/self/maps").match(/dev.shm/g);
  const there = [...Deno.readDirSync("/dev/shm")].some(({ name }) =>
    `/${name}` === names[0]
  );
  told.left = there || before?.length !== after?.length;
  using memory = PosixSharedMemory.create(names[1], small);
  PosixSharedMemory.unlink(names[1]);
  told["shm resize"] = refusal(() => memory.resize(small + large));
  using file = MemoryFile.create("test", 1);
  told["memfd resize"] = refusal(() => file.resize(large, { reserve: true }));
  told["anonymous populate"] = refusal(() =>
    MemoryMap.anonymous(large, { populate: true })
  );
  using map = MemoryMap.anonymous(large);
  told.populate = refusal(() => map.populate());
  told.lock = refusal(() => map.lock());
  file.resize(large);
  told["open populate"] = refusal(() => file.map({ populate: true }));
  told.fits = [
    await outcome(() => map.populate({ length: small })),
    // What is there already is not asked for once more.
    await outcome(() => map.populate({ length: small })),
    await outcome(() =>
      MemoryMap.fromFd(memory.fd, { populate: true }).close()
    ),
    await outcome(() => map.advise("normal")),
  ];
  return told;
}
