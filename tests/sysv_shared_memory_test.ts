import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { showKey } from "../ffi/arguments.ts";
import {
  ClosedError,
  ftok,
  IpcError,
  SysvSharedMemory,
} from "../ffi/shared_memory.ts";
import { array, cstring, i16, i32, struct, u32 } from "../ffi/struct.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { compile, noCompiler, runC } from "./support/c.ts";
import { inChild, runCall } from "./support/child.ts";
import { codeWith } from "./support/code.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { scratch, uniqueKey } from "./support/names.ts";
import { noOwnLimits, runLimited } from "./support/namespaces.ts";
import { run, spawn } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { NOBODY, noOtherUser, runAsNobody } from "./support/user.ts";

const MODULE = import.meta.resolve("../ffi/shared_memory.ts");
const SHMMAX = "/proc/sys/kernel/shmmax";
const SHMALL = "/proc/sys/kernel/shmall";
const SHMMNI = "/proc/sys/kernel/shmmni";
const PAGE = 4096; // or more: nothing here needs it to be exact

// --- Helpers ----------------------------------------------------------------

const { code, spawnCode, runCode, nobodys } = codeWith({
  SysvSharedMemory: "shared-memory",
});

/** The segment's row in the system's table, if it exists. */
function row(id: number): Record<string, number> | undefined {
  return sysvTable("shm").find(({ shmid }) => shmid === id);
}

/** A private segment that is gone after the last detach. */
function newMemory(size: number): SysvSharedMemory {
  const memory = SysvSharedMemory.create(null, size);
  memory.remove();
  return memory;
}

/** Calls, in a child, that fail at a limit: what it is, and its value. */
const LIMITS = `
  function limits(...calls) {
    for (const call of calls) {
      try {
        call();
        console.log("no failure");
      } catch ({ code, syscall, limit }) {
        console.log(code, syscall, limit?.name, limit?.value);
      }
    }
  }
`;

// --- Create and open --------------------------------------------------------

leakTest("SysvSharedMemory.create() attaches a segment of zeroes", () => {
  const key = uniqueKey();
  using memory = SysvSharedMemory.create(key, 10_000);
  assertEquals(memory.bytes, new Uint8Array(10_000));
  const stat = memory.stat();
  assertEquals(stat, {
    ...stat,
    size: 10_000,
    attachments: 1,
    mode: 0o600,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
    creatorPid: Deno.pid,
    lastPid: Deno.pid,
  });
  assertEquals(row(memory.id)?.key, key);
  memory.remove();
});

leakTest("SysvSharedMemory.bytes has the size of the segment", () => {
  for (
    const size of [1, 4, 33, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 7, 1_000_003]
  ) {
    using memory = newMemory(size);
    using other = SysvSharedMemory.fromId(memory.id);
    for (const { bytes } of [memory, other]) {
      assertEquals(
        [bytes.length, bytes.byteOffset, bytes.buffer.byteLength],
        [size, 0, size],
      );
    }
    memory.bytes[size - 1] = 7;
    assertEquals(other.bytes[size - 1], 7);
    assertEquals(other.bytes[size], undefined);
    assertEquals(memory.stat().size, size);
  }
});

leakTest("SysvSharedMemory.bytes is one and the same", () => {
  using memory = newMemory(8);
  assertStrictEquals(memory.bytes, memory.bytes);
});

leakTest("SysvSharedMemory.create() ignores the umask", () => {
  const umask = Deno.umask(0o077);
  try {
    for (const mode of [0o666, 0o640, 0o777, 0o600]) {
      using memory = SysvSharedMemory.create(null, 1, { mode });
      assertEquals(row(memory.id)!.perms! & 0o777, mode);
      memory.remove();
      assertEquals(memory.stat().mode, mode);
    }
    using memory = SysvSharedMemory.openOrCreate(uniqueKey(), 1, {
      mode: 0o664,
    });
    assertEquals(memory.stat().mode, 0o664);
    memory.remove();
  } finally {
    Deno.umask(umask);
  }
});

leakTest(
  "SysvSharedMemory.create(null) makes another segment each time",
  () => {
    using one = newMemory(4);
    using two = newMemory(4);
    assertNotEquals(one.id, two.id);
    one.bytes.fill(1);
    assertEquals(two.bytes, new Uint8Array(4));
  },
);

leakTest("SysvSharedMemory.create() fails where a segment is", () => {
  const key = uniqueKey();
  using memory = SysvSharedMemory.create(key, 8);
  for (const size of [1, 8, 100]) {
    const error = assertRefused(
      () => SysvSharedMemory.create(key, size),
      "EEXIST",
      "shmget",
    );
    assertEquals(
      error.message,
      `shmget shared memory key ${showKey(key)}: File exists (EEXIST)`,
    );
    assertEquals(error.subject, `shared memory key ${showKey(key)}`);
    assertEquals([error.errno, error.limit], [17, undefined]);
  }
  assertEquals(memory.stat().attachments, 1);
  memory.remove();
});

leakTest("SysvSharedMemory.open() fails where no segment is", () => {
  const key = uniqueKey();
  for (const options of [undefined, {}, { size: 0 }, { size: 1_000 }]) {
    const error = assertRefused(
      () => SysvSharedMemory.open(key, options),
      "ENOENT",
      "shmget",
    );
    assertEquals(
      error.message,
      `shmget shared memory key 0x${
        key.toString(16)
      }: No such file or directory (ENOENT)`,
    );
  }
});

leakTest("SysvSharedMemory.open() attaches the whole segment", () => {
  const key = uniqueKey();
  using made = SysvSharedMemory.create(key, 100);
  for (const size of [undefined, 0, 1, 99, 100]) {
    using opened = SysvSharedMemory.open(key, { size });
    assertEquals([opened.id, opened.bytes.length], [made.id, 100]);
  }
  made.remove();
});

leakTest("SysvSharedMemory.openOrCreate() makes one segment", () => {
  const key = uniqueKey();
  using made = SysvSharedMemory.openOrCreate(key, 100, { mode: 0o640 });
  made.bytes[99] = 5;
  using opened = SysvSharedMemory.openOrCreate(key, 50);
  assertEquals([opened.id, opened.bytes.length], [made.id, 100]);
  assertEquals([opened.bytes[99], opened.stat().mode], [5, 0o640]);
  made.remove();
});

leakTest("SysvSharedMemory refuses a segment that is too small", () => {
  const key = uniqueKey();
  using memory = SysvSharedMemory.create(key, 100);
  for (
    const call of [
      () => SysvSharedMemory.open(key, { size: 101 }),
      () => SysvSharedMemory.openOrCreate(key, 101),
    ]
  ) {
    const { message } = assertThrows(call, RangeError);
    assertEquals(
      message,
      `Argument "size" must be at most 100 (the size of shared memory key 0x${
        key.toString(16)
      }): 101`,
    );
  }
  // As many bytes of its last page are in the memory, but not in the segment.
  assertThrows(() => SysvSharedMemory.open(key, { size: PAGE }), RangeError);
  assertEquals(memory.stat().attachments, 1);
  memory.remove();
});

leakTest("SysvSharedMemory refuses what is no key", () => {
  const open = [
    (key: number) => SysvSharedMemory.create(key, 4),
    (key: number) => SysvSharedMemory.open(key),
    (key: number) => SysvSharedMemory.openOrCreate(key, 4),
  ];
  for (const call of open) {
    for (const key of [0, 1.5, NaN, 2 ** 32, -(2 ** 31) - 1]) {
      assertThrows(() => call(key), RangeError, '"key"');
    }
    for (const key of ["1", undefined, 5n]) {
      assertThrows(() => call(key as unknown as number), TypeError, '"key"');
    }
  }
  for (const call of open.slice(1)) {
    assertThrows(() => call(null as unknown as number), TypeError);
  }
});

leakTest("SysvSharedMemory refuses what is no size", () => {
  const key = uniqueKey();
  const open = [
    (size: number) => SysvSharedMemory.create(key, size),
    (size: number) => SysvSharedMemory.create(null, size),
    (size: number) => SysvSharedMemory.openOrCreate(key, size),
    (size: number) => SysvSharedMemory.open(key, { size }),
  ];
  for (const call of open) {
    for (const size of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
      assertThrows(() => call(size), RangeError, '"size"');
    }
    for (const size of ["4", 4n, null]) {
      if (size === null && call === open[3]) continue;
      assertThrows(() => call(size as unknown as number), TypeError, '"size"');
    }
  }
  for (const call of open.slice(0, 3)) {
    assertThrows(() => call(0), RangeError, '"size"');
  }
  assertRefused(() => SysvSharedMemory.open(key), "ENOENT", "shmget");
});

leakTest("SysvSharedMemory refuses what is no mode", () => {
  const key = uniqueKey();
  for (const mode of [-1, 0o1000, 1.5, NaN]) {
    assertThrows(() => SysvSharedMemory.create(key, 4, { mode }), RangeError);
    assertThrows(
      () => SysvSharedMemory.openOrCreate(key, 4, { mode }),
      RangeError,
    );
  }
  assertRefused(() => SysvSharedMemory.open(key), "ENOENT", "shmget");
});

leakTest("SysvSharedMemory.create() says ENOMEM, and leaves nothing", () => {
  const key = uniqueKey();
  const size = Number.MAX_SAFE_INTEGER;
  for (
    const call of [
      () => SysvSharedMemory.create(key, size),
      () => SysvSharedMemory.create(null, size),
      () => SysvSharedMemory.openOrCreate(key, size),
    ]
  ) {
    const { code, message } = assertThrows(call, IpcError);
    // EINVAL or ENOSPC where shmmax or shmall are set lower.
    assert(["ENOMEM", "EINVAL", "ENOSPC"].includes(code), message);
  }
  assertRefused(() => SysvSharedMemory.open(key), "ENOENT", "shmget");
});

leakTest(
  "SysvSharedMemory names the limit of a segment",
  { needs: [noOwnLimits] },
  async () => {
    assertPrinted(
      await runLimited(
        { "kernel/shmmax": 5_000 },
        code(`${LIMITS}
        SysvSharedMemory.create(1, 5000).remove();
        limits(
          () => SysvSharedMemory.create(1, 5001),
          () => SysvSharedMemory.create(null, 5001),
          () => SysvSharedMemory.openOrCreate(1, 5001),
        );
        SysvSharedMemory.create(1, 10);
        console.log(told(() => SysvSharedMemory.openOrCreate(1, 5001)));
        console.log(told(() => SysvSharedMemory.open(1, { size: 5001 })));`),
      ),
      ...Array(3).fill(`EINVAL shmget ${SHMMAX} 5000`),
      "RangeError",
      "RangeError",
    );
  },
);

leakTest(
  "SysvSharedMemory names the limit of segments",
  { needs: [noOwnLimits] },
  async () => {
    assertPrinted(
      await runLimited(
        { "kernel/shmmni": 2 },
        code(`${LIMITS}
        SysvSharedMemory.create(1, 10);
        SysvSharedMemory.create(2, 10);
        limits(
          () => SysvSharedMemory.create(3, 10),
          () => SysvSharedMemory.create(null, 10),
          () => SysvSharedMemory.openOrCreate(3, 10),
        );
        console.log(SysvSharedMemory.openOrCreate(2, 10).bytes.length);`),
      ),
      ...Array(3).fill(`ENOSPC shmget ${SHMMNI} 2`),
      "10",
    );
  },
);

leakTest(
  "SysvSharedMemory names the limit of all segments together",
  { needs: [noOwnLimits] },
  async () => {
    assertPrinted(
      await runLimited(
        { "kernel/shmall": 3 },
        code(`${LIMITS}
        SysvSharedMemory.create(1, 10);
        limits(
          () => SysvSharedMemory.create(null, 1_000_000),
          () => SysvSharedMemory.openOrCreate(3, 1_000_000),
        );`),
      ),
      ...Array(2).fill(`ENOSPC shmget ${SHMALL} 3`),
    );
  },
);

// --- fromId, stat, remove ---------------------------------------------------

leakTest("SysvSharedMemory.fromId() attaches a private segment", async () => {
  using memory = newMemory(5);
  memory.bytes.set([1, 2, 3, 4, 5]);
  assertPrinted(
    await runCode(
      `using memory = SysvSharedMemory.fromId(${memory.id});
      console.log(memory.id, String(memory.bytes));
      console.log(memory.stat().attachments, memory.stat().creatorPid);
      memory.bytes[4]++;`,
    ),
    `${memory.id} 1,2,3,4,5`,
    `2 ${Deno.pid}`,
  );
  assertEquals(memory.bytes[4], 6);
  assertEquals(memory.stat().attachments, 1);
});

leakTest("SysvSharedMemory.fromId() finds what is removed and in use", () => {
  const key = uniqueKey();
  using first = SysvSharedMemory.create(key, 4);
  first.remove();
  using second = SysvSharedMemory.fromId(first.id);
  first.bytes[3] = 9;
  first.close();
  using third = SysvSharedMemory.fromId(second.id);
  assertEquals(third.bytes, Uint8Array.of(0, 0, 0, 9));
  assertEquals(third.stat().attachments, 2);
  assertRefused(() => SysvSharedMemory.open(key), "ENOENT", "shmget");
});

leakTest("SysvSharedMemory.fromId() refuses what is no id", () => {
  for (const id of [-1, 1.5, NaN, 2 ** 31]) {
    assertThrows(() => SysvSharedMemory.fromId(id), RangeError);
  }
  const text = "1" as unknown as number;
  assertThrows(() => SysvSharedMemory.fromId(text), TypeError);
  const memory = newMemory(4);
  memory.close();
  for (const id of [memory.id, 0x7fffffff]) {
    const { code, message } = assertThrows(
      () => SysvSharedMemory.fromId(id),
      IpcError,
    );
    assert(["EINVAL", "EIDRM"].includes(code), message);
    assert(message.includes(`shared memory id ${id}`), message);
  }
});

leakTest("SysvSharedMemory.stat() counts the attachments", async () => {
  using memory = newMemory(4);
  using _second = SysvSharedMemory.fromId(memory.id);
  await using child = spawnCode(
    `using memory = SysvSharedMemory.fromId(${memory.id});
    using other = SysvSharedMemory.fromId(${memory.id});
    console.log("up");
    Deno.stdin.readSync(new Uint8Array(1));`,
  );
  assertEquals(await child.line(), "up");
  assertEquals(memory.stat().attachments, 4);
  assertEquals(memory.stat().lastPid, child.pid);
  child.kill("SIGKILL");
  await child.ended();
  assertEquals(memory.stat().attachments, 2);
});

leakTest("SysvSharedMemory.remove() frees the key, not the memory", () => {
  const key = uniqueKey();
  using first = SysvSharedMemory.create(key, 4);
  using alias = SysvSharedMemory.open(key);
  first.remove();
  assertRefused(() => SysvSharedMemory.open(key), "ENOENT", "shmget");
  using second = SysvSharedMemory.create(key, 4);
  assertNotEquals(second.id, first.id);
  first.bytes.fill(3);
  assertEquals(alias.bytes, Uint8Array.of(3, 3, 3, 3));
  assertEquals(second.bytes, new Uint8Array(4));
  assertEquals(first.stat().attachments, 2);
  first.close();
  assertEquals(alias.bytes[0], 3);
  assertEquals(row(alias.id)?.nattch, 1);
  alias.close();
  assertEquals(row(alias.id), undefined);
  second.remove();
});

leakTest(
  "SysvSharedMemory.remove() works for a process that dies",
  async () => {
    await using child = spawnCode(
      `const memory = SysvSharedMemory.create(null, 4);
      memory.remove();
      console.log(memory.id);
      Deno.stdin.readSync(new Uint8Array(1));`,
    );
    const id = Number(await child.line());
    assertEquals(row(id)?.nattch, 1);
    child.kill("SIGKILL");
    await child.ended();
    assertEquals(row(id), undefined);
  },
);

leakTest("SysvSharedMemory stays when its makers end", async () => {
  const key = uniqueKey();
  assertPrinted(
    await runCode(
      `SysvSharedMemory.create(${key}, 4).bytes.set([1, 2, 3, 4]);`,
    ),
  );
  using memory = SysvSharedMemory.open(key);
  assertEquals(memory.bytes, Uint8Array.of(1, 2, 3, 4));
  assertEquals(memory.stat().attachments, 1);
  memory.remove();
});

// --- close ------------------------------------------------------------------

leakTest("SysvSharedMemory.close() detaches the memory", async () => {
  using memory = newMemory(PAGE + 4);
  assertPrinted(
    await runCode(
      `import { i32, struct } from "${import.meta.resolve("../ffi/struct.ts")}";
      const memory = SysvSharedMemory.fromId(${memory.id});
      const { bytes } = memory;
      const views = [
        bytes,
        bytes.subarray(5),
        new Int32Array(bytes.buffer),
        new BigUint64Array(bytes.buffer, 8, 2),
      ];
      const data = new DataView(bytes.buffer);
      const view = memory.view(${PAGE}, struct({ value: i32 }));
      view.value = 80;
      // Compiled code knows the address.
      function sum(values) {
        let sum = 0;
        for (let i = 0; i < 50; i++) sum += values[i] ?? 0;
        return sum;
      }
      for (let i = 0; i < 20_000; i++) sum(bytes);
      memory.close();
      console.log(sum(bytes));
      console.log(views.map(({ length }) => length).join());
      console.log(views.map((view) => view[0]).join());
      console.log(views.map(({ byteLength }) => byteLength).join());
      console.log(bytes.buffer.byteLength, bytes.buffer.detached);
      console.log(bytes === memory.bytes);
      bytes[0] = 1;
      console.log(told(() => bytes.fill(7)));
      console.log(told(() => data.getInt8(0)));
      console.log(told(() => Atomics.load(views[2], 0)));
      console.log(told(() => view.value));
      console.log(told(() => { view.value = 1; }));`,
    ),
    "0",
    "0,0,0,0",
    ",,,",
    "0,0,0,0",
    "0 true",
    "true",
    ...Array(5).fill("TypeError"),
  );
  assertEquals(memory.bytes[PAGE], 80);
  assertEquals(memory.stat().attachments, 1);
});

leakTest("SysvSharedMemory says ClosedError after close()", () => {
  const memory = SysvSharedMemory.create(null, 8);
  const { id } = memory;
  memory.bytes[7] = 4;
  memory.close();
  memory.close();
  for (
    const call of [
      () => memory.stat(),
      () => memory.remove(),
      () => memory.view(0, struct({ value: i32 })),
    ]
  ) {
    assertInstanceOf(assertThrows(call, ClosedError), TypeError);
  }
  assertEquals([memory.id, memory.bytes.length], [id, 0]);
  assertEquals(row(id)?.nattch, 0);
  using again = SysvSharedMemory.fromId(id);
  assertEquals(again.bytes[7], 4);
  again.remove();
});

leakTest("SysvSharedMemory is closed at the end of its block", () => {
  let kept: SysvSharedMemory;
  {
    using memory = newMemory(8);
    kept = memory;
  }
  assertEquals(kept.bytes.length, 0);
  assertThrows(() => kept.stat(), ClosedError);
});

leakTest(
  "SysvSharedMemory.close() keeps memory whose buffer was transferred",
  async () => {
    using memory = newMemory(4);
    assertPrinted(
      await runCode(
        `const memory = SysvSharedMemory.fromId(${memory.id});
        const taken = new Uint8Array(memory.bytes.buffer.transfer());
        try {
          memory.close();
        } catch ({ name, message }) {
          console.log(name, message.includes("transferred"));
        }
        taken[0] = 80;
        console.log(taken[0], memory.bytes.length);
        memory.close();
        console.log(told(() => memory.stat()));`,
      ),
      "Error true",
      "80 0",
      "ClosedError",
    );
    assertEquals(memory.bytes[0], 80);
  },
);

leakTest("SysvSharedMemory leaves nothing behind in many rounds", {
  soak: "also",
}, () => {
  const key = uniqueKey();
  const ROUNDS = rounds(100, 1_000);
  for (let round = 0; round < ROUNDS; round++) {
    using memory = SysvSharedMemory.create(round % 2 === 0 ? key : null, 9_000);
    using other = SysvSharedMemory.fromId(memory.id);
    memory.remove();
    memory.bytes[8_999] = round;
    assertEquals(other.bytes[8_999], round & 0xff);
  }
});

// --- Views ------------------------------------------------------------------

leakTest("SysvSharedMemory.view() shows a struct in place", () => {
  using memory = newMemory(20);
  const layout = struct({ tag: i16, value: i32 });
  const first = memory.view(0, layout);
  const second = memory.view(12, layout);
  first.value = 0x01020304;
  second.tag = -1;
  assertEquals(
    memory.bytes.slice(0, 14),
    Uint8Array.of(
      ...[0, 0, 0, 0, 4, 3, 2, 1],
      ...[0, 0, 0, 0, 255, 255],
    ),
  );
  for (const offset of [13, 20, 21, 2 ** 40]) {
    assertThrows(() => memory.view(offset, layout), RangeError);
  }
  for (const offset of [-1, 1.5, NaN]) {
    assertThrows(() => memory.view(offset, layout), RangeError);
  }
});

/** struct record { short age; char name[20]; int scores[3]; unsigned round; } */
const record = struct({
  age: i16,
  name: cstring(20),
  scores: array(i32, 3),
  round: u32,
});

const RECORD = new URL("./interop/c/shared_record.c", import.meta.url);

leakTest(
  "SysvSharedMemory.view() is live between TypeScript and C",
  { needs: [noCompiler] },
  async () => {
    using memory = newMemory(record.size);
    const view = memory.view(0, record);
    record.write(memory.bytes, {
      age: 80,
      name: "ghkim",
      scores: [1, 2, 3],
      round: 0xffff_fffe,
    });
    const args = [`${memory.id}`];
    await using peer = spawn(await compile(RECORD), { args });
    await peer.send("김함지");
    assertEquals(await peer.line(), "80 ghkim 1 2 3 4294967294");
    await peer.send("b");
    assertEquals(await peer.line(), "79 김함지 -2 -4 -6 4294967295");
    await peer.closeStdin();
    assertEquals((await peer.ended()).code, 0);
    assertEquals(record.decode(memory.bytes), {
      age: 78,
      name: "b",
      scores: [4, 8, 12],
      round: 0,
    });
    assertEquals([view.age, view.name, view.round], [78, "b", 0]);
    assertEquals([...view.scores], [4, 8, 12]);
  },
);

leakTest("SysvSharedMemory.view() is live between processes", async () => {
  using memory = newMemory(record.size);
  const view = memory.view(0, record);
  view.scores[1] = 40;
  await using child = spawnCode(
    `import { array, cstring, i16, i32, struct, u32 } from "${
      import.meta.resolve("../ffi/struct.ts")
    }";
    const record = struct({
      age: i16,
      name: cstring(20),
      scores: array(i32, 3),
      round: u32,
    });
    using memory = SysvSharedMemory.fromId(${memory.id});
    const view = memory.view(0, record);
    for (;;) {
      console.log(view.scores[1], view.name);
      if (Deno.stdin.readSync(new Uint8Array(1)) === null) break;
      view.scores[1]++;
    }`,
  );
  assertEquals(await child.line(), "40 ");
  view.name = "one";
  await child.write("x");
  assertEquals(await child.line(), "41 one");
  assertEquals(view.scores[1], 41);
  view.name = "two";
  view.scores[1] = -5;
  await child.write("x");
  assertEquals(await child.line(), "-4 two");
  await child.closeStdin();
  assertEquals((await child.ended()).code, 0);
});

// --- Counting, with C -------------------------------------------------------

const COUNT = new URL("./interop/c/shared_count.c", import.meta.url);

leakTest(
  "SysvSharedMemory counts on where C stopped, and the other way round",
  { needs: [noCompiler] },
  async () => {
    const key = uniqueKey();
    const program = await compile(COUNT);
    const counter = struct({ value: i32 });
    for (let value = 1; value < 20; value++) {
      if (value % 3 === 0) {
        using memory = SysvSharedMemory.openOrCreate(key, 4);
        assertEquals(++memory.view(0, counter).value, value);
      } else {
        const ended = await run(program, { args: [`${key}`] });
        assertPrinted(ended, `${value}`);
      }
    }
    using memory = SysvSharedMemory.open(key, { size: 4 });
    assertEquals(memory.bytes.length, 4);
    memory.remove();
  },
);

const ADD = new URL("./interop/c/shared_add.c", import.meta.url);

leakTest(
  "SysvSharedMemory: Atomics work between processes",
  { needs: [noCompiler] },
  async () => {
    const times = 200_000;
    using memory = newMemory(8);
    const words = new Int32Array(memory.bytes.buffer);
    const id = `${memory.id}`;
    const program = await compile(ADD);
    await using all = new AsyncDisposableStack();
    const children = [0, 1].flatMap(() => [
      all.use(spawn(program, { args: [id, `${times}`] })),
      all.use(spawnCode(
        `using memory = SysvSharedMemory.fromId(${id});
        const words = new Int32Array(memory.bytes.buffer);
        while (Atomics.load(words, 1) === 0);
        for (let i = 0; i < ${times}; i++) Atomics.add(words, 0, 1);`,
      )),
    ]);
    for (const child of children) {
      await child.until(() => memory.stat().attachments > 4, "attachment");
    }
    Atomics.store(words, 1, 1);
    for (let i = 0; i < times; i++) Atomics.add(words, 0, 1);
    for (const child of children) assertPrinted(await child.ended());
    assertEquals(Atomics.load(words, 0), 5 * times);
  },
);

leakTest("SysvSharedMemory is shared with a Worker", async () => {
  using memory = newMemory(16);
  using dir = scratch();
  const worker = dir.file(
    "worker.js",
    `import { SysvSharedMemory } from "${MODULE}";
    using memory = SysvSharedMemory.fromId(${memory.id});
    const words = new Int32Array(memory.bytes.buffer);
    for (let i = 0; i < 50_000; i++) Atomics.add(words, 0, 1);
    postMessage(memory.stat().attachments);
    close();`,
  );
  assertPrinted(
    await runCode(
      `using memory = SysvSharedMemory.fromId(${memory.id});
      const words = new Int32Array(memory.bytes.buffer);
      const { promise, resolve } = Promise.withResolvers();
      const worker = new Worker("file://${worker}", { type: "module" });
      worker.onmessage = ({ data }) => resolve(data);
      for (let i = 0; i < 50_000; i++) Atomics.add(words, 0, 1);
      console.log(await promise, Atomics.load(words, 0));`,
    ),
    "3 100000",
  );
});

// --- Permissions ------------------------------------------------------------

leakTest(
  "SysvSharedMemory says EACCES and EPERM to another user",
  { needs: [noOtherUser] },
  async () => {
    const [none, readable, open] = [uniqueKey(), uniqueKey(), uniqueKey()];
    using a = SysvSharedMemory.create(none, 4);
    using b = SysvSharedMemory.create(readable, 4, { mode: 0o644 });
    using c = SysvSharedMemory.create(open, 4, { mode: 0o666 });
    assertPrinted(
      await nobodys(
        `const [a, b, c, none, readable, open] = Deno.args.map(Number);
        console.log(told(() => SysvSharedMemory.fromId(a)));
        console.log(told(() => SysvSharedMemory.open(none)));
        console.log(told(() => SysvSharedMemory.openOrCreate(none, 4)));
        console.log(told(() => SysvSharedMemory.create(none, 4)));
        console.log(told(() => SysvSharedMemory.fromId(b)));
        console.log(told(() => SysvSharedMemory.open(readable)));
        console.log(told(() => SysvSharedMemory.openOrCreate(readable, 4)));
        using memory = SysvSharedMemory.fromId(c);
        memory.bytes[0] = 80;
        console.log(told(() => memory.remove()));
        console.log(SysvSharedMemory.open(open).bytes[0]);`,
        ...[a.id, b.id, c.id, none, readable, open],
      ),
      "IpcError EACCES shmat",
      "IpcError EACCES shmat",
      "IpcError EACCES shmget",
      "IpcError EEXIST shmget",
      "IpcError EACCES shmat",
      "IpcError EACCES shmat",
      "IpcError EACCES shmget",
      "IpcError EPERM shmctl",
      "80",
    );
    assertEquals(c.bytes[0], 80);
    for (const memory of [a, b, c]) {
      assertEquals(memory.stat().attachments, 1);
      memory.remove();
    }
  },
);

leakTest(
  "SysvSharedMemory.create() leaves no segment that it may not attach",
  { needs: [noOtherUser] },
  async () => {
    const key = uniqueKey();
    assertPrinted(
      await nobodys(
        `const key = Number(Deno.args[0]);
        for (const mode of [0o000, 0o400, 0o200, 0o077]) {
          console.log(told(() => SysvSharedMemory.create(key, 4, { mode })));
          console.log(told(() => SysvSharedMemory.open(key)));
        }`,
        key,
      ),
      ...[1, 2, 3, 4].flatMap(() => [
        "IpcError EACCES shmat",
        "IpcError ENOENT shmget",
      ]),
    );
    assert(!sysvTable("shm").some((row) => row.key === key));
  },
);

leakTest(
  "SysvSharedMemory.openOrCreate() leaves no segment that it may not attach",
  { needs: [noOtherUser] },
  async () => {
    const key = uniqueKey();
    assertPrinted(
      await nobodys(
        `const key = Number(Deno.args[0]);
        const options = { mode: 0o400 };
        console.log(told(() => SysvSharedMemory.openOrCreate(key, 4, options)));
        console.log(told(() => SysvSharedMemory.open(key)));`,
        key,
      ),
      "IpcError EACCES shmat",
      "IpcError ENOENT shmget",
    );
  },
);

// --- Attachments -------------------------------------------------------------

leakTest("SysvSharedMemory can be attached for reading only", () => {
  const key = uniqueKey();
  using memory = SysvSharedMemory.create(key, 5_000);
  using byKey = SysvSharedMemory.open(key, { readonly: true, size: 5_000 });
  using byId = SysvSharedMemory.fromId(memory.id, { readonly: true });
  memory.remove();
  memory.bytes[4_999] = 7;
  for (const reader of [byKey, byId]) {
    assertEquals(reader.byteLength, 5_000);
    assertEquals(reader.read(4_998, 2), Uint8Array.of(0, 7));
    assertThrows(() => reader.read(4_999, 2), RangeError);
    assertThrows(() => reader.bytes, TypeError, "read-only");
    assertEquals(reader.stat().attachments, 3);
  }
});

leakTest(
  "SysvSharedMemory needs no permission to write for reading only",
  { needs: [noOtherUser] },
  async () => {
    using memory = SysvSharedMemory.create(null, 4, { mode: 0o644 });
    memory.remove();
    memory.bytes[3] = 80;
    const { stdout } = await runAsNobody(
      `import { SysvSharedMemory } from "@linux/ipc/shared-memory";
      const id = Number(Deno.args[0]);
      try {
        SysvSharedMemory.fromId(id);
      } catch ({ code }) {
        console.log(code);
      }
      using reader = SysvSharedMemory.fromId(id, { readonly: true });
      console.log(String(reader.read(0, 4)));`,
      { args: [`${memory.id}`] },
    );
    assertEquals(stdout, "EACCES\n0,0,0,80\n");
  },
);

leakTest("SysvSharedMemory for reading only never faults", async () => {
  using memory = newMemory(4);
  const { code, stdout, transcript } = await runCall(async (id: number) => {
    const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
    const reader = SysvSharedMemory.fromId(id, { readonly: true });
    let refused = 0;
    for (
      const call of [
        () => reader.bytes[0] = 1,
        () => Atomics.store(reader.atomics.int32, 0, 1),
        () => reader.write(0, new Uint8Array(1)),
      ]
    ) {
      try {
        call();
      } catch (error) {
        refused += Number(error instanceof TypeError);
      }
    }
    reader.read(0, 4).fill(1);
    reader.close();
    reader.close();
    console.log(refused);
  }, { argument: memory.id });
  assertEquals([code, stdout], [0, "3\n"], transcript);
  assertEquals(memory.bytes, new Uint8Array(4));
});

leakTest("SysvSharedMemory can be attached several times", () => {
  using memory = newMemory(10_000);
  const others = Array.from(
    { length: 50 },
    () => SysvSharedMemory.fromId(memory.id),
  );
  assertEquals(memory.stat().attachments, 51);
  others.forEach(({ bytes }, index) => bytes[index] = index);
  for (const [index, other] of others.entries()) {
    assertEquals(memory.bytes[index], index);
    other.close();
    assertEquals(memory.stat().attachments, 50 - index);
    assertEquals(memory.bytes[49], 49);
  }
});

// --- stat, set, lock ---------------------------------------------------------

leakTest("SysvSharedMemory.stat() tells all", () => {
  const key = uniqueKey();
  const second = () => Math.floor(Date.now() / 1000) * 1000;
  const before = second();
  using memory = SysvSharedMemory.create(key, 100, { mode: 0o640 });
  const isNow = (date: Date | null) =>
    date !== null && date.getTime() >= before - 1000 &&
    date.getTime() <= second() + 1000;
  const { attached, detached, changed, ...rest } = memory.stat();
  assertEquals(rest, {
    key,
    size: 100,
    attachments: 1,
    mode: 0o640,
    removed: false,
    locked: false,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
    creatorUid: Deno.uid()!,
    creatorGid: Deno.gid()!,
    creatorPid: Deno.pid,
    lastPid: Deno.pid,
  });
  assert(isNow(attached) && isNow(changed));
  assertEquals(detached, null);
  SysvSharedMemory.fromId(memory.id).close();
  assert(isNow(memory.stat().detached));
  memory.remove();
  assertEquals([memory.stat().removed, memory.stat().key], [true, 0]);
});

leakTest("SysvSharedMemory.change() changes owner and mode", () => {
  using memory = newMemory(4);
  memory.change({ mode: 0o604 });
  assertEquals(memory.stat().mode, 0o604);
  memory.change({});
  memory.change({ mode: -0 });
  assertEquals(row(memory.id)!.perms! & 0o777, 0); // which only root may ask stat() for
  for (const value of [-1, 1.5, 2 ** 32, 2 ** 32 - 1]) {
    assertThrows(() => memory.change({ uid: value }), RangeError, '"uid"');
    assertThrows(() => memory.change({ gid: value }), RangeError, '"gid"');
  }
  assertThrows(() => memory.change({ mode: 0o1000 }), RangeError, '"mode"');
});

leakTest(
  "SysvSharedMemory.change() gives a segment away",
  { needs: [noOtherUser] },
  async () => {
    using memory = newMemory(4);
    memory.change({ uid: NOBODY, gid: NOBODY });
    const { uid, gid, creatorUid } = memory.stat();
    assertEquals([uid, gid, creatorUid], [NOBODY, NOBODY, Deno.uid()]);
    const { stdout } = await runAsNobody(
      `import { SysvSharedMemory } from "@linux/ipc/shared-memory";
      using memory = SysvSharedMemory.fromId(Number(Deno.args[0]));
      memory.bytes[0] = 80;
      memory.change({ mode: 0o400 });`,
      { args: [`${memory.id}`] },
    );
    assertEquals(stdout, "");
    assertEquals([memory.bytes[0], memory.stat().mode], [80, 0o400]);
  },
);

leakTest(
  "SysvSharedMemory says EPERM to who does not own it",
  { needs: [noOtherUser] },
  async () => {
    using memory = SysvSharedMemory.create(null, 4, { mode: 0o666 });
    memory.remove();
    const { stdout } = await runAsNobody(
      `import { SysvSharedMemory } from "@linux/ipc/shared-memory";
      using memory = SysvSharedMemory.fromId(Number(Deno.args[0]));
      for (
        const call of [
          () => memory.change({ mode: 0o600 }),
          () => memory.lockSegment(),
          () => memory.remove(),
        ]
      ) {
        try {
          call();
        } catch ({ code, syscall }) {
          console.log(code, syscall);
        }
      }`,
      { args: [`${memory.id}`] },
    );
    assertEquals(stdout, "EPERM shmctl\n".repeat(3));
  },
);

leakTest(
  "SysvSharedMemory.lockSegment() is seen by all, until unlockSegment()",
  () => {
    using memory = newMemory(5_000);
    using other = SysvSharedMemory.fromId(memory.id);
    memory.lockSegment();
    assertEquals(other.stat().locked, true);
    assertEquals(other.stat().mode, 0o600);
    other.unlockSegment();
    assertEquals(memory.stat().locked, false);
  },
);

leakTest("SysvSharedMemory says ClosedError of all after close()", () => {
  const memory = newMemory(4);
  memory.close();
  for (
    const call of [
      () => memory.stat(),
      () => memory.change({ mode: 0o600 }),
      () => memory.lockSegment(),
      () => memory.unlockSegment(),
      () => memory.remove(),
    ]
  ) assertThrows(call, ClosedError);
});

// --- list, ftok, huge pages --------------------------------------------------

leakTest("SysvSharedMemory.list() has all segments", () => {
  const key = uniqueKey();
  using one = SysvSharedMemory.create(key, 100, { mode: 0o640 });
  using two = newMemory(200);
  const all = SysvSharedMemory.list();
  assertEquals(all.find(({ id }) => id === one.id), {
    key,
    id: one.id,
    mode: 0o640,
    size: 100,
    attachments: 1,
    removed: false,
    uid: Deno.uid()!,
    gid: Deno.gid()!,
  });
  const { removed, size } = all.find(({ id }) => id === two.id)!;
  assertEquals([removed, size], [true, 200]);
  one.remove();
});

leakTest("SysvSharedMemory.list() needs no permission to read", async () => {
  using memory = newMemory(4);
  const ids = await inChild(async () => {
    const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
    return SysvSharedMemory.list().map(({ id }) => id);
  }, { permissions: ["--allow-ffi"] });
  assert(ids.includes(memory.id));
});

leakTest(
  "ftok() gives the key under which C finds the segment",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = dir.file("김함지", "");
    using memory = SysvSharedMemory.create(ftok(path, 80), 100);
    const text = `
      #include <stdio.h>
      #include <sys/ipc.h>
      #include <sys/shm.h>
      int main(void) {
        printf("%d\\n", shmget(ftok("${path}", 'P'), 0, 0));
        return 0;
      }`;
    assertEquals(await runC(text), `${memory.id}\n`);
    memory.remove();
  },
);

/** The number of free huge pages. */
const freeHugePages = Number(
  Deno.readTextFileSync("/proc/meminfo").match(/^HugePages_Free: *(\d+)/m)?.[1],
);

leakTest(
  "SysvSharedMemory takes huge pages, and gives them back",
  { needs: [freeHugePages >= 2 ? null : "fewer than 2 huge pages are free"] },
  () => {
    for (let round = 0; round <= freeHugePages; round++) {
      using memory = SysvSharedMemory.create(null, 5_000, { hugePages: true });
      memory.remove();
      using reader = SysvSharedMemory.fromId(memory.id, { readonly: true });
      memory.bytes[4_999] = 1;
      assertEquals(reader.read(4_999, 1), Uint8Array.of(1));
      assertEquals(memory.byteLength, 5_000);
    }
  },
);

leakTest(
  "SysvSharedMemory takes keys signed or unsigned, and tells one",
  () => {
    const key = uniqueKey() | 0x80000000; // negative as an int32_t
    using memory = SysvSharedMemory.create(key, 4);
    const unsigned = key >>> 0;
    try {
      assertEquals(memory.stat().key, unsigned);
      const found = SysvSharedMemory.list().find(({ id }) => id === memory.id);
      assertEquals(found?.key, unsigned);
      using other = SysvSharedMemory.open(unsigned);
      assertEquals(other.id, memory.id);
      const error = assertThrows(
        () => SysvSharedMemory.create(unsigned, 4),
        IpcError,
      );
      assertEquals(
        error.subject,
        `shared memory key ${showKey(key)}`,
      );
    } finally {
      memory.remove();
    }
  },
);

leakTest("SysvSharedMemory.fromId() checks the size", () => {
  using memory = newMemory(100);
  using other = SysvSharedMemory.fromId(memory.id, { size: 100 });
  assertEquals(other.byteLength, 100);
  assertThrows(
    () => SysvSharedMemory.fromId(memory.id, { size: 101 }),
    RangeError,
    `must be at most 100 (the size of shared memory id ${memory.id}): 101`,
  );
  assertEquals(memory.stat().attachments, 2);
});
