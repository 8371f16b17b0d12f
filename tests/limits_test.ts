/** The limits of the system: their values, their use, and the errors that name them. */
import { assert, assertEquals } from "@std/assert";
import { ipcLimits, MQ_PRIO_MAX, SEM_VALUE_MAX } from "../ffi/limits.ts";
import { assertPrinted } from "./support/asserts.ts";
import { runCode } from "./support/limit_code.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { limited, noOwnLimits, noPrlimit } from "./support/namespaces.ts";
import { succeeds } from "./support/process.ts";

function sysctl(name: string): string[] {
  return Deno.readTextFileSync(`/proc/sys/${name}`).trim().split(/\s+/);
}

leakTest("ipcLimits() tells what /proc tells", () => {
  const limits = ipcLimits();
  const { sysvMessageQueues, sysvSharedMemory, sysvSemaphoreSets } = limits;
  const of = (name: string) => Number(sysctl(`kernel/${name}`)[0]);
  assertEquals(sysvMessageQueues.maxQueues, of("msgmni"));
  assertEquals(sysvMessageQueues.maxSize, of("msgmax"));
  assertEquals(sysvMessageQueues.maxBytes, of("msgmnb"));
  assertEquals(sysvSharedMemory.maxSegments, of("shmmni"));
  assertEquals(
    BigInt(sysvSharedMemory.maxSize),
    BigInt(sysctl("kernel/shmmax")[0]!),
  );
  assertEquals(
    BigInt(sysvSharedMemory.maxPages),
    BigInt(sysctl("kernel/shmall")[0]!),
  );
  const { maxSize, maxSemaphores, maxOperations, maxSets, maxValue } =
    sysvSemaphoreSets;
  assertEquals(
    [maxSize, maxSemaphores, maxOperations, maxSets],
    sysctl("kernel/sem").map(Number),
  );
  assertEquals(maxValue, 32767);
  assertEquals([MQ_PRIO_MAX, SEM_VALUE_MAX], [32768, 2147483647]);
  assertEquals(limits.maxSemaphoreValue, SEM_VALUE_MAX);
  const { maxPriority, maxQueues, maxMessages, maxSize: bytes, maxBytes } =
    limits.posixMessageQueues;
  assertEquals(maxPriority, 32767);
  assertEquals(
    [maxQueues, maxMessages, bytes],
    ["queues_max", "msg_max", "msgsize_max"].map((name) =>
      Number(sysctl(`fs/mqueue/${name}`)[0])
    ),
  );
  assert(maxBytes > 0);
  assert(limits.pageSize >= 4096 && Math.log2(limits.pageSize) % 1 === 0);
  assert(sysvMessageQueues.queues >= 0);
  assert(sysvTable("msg").length <= sysvMessageQueues.maxQueues);
});

/** What a call says in a process of its own, where these limits hold. */
interface Case {
  readonly name: string;
  readonly limits?: Record<string, number | string>;
  readonly wrapper?: string[];
  readonly text: string;
  readonly says: string[];
  readonly needs?: string | null;
}

const SEM = "/proc/sys/kernel/sem";
const DROPPED = ["setpriv", "--bounding-set=-sys_resource,-ipc_lock"];
const noDrop = succeeds(DROPPED[0]!, DROPPED[1]!, "true")
  ? null
  : "no right to give up capabilities";

const CASES: readonly Case[] = [
  {
    name: "the use of everything",
    limits: {
      "kernel/msgmni": 7,
      "kernel/msgmax": 100,
      "kernel/msgmnb": 1000,
      "kernel/shmmni": 8,
      "kernel/shmmax": 100_000,
      "kernel/shmall": 1000,
      "kernel/sem": "5 50 6 9",
    },
    text: `
      const queue = SysvMessageQueue.create(null);
      queue.trySend(new Uint8Array(30));
      queue.trySend(new Uint8Array(20));
      SysvMessageQueue.create(null);
      const memory = SysvSharedMemory.create(null, 2 * ipcLimits().pageSize);
      memory.bytes[0] = 1;
      SysvSemaphoreSet.create(null, [1, 2, 3]);
      SysvSemaphoreSet.create(null, [1]);
      const { sysvMessageQueues: a, sysvSharedMemory: b, sysvSemaphoreSets: c } =
        ipcLimits();
      for (const each of [a, b, c]) console.log(JSON.stringify(each));`,
    says: [
      '{"maxQueues":7,"maxSize":100,"maxBytes":1000,"queues":2,"messages":2,"bytes":50}',
      '{"maxSegments":8,"maxSize":100000,"maxPages":1000,"segments":1,"pages":2,' +
      '"residentPages":1,"swappedPages":0}',
      '{"maxSets":9,"maxSize":5,"maxSemaphores":50,"maxOperations":6,' +
      '"maxValue":32767,"sets":2,"semaphores":4}',
    ],
  },
  {
    name: "SEMMNI",
    limits: { "kernel/sem": "10 100 10 2" },
    text: `
      SysvSemaphoreSet.create(1, [1]);
      SysvSemaphoreSet.create(2, [1]);
      say(() => SysvSemaphoreSet.create(3, [1]));
      say(() => SysvSemaphoreSet.openOrCreate(3, [1]));
      say(() => SharedMutex.create(null));`,
    says: Array(3).fill(`ENOSPC semget SEMMNI (${SEM}) 2`),
  },
  {
    name: "SEMMNS, with room for sets",
    limits: { "kernel/sem": "10 10 10 20" },
    text: `
      SysvSemaphoreSet.create(1, Array(8).fill(1));
      say(() => SysvSemaphoreSet.create(3, [1, 1, 1]));
      SysvSemaphoreSet.create(4, [1, 1]);
      say(() => SysvSemaphoreSet.create(null, [1]));`,
    says: Array(2).fill(`ENOSPC semget SEMMNS (${SEM}) 10`),
  },
  {
    name: "SEMMNS, where there is no room for sets either",
    limits: { "kernel/sem": "10 10 10 2" },
    text: `
      SysvSemaphoreSet.create(1, Array(5).fill(1));
      SysvSemaphoreSet.create(2, Array(5).fill(1));
      say(() => SysvSemaphoreSet.create(3, [1]));`,
    says: [`ENOSPC semget SEMMNS (${SEM}) 10`],
  },
  {
    name: "SEMMSL",
    limits: { "kernel/sem": "4 100 10 10" },
    text: `
      say(() => SysvSemaphoreSet.create(null, [1, 1, 1, 1, 1]));
      SysvSemaphoreSet.create(5, [1]);
      say(() => SysvSemaphoreSet.openOrCreate(5, [1, 1]));`,
    says: [`EINVAL semget SEMMSL (${SEM}) 4`, "EINVAL semget none"],
  },
  {
    name: "SEMOPM",
    limits: { "kernel/sem": "10 100 2 10" },
    text: `
      const set = SysvSemaphoreSet.create(null, [0]);
      const one = { index: 0, delta: 1 };
      say(() => set.tryOperate([one, one, one]));
      await say(() => set.operate([one, one, one]));
      say(() => set.operateSync([one, one, one]));`,
    says: Array(3).fill(`E2BIG semop SEMOPM (${SEM}) 2`),
  },
  {
    name:
      "SEMOPM where a mutex can be locked, and a reader-writer lock not always",
    limits: { "kernel/sem": "10 100 5 10" },
    text: `
      const mutex = SharedMutex.create(null);
      say(() => mutex.tryLock());
      const lock = SharedRwLock.create(null);
      say(() => lock.tryLockRead().release());
      say(() => lock.tryLockWrite());
      const set = SysvSemaphoreSet.fromId(lock.id);
      set.setValue(1, 1); // as after the death of a writer
      say(() => lock.tryLockRead());`,
    says: [
      "no error",
      "no error",
      ...Array(2).fill(`E2BIG semop SEMOPM (${SEM}) 5`),
    ],
  },
  {
    name: "SEMOPM where all locks can be locked",
    limits: { "kernel/sem": "10 100 6 10" },
    text: `
      const lock = SharedRwLock.create(null);
      say(() => lock.tryLockWrite().release());
      const set = SysvSemaphoreSet.fromId(lock.id);
      set.setValue(1, 1);
      say(() => lock.tryLockRead().release());
      say(() => lock.tryLockWrite().release());`,
    says: Array(3).fill("no error"),
  },
  {
    name: "shmmni, though shmall has room",
    limits: { "kernel/shmmni": 1, "kernel/shmall": 10 },
    text: `
      SysvSharedMemory.create(null, 1);
      say(() => SysvSharedMemory.create(null, 1));`,
    says: ["ENOSPC shmget /proc/sys/kernel/shmmni 1"],
  },
  {
    name: "shmall, where there is no room for segments either",
    limits: { "kernel/shmmni": 1, "kernel/shmall": 2 },
    text: `
      SysvSharedMemory.create(null, 2 * ipcLimits().pageSize);
      say(() => SysvSharedMemory.create(null, 1));`,
    says: ["ENOSPC shmget /proc/sys/kernel/shmall 2"],
  },
  {
    name: "shmmax",
    limits: { "kernel/shmmax": 100 },
    text: `
      say(() => SysvSharedMemory.create(null, 101));
      say(() => SysvSharedMemory.openOrCreate(7, 101));`,
    says: Array(2).fill("EINVAL shmget /proc/sys/kernel/shmmax 100"),
  },
  {
    name: "RLIMIT_MEMLOCK of a segment",
    limits: {},
    wrapper: ["prlimit", "--memlock=65536", ...DROPPED],
    needs: noDrop,
    text: `
      const memory = SysvSharedMemory.create(null, 1 << 20);
      say(() => memory.lockSegment());
      say(() => memory.lock());`,
    says: [
      "ENOMEM shmctl RLIMIT_MEMLOCK 65536",
      "ENOMEM mlock RLIMIT_MEMLOCK 65536",
    ],
  },
  {
    name: "RLIMIT_MEMLOCK of 0",
    limits: {},
    wrapper: ["prlimit", "--memlock=0", ...DROPPED],
    needs: noDrop,
    text: `
      const memory = SysvSharedMemory.create(null, 4096);
      say(() => memory.lockSegment());
      say(() => memory.lock());`,
    says: [
      "EPERM shmctl RLIMIT_MEMLOCK 0",
      "EPERM mlock RLIMIT_MEMLOCK 0",
    ],
  },
  {
    name: "no limit where a file was truncated",
    limits: {},
    wrapper: ["prlimit", "--memlock=8388608", ...DROPPED],
    needs: noDrop,
    text: `
      const path = Deno.makeTempFileSync();
      Deno.truncateSync(path, 5 << 20);
      using map = MemoryMap.open(path);
      Deno.truncateSync(path, 4096);
      Deno.removeSync(path);
      say(() => map.lock());
      say(() => map.lock());`,
    says: Array(2).fill("EFAULT madvise none"),
  },
  {
    name: "msgmax and msg_qbytes",
    limits: { "kernel/msgmax": 100, "kernel/msgmnb": 1000 },
    text: `
      const queue = SysvMessageQueue.create(null);
      say(() => queue.trySend(new Uint8Array(101)));
      say(() => queue.sendSync(new Uint8Array(101)));
      await say(() => queue.send(new Uint8Array(101)));
      await say(() => queue.request(new Uint8Array(93)));
      queue.change({ maxBytes: 50 });
      say(() => queue.sendSync(new Uint8Array(51)));
      await say(() => queue.send(new Uint8Array(51)));`,
    says: [
      ...Array(4).fill("EINVAL msgsnd /proc/sys/kernel/msgmax 100"),
      ...Array(2).fill("EINVAL msgsnd msg_qbytes 50"),
    ],
  },
  {
    name: "msgmnb",
    limits: { "kernel/msgmnb": 1000 },
    wrapper: DROPPED,
    needs: noDrop,
    text: `
      const { id } = SysvMessageQueue.create(null, { mode: 0 });
      say(() => SysvMessageQueue.change({ id }, { maxBytes: 1001 }));
      const all = { uid: 0, gid: 0, mode: 0, maxBytes: 1001 };
      say(() => SysvMessageQueue.change({ id }, all));
      say(() => SysvMessageQueue.change({ id }, { ...all, maxBytes: 1000 }));`,
    says: [
      ...Array(2).fill("EPERM msgctl /proc/sys/kernel/msgmnb 1000"),
      "no error",
    ],
  },
  {
    name: "the limits of POSIX queues",
    limits: {
      "fs/mqueue/queues_max": 1,
      "fs/mqueue/msg_max": 5,
      "fs/mqueue/msgsize_max": 200,
    },
    wrapper: DROPPED,
    needs: noDrop,
    text: `
      const create = (maxMessages, maxSize) =>
        say(() => PosixMessageQueue.create("/q", { maxMessages, maxSize }));
      create(6, 10);
      create(1, 201);
      create(5, 200);
      create(1, 100);
      say(() => PosixMessageQueue.create("/r", { maxMessages: 1, maxSize: 1 }));
      PosixMessageQueue.unlink("/q");`,
    says: [
      "EINVAL mq_open /proc/sys/fs/mqueue/msg_max 5",
      "EINVAL mq_open /proc/sys/fs/mqueue/msgsize_max 200",
      "no error",
      "EEXIST mq_open none",
      "ENOSPC mq_open /proc/sys/fs/mqueue/queues_max 1",
    ],
  },
  {
    name: "RLIMIT_MSGQUEUE of POSIX queues",
    limits: {},
    wrapper: ["prlimit", "--msgqueue=0", ...DROPPED],
    needs: noDrop,
    text: `
      say(() => PosixMessageQueue.create(null));
      say(() => PosixMessageQueue.openOrCreate("/q", { maxMessages: 1 }));
      console.log(ipcLimits().posixMessageQueues.maxBytes);`,
    says: [...Array(2).fill("EMFILE mq_open RLIMIT_MSGQUEUE 0"), "0"],
  },
  {
    name: "RLIMIT_NOFILE of POSIX queues",
    limits: {},
    wrapper: ["prlimit", "--nofile=60"],
    text: `
      const options = { maxMessages: 1, maxSize: 1 };
      using queue = PosixMessageQueue.create("/q", options);
      const others = [];
      for (let error; error === undefined;) {
        try {
          others.push(PosixMessageQueue.open("/q"));
        } catch (thrown) {
          error = thrown;
        }
      }
      say(() => PosixMessageQueue.open("/q"));
      say(() => PosixMessageQueue.create(null, options));
      others[0].close();
      PosixMessageQueue.unlink("/q");`,
    says: Array(2).fill("EMFILE mq_open RLIMIT_NOFILE 60"),
  },
  {
    name: "the limits of a pipe's capacity",
    limits: {},
    wrapper: DROPPED,
    needs: noDrop,
    text: `
      const { reader } = pipe();
      const { value } = (() => {
        try {
          reader.setCapacity(0x7fffffff);
        } catch ({ code, syscall, limit }) {
          console.log(code, syscall, limit.name);
          return limit;
        }
      })();
      console.log(reader.setCapacity(value) >= value);`,
    says: ["EPERM fcntl /proc/sys/fs/pipe-max-size", "true"],
  },
];

for (const { name, limits, wrapper = [], text, says, needs = null } of CASES) {
  leakTest(
    `limits: ${name}`,
    { needs: [noOwnLimits, noPrlimit, needs] },
    async () => {
      const first = limits === undefined ? [] : limited(limits);
      assertPrinted(await runCode([...first, ...wrapper], text), ...says);
    },
  );
}
