/**
 * The raw layer against the C compiler: every constant, every struct, every
 * error number and every declared function, for x86_64 and for aarch64.
 *
 * What is compared is found by looking at the modules, so a constant that is
 * added later is compared as well, or reported as unknown to C.
 */
import { assert, assertEquals } from "@std/assert";
import { ipcError } from "../ffi/libc/errno.ts";
import { compiler, noCompiler, runC } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { type Ended, exists, run } from "./support/process.ts";

/** The machines that the raw layer knows. */
const MACHINES = ["x86_64", "aarch64"] as const;

/** What is exported outside of ffi/libc/ and of C, and C's header for it. */
const ELSEWHERE: Record<string, string> = {
  NAME_MAX: "limits.h",
  PATH_MAX: "limits.h",
  PIPE_BUF: "limits.h",
};

/** Constants of other headers than that of their file. */
const OTHER_HEADERS: Record<string, string> = {
  HUGETLBFS_MAGIC: "linux/magic.h",
  TMPFS_MAGIC: "linux/magic.h",
  MAX_COUNT: "limits.h",
  MQ_PRIO_MAX: "limits.h",
  SEMAEM: "linux/sem.h",
  SEMVMX: "linux/sem.h",
  SEM_VALUE_MAX: "limits.h",
  SIOCOUTQ: "sys/ioctl.h linux/sockios.h", // in terms of the first
  AT_STATX_DONT_SYNC: "linux/fcntl.h",
  SYS_futex: "sys/syscall.h",
  SYS_get_robust_list: "sys/syscall.h",
  SYS_rt_sigprocmask: "sys/syscall.h",
  SYS_msgrcv: "sys/syscall.h",
  SYS_msgsnd: "sys/syscall.h",
  SYS_semtimedop: "sys/syscall.h",
};

/** Constants that no header has, or no older one, as the kernel has them. */
const KERNEL: Record<string, number> = {
  F_SEAL_EXEC: 0x20, // <linux/fcntl.h> since Linux 6.3
  FUTEX_LOCK_PI2: 13, // <linux/futex.h> since Linux 5.14
  // <linux/pidfd.h> since Linux 6.13 and 6.15
  OFFSETOF_PIDFD_INFO_EXIT_CODE: 60,
  OFFSETOF_PIDFD_INFO_MASK: 0,
  PIDFD_GET_INFO: 0xc040ff0b,
  PIDFD_INFO_EXIT: 8,
  PIDFD_INFO_SIZE_VER0: 64,
  P_PIDFD: 3, // <sys/wait.h> since glibc 2.36
  MFD_NOEXEC_SEAL: 8, // <linux/memfd.h> since Linux 6.3
  SCM_PIDFD: 4, // <sys/socket.h> since Linux 6.5
  SCM_MAX_FD: 253, // include/net/scm.h
  SO_PASSRIGHTS: 83, // <asm/socket.h> since Linux 6.16
  SO_PEERPIDFD: 77, // <asm/socket.h> since Linux 6.5
};

/** What C says where it has no name for it. */
const EXPRESSIONS: Record<string, string> = {
  ALIGNOF_PTHREAD_BARRIER_T: "_Alignof(pthread_barrier_t)",
  ALIGNOF_PTHREAD_COND_T: "_Alignof(pthread_cond_t)",
  ALIGNOF_PTHREAD_MUTEX_T: "_Alignof(pthread_mutex_t)",
  ALIGNOF_PTHREAD_RWLOCK_T: "_Alignof(pthread_rwlock_t)",
  ALIGNOF_SEM_T: "_Alignof(sem_t)",
  // MAX_RW_COUNT, which no header shows: INT_MAX, in whole pages of the smallest size.
  MAX_COUNT: "INT_MAX & ~4095",
  OFFSETOF_MUTEX_LOCK: "offsetof(pthread_mutex_t, __data.__lock)",
  OFFSETOF_MUTEX_COUNT: "offsetof(pthread_mutex_t, __data.__count)",
  OFFSETOF_MUTEX_OWNER: "offsetof(pthread_mutex_t, __data.__owner)",
  OFFSETOF_MUTEX_NUSERS: "offsetof(pthread_mutex_t, __data.__nusers)",
  OFFSETOF_MUTEX_KIND: "offsetof(pthread_mutex_t, __data.__kind)",
  OFFSETOF_MUTEX_NEXT: "offsetof(pthread_mutex_t, __data.__list.__next)",
  OFFSETOF_RWLOCK_READERS: "offsetof(pthread_rwlock_t, __data.__readers)",
  OFFSETOF_RWLOCK_WRPHASE_FUTEX:
    "offsetof(pthread_rwlock_t, __data.__wrphase_futex)",
  OFFSETOF_RWLOCK_WRITERS_FUTEX:
    "offsetof(pthread_rwlock_t, __data.__writers_futex)",
  OFFSETOF_RWLOCK_CUR_WRITER: "offsetof(pthread_rwlock_t, __data.__cur_writer)",
  OFFSETOF_RWLOCK_SHARED: "offsetof(pthread_rwlock_t, __data.__shared)",
  OFFSETOF_RWLOCK_FLAGS: "offsetof(pthread_rwlock_t, __data.__flags)",
  SIZEOF_PTHREAD_BARRIER_T: "sizeof(pthread_barrier_t)",
  SIZEOF_PTHREAD_COND_T: "sizeof(pthread_cond_t)",
  SIZEOF_PTHREAD_MUTEX_T: "sizeof(pthread_mutex_t)",
  SIZEOF_PTHREAD_RWLOCK_T: "sizeof(pthread_rwlock_t)",
  SIZEOF_SEM_T: "sizeof(sem_t)",
  OFFSETOF_SI_CODE: "offsetof(siginfo_t, si_code)",
  OFFSETOF_SI_PID: "offsetof(siginfo_t, si_pid)",
  OFFSETOF_SI_STATUS: "offsetof(siginfo_t, si_status)",
  SIZEOF_SIGINFO_T: "sizeof(siginfo_t)",
  SIZEOF_STATFS: "sizeof(struct statfs)",
  SIZEOF_SUN_PATH: "sizeof(((struct sockaddr_un *)0)->sun_path)",
};

/** Fields that C calls otherwise. */
const FIELDS: Record<string, string> = {
  data: "data.u64",
  key: "__key",
  msg_cbytes: "__msg_cbytes",
  pad: "__pad2",
  reserved1: "__glibc_reserved1",
  reserved2: "__glibc_reserved2",
  reserved3: "__glibc_reserved3",
  reserved4: "__glibc_reserved4",
  reserved5: "__glibc_reserved5",
  seq: "__seq",
  "struct unix_diag_msg.pad": "pad",
  "struct unix_diag_req.pad": "pad",
  "struct shmid_ds.reserved4": "__glibc_reserved5",
  "struct shmid_ds.reserved5": "__glibc_reserved6",
};

/** Fields that stand for all that is behind another one. */
const RESTS: Record<string, string> = {
  stx_spare: "stx_dev_minor",
};

/** Functions with `...` in C, and how many of the parameters are before it. */
const VARIADIC: Record<string, number> = {
  fcntl: 2,
  ioctl: 2,
  mq_open: 2,
  mremap: 4,
  open: 2,
  openat: 3,
  sem_open: 2,
  syscall: 1,
  semctl: 3,
};

/** Declarations that do not stand beside their function. */
const DECLARATIONS: Record<string, string> = {
  __errno_location: "int *__errno_location(void)",
  memcpy: "void *memcpy(void *dest, const void *src, size_t n)",
};

/** The types of the FFI that may stand for a type of C. */
const FFI_TYPES: Record<string, string[]> = {
  void: ["void"],
  int: ["i32"],
  key_t: ["i32"],
  pid_t: ["i32"],
  clockid_t: ["i32"],
  mqd_t: ["i32"],
  idtype_t: ["i32"],
  id_t: ["u32"],
  "unsigned int": ["u32"],
  unsigned: ["u32"],
  mode_t: ["u32"],
  uid_t: ["u32"],
  gid_t: ["u32"],
  socklen_t: ["u32"],
  long: ["i64", "isize"],
  off_t: ["i64", "isize"],
  // Half the width is enough, and faster, for counts that are bounded.
  size_t: ["usize", "u64", "u32"],
  nfds_t: ["usize", "u64", "u32"],
  "unsigned long": ["usize", "u64", "u32"],
  ssize_t: ["isize", "i64", "i32"],
};
const FFI_POINTERS = ["buffer", "pointer", "usize", "u64", "function"];

// --- What TypeScript says ----------------------------------------------------

/** One field of a struct that is not a struct itself. */
interface Leaf {
  offset: number;
  size: number;
  /** Null where that is no question: bytes. */
  signed: boolean | null;
}

/** A struct, as its bytes behave. */
interface Layout {
  size: number;
  alignment: number;
  offsets: Record<string, number>;
  leaves: Record<string, Leaf>;
}

/** What a module exports: functions by name, and what may be of C. */
interface Exports {
  constants: Record<string, number>;
  layouts: Record<string, Layout>;
  types: Record<string, { size: number; alignment: number }>;
  others: string[];
}

/** The modules in a directory below ffi/, and in those below it. */
function modulesOf(directory: string): string[] {
  const root = new URL(`../ffi/${directory}`, import.meta.url);
  return Array.from(Deno.readDirSync(root), ({ name, isDirectory }) => {
    const path = directory + name;
    if (isDirectory) return modulesOf(`${path}/`);
    return name.endsWith(".ts") ? [path] : [];
  }).flat().sort();
}

const LIBC = modulesOf("libc/");
const ALL = modulesOf("");
const TEXTS = new Map(ALL.map((name) => [
  name,
  Deno.readTextFileSync(new URL(`../ffi/${name}`, import.meta.url)),
]));

/**
 * What the modules export on a machine. Runs in a child, where Deno says that it
 * is that machine; what the modules declare depends on nothing else.
 */
async function exportsOn(
  { machine, modules }: { machine: string; modules: string[] },
): Promise<Record<string, Exports>> {
  const build = { ...Deno.build, arch: machine };
  Object.defineProperty(Deno, "build", { value: build });

  // deno-lint-ignore no-explicit-any
  type Struct = any;

  function leavesOf(value: unknown, path = ""): [string, unknown][] {
    if (
      typeof value !== "object" || value === null || value instanceof Uint8Array
    ) return [[path, value]];
    return Object.entries(value).flatMap(([name, part]) =>
      leavesOf(part, path === "" ? name : `${path}.${name}`)
    );
  }

  function isZero(value: unknown): boolean {
    return value instanceof Uint8Array
      ? value.every((byte) => byte === 0)
      : Number(value) === 0;
  }

  /** Sets one byte after the other, and looks which field has changed. */
  function layoutOf(struct: Struct): Layout {
    const { size, alignment, offsets } = struct;
    const leaves: Record<string, Leaf> = {};
    const ones = new Uint8Array(size).fill(0xff);
    for (const [path, value] of leavesOf(struct.decode(ones))) {
      const signed = value instanceof Uint8Array ? null : Number(value) < 0;
      leaves[path] = { offset: -1, size: 0, signed };
    }
    for (let index = 0; index < size; index++) {
      const bytes = new Uint8Array(size);
      bytes[index] = 0xff;
      for (const [path, value] of leavesOf(struct.decode(bytes))) {
        if (isZero(value)) continue;
        const leaf = leaves[path]!;
        if (leaf.size++ === 0) leaf.offset = index;
      }
    }
    return { size, alignment, offsets: { ...offsets }, leaves };
  }

  const all: Record<string, Exports> = {};
  for (const name of modules) {
    const module = await import(`../ffi/${name}`);
    const found: Exports = {
      constants: {},
      layouts: {},
      types: {},
      others: [],
    };
    for (const [key, value] of Object.entries(module)) {
      const object = value as Struct;
      if (typeof value === "number") found.constants[key] = value;
      else if (typeof value === "function") continue;
      else if (typeof object.decode === "function") {
        found.layouts[key] = layoutOf(object);
      } else if (typeof object.live === "function") {
        const { name, size, alignment } = object;
        found.types[name] = { size, alignment };
      } else found.others.push(key);
    }
    all[name] = found;
  }
  return all;
}

function headerOf(name: string): string | undefined {
  return TEXTS.get(name)!.match(/^\/\/ <([\w/]+\.h)>/)?.[1];
}

/** C's name of a field, or of a field of a field. */
function fieldName(struct: string, path: string): string {
  return FIELDS[`${struct}.${path}`] ??
    path.split(".").map((name) => FIELDS[name] ?? name).join(".");
}

/** C's name of a layout: it is the doc comment. */
function structName(module: string, layout: string): string {
  const pattern = new RegExp(
    `/\\*\\* (struct \\w+)[^*]*\\*/\\s*export const ${layout}[ :]`,
  );
  const name = TEXTS.get(module)!.match(pattern)?.[1];
  assert(name, `${module}: ${layout} has no doc comment that begins "struct"`);
  return name;
}

/** An expression of C, and what TypeScript has for it. */
interface Claim {
  header: string;
  expression: string;
  value: number;
}

/** All that the modules say of C. */
function claimsOf(exports: Record<string, Exports>): Map<string, Claim> {
  const claims = new Map<string, Claim>();
  const unknown: string[] = [];
  for (const [module, found] of Object.entries(exports)) {
    const isLibc = module.startsWith("libc/");
    const header = headerOf(module);
    const claim = (
      name: string,
      value: number,
      expression = name,
      from = header,
    ) => {
      if (from === undefined) unknown.push(`${module} ${name}`);
      else claims.set(`<${from}> ${name}`, { header: from, expression, value });
    };

    for (const [name, value] of Object.entries(found.constants)) {
      const elsewhere = ELSEWHERE[name];
      if (!isLibc && elsewhere === undefined) continue;
      const from = OTHER_HEADERS[name] ?? elsewhere ?? header;
      claim(name, value, EXPRESSIONS[name] ?? name, from);
    }

    for (const [key, layout] of Object.entries(found.layouts)) {
      const struct = structName(module, key);
      claim(struct, layout.size, `sizeof(${struct})`);
      claim(`_Alignof ${struct}`, layout.alignment, `_Alignof(${struct})`);
      for (const [path, leaf] of Object.entries(layout.leaves)) {
        const before = RESTS[path];
        if (before !== undefined) {
          const end = `offsetof(${struct}, ${before}) + ` +
            `sizeof(((${struct} *)0)->${before})`;
          claim(`${struct}.${path} begins`, leaf.offset, end);
          claim(
            `${struct}.${path} ends`,
            leaf.offset + leaf.size,
            `sizeof(${struct})`,
          );
          continue;
        }
        const field = fieldName(struct, path);
        const lvalue = `((${struct} *)0)->${field}`;
        const at = `${struct}.${field}`;
        claim(`offsetof ${at}`, leaf.offset, `offsetof(${struct}, ${field})`);
        claim(`sizeof ${at}`, leaf.size, `sizeof(${lvalue})`);
        if (leaf.signed === null) continue;
        const type = `__typeof__(${lvalue})`;
        claim(`signed ${at}`, Number(leaf.signed), `(${type})-1 < (${type})1`);
      }
      // The offsets that the layout tells of itself, too.
      for (const [name, offset] of Object.entries(layout.offsets)) {
        if (RESTS[name] !== undefined) continue;
        const field = fieldName(struct, name);
        claim(
          `offsets ${struct}.${field}`,
          offset,
          `offsetof(${struct}, ${field})`,
        );
      }
    }

    for (const [name, { size, alignment }] of Object.entries(found.types)) {
      const from = name === "bool"
        ? "stdbool.h"
        : name.startsWith("pthread_")
        ? "pthread.h"
        : "stdint.h";
      claim(`sizeof ${name}`, size, `sizeof(${name})`, from);
      claim(`_Alignof ${name}`, alignment, `_Alignof(${name})`, from);
    }

    // A file that names a header has nothing but what is of C, and functions.
    if (header === undefined) continue;
    for (const name of found.others) unknown.push(`${module} ${name}`);
  }
  assertEquals(unknown, [], "exports that C does not know");
  return claims;
}

// --- What C says -------------------------------------------------------------

// Each value is in two halves, because an operand of x86_64 has 32 bits.
const LOW_BITS = 24;
const HIGH = `(int)((long long)(value) >> ${LOW_BITS})`;
const LOW = `(int)((long long)(value) & ${2 ** LOW_BITS - 1})`;

/** Runs nothing: the values stand in the assembler's text. */
const PROBE_ASSEMBLY =
  `#define PROBE(name, value) __asm__ volatile("\\n#@ " name "@ %c0 %c1" : : "i"(${HIGH}), "i"(${LOW}));`;
/** Prints the values. */
const PROBE_PRINTING =
  `#define PROBE(name, value) printf("#@ %s@ %d %d\\n", name, ${HIGH}, ${LOW});`;

/** A program that knows what one header says. */
function probe(header: string, claims: [string, Claim][], macro: string) {
  return `
    #define _GNU_SOURCE
    ${header.split(" ").map((name) => `#include <${name}>`).join("\n")}
    #include <stddef.h>
    #include <stdio.h>
    ${
    Object.entries(KERNEL).map(([name, value]) =>
      `#ifndef ${name}\n#define ${name} ${value}\n#endif\n`
    ).join("")
  }
    ${macro}
    int main(void) {
      ${
    claims.map(([name, { expression }]) => `PROBE("${name}", ${expression})`)
      .join("\n")
  }
      return 0;
    }`;
}

/** What C has for the claims, found by a function for one header's program. */
async function askC(
  claims: Map<string, Claim>,
  macro: string,
  answer: (program: string) => Promise<string>,
): Promise<Record<string, number>> {
  const headers = Map.groupBy(claims, ([_, { header }]) => header);
  const answers = await Promise.all(
    Array.from(
      headers,
      ([header, claims]) => answer(probe(header, claims, macro)),
    ),
  );
  const values: Record<string, number> = {};
  const found = answers.join("\n").matchAll(/#@ (.+)@ (.+) (.+)/g);
  for (const [, name, high, low] of found) {
    values[name!] = Number(high) * 2 ** LOW_BITS + Number(low);
  }
  return values;
}

/** The compiler for the machine that this one is not. */
const OTHER_MACHINE = MACHINES.find((machine) => machine !== Deno.build.arch)!;
const CROSS_COMPILER = `${OTHER_MACHINE}-linux-gnu-gcc`;
const noCrossCompiler = answers(CROSS_COMPILER) ? null : `no ${CROSS_COMPILER}`;

function answers(command: string): boolean {
  const ignored = { stdin: "null", stdout: "null", stderr: "null" } as const;
  try {
    const options = { args: ["--version"], ...ignored };
    return new Deno.Command(command, options).outputSync().success;
  } catch {
    return false; // not there
  }
}

/** Runs a compiler on text; fails with what it says. */
async function compiled(command: string[], text: string): Promise<Ended> {
  const [first, ...args] = command;
  const ended = await run(first!, { args, stdin: text });
  assertEquals(ended.code, 0, ended.transcript);
  return ended;
}

/** A function that returns what a compiler makes of a program. */
function assembledBy(command: string[]): (text: string) => Promise<string> {
  const flags = ["-O1", "-S", "-xc", "-o", "-", "-"];
  return async (text) => (await compiled([...command, ...flags], text)).stdout;
}

async function assertAgrees(
  machine: string,
  macro: string,
  answer: (program: string) => Promise<string>,
): Promise<void> {
  const exports = await inChild(exportsOn, {
    argument: { machine, modules: ALL },
  });
  const claims = claimsOf(exports);
  assert(claims.size > 300, `only ${claims.size}`);
  assertEquals(
    Object.fromEntries(
      Array.from(claims, ([name, { value }]) => [name, value]),
    ),
    await askC(claims, macro, answer),
  );
}

leakTest(
  `constants and layouts are those of C on ${Deno.build.arch}`,
  { needs: [noCompiler] },
  () => assertAgrees(Deno.build.arch, PROBE_PRINTING, runC),
);

leakTest(
  `constants and layouts are those of C on ${OTHER_MACHINE}`,
  { needs: [noCrossCompiler] },
  () =>
    assertAgrees(OTHER_MACHINE, PROBE_ASSEMBLY, assembledBy([CROSS_COMPILER])),
);

leakTest("askC() finds the same in what C prints and in what it assembles", {
  needs: [noCompiler],
}, async () => {
  const values = { large: 0xffff_ffff, longer: 2 ** 40, negative: -100 };
  const claims = new Map<string, Claim>(
    Object.entries(values).map(([name, value]) => [
      name,
      { header: "stdio.h", expression: `${value}LL`, value },
    ]),
  );
  assertEquals(await askC(claims, PROBE_PRINTING, runC), values);
  const assembled = assembledBy(compiler!);
  assertEquals(await askC(claims, PROBE_ASSEMBLY, assembled), values);
});

leakTest("a wrong constant, size or offset does not agree with C", {
  needs: [noCompiler],
}, async () => {
  const header = "poll.h";
  const claims = new Map<string, Claim>([
    ["POLLIN", { header, expression: "POLLIN", value: 0 }],
    ["size", { header, expression: "sizeof(struct pollfd)", value: 0 }],
  ]);
  const found = await askC(claims, PROBE_PRINTING, runC);
  assertEquals(found, { POLLIN: 1, size: 8 });
});

Deno.test("every file of ffi/libc/ with constants or layouts names its header", async () => {
  const exports = await inChild(exportsOn, {
    argument: { machine: Deno.build.arch, modules: LIBC },
  });
  const without = LIBC.filter((module) => headerOf(module) === undefined);
  for (const module of without) {
    assertEquals(exports[module]!.constants, {}, module);
    assertEquals(exports[module]!.layouts, {}, module);
  }
  const header = LIBC.filter((module) => headerOf(module) !== undefined);
  assert(header.length >= 15);
});

// --- Error numbers -----------------------------------------------------------

/** Every error macro of C, with its number. */
async function errorMacros(command: string[]): Promise<Map<string, number>> {
  const args = ["-dM", "-E", "-xc", "-"];
  const text = "#define _GNU_SOURCE\n#include <errno.h>\n";
  const { stdout } = await compiled([...command, ...args], text);
  const macros = new Map(
    Array.from(
      stdout.matchAll(/^#define (E[A-Z0-9]+) (\w+)$/gm),
      ([, name, value]) => [name!, value!],
    ),
  );
  const numberOf = (value: string): number =>
    macros.has(value) ? numberOf(macros.get(value)!) : Number(value);
  return new Map(
    Array.from(macros, ([name, value]) => [name, numberOf(value)]),
  );
}

/** What errno.ts calls each number; nothing for those it has no name for. */
function ourNames(): Map<number, string> {
  const names = new Map<number, string>();
  for (let number = 1; number < 4096; number++) {
    const { code } = ipcError(number, "call");
    if (code !== `errno ${number}`) names.set(number, code);
  }
  return names;
}

async function assertNamesAgree(command: string[]): Promise<void> {
  const macros = await errorMacros(command);
  assert(macros.size > 100);
  const ours = ourNames();
  const wrong = [...ours].filter(([number, name]) =>
    macros.get(name) !== number
  );
  assertEquals(wrong, [], "names that C has for another number, or not at all");
  const missing = [...macros].filter(([, number]) => !ours.has(number));
  assertEquals(missing, [], "error numbers of C without a name");
}

leakTest(
  `ipcError() names every error number as C does on ${Deno.build.arch}`,
  { needs: [noCompiler] },
  () => assertNamesAgree(compiler!),
);

leakTest(
  `ipcError() names every error number as C does on ${OTHER_MACHINE}`,
  { needs: [noCrossCompiler] },
  () => assertNamesAgree([CROSS_COMPILER]),
);

leakTest("ipcError() prefers the usual one of several names", () => {
  const names = ourNames();
  assertEquals(names.get(11), "EAGAIN"); // not EWOULDBLOCK
  assertEquals(names.get(35), "EDEADLK"); // not EDEADLOCK
  assertEquals(names.get(95), "EOPNOTSUPP"); // not ENOTSUP
});

leakTest(
  "ipcError() describes every error number as strerror() does",
  { needs: [noCompiler] },
  async () => {
    const text = await runC(`
      #include <stdio.h>
      #include <string.h>
      int main(void) {
        for (int number = 1; number < 200; number++) puts(strerror(number));
      }`);
    const ours = Array.from({ length: 199 }, (_, index) => {
      const { message, code } = ipcError(index + 1, "call", "subject");
      // Some say a limit behind that.
      const [start, end] = ["call subject: ", message.indexOf(` (${code})`)];
      assert(message.startsWith(start) && end > 0, message);
      return message.slice(start.length, end);
    });
    assertEquals(ours, text.trimEnd().split("\n"));
  },
);

leakTest("ipcError() says the number where there is no name", () => {
  const error = ipcError(4000, "call");
  assertEquals(error.code, "errno 4000");
  assertEquals(error.errno, 4000);
  assertEquals(error.message, "call: Unknown error 4000 (errno 4000)");
});

// --- Functions ---------------------------------------------------------------

/** A function as a module declares it to the FFI. */
interface Declared {
  module: string;
  name: string;
  /** The line of C beside it. */
  c: string | undefined;
  parameters: string[];
  result: string;
  /** Whether a C library may lack it. */
  optional: boolean;
}

/** The declaration of C beside a function, or beside its twin of that name. */
function declarationOf(
  text: string,
  [_, comment, key, name = key!]: RegExpMatchArray,
): string | undefined {
  if (comment?.includes(`${name}(`)) return comment;
  const twin = text.match(new RegExp(`// (.*\\b${name}\\(.*\\))\n`));
  return twin?.[1] ?? DECLARATIONS[name] ?? comment;
}

/** The functions that the modules declare, from their texts. */
function declaredFunctions(): Declared[] {
  const all: Declared[] = [];
  const pattern =
    /(?:\/\/ ([^\n]*)\n\s*)?(\w+): \{\s*(?:name: "(\w+)",\s*)?parameters: \[([^\]]*)\],\s*result: "(\w+)"(,\s*optional: true)?/g;
  for (const [module, text] of TEXTS) {
    const found = Array.from(text.matchAll(pattern), (match) => ({
      module,
      name: match[3] ?? match[2]!,
      c: declarationOf(text, match),
      parameters: Array.from(match[4]!.matchAll(/"(\w+)"/g), ([, t]) => t!),
      result: match[5]!,
      optional: match[6] !== undefined,
    }));
    const mentioned = text.match(/\bparameters: \[/g)?.length ?? 0;
    assertEquals(found.length, mentioned, `${module}: cannot read it all`);
    all.push(...found);
  }
  return all;
}

/** A declaration of C, taken apart. */
function takeApart(c: string) {
  const match = c.match(/^(.*?)(\w+)\(([^()]*)\)$/);
  assert(match, `no declaration of C: ${c}`);
  const [, result, name, list] = match;
  const parameters = list === "void" ? [] : list!.split(/,\s*/);
  return { result: result!.trim(), name: name!, parameters };
}

/** The type of a result, or of a parameter with its name. */
function typeOf(text: string, isParameter: boolean): string {
  const array = text.replace(/(\w+)\[\d*\]$/, "*$1");
  const type = isParameter ? array.replace(/\w+$/, "") : array;
  return type.replace(/\bconst\b/g, "").replace(/\s+/g, " ").trim();
}

function allowed(type: string): string[] {
  if (type.endsWith("*")) return FFI_POINTERS;
  return FFI_TYPES[type] ?? [`(nothing is known of ${type})`];
}

Deno.test("header() declares functions as the comment beside them does", () => {
  const declared = declaredFunctions();
  assert(declared.length >= 40);
  const wrong: string[] = [];
  for (const { module, name, c, parameters, result } of declared) {
    const complain = (what: string) => wrong.push(`${module} ${name}: ${what}`);
    if (c === undefined) {
      complain("no comment");
      continue;
    }
    const inC = takeApart(c);
    if (inC.name !== name) complain(`the comment is of ${inC.name}`);
    if (inC.parameters.length !== parameters.length) {
      complain(`${parameters.length} parameters, not as in ${c}`);
      continue;
    }
    inC.parameters.forEach((parameter, index) => {
      const type = typeOf(parameter, true);
      if (allowed(type).includes(parameters[index]!)) return;
      complain(`${parameters[index]} for ${parameter}`);
    });
    const type = typeOf(inC.result, false);
    // A result may be of no interest; most system calls return 32 bits.
    const others = name === "syscall" ? ["void", "i32"] : ["void"];
    const results = [...allowed(type), ...others]
      .filter((type) => type !== "buffer");
    if (!results.includes(result)) complain(`${result} for ${inC.result}`);
  }
  assertEquals(wrong, []);
});

Deno.test("header() declares functions that libc has", () => {
  for (const { module, name } of declaredFunctions()) {
    try {
      Deno.dlopen("libc.so.6", { [name]: { parameters: [], result: "void" } })
        .close();
    } catch (error) {
      throw new Error(`${module}: libc has no ${name}`, { cause: error });
    }
  }
});

const MUSL = `/lib/ld-musl-${Deno.build.arch}.so.1`;
const noMusl = exists(MUSL) ? null : "no musl (on Debian: musl-tools)";

leakTest(
  "header() declares functions that musl has, and optional ones",
  { needs: [noMusl] },
  () => {
    const functions = declaredFunctions().filter(({ optional }) => !optional);
    const symbols = Object.fromEntries(functions.map(({ name }) => [
      name,
      { parameters: [], result: "void", optional: true } as const,
    ]));
    // Its functions cannot be called here: they use musl's own storage of a thread.
    const musl = Deno.dlopen(MUSL, symbols);
    const missing = Object.keys(symbols)
      .filter((name) => musl.symbols[name] === null);
    musl.close();
    assertEquals(missing, []);
  },
);

leakTest(
  "header() declares functions as C's headers do",
  { needs: [noCompiler] },
  async () => {
    for (
      const [module, all] of Map.groupBy(declaredFunctions(), (d) => d.module)
    ) {
      const header = headerOf(module) ?? "string.h";
      // A declaration that differs from the header's is an error.
      const lines = all.map(({ name, c }) => {
        const fixed = VARIADIC[name];
        if (fixed === undefined) return `extern ${c};`;
        const { result, parameters } = takeApart(c!);
        const list = [...parameters.slice(0, fixed), "..."].join(", ");
        return `extern ${result} ${name}(${list});`;
      });
      const text = `
        #include <${header}>
        #include <sys/types.h>
        #include <time.h>
        #include <signal.h>
        ${lines.join("\n")}`;
      const args = ["-fsyntax-only", "-U_FORTIFY_SOURCE", "-xc", "-"];
      const accept4 = header === "sys/socket.h";
      // With _GNU_SOURCE its addresses are of another type for C's own ends.
      await compiled(
        [...compiler!, ...args],
        accept4 ? text : `#define _GNU_SOURCE\n${text}`,
      );
    }
  },
);
