/**
 * What callers hand in is checked before anything is touched.
 *
 * Most of these calls are made in a child without any permission: there the
 * first call of libc would be an error of its own, so an error that names the
 * argument has called nothing.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  Fifo,
  MemoryMap,
  pipe,
  PosixSemaphore,
  SysvMessageQueue,
  SysvSharedMemory,
  UnixListener,
  UnixStream,
} from "../mod.ts";
import { noCompiler, runC } from "./support/c.ts";
import { inChild, outcome, type Outcomes } from "./support/child.ts";
import { leakTest, sysvTable } from "./support/leaks.ts";
import { issuedKeys, scratch, uniqueKey, uniqueName } from "./support/names.ts";

/** Runs a table of calls and values in a child that may do nothing. */
function withoutPermission(body: () => Promise<Outcomes>): Promise<Outcomes> {
  return inChild(body, { permissions: [] });
}

/** Every call says the same of a value. */
function assertAll(outcomes: Outcomes, expected: Record<string, string>) {
  assert(Object.keys(outcomes).length > 0);
  for (const [call, actual] of Object.entries(outcomes)) {
    assertEquals(actual, expected, call);
  }
}

// --- Text ----------------------------------------------------------------------

leakTest(
  "a path that is no good is refused before anything is touched",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const ipc = await import("../mod.ts");
      const { outcomesOf } = await import("./support/child.ts");
      const calls: Record<string, (path: string) => unknown> = {
        "Fifo.create": (path) => ipc.Fifo.create(path),
        "Fifo.open": (path) => ipc.Fifo.open(path),
        "MemoryMap.open": (path) => ipc.MemoryMap.open(path),
        "MemoryMap.create": (path) => ipc.MemoryMap.create(path, 1),
      };
      const values: Record<string, unknown> = {
        empty: "",
        NUL: "a\0b",
        "NUL at the end": "a\0",
        surrogate: "a\ud800b",
        "surrogates in the wrong order": "\udc00\ud800",
        number: 5,
        undefined: undefined,
        null: null,
        bytes: new Uint8Array([97]),
        URL: new URL("file:///tmp/x"),
      };
      return await outcomesOf(calls, values);
    });
    const refused = 'TypeError: Argument "path" must';
    assertAll(outcomes, {
      empty: `${refused} not be empty`,
      NUL: `${refused} not contain NUL: "a\\u0000b"`,
      "NUL at the end": `${refused} not contain NUL: "a\\u0000"`,
      surrogate: `${refused} not contain lone surrogates: "a\\ud800b"`,
      "surrogates in the wrong order":
        `${refused} not contain lone surrogates: "\\udc00\\ud800"`,
      number: `${refused} be a string: 5`,
      undefined: `${refused} be a string: undefined`,
      null: `${refused} be a string: null`,
      bytes: `${refused} be a string: [object Uint8Array]`,
      URL: `${refused} be a string: [object URL]`,
    });
  },
);

leakTest(
  "a path that is too long is refused by its bytes, not its characters",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const ipc = await import("../mod.ts");
      const { outcomesOf } = await import("./support/child.ts");
      const calls: Record<string, (path: string) => unknown> = {
        "Fifo.create": (path) => ipc.Fifo.create(path),
        "Fifo.open": (path) => ipc.Fifo.open(path),
        "MemoryMap.open": (path) => ipc.MemoryMap.open(path),
        "MemoryMap.create": (path) => ipc.MemoryMap.create(path, 1),
      };
      const values: Record<string, string> = {
        "256 letters": "a".repeat(256),
        "86 syllables": "한".repeat(86), // 3 bytes each
        "in the middle": `/tmp/${"한".repeat(86)}/x`,
        "4096 bytes": "/a".repeat(2048),
        "4096 bytes of syllables": "/한".repeat(1024),
      };
      return await outcomesOf(calls, values);
    });
    const component =
      'RangeError: Argument "path" must have components of at ' +
      "most 255 bytes of UTF-8 (NAME_MAX): ";
    const whole = 'RangeError: Argument "path" must be at most 4095 bytes of ' +
      "UTF-8 (PATH_MAX): 4096 bytes";
    assertAll(outcomes, {
      "256 letters": `${component}256 bytes`,
      "86 syllables": `${component}258 bytes`,
      "in the middle": `${component}258 bytes`,
      "4096 bytes": whole,
      "4096 bytes of syllables": whole,
    });
  },
);

leakTest(
  "a socket's path that is no good is refused before anything is touched",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const ipc = await import("../mod.ts");
      const { outcome } = await import("./support/child.ts");
      const calls: Record<string, (path: string) => unknown> = {
        "UnixListener.listen": (path) => ipc.UnixListener.listen(path),
        "UnixStream.connect": (path) => ipc.UnixStream.connect(path),
        "UnixStream.connectSync": (path) => ipc.UnixStream.connectSync(path),
      };
      const values: Record<string, unknown> = {
        empty: "",
        NUL: "a\0b",
        "NUL in front": "\0a",
        surrogate: "a\ud800b",
        "4096 letters": "a".repeat(4096),
        "1366 syllables": "한".repeat(1366), // 3 bytes each
        number: 5,
        undefined: undefined,
        object: {},
      };
      const outcomes: Outcomes = {};
      for (const [title, call] of Object.entries(calls)) {
        outcomes[title] = {};
        for (const [kind, value] of Object.entries(values)) {
          const says = await outcome(() => call(value as string));
          // It is a path, or an address, which may be more than that.
          outcomes[title][kind] = typeof value === "string"
            ? says.replace(/"(path|address)"/, '"path"')
            : says.replace(/^(TypeError: Argument )"(path|address).*/, "$1...");
        }
      }
      return outcomes;
    });
    const refused = 'TypeError: Argument "path" must';
    const long = (bytes: number) =>
      'RangeError: Argument "path" must be at most 4095 bytes of UTF-8 (PATH_MAX): ' +
      `${bytes} bytes`;
    assertAll(outcomes, {
      empty: `${refused} not be empty`,
      NUL: `${refused} not contain NUL: "a\\u0000b"`,
      "NUL in front": `${refused} not contain NUL: "\\u0000a"`,
      surrogate: `${refused} not contain lone surrogates: "a\\ud800b"`,
      "4096 letters": long(4096),
      "1366 syllables": long(4098),
      number: "TypeError: Argument ...",
      undefined: "TypeError: Argument ...",
      object: "TypeError: Argument ...",
    });
  },
);

leakTest(
  "a semaphore's name that is no good is refused before anything is touched",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const { PosixSemaphore } = await import("../ffi/semaphore.ts");
      const { outcomesOf } = await import("./support/child.ts");
      const calls: Record<string, (name: string) => unknown> = {
        "PosixSemaphore.create": (name) => PosixSemaphore.create(name, 1),
        "PosixSemaphore.open": (name) => PosixSemaphore.open(name),
        "PosixSemaphore.openOrCreate": (name) =>
          PosixSemaphore.openOrCreate(name, 1),
        "PosixSemaphore.unlink": (name) => PosixSemaphore.unlink(name),
      };
      const values: Record<string, unknown> = {
        empty: "",
        slashless: "jobs",
        "slash alone": "/",
        "two slashes": "//",
        "slash inside": "/a/b",
        "slash at the end": "/a/",
        dot: "/.",
        "two dots": "/..",
        NUL: "/a\0",
        surrogate: "/\udfff",
        "252 letters": "/" + "a".repeat(252),
        "84 syllables": "/" + "한".repeat(84),
        number: 5,
      };
      return await outcomesOf(calls, values);
    });
    const argument = 'Argument "name" must';
    const slashes = (name: string) =>
      `TypeError: ${argument} start with "/" and have no other: "${name}"`;
    const length = (bytes: number) =>
      `RangeError: ${argument} have 1 to 251 bytes of UTF-8 after its "/" ` +
      `(NAME_MAX): ${bytes} bytes`;
    assertAll(outcomes, {
      empty: slashes(""),
      slashless: slashes("jobs"),
      "slash alone": length(0),
      "two slashes": slashes("//"),
      "slash inside": slashes("/a/b"),
      "slash at the end": slashes("/a/"),
      dot: `TypeError: ${argument} not be "/."`,
      "two dots": `TypeError: ${argument} not be "/.."`,
      NUL: `TypeError: ${argument} not contain NUL: "/a\\u0000"`,
      surrogate:
        `TypeError: ${argument} not contain lone surrogates: "/\\udfff"`,
      "252 letters": length(252),
      "84 syllables": length(252),
      number: `TypeError: ${argument} be a string: 5`,
    });
  },
);

leakTest("a semaphore's name that is missing is refused", async () => {
  const outcomes = await withoutPermission(async () => {
    const { PosixSemaphore } = await import("../ffi/semaphore.ts");
    const { outcome } = await import("./support/child.ts");
    const nothing = undefined as unknown as string;
    return {
      // null is the way to say that any name will do
      create: { name: await outcome(() => PosixSemaphore.create(nothing, 1)) },
      open: { name: await outcome(() => PosixSemaphore.open(nothing)) },
      openOrCreate: {
        name: await outcome(() => PosixSemaphore.openOrCreate(nothing, 1)),
      },
      unlink: { name: await outcome(() => PosixSemaphore.unlink(nothing)) },
    };
  });
  assertAll(outcomes, {
    name: 'TypeError: Argument "name" must be a string: undefined',
  });
});

leakTest("a path may be as long as the kernel lets it be", () => {
  using dir = scratch();
  // 255 bytes: 85 syllables of 3.
  const component = "한".repeat(85);
  using fifo = Fifo.create(`${dir.path}/${component}`);
  using _again = Fifo.open(`${dir.path}/${component}`);
  assertEquals(dir.list(), [component]);
  fifo.unlink();
  const long = dir.path + "/.".repeat(2046 - dir.path.length / 2 | 0);
  const path = `${long}${"/".repeat(4094 - long.length)}x`;
  assertEquals(path.length, 4095);
  using longest = Fifo.create(path);
  assertEquals(dir.list(), ["x"]);
  longest.unlink();
});

leakTest("a socket's path may be as long as the kernel lets it be", () => {
  using dir = scratch();
  const rest = 107 - dir.path.length - 1;
  const name = "한".repeat(Math.floor(rest / 3)) + "a".repeat(rest % 3);
  const path = `${dir.path}/${name}`;
  assertEquals(new TextEncoder().encode(path).length, 107);
  using listener = UnixListener.listen(path);
  using _client = UnixStream.connectSync(path);
  using _server = listener.acceptSync();
  assertEquals(dir.list(), [name]);
});

leakTest("a semaphore's name may be as long as the kernel lets it be", () => {
  const start = uniqueName();
  const rest = 252 - start.length;
  const name = start + "한".repeat(Math.floor(rest / 3)) + "a".repeat(rest % 3);
  assertEquals(new TextEncoder().encode(name).length, 252);
  using _semaphore = PosixSemaphore.create(name, 1);
  try {
    using _again = PosixSemaphore.open(name);
  } finally {
    PosixSemaphore.unlink(name);
  }
});

/** The names in a directory, in hexadecimal, as C sees them. */
async function namesInC(directory: string): Promise<string[]> {
  const text = await runC(`
    #include <dirent.h>
    #include <stdio.h>
    int main(void) {
      DIR *directory = opendir("${directory}");
      if (directory == NULL) return 1;
      for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        for (char *byte = entry->d_name; *byte != 0; byte++)
          printf("%02x", (unsigned char)*byte);
        putchar('\\n');
      }
      return closedir(directory);
    }`);
  return text.trimEnd().split("\n").filter((name) => !/^(2e)+$/.test(name));
}

function hexOf(text: string): string {
  return new TextEncoder().encode(text).toHex();
}

/** Not ASCII, not the Basic Multilingual Plane, and two ways to write é. */
const FOREIGN = ["한국어 파이프", "𝄞", "e\u0301", "\u00e9", "\u{10ffff}\u200d"];

leakTest(
  "a path that is not ASCII is the same bytes to C",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    for (const name of FOREIGN) {
      using _fifo = Fifo.create(`${dir.path}/${name}`);
      using _map = MemoryMap.create(`${dir.path}/${name}.map`, 1);
      using _listener = UnixListener.listen(`${dir.path}/${name}.socket`);
      using _client = UnixStream.connectSync(`${dir.path}/${name}.socket`);
      using _again = MemoryMap.open(`${dir.path}/${name}.map`);
      Fifo.open(`${dir.path}/${name}`).close();
      const names = await namesInC(dir.path);
      for (const suffix of ["", ".map", ".socket"]) {
        assert(names.includes(hexOf(name + suffix)), `${name}${suffix}`);
      }
    }
    assertEquals(
      (await namesInC(dir.path)).sort(),
      FOREIGN.flatMap((name) => [hexOf(name), hexOf(`${name}.map`)]).sort(),
    );
  },
);

leakTest(
  "a FIFO with a Korean name is opened by C",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = `${dir.path}/한국어 파이프`;
    using fifo = Fifo.create(path);
    using ends = fifo.openBoth();
    const bytes = new TextEncoder().encode(path + "\0");
    await runC(`
      #include <fcntl.h>
      #include <unistd.h>
      int main(void) {
        const char path[] = {${bytes.join(", ")}};
        int fd = open(path, O_WRONLY);
        return write(fd, "hello", 5) != 5;
      }`);
    assertEquals(ends.reader.readSync(new Uint8Array(8)), 5);
    fifo.unlink();
  },
);

leakTest(
  "a semaphore with a Korean name is opened by C",
  { needs: [noCompiler] },
  async () => {
    const name = `${uniqueName()}-세마포어-𝄞`;
    const bytes = new TextEncoder().encode(name + "\0");
    using semaphore = PosixSemaphore.create(name, 3);
    try {
      assertEquals(semaphore.name, name);
      const value = await runC(`
        #include <fcntl.h>
        #include <semaphore.h>
        #include <stdio.h>
        int main(void) {
          const char name[] = {${bytes.join(", ")}};
          sem_t *semaphore = sem_open(name, 0);
          int value;
          if (semaphore == SEM_FAILED || sem_post(semaphore) != 0) return 1;
          sem_getvalue(semaphore, &value);
          printf("%d", value);
          return 0;
        }`);
      assertEquals(value, "4");
      assertEquals(semaphore.value, 4);
      const files = await namesInC("/dev/shm");
      assert(files.includes(hexOf(`sem.${name.slice(1)}`)));
    } finally {
      PosixSemaphore.unlink(name);
    }
  },
);

// --- Numbers -------------------------------------------------------------------

leakTest(
  "a size that is no good is refused before anything is touched",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const { MemoryMap, SysvSharedMemory } = await import(
        "../ffi/shared_memory.ts"
      );
      const { outcomesOf } = await import("./support/child.ts");
      const calls: Record<string, (size: number) => unknown> = {
        "size of SysvSharedMemory.create": (size) =>
          SysvSharedMemory.create(null, size),
        "size of SysvSharedMemory.openOrCreate": (size) =>
          SysvSharedMemory.openOrCreate(77, size),
        "size of SysvSharedMemory.open": (size) =>
          SysvSharedMemory.open(77, { size }),
        "size of MemoryMap.create": (size) => MemoryMap.create("/tmp/x", size),
        "size of MemoryMap.anonymous": (size) => MemoryMap.anonymous(size),
        "length of MemoryMap.open": (length) =>
          MemoryMap.open("/tmp/x", { length }),
        "offset of MemoryMap.open": (offset) =>
          MemoryMap.open("/tmp/x", { offset }),
      };
      const values: Record<string, unknown> = {
        "-1": -1,
        "1.5": 1.5,
        "2 ** 53": 2 ** 53,
        "-(2 ** 63)": -(2 ** 63),
        NaN: NaN,
        Infinity: Infinity,
        '"4"': "4",
        "4n": 4n,
        true: true,
        "[4]": [4],
      };
      return await outcomesOf(calls, values);
    });
    for (const [call, actual] of Object.entries(outcomes)) {
      const name = call.match(/^\w+/)![0];
      const least = /size of SysvSharedMemory.open$|offset/.test(call) ? 0 : 1;
      const range = `RangeError: Argument "${name}" must be an integer from ` +
        `${least} to 9007199254740991 (size_t, as an exact number): `;
      const type = `TypeError: Argument "${name}" must be a number: `;
      assertEquals(actual, {
        "-1": `${range}-1`,
        "1.5": `${range}1.5`,
        "2 ** 53": `${range}9007199254740992`,
        "-(2 ** 63)": `${range}-9223372036854776000`,
        NaN: `${range}NaN`,
        Infinity: `${range}Infinity`,
        '"4"': `${type}"4"`,
        "4n": `${type}4n`,
        true: `${type}true`,
        "[4]": `${type}[object Array]`,
      }, call);
    }
  },
);

leakTest("a size of 0 is refused where there would be no memory", async () => {
  const outcomes = await withoutPermission(async () => {
    const { MemoryMap, SysvSharedMemory } = await import(
      "../ffi/shared_memory.ts"
    );
    const { outcome } = await import("./support/child.ts");
    return {
      shared: { "0": await outcome(() => SysvSharedMemory.create(null, 0)) },
      either: { "0": await outcome(() => SysvSharedMemory.openOrCreate(7, 0)) },
      file: { "0": await outcome(() => MemoryMap.create("/tmp/x", 0)) },
      memory: { "0": await outcome(() => MemoryMap.anonymous(0)) },
    };
  });
  assertAll(outcomes, {
    "0": 'RangeError: Argument "size" must be an integer from 1 to ' +
      "9007199254740991 (size_t, as an exact number): 0",
  });
});

leakTest("a size that is missing is refused", async () => {
  const outcomes = await withoutPermission(async () => {
    const { MemoryMap, SysvSharedMemory } = await import(
      "../ffi/shared_memory.ts"
    );
    const { outcome } = await import("./support/child.ts");
    const size = undefined as unknown as number;
    return {
      shared: {
        size: await outcome(() => SysvSharedMemory.create(null, size)),
      },
      either: {
        size: await outcome(() => SysvSharedMemory.openOrCreate(7, size)),
      },
      file: { size: await outcome(() => MemoryMap.create("/tmp/x", size)) },
      memory: { size: await outcome(() => MemoryMap.anonymous(size)) },
    };
  });
  assertAll(outcomes, {
    size: 'TypeError: Argument "size" must be a number: undefined',
  });
});

leakTest("MemoryMap.open() refuses a range that is not in the file", () => {
  using dir = scratch();
  const path = dir.file("file", "0123456789");
  const empty = dir.file("empty", "");
  const message = (options: { offset?: number; length?: number }) =>
    assertThrows(() => MemoryMap.open(path, options), RangeError).message;
  assertEquals(
    message({ offset: 10 }),
    `Argument "offset" must be below 10 (the size of ${path}): 10`,
  );
  assertEquals(
    message({ offset: Number.MAX_SAFE_INTEGER }),
    `Argument "offset" must be below 10 (the size of ${path}): 9007199254740991`,
  );
  assertEquals(
    message({ length: 11 }),
    `Argument "length" must be at most 10 (the size of ${path} from offset 0): 11`,
  );
  assertEquals(
    message({ offset: 4, length: 7 }),
    `Argument "length" must be at most 6 (the size of ${path} from offset 4): 7`,
  );
  assertEquals(
    message({ offset: 9, length: Number.MAX_SAFE_INTEGER }),
    `Argument "length" must be at most 1 (the size of ${path} from offset 9): 9007199254740991`,
  );
  assertEquals(
    assertThrows(() => MemoryMap.open(empty), RangeError).message,
    `Cannot map ${empty}: it is empty`,
  );
  using whole = MemoryMap.open(path, { offset: 9, length: 1 });
  assertEquals(whole.bytes, Uint8Array.of(57));
});

leakTest(
  "a key that is no good is refused before anything is touched",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const { SysvMessageQueue } = await import("../ffi/message_queue.ts");
      const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
      const { outcomesOf } = await import("./support/child.ts");
      const calls: Record<string, (key: number) => unknown> = {
        "SysvMessageQueue.create": (key) => SysvMessageQueue.create(key),
        "SysvMessageQueue.open": (key) => SysvMessageQueue.open(key),
        "SysvMessageQueue.openOrCreate": (key) =>
          SysvMessageQueue.openOrCreate(key),
        "SysvSharedMemory.create": (key) => SysvSharedMemory.create(key, 1),
        "SysvSharedMemory.open": (key) => SysvSharedMemory.open(key),
        "SysvSharedMemory.openOrCreate": (key) =>
          SysvSharedMemory.openOrCreate(key, 1),
      };
      const values: Record<string, unknown> = {
        "2 ** 32": 2 ** 32,
        "-(2 ** 31) - 1": -(2 ** 31) - 1,
        "1.5": 1.5,
        "2 ** 53": 2 ** 53,
        NaN: NaN,
        '"12345"': "12345",
        "12345n": 12345n,
        undefined: undefined,
      };
      return await outcomesOf(calls, values);
    });
    const range = 'RangeError: Argument "key" must be an integer from ' +
      "-2147483648 to 4294967295 (key_t, or the same 32 bits unsigned): ";
    const type = 'TypeError: Argument "key" must be a number: ';
    assertAll(outcomes, {
      "2 ** 32": `${range}4294967296`,
      "-(2 ** 31) - 1": `${range}-2147483649`,
      "1.5": `${range}1.5`,
      "2 ** 53": `${range}9007199254740992`,
      NaN: `${range}NaN`,
      '"12345"': `${type}"12345"`,
      "12345n": `${type}12345n`,
      undefined: `${type}undefined`,
    });
  },
);

leakTest("a key of 0 is refused, and says what to do instead", async () => {
  const outcomes = await withoutPermission(async () => {
    const { SysvMessageQueue } = await import("../ffi/message_queue.ts");
    const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
    const { outcomesOf } = await import("./support/child.ts");
    const zero = {
      "0": 0,
      "-0": -0,
    };
    const calls: Record<string, (key: number) => unknown> = {
      "queue, create": (key) => SysvMessageQueue.create(key),
      "queue, open": (key) => SysvMessageQueue.open(key),
      "queue, open or create": (key) => SysvMessageQueue.openOrCreate(key),
      "memory, create": (key) => SysvSharedMemory.create(key, 1),
      "memory, open": (key) => SysvSharedMemory.open(key),
      "memory, open or create": (key) => SysvSharedMemory.openOrCreate(key, 1),
    };
    return await outcomesOf(calls, zero);
  });
  for (const [call, actual] of Object.entries(outcomes)) {
    const instead = call.endsWith(", create")
      ? "pass null for a private object"
      : "it names no object";
    const message = 'RangeError: Argument "key" must not be 0 (IPC_PRIVATE): ' +
      instead;
    assertEquals(actual, { "0": message, "-0": message }, call);
  }
});

leakTest(
  "null as a key is refused where there is nothing to find",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const { SysvMessageQueue } = await import("../ffi/message_queue.ts");
      const { SysvSharedMemory } = await import("../ffi/shared_memory.ts");
      const { outcome } = await import("./support/child.ts");
      const key = null as unknown as number;
      return {
        queue: { key: await outcome(() => SysvMessageQueue.open(key)) },
        "or queue": {
          key: await outcome(() => SysvMessageQueue.openOrCreate(key)),
        },
        memory: { key: await outcome(() => SysvSharedMemory.open(key)) },
        "or memory": {
          key: await outcome(() => SysvSharedMemory.openOrCreate(key, 1)),
        },
      };
    });
    assertAll(outcomes, {
      key: 'TypeError: Argument "key" must be a number: null',
    });
  },
);

leakTest("a key may be signed or unsigned, as C programs print it", () => {
  const key = uniqueKey();
  const signed = key | 0x80000000;
  const unsigned = signed >>> 0;
  issuedKeys.add(signed);
  const rows = () => sysvTable("msg").map((row) => row.key! | 0);
  assert(!rows().includes(signed), "the key is taken: run again");
  using queue = SysvMessageQueue.create(unsigned);
  try {
    assert(rows().includes(signed));
    using same = SysvMessageQueue.open(signed);
    assertEquals(same.id, queue.id);
  } finally {
    queue.remove();
  }
  using memory = SysvSharedMemory.create(signed, 1);
  memory.bytes[0] = 7;
  try {
    using same = SysvSharedMemory.open(unsigned);
    assertEquals(same.bytes[0], 7);
  } finally {
    memory.remove();
  }
});

leakTest(
  "a mode that is no good is refused before anything is touched",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const ipc = await import("../mod.ts");
      const { outcomesOf } = await import("./support/child.ts");
      const calls: Record<string, (mode: number) => unknown> = {
        "Fifo.create": (mode) => ipc.Fifo.create("/tmp/x", { mode }),
        "MemoryMap.create": (mode) =>
          ipc.MemoryMap.create("/tmp/x", 1, { mode }),
        "SysvMessageQueue.create": (mode) =>
          ipc.SysvMessageQueue.create(null, { mode }),
        "SysvMessageQueue.openOrCreate": (mode) =>
          ipc.SysvMessageQueue.openOrCreate(77, { mode }),
        "SysvSharedMemory.create": (mode) =>
          ipc.SysvSharedMemory.create(null, 1, { mode }),
        "SysvSharedMemory.openOrCreate": (mode) =>
          ipc.SysvSharedMemory.openOrCreate(77, 1, { mode }),
        "PosixSemaphore.create": (mode) =>
          ipc.PosixSemaphore.create("/x", 1, { mode }),
        "PosixSemaphore.openOrCreate": (mode) =>
          ipc.PosixSemaphore.openOrCreate("/x", 1, { mode }),
        "UnixListener.listen": (mode) =>
          ipc.UnixListener.listen("/tmp/x", { mode }),
      };
      const values: Record<string, unknown> = {
        "-1": -1,
        "0o1000": 0o1000,
        "0o4755": 0o4755,
        "0o100644": 0o100644,
        "1.5": 1.5,
        "2 ** 53": 2 ** 53,
        NaN: NaN,
        '"600"': "600",
        "0o600n": 0o600n,
      };
      return await outcomesOf(calls, values);
    });
    const range =
      'RangeError: Argument "mode" must be an integer from 0 to 511 ' +
      "(permission bits 0o000 to 0o777): ";
    const type = 'TypeError: Argument "mode" must be a number: ';
    assertAll(outcomes, {
      "-1": `${range}-1`,
      "0o1000": `${range}512`,
      "0o4755": `${range}2541`,
      "0o100644": `${range}33188`,
      "1.5": `${range}1.5`,
      "2 ** 53": `${range}9007199254740992`,
      NaN: `${range}NaN`,
      '"600"': `${type}"600"`,
      "0o600n": `${type}384n`,
    });
  },
);

leakTest(
  "a descriptor, an id, a count that is no good is refused before anything is touched",
  async () => {
    const outcomes = await withoutPermission(async () => {
      const ipc = await import("../mod.ts");
      const { outcomesOf } = await import("./support/child.ts");
      const bytes = new Uint8Array(32);
      const calls: Record<string, (value: number) => unknown> = {
        "fd 0 int PipeReader.fromFd": (fd) => ipc.PipeReader.fromFd(fd),
        "fd 0 int PipeWriter.fromFd": (fd) => ipc.PipeWriter.fromFd(fd),
        "fd 0 int PosixMessageQueue.fromFd": (fd) =>
          ipc.PosixMessageQueue.fromFd(fd),
        "id 0 int SysvMessageQueue.fromId": (id) =>
          ipc.SysvMessageQueue.fromId(id),
        "id 0 int SysvSharedMemory.fromId": (id) =>
          ipc.SysvSharedMemory.fromId(id),
        "value 0 SEM_VALUE_MAX PosixSemaphore.create": (value) =>
          ipc.PosixSemaphore.create(null, value),
        "value 0 SEM_VALUE_MAX PosixSemaphore.openOrCreate": (value) =>
          ipc.PosixSemaphore.openOrCreate("/x", value),
        "value 0 SEM_VALUE_MAX PosixSemaphore.init": (value) =>
          ipc.PosixSemaphore.init(bytes, value),
        "backlog 1 int UnixListener.listen": (backlog) =>
          ipc.UnixListener.listen("/tmp/x", { backlog }),
      };
      const values: Record<string, unknown> = {
        "-1": -1,
        "1.5": 1.5,
        "2 ** 31": 2 ** 31,
        "2 ** 53": 2 ** 53,
        NaN: NaN,
        '"3"': "3",
        "3n": 3n,
      };
      return await outcomesOf(calls, values);
    });
    for (const [call, actual] of Object.entries(outcomes)) {
      const [name, least, origin] = call.split(" ");
      const range = `RangeError: Argument "${name}" must be an integer from ` +
        `${least} to 2147483647 (${origin}): `;
      const type = `TypeError: Argument "${name}" must be a number: `;
      assertEquals(actual, {
        "-1": `${range}-1`,
        "1.5": `${range}1.5`,
        "2 ** 31": `${range}2147483648`,
        "2 ** 53": `${range}9007199254740992`,
        NaN: `${range}NaN`,
        '"3"': `${type}"3"`,
        "3n": `${type}3n`,
      }, call);
    }
  },
);

leakTest(
  "a message's type that is no good is refused, and nothing is sent",
  async () => {
    using queue = SysvMessageQueue.create(null);
    try {
      const data = new Uint8Array(1);
      const calls: Record<string, (type: number) => unknown> = {
        sendSync: (type) => queue.sendSync(data, { type }),
        trySend: (type) => queue.trySend(data, { type }),
      };
      for (const [title, call] of Object.entries(calls)) {
        const says = (type: unknown) => outcome(() => call(type as number));
        const least = 'RangeError: Argument "type" must be from 1 to ' +
          "9223372036854775807 (long): ";
        assertEquals(await says(0), `${least}0`, title);
        assertEquals(await says(-1), `${least}-1`, title);
        assertEquals(await says(-1n), `${least}-1`, title);
        assertEquals(
          await says(2n ** 63n),
          `${least}9223372036854775808`,
          title,
        );
        assertEquals(
          await says(2n ** 64n + 1n),
          `${least}18446744073709551617`,
        );
        const exact =
          'RangeError: Argument "type" must be a safe integer or a ' +
          "bigint: ";
        assertEquals(await says(1.5), `${exact}1.5`, title);
        assertEquals(await says(2 ** 53), `${exact}9007199254740992`, title);
        assertEquals(await says(NaN), `${exact}NaN`, title);
        assertEquals(
          await says("1"),
          'TypeError: Argument "type" must be a number or a bigint: 1',
          title,
        );
      }
      assertEquals(queue.stat().messages, 0);

      queue.sendSync(data);
      for (const receive of ["receiveSync", "tryReceive"] as const) {
        const says = (type: unknown) =>
          outcome(() => queue[receive]({ type: type as number }));
        const range = 'RangeError: Argument "type" must be from ' +
          "-9223372036854775807 to 9223372036854775807 (long): ";
        assertEquals(await says(2n ** 63n), `${range}9223372036854775808`);
        assertEquals(await says(-(2n ** 63n)), `${range}-9223372036854775808`);
        assertEquals(
          await says(0.5),
          'RangeError: Argument "type" must be a safe integer or a bigint: 0.5',
        );
        assertEquals(
          await says("1"),
          'TypeError: Argument "type" must be a number or a bigint: 1',
        );
      }
      assertEquals(queue.stat().messages, 1);
    } finally {
      queue.remove();
    }
  },
);

leakTest("a message's type may be any long of at least 1", () => {
  using queue = SysvMessageQueue.create(null);
  try {
    const types = [
      1,
      2 ** 31,
      Number.MAX_SAFE_INTEGER,
      2n ** 53n,
      2n ** 63n - 1n,
    ];
    for (const type of types) {
      queue.sendSync(new Uint8Array(0), { type });
      assertEquals(queue.receiveSync({ type }).type, type);
    }
    queue.sendSync(new Uint8Array(0), { type: 5n });
    assertEquals(queue.receiveSync({ type: -(2n ** 63n - 1n) }).type, 5);
  } finally {
    queue.remove();
  }
});

// --- Waiting -------------------------------------------------------------------

leakTest(
  "a timeout that is no good is refused, and nothing is touched",
  async () => {
    using dir = scratch();
    using ends = pipe();
    using listener = UnixListener.listen(`${dir.path}/socket`);
    using client = UnixStream.connectSync(`${dir.path}/socket`);
    using semaphore = PosixSemaphore.create(null, 1);
    PosixSemaphore.unlink(semaphore.name!);
    const bytes = new Uint8Array(1);
    const calls: Record<string, (timeout: number) => unknown> = {
      "PipeReader.read": (timeout) => ends.reader.read(bytes, { timeout }),
      "PipeReader.readSync": (timeout) =>
        ends.reader.readSync(bytes, { timeout }),
      "PipeWriter.write": (timeout) => ends.writer.write(bytes, { timeout }),
      "PipeWriter.writeSync": (timeout) =>
        ends.writer.writeSync(bytes, { timeout }),
      "UnixStream.connect": (timeout) =>
        UnixStream.connect(`${dir.path}/socket`, { timeout }),
      "UnixStream.read": (timeout) => client.read(bytes, { timeout }),
      "UnixStream.readSync": (timeout) => client.readSync(bytes, { timeout }),
      "UnixStream.write": (timeout) => client.write(bytes, { timeout }),
      "UnixStream.writeSync": (timeout) => client.writeSync(bytes, { timeout }),
      "UnixStream.drained": (timeout) => client.drained({ timeout }),
      "UnixListener.accept": (timeout) => listener.accept({ timeout }),
      "UnixListener.acceptSync": (timeout) => listener.acceptSync({ timeout }),
      "PosixSemaphore.acquireSync": (timeout) =>
        semaphore.acquireSync({ timeout }),
    };
    for (const [title, call] of Object.entries(calls)) {
      const says = (value: unknown) => outcome(() => call(value as number));
      const range = 'RangeError: Argument "timeout" must be at least 0 ' +
        "milliseconds: ";
      const type = 'TypeError: Argument "timeout" must be a number of ' +
        "milliseconds: ";
      assertEquals(await says(-1), `${range}-1`, title);
      assertEquals(await says(NaN), `${range}NaN`, title);
      assertEquals(await says(-Infinity), `${range}-Infinity`, title);
      assertEquals(await says("5"), `${type}5`, title);
      assertEquals(await says(5n), `${type}5`, title);
      assertEquals(await says(null), `${type}null`, title);
    }
    assertEquals(ends.reader.tryRead(bytes), undefined); // nothing was written
    assertEquals(semaphore.value, 1); // nothing was taken
    using server = listener.acceptSync(); // the one client still waits
    assertEquals(listener.tryAccept(), undefined);
    assertEquals(server.tryRead(bytes), undefined);
  },
);

leakTest("what returns a promise rejects, and never throws", async () => {
  using dir = scratch();
  using ends = pipe();
  using listener = UnixListener.listen(`${dir.path}/socket`);
  using client = UnixStream.connectSync(`${dir.path}/socket`);
  const timeout = { timeout: -1 };
  const bad = "text" as unknown as Uint8Array<ArrayBuffer>;
  const bytes = new Uint8Array(1);
  const calls: (() => Promise<unknown>)[] = [
    () => UnixStream.connect(""),
    () => UnixStream.connect("\0"),
    () => UnixStream.connect("a".repeat(4096)),
    () => UnixStream.connect(`${dir.path}/socket`, timeout),
    () => ends.reader.read(bad),
    () => ends.reader.read(bytes, timeout),
    () => ends.writer.write(bad),
    () => ends.writer.write(bytes, timeout),
    () => client.read(bad),
    () => client.write(bad),
    () => client.drained(timeout),
    () => listener.accept(timeout),
  ];
  for (const call of calls) {
    const promise = call(); // must not throw
    await assertRejects(() => promise, Error, "Argument");
  }
});

// --- Bytes ---------------------------------------------------------------------

leakTest(
  "what is no Uint8Array is refused, and nothing is touched",
  async () => {
    using dir = scratch();
    using ends = pipe();
    using listener = UnixListener.listen(`${dir.path}/socket`);
    using client = UnixStream.connectSync(`${dir.path}/socket`);
    using server = listener.acceptSync();
    using queue = SysvMessageQueue.create(null);
    try {
      ends.writer.writeSync(Uint8Array.of(1));
      server.writeSync(Uint8Array.of(1));
      type Bytes = Uint8Array<ArrayBuffer>;
      const calls: Record<string, (bytes: Bytes) => unknown> = {
        "PipeReader.read": (bytes) => ends.reader.read(bytes),
        "PipeReader.readSync": (bytes) => ends.reader.readSync(bytes),
        "PipeReader.tryRead": (bytes) => ends.reader.tryRead(bytes),
        "PipeWriter.write": (bytes) => ends.writer.write(bytes),
        "PipeWriter.writeSync": (bytes) => ends.writer.writeSync(bytes),
        "PipeWriter.tryWrite": (bytes) => ends.writer.tryWrite(bytes),
        "UnixStream.read": (bytes) => client.read(bytes),
        "UnixStream.readSync": (bytes) => client.readSync(bytes),
        "UnixStream.tryRead": (bytes) => client.tryRead(bytes),
        "UnixStream.write": (bytes) => client.write(bytes),
        "UnixStream.writeSync": (bytes) => client.writeSync(bytes),
        "UnixStream.tryWrite": (bytes) => client.tryWrite(bytes),
        "SysvMessageQueue.sendSync": (bytes) => queue.sendSync(bytes),
        "SysvMessageQueue.trySend": (bytes) => queue.trySend(bytes),
        "PosixSemaphore.at": (bytes) => PosixSemaphore.at(bytes),
        "PosixSemaphore.init": (bytes) => PosixSemaphore.init(bytes, 1),
      };
      const values: unknown[] = [
        "text",
        5,
        null,
        undefined,
        [1, 2],
        { length: 1, byteLength: 1 },
        new ArrayBuffer(8),
        new DataView(new ArrayBuffer(8)),
        new Int8Array(8),
        new Uint16Array(8),
      ];
      for (const [title, call] of Object.entries(calls)) {
        for (const value of values) {
          const says = await outcome(() => call(value as Bytes));
          const refused =
            /^TypeError: Argument "(buffer|bytes|data)" must be a Uint8Array: /;
          assert(refused.test(says), `${title}: ${says}`);
        }
      }
      const bytes = new Uint8Array(8);
      assertEquals(ends.reader.tryRead(bytes), 1); // what was there, and no more
      assertEquals(ends.reader.tryRead(bytes), undefined);
      assertEquals(client.tryRead(bytes), 1);
      assertEquals(server.tryRead(bytes), undefined);
      assertEquals(queue.stat().messages, 0);
    } finally {
      queue.remove();
    }
  },
);

leakTest(
  "PosixSemaphore.at() and init() refuse bytes that are no place for one",
  () => {
    const own = new Uint8Array(64);
    using map = MemoryMap.anonymous(64);
    const foreign = 'Argument "bytes" must be bytes of shared memory or ' +
      "of a memory map";
    const short =
      'Argument "bytes" must have at least 32 bytes (sizeof (sem_t)): ';
    const skewed =
      'Argument "bytes" must begin at a multiple of 8 (_Alignof (sem_t)): ';
    for (
      const make of [
        (bytes: Uint8Array<ArrayBuffer>) => PosixSemaphore.at(bytes),
        (bytes: Uint8Array<ArrayBuffer>) => PosixSemaphore.init(bytes, 1),
      ]
    ) {
      const says = (
        bytes: Uint8Array<ArrayBuffer>,
        kind: typeof TypeError | typeof RangeError,
      ) => assertThrows(() => make(bytes), kind).message;
      assertEquals(says(own, TypeError), foreign);
      assertEquals(says(map.bytes.slice(), TypeError), foreign); // a copy
      assertEquals(says(map.bytes.subarray(0, 31), RangeError), `${short}31`);
      assertEquals(says(map.bytes.subarray(40), RangeError), `${short}24`);
      assertEquals(says(map.bytes.subarray(0, 0), RangeError), `${short}0`);
      for (const offset of [1, 2, 4, 7]) {
        const bytes = map.bytes.subarray(offset);
        assertMatch(
          says(bytes, RangeError).slice(skewed.length),
          new RegExp(`^they begin at 0x[0-9a-f]+${offset}$`),
        );
      }
    }
    assertEquals(map.bytes, new Uint8Array(64)); // nothing was written
    using semaphore = PosixSemaphore.init(map.bytes.subarray(32), 1);
    assertEquals(semaphore.value, 1);
  },
);

leakTest(
  "an empty Uint8Array is read into and written, and is not the end",
  async () => {
    using ends = pipe();
    const none = new Uint8Array(0);
    assertEquals(ends.writer.writeSync(none), 0);
    assertEquals(await ends.writer.write(none), 0);
    assertEquals(ends.writer.tryWrite(none), 0);
    ends.writer.writeSync(Uint8Array.of(1));
    assertEquals(ends.reader.readSync(none), 0);
    assertEquals(await ends.reader.read(none), 0);
    assertEquals(ends.reader.tryRead(none), 0);
    assertEquals(ends.reader.tryRead(new Uint8Array(2)), 1);
  },
);

leakTest(
  "a view in the middle of its buffer is read into, and nothing around it",
  () => {
    using ends = pipe();
    const memory = new Uint8Array(6).fill(9);
    ends.writer.writeSync(Uint8Array.of(1, 2, 3, 4).subarray(1, 3));
    assertEquals(ends.reader.readSync(memory.subarray(2, 5)), 2);
    assertEquals(memory, Uint8Array.of(9, 9, 2, 3, 9, 9));
  },
);

// --- Nothing is created --------------------------------------------------------

leakTest("a call that is refused creates nothing", async () => {
  using dir = scratch();
  const key = uniqueKey();
  const name = uniqueName();
  const path = `${dir.path}/x`;
  const bad = { mode: 0o1000 };
  const calls = [
    () => Fifo.create(path, bad),
    () => MemoryMap.create(path, 1.5),
    () => MemoryMap.create(path, 1, bad),
    () => UnixListener.listen(path, bad),
    () => UnixListener.listen(path, { backlog: 0 }),
    () => SysvMessageQueue.create(key, bad),
    () => SysvMessageQueue.openOrCreate(key, bad),
    () => SysvSharedMemory.create(key, 0),
    () => SysvSharedMemory.create(key, 1, bad),
    () => SysvSharedMemory.openOrCreate(key, -1),
    () => SysvSharedMemory.openOrCreate(key, 1, bad),
    () => PosixSemaphore.create(name, -1),
    () => PosixSemaphore.create(name, 1, bad),
    () => PosixSemaphore.openOrCreate(name, 2 ** 31),
    () => PosixSemaphore.openOrCreate(name, 1, bad),
  ];
  for (const call of calls) {
    assert((await outcome(call)).startsWith("RangeError"), String(call));
  }
  assertEquals(dir.list(), []);
  const rows = [...sysvTable("msg"), ...sysvTable("shm")];
  assert(!rows.some((row) => row.key === key));
  assertThrows(() => PosixSemaphore.open(name), Error, "ENOENT");
});
