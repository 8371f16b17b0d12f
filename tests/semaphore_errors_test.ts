/**
 * What the man pages of sem_overview(7), semget(2), semop(2) and semctl(2) say under
 * ERRORS, of semaphores and of locks: each is provoked here, or it is named why not.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { SharedCondition, SharedMutex, SharedRwLock } from "../ffi/lock.ts";
import { MemoryMap } from "../ffi/memory_map.ts";
import {
  ClosedError,
  IpcError,
  PosixSemaphore,
  SysvSemaphoreSet,
} from "../ffi/semaphore.ts";
import { leakTest } from "./support/leaks.ts";
import { tamper } from "./support/locks.ts";
import { uniqueKey, uniqueName } from "./support/names.ts";

const SEM = "/proc/sys/kernel/sem";
const [SEMMSL, , SEMOPM] = Deno.readTextFileSync(SEM).split(/\s+/).map(Number);
const MAX = 32767; // SEMVMX, and SEMAEM
const NONE = 0x7fffffff; // no identifier
const up = { index: 0, delta: 1 };
const zero = { index: 0, delta: 0 };

/** What a case uses, closed and removed afterwards. */
class Place implements Disposable {
  readonly #stack = new DisposableStack();
  readonly key = uniqueKey();

  posix(value = 0): PosixSemaphore & { readonly name: string } {
    const semaphore = this.#stack.use(PosixSemaphore.create(null, value));
    this.#stack.defer(() => PosixSemaphore.unlink(semaphore.name!));
    return semaphore as PosixSemaphore & { readonly name: string };
  }

  /** A semaphore in memory that holds these bytes. */
  overwritten(): PosixSemaphore {
    const map = this.#stack.use(MemoryMap.anonymous(PosixSemaphore.size));
    const semaphore = PosixSemaphore.init(map.bytes, 1);
    map.bytes.fill(65);
    return semaphore;
  }

  full(): PosixSemaphore {
    const map = this.#stack.use(MemoryMap.anonymous(PosixSemaphore.size));
    return PosixSemaphore.init(map.bytes, 0x7fffffff);
  }

  set(...values: number[]): SysvSemaphoreSet {
    return this.#removed(SysvSemaphoreSet.create(this.key, values));
  }

  mutex(): SharedMutex {
    return this.#removed(SharedMutex.create(this.key));
  }

  rwLock(): SharedRwLock {
    return this.#removed(SharedRwLock.create(this.key));
  }

  condition(): SharedCondition {
    return this.#removed(SharedCondition.create(uniqueKey()));
  }

  #removed<T extends { id: number; remove(): void; close(): void }>(it: T): T {
    this.#stack.defer(() => {
      try {
        SysvSemaphoreSet.fromId(it.id).remove();
      } catch (error) {
        assertEquals((error as IpcError).code, "EIDRM");
      }
      it.close();
    });
    return it;
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

/** Removes it, and returns it. */
function removed<T extends { remove(): void }>(it: T): T {
  it.remove();
  return it;
}

/** `call code` of the man page, and a call that fails so; it may name a limit. */
const CASES: [string, (place: Place) => unknown, limit?: string][] = [
  ["sem_open EEXIST", (p) => PosixSemaphore.create(p.posix().name, 1)],
  ["sem_open ENOENT", () => PosixSemaphore.open(uniqueName())],
  ["sem_unlink ENOENT", () => PosixSemaphore.unlink(uniqueName())],
  ["sem_post EOVERFLOW", (p) => p.full().release()],
  ["sem_post EINVAL", (p) => p.overwritten().release()],
  ["sem_trywait EINVAL", (p) => p.overwritten().tryAcquire()],
  ["sem_trywait EINVAL", (p) => p.overwritten().acquireSync()],
  ["sem_getvalue EINVAL", (p) => p.overwritten().value],

  ["semget EEXIST", (p) => SysvSemaphoreSet.create((p.set(1), p.key), [1])],
  ["semget EEXIST", (p) => SharedMutex.create((p.mutex(), p.key))],
  ["semget ENOENT", (p) => SysvSemaphoreSet.open(p.key)],
  ["semget ENOENT", (p) => SharedMutex.open(p.key)],
  ["semget ENOENT", (p) => SharedRwLock.open(p.key)],
  ["semget ENOENT", (p) => SharedCondition.open(p.key)],
  ["semget EINVAL", (p) => {
    p.set(1);
    SysvSemaphoreSet.openOrCreate(p.key, [1, 1]);
  }],
  [
    "semget EINVAL",
    () => SysvSemaphoreSet.create(null, new Uint8Array(SEMMSL! + 1)),
    "SEMMSL",
  ],

  ["semop E2BIG", (p) => {
    p.set(1).tryOperate(Array(SEMOPM! + 1).fill(zero));
  }, "SEMOPM"],
  ["semop ERANGE", (p) => p.set(MAX).semaphore(0).release(), "SEMVMX"],
  ["semop ERANGE", (p) => p.set(MAX).operateSync([up]), "SEMVMX"],
  ["semop ERANGE", (p) => {
    const set = p.set(0);
    const notified = set.semaphore(0); // undo is the default
    const notifier = set.semaphore(0, { undo: false });
    for (let i = 0; i <= MAX; i++) {
      notifier.release();
      notified.acquireSync();
    }
  }, "SEMAEM"],
  ["semop ERANGE", (p) => {
    const set = p.set(0);
    const notifier = set.semaphore(0);
    for (let i = 0; i <= MAX + 1; i++) {
      notifier.release();
      set.tryOperate([{ index: 0, delta: -1 }]);
    }
  }, "SEMAEM"],
  ["semop EIDRM", (p) => removed(p.set(1)).tryOperate([up])],
  ["semop EIDRM", (p) => removed(p.set(1)).semaphore(0).acquireSync()],
  ["semop EIDRM", (p) => removed(p.mutex()).lockSync()],
  ["semop EIDRM", (p) => removed(p.rwLock()).tryLockRead()],
  ["semop EIDRM", (p) => removed(p.rwLock()).lockWriteSync()],
  ["semop EIDRM", (p) => {
    using _guard = p.mutex().lockSync();
    SysvSemaphoreSet.open(p.key).remove();
  }],
  ["semtimedop EIDRM", (p) => {
    removed(p.set(0)).operateSync([up], { timeout: 10 });
  }],
  ["semop EDEADLK", (p) => {
    const mutex = p.mutex();
    using _guard = mutex.lockSync();
    mutex.lockSync();
  }],
  ["semop EDEADLK", (p) => {
    const lock = p.rwLock();
    using _guard = lock.lockReadSync();
    lock.lockWriteSync();
  }],
  ["semop EDEADLK", (p) => {
    const mutex = p.mutex();
    using _guard = mutex.lockSync();
    p.condition().lockWhenSync(mutex, () => true);
  }],
  ["semop EPERM", (p) => {
    const mutex = p.mutex();
    using _guard = mutex.lockSync();
    tamper(mutex, 0, 0, 0);
  }],

  ["semctl EIDRM", () => SysvSemaphoreSet.fromId(NONE)],
  ["semctl EIDRM", () => SharedMutex.fromId(NONE)],
  ["semctl EIDRM", (p) => removed(removed(p.set(1)))],
  ["semctl EIDRM", (p) => removed(p.set(1)).getAll()],
  ["semctl EIDRM", (p) => removed(p.set(1)).setAll([1])],
  ["semctl EIDRM", (p) => removed(p.set(1)).getValue(0)],
  ["semctl EIDRM", (p) => removed(p.set(1)).setValue(0, 1)],
  ["semctl EIDRM", (p) => removed(p.set(1)).semaphore(0).value],
  ["semctl EIDRM", (p) => removed(p.set(1)).lastPid(0)],
  ["semctl EIDRM", (p) => removed(p.set(1)).waiters(0)],
  ["semctl EIDRM", (p) => removed(p.set(1)).stat()],
  ["semctl EIDRM", (p) => removed(p.set(1)).change({ mode: 0o600 })],
  ["semctl EIDRM", (p) => removed(p.mutex()).ownerPid],
  ["semctl EIDRM", (p) => removed(p.rwLock()).readers],
  ["semctl EIDRM", (p) => removed(p.rwLock()).waitingWriters],
  ["semctl EIDRM", (p) => removed(p.condition()).waiters],
  ["semctl EIDRM", (p) => removed(p.condition()).changing()],
];

for (const [what, call, limit] of CASES) {
  const [syscall, code] = what.split(" ");
  leakTest(`${what}: ${call}`.replace(/\s+/g, " "), () => {
    using place = new Place();
    const error = assertThrows(() => call(place), IpcError);
    assertEquals([error.syscall, error.code], [syscall, code], error.message);
    const name = error.limit?.name.split(" ")[0];
    assertEquals(name, limit, error.message);
    if (limit !== undefined) assert(error.message.includes(limit));
  });
}

const PERMISSION = "takes another user: the tests of each class";
const NAMESPACE =
  "takes a namespace with other limits: the tests of each class";
const CHECKED = "the argument is checked before the call";
const NEVER = "the kernel has enough memory and files here";
const WAITED = "is a wait, or a TimeoutError";
const ALIVE = "the address is that of this module";

/** All others of the man pages, and why they are not here. */
const ELSEWHERE: Record<string, string> = {
  "sem_open EACCES": PERMISSION,
  "sem_open EINVAL": CHECKED,
  "sem_open EMFILE": "takes a limit of descriptors: posix_semaphore_test.ts",
  "sem_open ENAMETOOLONG": CHECKED,
  "sem_open ENFILE": NEVER,
  "sem_open ENOMEM": NEVER,
  "sem_unlink EACCES": PERMISSION,
  "sem_unlink ENAMETOOLONG": CHECKED,
  "sem_wait EINTR": "is called again",
  "sem_wait EINVAL": "sem_trywait comes first",
  "sem_trywait EAGAIN": WAITED,
  "sem_trywait EINTR": "is called again",
  "sem_clockwait EINVAL": CHECKED,
  "sem_clockwait ETIMEDOUT": WAITED,
  "sem_init EINVAL": CHECKED,
  "sem_init ENOSYS": "Linux has process-shared semaphores",
  "semget EACCES": PERMISSION,
  "semget ENOMEM": NEVER,
  "semget ENOSPC": NAMESPACE,
  "semop EACCES": PERMISSION,
  "semop EAGAIN": WAITED,
  "semop EFAULT": ALIVE,
  "semop EFBIG": CHECKED,
  "semop EINTR": "is called again",
  "semop EINVAL": "is EIDRM: the set was removed before the call",
  "semop ENOMEM": NEVER,
  "semctl EACCES": PERMISSION,
  "semctl EFAULT": ALIVE,
  "semctl EINVAL": "is EIDRM: the set was removed before the call",
  "semctl EPERM": PERMISSION,
  "semctl ERANGE": CHECKED,
};

/** The ERRORS of the man pages. */
const MAN: Record<string, string> = {
  sem_open: "EACCES EEXIST EINVAL EMFILE ENAMETOOLONG ENFILE ENOENT ENOMEM",
  sem_unlink: "EACCES ENAMETOOLONG ENOENT",
  sem_wait: "EINTR EINVAL",
  sem_trywait: "EAGAIN EINTR EINVAL",
  sem_clockwait: "EINVAL ETIMEDOUT",
  sem_post: "EINVAL EOVERFLOW",
  sem_getvalue: "EINVAL",
  sem_init: "EINVAL ENOSYS",
  semget: "EACCES EEXIST EINVAL ENOENT ENOMEM ENOSPC",
  semop: "E2BIG EACCES EAGAIN EFAULT EFBIG EIDRM EINTR EINVAL ENOMEM ERANGE",
  semctl: "EACCES EFAULT EIDRM EINVAL EPERM ERANGE",
};

Deno.test("Every error of the man pages is provoked, or it is said why not", () => {
  const here = CASES.map(([what]) => what);
  for (const [call, codes] of Object.entries(MAN)) {
    for (const code of codes.split(" ")) {
      const what = `${call} ${code}`;
      const places = [here.includes(what), what in ELSEWHERE];
      assertEquals(places.filter(Boolean).length, 1, what);
    }
  }
});

// --- After close() ------------------------------------------------------------

/** Calls every method and getter of a closed object that needs it open. */
const CLOSED: Record<string, (place: Place) => (() => unknown)[]> = {
  PosixSemaphore: (p) => {
    const it = p.posix(1);
    it.close();
    assertEquals(typeof it.name, "string");
    return [
      () => it.value,
      () => it.acquireSync(),
      () => it.tryAcquire(),
      () => it.release(),
    ];
  },
  SysvSemaphoreSet: (p) => {
    const it = p.set(1);
    const one = it.semaphore(0);
    it.close();
    assertEquals([it.size, one.index, it.id > -1], [1, 0, true]);
    return [
      () => it.operateSync([up]),
      () => it.tryOperate([up]),
      () => it.getAll(),
      () => it.setAll([1]),
      () => it.getValue(0),
      () => it.setValue(0, 1),
      () => it.lastPid(0),
      () => it.waiters(0),
      () => it.stat(),
      () => it.change({ mode: 0o600 }),
      () => it.remove(),
      () => one.value,
      () => one.acquireSync(),
      () => one.tryAcquire(),
      () => one.release(),
    ];
  },
  SharedMutex: (p) => {
    const it = p.mutex();
    it.close();
    return [
      () => it.ownerPid,
      () => it.lockSync(),
      () => it.tryLock(),
      () => it.remove(),
    ];
  },
  SharedRwLock: (p) => {
    const it = p.rwLock();
    it.close();
    return [
      () => it.writerPid,
      () => it.readers,
      () => it.waitingWriters,
      () => it.lockReadSync(),
      () => it.tryLockRead(),
      () => it.lockWriteSync(),
      () => it.tryLockWrite(),
      () => it.remove(),
    ];
  },
  SharedCondition: (p) => {
    const it = p.condition();
    const mutex = p.mutex();
    it.close();
    return [
      () => it.waiters,
      () => it.changing(),
      () => it.lockWhenSync(mutex, () => true),
      () => it.remove(),
    ];
  },
};

for (const [name, callsOf] of Object.entries(CLOSED)) {
  leakTest(`${name}: a ClosedError after close()`, () => {
    using place = new Place();
    for (const call of callsOf(place)) {
      assertThrows(call, ClosedError, undefined, `${call}`);
    }
  });
}
