/**
 * Arguments that lie, and objects that callers have changed: each call on memory is
 * right or throws. In a process of its own, because the end of it is what is tested.
 */
import { assertEquals } from "@std/assert";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";

leakTest("Memory asks bytes for nothing that they can lie about", async () => {
  const told = await inChild(async () => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const told = [];
    const size = 1 << 20;
    for (const answer of ["lies", "closes"]) {
      const map = MemoryMap.anonymous(size);
      const tell = (value: number) => {
        if (answer === "closes") map.close();
        return value;
      };
      class Lying extends Uint8Array {
        override get length() {
          return tell(5);
        }
        override get byteLength() {
          return tell(1 << 19);
        }
        override get byteOffset() {
          return tell(1 << 30);
        }
        override get buffer() {
          return tell(0) as unknown as ArrayBuffer;
        }
        override set() {
          tell(0);
        }
        override slice() {
          tell(0);
          return this;
        }
        override subarray() {
          tell(0);
          return this;
        }
        static get [Symbol.species]() {
          tell(0);
          return Lying;
        }
      }
      const target = new Lying(8) as Uint8Array<ArrayBuffer>;
      map.bytes.fill(7, 0, 16);
      map.read(0, target);
      const got = Array.from({ length: 9 }, (_, index) => target[index] ?? -1);
      map.write(100, target);
      told.push(got.join(), map.indexOf(target, 50), map.byteLength === size);
      map.close();
    }
    return told;
  });
  const right = ["7,7,7,7,7,7,7,7,-1", 100, true];
  assertEquals(told, [...right, ...right]);
});

leakTest("MemoryMap.append() copies a Buffer over the map", async () => {
  const told = await inChild(async () => {
    const { Buffer } = await import("node:buffer");
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, "hello");
    using map = MemoryMap.open(path, { resizable: true });
    for (const key of ["resize", "write", "fileSize", "bytes", "byteLength"]) {
      Object.defineProperty(map, key, {
        value: () => {
          throw new Error(`${key} was called`);
        },
      });
    }
    const { buffer } = map.read(0, 5);
    const places = [map.append(Buffer.from(buffer, 1, 3))];
    using other = MemoryMap.open(path, { resizable: true });
    places.push(other.append(Buffer.from(other.bytes.buffer, 0, 5)));
    const text = await Deno.readTextFile(path);
    await Deno.remove(path);
    return [places, text];
  });
  assertEquals(told, [[5, 8], "helloellhello"]);
});

leakTest(
  "MemoryMap.append() refuses a file that ends before the map",
  async () => {
    const told = await inChild(async () => {
      const { MemoryMap } = await import("../ffi/memory_map.ts");
      const { outcome } = await import("./support/child.ts");
      const path = await Deno.makeTempFile();
      await Deno.truncate(path, 200);
      using map = MemoryMap.open(path, { offset: 100, resizable: true });
      await Deno.truncate(path, 50); // what others do
      const error = await outcome(() => map.append(new Uint8Array(100)));
      const { size } = await Deno.stat(path);
      await Deno.remove(path);
      return [error.split(":")[0], size];
    });
    assertEquals(told, ["RangeError", 50]);
  },
);

leakTest("close() detaches a buffer that callers have changed", async () => {
  const told = await inChild(async () => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const { outcome } = await import("./support/child.ts");
    const told: unknown[] = [];
    for (
      const [key, value] of [
        ["transfer", () => {}],
        ["detached", true],
        ["detached", false],
        ["byteLength", 1 << 30],
      ] as const
    ) {
      const map = MemoryMap.anonymous(1 << 20);
      const { bytes } = map;
      Object.defineProperty(bytes.buffer, key, { value });
      Object.defineProperty(bytes, "buffer", { value: new ArrayBuffer(1) });
      Object.defineProperty(bytes, "set", { value: () => {} });
      map.write(0, Uint8Array.of(80));
      told.push(map.atomics.int32.length, map.read(0, 1)[0]);
      map.close();
      told.push(bytes.length, bytes[0] ?? "nothing");
    }
    const map = MemoryMap.anonymous(4096);
    const { buffer } = map.bytes;
    Object.defineProperty(buffer, "detached", { value: false });
    const taken = buffer.transfer();
    told.push((await outcome(() => map.close())).slice(0, 19));
    new Uint8Array(taken)[0] = 1; // still mapped
    return told;
  });
  const right = [1 << 18, 80, 0, "nothing"];
  assertEquals(told, [
    ...[...right, ...right, ...right, ...right],
    "Error: Cannot unmap",
  ]);
});

leakTest("Memory has no constructor for callers", async () => {
  const told = await inChild(async () => {
    const {
      Memory,
      MemoryFile,
      MemoryMap,
      PosixSharedMemory,
      SysvSharedMemory,
    } = await import("../ffi/shared_memory.ts");
    const { outcome } = await import("./support/child.ts");
    using map = MemoryMap.anonymous(4096);
    const told = new Set<string>();
    for (
      const Class of [
        Memory,
        MemoryFile,
        MemoryMap,
        PosixSharedMemory,
        SysvSharedMemory,
      ]
    ) {
      // deno-lint-ignore no-explicit-any
      const Any = Class as any;
      // deno-lint-ignore no-explicit-any
      const Sub: any = class extends Any {};
      for (
        const first of [
          undefined,
          0,
          map,
          Symbol("internal"),
          { address: 4096n, length: 8, access: "shared", subject: "x" },
        ]
      ) {
        const rest = [map, map, 0, 0];
        for (
          const call of [
            () => new Any(first, ...rest),
            () => new Sub(first, ...rest),
            () => Reflect.construct(Any, [first, ...rest], MemoryMap),
          ]
        ) {
          const error = await outcome(call);
          told.add(
            error.startsWith(`TypeError: Cannot construct ${Class.name}: use `)
              ? "refused"
              : error,
          );
        }
      }
    }
    return [...told];
  });
  assertEquals(told, ["refused"]);
});

leakTest(
  "SequenceCell reads its layout once, and calls itself alone",
  async () => {
    const told = await inChild(async () => {
      const { struct, u64 } = await import("../ffi/struct.ts");
      const { MemoryMap, SequenceCell } = await import("../ffi/memory_map.ts");
      const { outcome } = await import("./support/child.ts");
      // deno-lint-ignore no-explicit-any
      type Any = any;
      const told: unknown[] = [];
      const map = MemoryMap.anonymous(4096);
      let count = 0;
      const growing: Any = {
        get size() {
          return count++ === 0 ? 8 : 1 << 30;
        },
        write: (bytes: Uint8Array) => bytes.fill(7),
        decode: (bytes: Uint8Array) => bytes.join(),
      };
      const cell = new SequenceCell(map, 4096 - 16, growing);
      cell.write({});
      told.push(cell.tryRead(), cell.readSync(), await cell.read());

      for (const size of [-8, 0, 1.5, NaN, 1 << 30, "8"]) {
        const make = () => new SequenceCell(map, 0, { size } as Any);
        told.push((await outcome(make)).split(":")[0]);
      }
      told.push(
        (await outcome(() => new SequenceCell({} as Any, 0, growing))).slice(
          0,
          26,
        ),
      );

      const layout = struct({ a: u64 });
      const changed = new SequenceCell(map, 0, layout);
      Object.defineProperty(changed, "sequence", { value: 8 });
      Object.defineProperty(changed, "tryRead", { value: () => "wrong" });
      Object.assign(SequenceCell, { size: () => -4096 });
      Object.defineProperty(SequenceCell.prototype, "tryRead", {
        value: () => "wrong",
      });
      changed.write({ a: 5n });
      told.push(`${changed.readSync().a} ${(await changed.read()).a}`);
      told.push(
        (await outcome(() => new SequenceCell(map, 4088, layout))).split(
          ":",
        )[0],
      );

      // A value that writes the same cell while it is read, and one that closes.
      const inner = {
        get a() {
          changed.write({ a: 1n });
          return 2n;
        },
      };
      changed.write(inner);
      told.push(`${changed.readSync().a}`);
      const closing = {
        get a() {
          map.close();
          return 3n;
        },
      };
      told.push((await outcome(() => changed.write(closing))).split(":")[0]);
      return told;
    });
    const all = "7,7,7,7,7,7,7,7";
    assertEquals(told, [
      ...[all, all, all],
      ...["RangeError", "RangeError", "RangeError", "RangeError", "RangeError"],
      ...["TypeError", 'TypeError: Argument "memor'],
      ...["5 5", "RangeError", "2", "ClosedError"],
    ]);
  },
);

leakTest(
  "Options and handles are read once, before anything is used",
  async () => {
    const told = await inChild(async () => {
      const { Memory, MemoryFile, MemoryMap, SysvSharedMemory } = await import(
        "../ffi/shared_memory.ts"
      );
      const { outcome } = await import("./support/child.ts");
      // deno-lint-ignore no-explicit-any
      type Any = any;
      const told: string[] = [];
      const tell = async (call: () => unknown) =>
        told.push((await outcome(call)).split(":")[0]!);

      const file = MemoryFile.create("test", 4096);
      const closing = {
        get readonly() {
          file.close();
          return false;
        },
      };
      await tell(() => file.map(closing));
      using sealed = MemoryFile.create("test", 4096);
      let count = 0;
      const seal: Any = { toString: () => count++ > 0 ? "none" : "shrink" };
      await tell(() => sealed.seal([seal]));
      await tell(() => MemoryFile.fromFd(sealed.fd, { seals: [seal] }));

      class Readonly { // not an own property
        get readonly() {
          return true;
        }
      }
      using readonly = sealed.map(new Readonly());
      await tell(() => readonly.bytes);
      await tell(() => MemoryMap.fromFd(sealed.fd, { name: {} as Any }));
      await tell(() => readonly.advise({ toString: () => "normal" } as Any));

      using segment = SysvSharedMemory.create(null, 100);
      segment.remove();
      count = 0;
      segment.change({
        get mode() {
          return count++ === 0 ? 0o640 : -1;
        },
      });
      told.push(segment.stat().mode.toString(8));

      const path = await Deno.makeTempFile();
      await Deno.truncate(path, 1 << 20);
      using map = MemoryMap.open(path, { length: 4096, resizable: true });
      const moving = {
        get shrink() {
          map.moveTo(1 << 19);
          return true;
        },
      };
      await tell(() => map.resize(8192, moving));
      told.push(`${(await Deno.stat(path)).size}`);
      await Deno.remove(path);

      using shared = MemoryMap.anonymous(8192);
      const handle = shared.share();
      for (
        const change of [
          { address: -1n },
          { address: 0n },
          { address: handle.address + 2n ** 64n },
          { length: 2 ** 50 },
          { state: Object.create(Int32Array.prototype) },
          { state: { length: 1 } },
          { subject: {} },
        ]
      ) await tell(() => Memory.adopt({ ...handle, ...change } as Any));
      await tell(() => Memory.adopt(undefined as Any));
      using adopted = Memory.adopt(handle); // none of those has taken it
      told.push(`${adopted.byteLength}`);
      return told;
    });
    assertEquals(told, [
      ...["ClosedError", "TypeError", "TypeError", "TypeError"],
      ...["TypeError", "TypeError", "640", "RangeError", `${1 << 20}`],
      ...Array(8).fill("TypeError"),
      "8192",
    ]);
  },
);

leakTest(
  "What the runtime still uses reads as zeroes after close()",
  async () => {
    const told = await inChild(async () => {
      const { pbkdf2, scrypt } = await import("node:crypto");
      const { MemoryMap, PosixSharedMemory, SysvSharedMemory } = await import(
        "../ffi/shared_memory.ts"
      );
      type Bytes = Uint8Array<ArrayBuffer>;
      const size = 1 << 20;
      const path = await Deno.makeTempFile();
      await Deno.truncate(path, 4 * size);
      const object = PosixSharedMemory.create(null, size);
      PosixSharedMemory.unlink(object.name);
      const segment = SysvSharedMemory.create(null, size);
      segment.remove();
      const window = MemoryMap.open(path, { length: size, resizable: true });
      const grown = MemoryMap.anonymous(size, { private: true });
      const shrunk = MemoryMap.anonymous(size, { private: true });
      const map = MemoryMap.anonymous(size);
      const ways: [Bytes, () => void][] = [
        [map.bytes, () => map.close()],
        [object.bytes, () => object.close()],
        [segment.bytes, () => segment.close()],
        [window.bytes, () => window.moveTo(size)],
        [grown.bytes, () => grown.resize(64 * size)],
        [shrunk.bytes, () => shrunk.resize(4096, { shrink: true })],
      ];
      const derived: Promise<number>[] = [];
      for (const [bytes, close] of ways) {
        for (
          const derive of [
            (done: (error: unknown, key: Uint8Array) => void) =>
              pbkdf2(bytes, "salt", 500, 32, "sha512", done),
            (done: (error: unknown, key: Uint8Array) => void) =>
              scrypt(bytes, "salt", 32, done),
          ]
        ) {
          derived.push(
            new Promise((resolve) => derive((_, key) => resolve(key.length))),
          );
        }
        close();
      }
      const lengths = await Promise.all(derived);
      await Deno.remove(path);
      return [lengths, ways.map(([bytes]) => bytes.length)];
    });
    assertEquals(told, [Array(12).fill(32), Array(6).fill(0)]);
  },
);

leakTest("What the runtime still writes reaches no other memory", async () => {
  const told = await inChild(async () => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const size = 1 << 26;
    using file = await Deno.open("/dev/zero");
    const map = MemoryMap.anonymous(size);
    const reading = file.read(map.bytes).catch(() => {});
    map.close();
    using other = MemoryMap.anonymous(size); // mostly in the same place
    other.bytes.fill(1);
    await reading;
    return other.indexOf(0);
  });
  assertEquals(told, -1);
});

leakTest("Addresses that were used are given back, in the end", async () => {
  const told = await inChild(async () => {
    const { MemoryMap } = await import("../ffi/memory_map.ts");
    const taken = () => {
      const status = Deno.readTextFileSync("/proc/self/status");
      return Number(status.match(/VmSize:\s*(\d+)/)![1]) / 2 ** 20; // GiB
    };
    const close = (size: number, count: number) => {
      for (let left = count; left > 0; left--) {
        using map = MemoryMap.anonymous(size);
        void map.bytes;
      }
    };
    const before = taken();
    close(2 ** 28, 1000);
    const few = taken() - before < 17;
    close(4096, 1000);
    const rows = Deno.readTextFileSync("/proc/self/maps").split("\n").length;
    return [few, taken() - before < 1, rows < 2000];
  });
  assertEquals(told, [true, true, true]);
});
