/** What the three kinds of System V objects have in common: by key or by id. */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { IpcError, SysvMessageQueue } from "../ffi/message_queue.ts";
import { SysvSemaphoreSet } from "../ffi/semaphore.ts";
import { SysvSharedMemory, type SysvTarget } from "../ffi/shared_memory.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { spawnCall } from "./support/child.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { uniqueKey } from "./support/names.ts";
import { rounds } from "./support/rounds.ts";
import { NOBODY, noOtherUser, runAsNobody } from "./support/user.ts";

/** A kind of object, and how one is made with a mode. */
interface Kind {
  readonly type:
    | typeof SysvMessageQueue
    | typeof SysvSharedMemory
    | typeof SysvSemaphoreSet;
  readonly call: "msg" | "shm" | "sem";
  readonly idName: "msqid" | "shmid" | "semid";
  readonly noun: string;
  readonly make: (key: number | null) => { id: number; close(): void };
}

const KINDS: readonly Kind[] = [
  {
    type: SysvMessageQueue,
    call: "msg",
    idName: "msqid",
    noun: "queue",
    make: (key) => SysvMessageQueue.create(key),
  },
  {
    type: SysvSharedMemory,
    call: "shm",
    idName: "shmid",
    noun: "shared memory",
    make: (key) => SysvSharedMemory.create(key, 100),
  },
  {
    type: SysvSemaphoreSet,
    call: "sem",
    idName: "semid",
    noun: "semaphore set",
    make: (key) => SysvSemaphoreSet.create(key, [1]),
  },
];

/** The forms in which a caller names an object. */
function targetsOf(key: number, id: number): SysvTarget[] {
  return [{ id }, { key }, { key: key | 0 }, { key: key >>> 0 }];
}

for (const { type, call, idName, noun, make } of KINDS) {
  const ctl = `${call}ctl`;
  const row = (id: number) => sysvTable(call).find((row) => row[idName] === id);

  leakTest(`${type.name}: stat, change and remove by key or id`, () => {
    for (const sign of [0, 0x80000000]) {
      const key = (uniqueKey() | sign) >>> 0;
      for (let form = 0; form < 4; form++) {
        const object = make(key);
        object.close();
        const { id } = object;
        const target = targetsOf(key, id)[form]!;
        assertEquals(type.stat(target).key, key);
        const entry = type.list().find((entry) => entry.id === id);
        assertEquals([entry?.key, entry?.mode], [key, 0o600]);
        type.change(target, { mode: 0o640 });
        assertEquals(type.stat(target).mode, 0o640);
        assertEquals(row(id)!.perms! & 0o777, 0o640);
        const { uid, gid } = type.stat(target);
        type.change(target, { uid, gid, mode: 0o200 });
        assertEquals([type.stat(target).mode, type.stat(target).uid], [
          0o200,
          uid,
        ]);
        type.remove(target);
        assertEquals(row(id), undefined);
        const subject = "id" in target
          ? `${noun} id ${id}`
          : `${noun} key 0x${key.toString(16)}`;
        const [code, syscall] = "id" in target
          ? ["EIDRM", ctl]
          : ["ENOENT", `${call}get`];
        for (
          const gone of [
            () => type.stat(target),
            () => type.change(target, { mode: 0 }),
            () => type.change(target, { uid, gid, mode: 0 }),
            () => type.remove(target),
          ]
        ) assertRefused(gone, code, syscall, subject);
      }
    }
  });

  leakTest(`${type.name}: an id that is used again is another object`, () => {
    const one = make(null);
    const two = make(null);
    two.close();
    one.close();
    assertNotEquals(one.id, two.id);
    assertEquals(type.stat({ id: one.id }).key, 0);
    type.remove({ id: one.id });
    assertRefused(() => type.stat({ id: one.id }), "EIDRM", ctl);
    type.remove({ id: two.id });
  });

  leakTest(`${type.name}: targets are checked before any call`, () => {
    const wrong: [unknown, typeof TypeError | typeof RangeError][] = [
      [undefined, TypeError],
      [null, TypeError],
      [7, TypeError],
      ["7", TypeError],
      [{}, TypeError],
      [{ key: 7, id: 7 }, TypeError],
      [{ key: "7" }, TypeError],
      [{ key: null }, TypeError],
      [{ id: "7" }, TypeError],
      [{ id: 7n }, TypeError],
      [{ key: 0 }, RangeError],
      [{ key: 2 ** 32 }, RangeError],
      [{ key: -(2 ** 31) - 1 }, RangeError],
      [{ key: NaN }, RangeError],
      [{ id: -1 }, RangeError],
      [{ id: 2 ** 31 }, RangeError],
      [{ id: 0.5 }, RangeError],
    ];
    for (const [value, error] of wrong) {
      const target = value as SysvTarget;
      assertThrows(() => type.stat(target), error);
      assertThrows(() => type.change(target, {}), error);
      assertThrows(() => type.remove(target), error);
    }
    const object = make(null);
    const { id } = object;
    object.close();
    for (
      const change of [{ mode: 0o1000 }, { uid: -1 }, { gid: 2 ** 32 - 1 }]
    ) {
      assertThrows(() => type.change({ id }, change), RangeError);
    }
    assertThrows(
      () => type.change({ id }, { mode: "7" as unknown as number }),
      TypeError,
    );
    assertEquals(type.stat({ id }).mode, 0o600);
    type.remove({ id });
  });

  leakTest(
    `${type.name}: an owner without permissions keeps control`,
    { needs: [noOtherUser] },
    async () => {
      const ids = [0, 0o200, 0o000, 0o200].map((mode) => {
        const object = make(null);
        object.close();
        type.change({ id: object.id }, { uid: NOBODY, gid: NOBODY, mode });
        return object.id;
      });
      const ended = await runAsNobody(`
        import { ${type.name} as Kind } from "@linux/ipc";
        const ids = ${JSON.stringify(ids)};
        for (const id of ids) {
          const { mode, uid, gid } = Kind.stat({ id });
          Kind.change({ id }, { mode: 0o400 });
          Kind.change({ id }, { uid, gid, mode });
          console.log(mode, uid, Kind.stat({ id }).mode);
          Kind.remove({ id });
        }`);
      assertPrinted(
        ended,
        ...[0, 0o200, 0, 0o200].map((mode) => `${mode} ${NOBODY} ${mode}`),
      );
      assert(!ids.some((id) => row(id)));
    },
  );

  leakTest(
    `${type.name}: others may describe it, and do no more`,
    { needs: [noOtherUser] },
    async () => {
      const key = uniqueKey();
      const object = make(key);
      object.close();
      const ended = await runAsNobody(`
        import { ${type.name} as Kind } from "@linux/ipc";
        const told = (call) => {
          try { return String(call()); }
          catch ({ code, syscall }) { return code + " " + syscall; }
        };
        for (const target of [{ key: ${key} }, { id: ${object.id} }]) {
          console.log(told(() => Kind.stat(target).mode));
          console.log(told(() => Kind.change(target, { mode: 0o666 })));
          console.log(told(() => Kind.change(
            target, { uid: 1, gid: 1, mode: 0o666, maxBytes: 1000 })));
          console.log(told(() => Kind.remove(target)));
        }`);
      const all = ["384", `EACCES ${ctl}`, `EPERM ${ctl}`, `EPERM ${ctl}`];
      assertPrinted(ended, ...all, ...all);
      type.remove({ key });
    },
  );
}

leakTest("SysvMessageQueue.change() of a target changes the room, too", () => {
  const queue = SysvMessageQueue.create(null);
  const { id } = queue;
  queue.close();
  SysvMessageQueue.change({ id }, { maxBytes: 100 });
  assertEquals(SysvMessageQueue.stat({ id }).maxBytes, 100);
  SysvMessageQueue.change({ id }, { mode: 0 });
  assertEquals(SysvMessageQueue.stat({ id }).maxBytes, 100);
  SysvMessageQueue.remove({ id });
});

leakTest(
  "SysvSharedMemory.remove() of a target waits for the last detachment",
  () => {
    using memory = SysvSharedMemory.create(uniqueKey(), 10);
    const { id } = memory;
    const { key } = memory.stat();
    SysvSharedMemory.remove({ key });
    assertThrows(() => SysvSharedMemory.stat({ key }), IpcError, "ENOENT");
    const { removed, attachments } = SysvSharedMemory.stat({ id });
    assertEquals([removed, attachments], [true, 1]);
    memory.bytes[0] = 1;
  },
);

leakTest(
  "openOrCreate() and open() go on where an object is removed in between",
  { soak: "also" },
  async () => {
    const keys = Array.from({ length: 6 }, () => uniqueKey());
    const times = rounds(200, 2_000);
    const race = () =>
      spawnCall(async ({ keys, times }) => {
        const ipc = await import("../mod.ts");
        const [messages, memory, set, ...locks] = keys;
        const calls: [open: () => unknown, make: () => Removable][] = [
          [
            () => ipc.SysvMessageQueue.open(messages),
            () => ipc.SysvMessageQueue.openOrCreate(messages),
          ],
          [() => {}, () => ipc.SysvSharedMemory.openOrCreate(memory, 64)],
          [() => {}, () => ipc.SysvSemaphoreSet.openOrCreate(set, [1])],
          ...[ipc.SharedMutex, ipc.SharedRwLock, ipc.SharedCondition]
            .map((lock, index): [() => unknown, () => Removable] => [
              () => lock.open(locks[index]),
              () => lock.openOrCreate(locks[index]),
            ]),
        ];
        interface Removable {
          remove(): void;
          close(): void;
        }
        /** What a call returns; undefined if it fails with this code. */
        function unless<T>(code: string, call: () => T): T | undefined {
          try {
            return call();
          } catch (error) {
            if ((error as { code?: string }).code === code) return undefined;
            throw error;
          }
        }
        for (let round = 0; round < times; round++) {
          for (const [open, make] of calls) {
            unless("ENOENT", open);
            const object = make();
            unless("EIDRM", () => object.remove());
            object.close();
          }
        }
        console.log("done");
      }, { argument: { keys, times } });
    await using first = race();
    await using second = race();
    await using third = race();
    for (const child of [first, second, third]) {
      assertPrinted(await child.ended(), "done");
    }
  },
);
