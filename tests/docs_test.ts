/** The pages of docs/: their links, and the tables that list what there is. */
import { assert, assertEquals } from "@std/assert";
import * as ipc from "../mod.ts";
import { ipcError } from "../ffi/libc/errno.ts";
import { compiler, noCompiler } from "./support/c.ts";
import { run } from "./support/process.ts";

const ROOT = new URL("../", import.meta.url);

const textOf = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

/** The part of a declaration of `deno doc --json` that is read here. */
interface Documented {
  name: string;
  kind?: string;
  jsDoc?: { tags?: { kind: string; doc?: string }[] };
}
interface Declaration extends Documented {
  kind: string;
  location: { filename: string };
  def?: { methods?: Documented[]; properties?: Documented[] };
}

/** All public declarations, as `deno doc` sees them. */
const declarations: Declaration[] = (() => {
  const { code, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", "mod.ts"],
    cwd: ROOT,
  }).outputSync();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
  const [module] = Object.values<{
    symbols: { name: string; declarations: Declaration[] }[];
  }>(nodes);
  return module!.symbols.flatMap(({ name, declarations }) =>
    declarations.map((declaration) => ({ ...declaration, name }))
  );
})();

/** The file of a declaration, from the root of the repository. */
const fileOf = ({ location }: Declaration) =>
  location.filename.replace(ROOT.href, "");

/** The methods, getters, fields and constants of a class or an interface. */
const membersOf = ({ def }: Declaration) => [
  ...def?.methods ?? [],
  ...def?.properties ?? [],
];

// --- Links ---------------------------------------------------------------------

const PAGES = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...[...Deno.readDirSync(new URL("docs", ROOT))]
    .filter(({ name }) => name.endsWith(".md"))
    .map(({ name }) => `docs/${name}`),
];

/** The anchors that GitHub makes of the headings of a page. */
function anchorsOf(page: string): string[] {
  const text = textOf(page).replaceAll(/^```[^]*?^```$/gm, "");
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!.toLowerCase().replaceAll(/[^\p{L}\p{N}\- _]/gu, "")
      .replaceAll(" ", "-")
  );
}

/** Where the links of a page lead: those in brackets, and those by reference. */
function linksOf(page: string): string[] {
  const text = textOf(page).replaceAll(/^```[^]*?^```$/gm, "");
  return [
    ...text.matchAll(/\]\(([^)\s]+)\)/g),
    ...text.matchAll(/^\[[^\]]+\]: (\S+)$/gm),
  ].map(([, target]) => target!);
}

for (const page of PAGES) {
  Deno.test(`${page}: all links within the repository resolve`, () => {
    const broken = linksOf(page).filter((link) => {
      if (/^https?:/.test(link)) return false;
      const { pathname, hash } = new URL(link, new URL(page, ROOT));
      const path = pathname.slice(ROOT.pathname.length) || page;
      try {
        Deno.statSync(new URL(path, ROOT));
      } catch {
        return true;
      }
      return hash !== "" && !anchorsOf(path).includes(hash.slice(1));
    });
    assertEquals(broken, []);
  });
}

// --- docs/errors.md --------------------------------------------------------------

/** What docs/errors.md calls the things that are declared in a file. */
const WHERE: [RegExp, string][] = [
  [/^ffi\/(pipe|splice)\.ts/, "pipes"],
  [/^ffi\/fifo\.ts/, "`Fifo`"],
  [/^ffi\/ftok\.ts/, "`ftok()`"],
  [/^ffi\/message_queue\/posix/, "`PosixMessageQueue`"],
  [/^ffi\/message_queue\/sysv/, "`SysvMessageQueue`"],
  [/^ffi\/shared_memory\/posix/, "`PosixSharedMemory`"],
  [/^ffi\/shared_memory\/sysv/, "`SysvSharedMemory`"],
  [/^ffi\/shared_memory\/memory_file/, "`MemoryFile`"],
  [/^ffi\/memory_map/, "`MemoryMap`"],
  [/^ffi\/memory\//, "`Memory`"],
  [/^ffi\/semaphore\/(posix|sem)/, "`PosixSemaphore`"],
  [/^ffi\/semaphore\/sysv/, "`SysvSemaphoreSet`"],
  [/^ffi\/lock\//, "locks"],
  [/^ffi\/pthread/, "C's locks"],
  [/^ffi\/ring/, "rings"],
  [/^ffi\/socket\/systemd/, "`sdNotify()`"],
  [/^ffi\/socket/, "sockets"],
  [/^ffi\/(reader|frames)/, "readers"],
  [/^ffi\/descriptor\/file_lock/, "`FileLock`"],
  [/^ffi\/descriptor\/file/, "`File`"],
  [/^ffi\/descriptor\/event_fd/, "`EventFd`"],
  [/^ffi\/descriptor\/timer_fd/, "`TimerFd`"],
  [/^ffi\/descriptor\/pid_fd/, "`PidFd`"],
  [/^ffi\/descriptor\/adopt/, "`adoptDescriptor()`"],
  [/^ffi\/inspect/, "`inspect()`"],
  [/^ffi\/limits/, "`ipcLimits()`"],
  [/^ffi\/wait\.ts/, "`waitAny()`"],
];

/** The codes that the documentation names, each with what names it. */
function documentedErrors(): string[] {
  const found = new Set<string>();
  for (const declaration of declarations) {
    const file = fileOf(declaration);
    const where = WHERE.find(([pattern]) => pattern.test(file))?.[1];
    for (const { jsDoc } of [declaration, ...membersOf(declaration)]) {
      for (const { kind, doc = "" } of jsDoc?.tags ?? []) {
        if (kind !== "throws") continue;
        for (const [code] of doc.matchAll(/\bE[A-Z\d]{2,}\b/g)) {
          assert(where !== undefined, `${file} names ${code}`);
          found.add(`${code}: ${where}`);
        }
      }
    }
  }
  return [...found].sort();
}

/** The sections of docs/errors.md: the code, and the text below it. */
const errorSections = textOf("docs/errors.md").split(/^## /m).slice(1)
  .map((section) => {
    const [code = "", ...lines] = section.split("\n");
    return { code, text: lines.join("\n") };
  });

Deno.test("docs/errors.md has all codes of the documentation, and no others", () => {
  const listed = errorSections.flatMap(({ code, text }) =>
    [...text.matchAll(/^\| (.+?) +\|/gm)]
      .flatMap(([, where]) => where!.split(", "))
      .filter((where) => where !== "where" && !/^-+$/.test(where))
      .map((where) => `${code}: ${where}`)
  );
  assertEquals([...new Set(listed)].sort(), documentedErrors());
});

Deno.test("docs/errors.md has the numbers and the texts of the C library", () => {
  const said = errorSections.map(({ code, text }) => {
    const [, number, description] = /^(\d+): (.+)$/m.exec(text)!;
    return `${number} ${description} (${code})`;
  });
  const real = errorSections.map(({ text }) => {
    const number = parseInt(text.trim());
    return `${number} ${ipcError(number, "").message.replace(/^: /, "")}`;
  });
  assertEquals(said, real.map((text) => text.replace(/;.*/, "")));
});

// --- docs/c-to-api.md ------------------------------------------------------------

/** The rows of docs/c-to-api.md: what C has, what is here, what differs. */
const rows = [
  ...textOf("docs/c-to-api.md").matchAll(/^\| (.+?) \| (.+?) \| (.*) \|$/gm),
].map(([, c, here, differs]) => ({
  c: c!.trim(),
  here: here!.trim(),
  differs: differs!.trim(),
})).filter(({ c }) => c !== "C" && !/^-+$/.test(c));

/** The names of the C functions in the first column. */
const listed = new Set(
  rows.flatMap(({ c }) => [...c.matchAll(/\b(\w+)\((?:\d|3p)\)/g)])
    .map(([, name]) => name!),
);

/** How a member of a class, static or inherited or not, is written: "read()", "size". */
function writtenAs(owner: object | null | undefined, member: string) {
  for (let object = owner; object; object = Object.getPrototypeOf(object)) {
    const property = Object.getOwnPropertyDescriptor(object, member);
    if (property === undefined) continue;
    return typeof property.value === "function" ? `${member}()` : member;
  }
  return undefined;
}

/** How what is exported under a name is written, or its member. */
function formOf(name: string, member: string | undefined): string | undefined {
  const value = (ipc as unknown as Record<string, unknown>)[name] as
    | { prototype?: object }
    | undefined;
  if (member === undefined) return writtenAs(ipc, name);
  const found = writtenAs(value, member) ?? writtenAs(value?.prototype, member);
  if (value !== undefined) return found;
  // A type only: an interface, or a class that others cannot make.
  const declared = declarations.find((it) => it.name === name);
  const its = declared && membersOf(declared).find((it) => it.name === member);
  return its?.kind === "method" ? `${member}()` : its?.name;
}

Deno.test("docs/c-to-api.md names what is declared where its links lead", () => {
  const files = new Map(
    [...textOf("docs/c-to-api.md").matchAll(/^\[([^\]]+)\]: \.\.\/(\S+)$/gm)]
      .map(([, reference, file]) => [reference!, file!]),
  );
  const links = rows.flatMap(({ here }) => [
    ...here.matchAll(/\[`((\w+)(?:\.(\w+))?(?:\(\))?)`\]\[(.+?)\]/g),
  ]);
  const wrong = links.filter(([, text, name, member, reference]) => {
    const isThere = declarations.some((declaration) =>
      declaration.name === name && fileOf(declaration) === files.get(reference!)
    );
    const form = formOf(name!, member);
    return !isThere ||
      text !== (member === undefined ? form : `${name}.${form}`);
  });
  assertEquals(wrong.map(([link]) => link), []);
});

Deno.test("docs/c-to-api.md says why there is no counterpart", () => {
  const silent = rows.filter(({ here, differs }) =>
    !/^(?:\[`[^`]+`\]\[[^\]]+\](?:, |$))+$/.test(here) &&
    (here !== "none" || differs === "")
  );
  assertEquals(silent, []);
  assert(rows.length > 100);
});

/** Headers that are not of IPC, and functions that serve other functions here. */
const NOT_IPC = new Set([
  ..."dirent errno library sched signal stdio sys_mount sys_resource sys_vfs time"
    .split(" ").map((name) => `${name}.ts`),
  ..."memcpy ioctl isatty readlink readlinkat link getdents64 getpid gettid getuid"
    .split(" "),
  ..."getgid geteuid sysconf".split(" "),
]);

Deno.test("docs/c-to-api.md has all functions of IPC that this module calls", () => {
  const missing: string[] = [];
  const directory = new URL("ffi/libc/", ROOT);
  for (const { name: file } of Deno.readDirSync(directory)) {
    if (!file.endsWith(".ts") || NOT_IPC.has(file)) continue;
    const text = Deno.readTextFileSync(new URL(file, directory));
    for (
      const [, key, declared] of text.matchAll(
        /^ {2}(\w+): \{\s+(?:name: "(\w+)",\s+)?parameters:/gm,
      )
    ) {
      const name = declared === undefined || declared === "syscall"
        ? key!.replace(/_(?:nonblocking|two|by_number)$/, "")
        : declared;
      if (!listed.has(name) && !NOT_IPC.has(name)) missing.push(name);
    }
  }
  assertEquals(missing, []);
  assert(listed.size > 150);
});

/** What the headers of C declare that is of IPC. */
const HEADERS = {
  "mqueue.h": /\bmq_\w+/g,
  "semaphore.h": /\bsem_\w+/g,
  "sys/msg.h": /\bmsg(?:get|snd|rcv|ctl)/g,
  "sys/sem.h": /\bsem(?:get|op|timedop|ctl)/g,
  "sys/shm.h": /\bshm(?:get|at|dt|ctl)/g,
  "sys/ipc.h": /\bftok/g,
  "sys/eventfd.h": /\beventfd\w*/g,
  "sys/timerfd.h": /\btimerfd_\w+/g,
  "sys/mman.h":
    /\bm(?:map|unmap|remap|protect|sync|(?:un)?lock\w*|advise|incore|emfd_\w+)|shm_\w+|posix_madvise/g,
  "sys/socket.h": /\b\w+/g,
  "sys/epoll.h": /\bepoll_\w+/g,
  "poll.h": /\bp?poll/g,
  "sys/select.h": /\bp?select/g,
  "sys/file.h": /\bflock/g,
  "pthread.h": /\bpthread_(?:mutex|cond|rwlock|barrier|spin)\w*/g,
};

Deno.test({
  name: `docs/c-to-api.md has all functions of IPC of the headers of C${
    noCompiler === null ? "" : ` (ignored: ${noCompiler})`
  }`,
  ignore: noCompiler !== null,
  fn: async () => {
    const missing: string[] = [];
    for (const [header, names] of Object.entries(HEADERS)) {
      const [command, ...flags] = compiler!;
      const { code, stdout, transcript } = await run(command!, {
        args: [...flags, "-E", "-D_GNU_SOURCE", "-x", "c", "-"],
        stdin: `#include <${header}>\n`,
      });
      assertEquals(code, 0, transcript);
      // A line "# 28 "/usr/include/mqueue.h"" says where the next lines are from.
      let isOwn = false;
      for (const line of stdout.split("\n")) {
        const [, path] = /^# \d+ "([^"]+)"/.exec(line) ?? [];
        if (path !== undefined) isOwn = path.endsWith(`/${header}`);
        const [declared] = /^(?:extern )?[\w *]+? \*?\w+ \(/.exec(line) ?? [];
        if (!isOwn || declared === undefined) continue;
        const name = /(\w+) \($/.exec(declared)![1]!;
        const isNamed = [...name.matchAll(names)].some(([it]) => it === name);
        if (isNamed && !listed.has(name) && !/^__|64$/.test(name)) {
          missing.push(`${header}: ${name}`);
        }
      }
    }
    assertEquals(missing, []);
  },
});
