/** The pages of docs/: their links, and the tables that list what there is. */
import { assert, assertEquals } from "@std/assert";
import { ipcError } from "../ffi/libc/errno.ts";

const ROOT = new URL("../", import.meta.url);

const textOf = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

/** The part of a declaration of `deno doc --json` that is read here. */
interface Documented {
  name: string;
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
