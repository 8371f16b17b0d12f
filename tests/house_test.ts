/**
 * The structure of the tree: who imports whom, what each file says of itself, and the
 * picture in CONTRIBUTING.md.
 */
import { assertEquals } from "@std/assert";
import { dirname, fromFileUrl, join, relative } from "@std/path";

const ROOT = fromFileUrl(new URL("../ffi", import.meta.url));

function filesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory ? filesIn(path) : path.endsWith(".ts") ? path : [];
  });
}

const texts = new Map(
  filesIn(ROOT).map((
    path,
  ) => [relative(ROOT, path), Deno.readTextFileSync(path)]),
);

/** The files that each file imports, types included. */
const imports = new Map(
  [...texts].map(([file, text]) => {
    const code = text.replace(/\/\*[^]*?\*\//g, "");
    const paths = code.matchAll(
      /^(?:import|export|\})[^;"]*?from\s+"(\.[^"]+)"/gm,
    );
    return [file, [...paths].map(([, path]) => join(dirname(file), path!))];
  }),
);

const SHARED = [
  "struct.ts",
  "errors.ts",
  "arguments.ts",
  "internal.ts",
  "inspect_object.ts",
];

/** How far from the kernel a file is. */
function levelOf(file: string): number {
  const isShared = /^(struct|libc\/runtime)\//.test(file);
  if (SHARED.includes(file) || isShared) return 0;
  return ["libc", "kernel", "wait"].indexOf(file.split("/")[0]!) + 1 || 4;
}

Deno.test("imports run one way: mechanism, wait, kernel, libc", () => {
  const wrong = [...imports].flatMap(([file, targets]) =>
    targets.filter((target) => levelOf(target) > levelOf(file))
      .map((target) => `${file} -> ${target}`)
  );
  assertEquals(wrong, []);
});

Deno.test("no import is circular", () => {
  const circles: string[] = [];
  const done = new Set<string>();
  function visit(file: string, path: string[]): void {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
    }
    if (done.has(file) || path.includes(file)) return;
    for (const target of imports.get(file) ?? []) {
      visit(target, [...path, file]);
    }
    done.add(file);
  }
  for (const file of imports.keys()) visit(file, []);
  assertEquals(circles, []);
});

Deno.test("each file begins with what it is", () => {
  const roots = ["ffi", "cli", "bench", "examples"];
  const files = roots.flatMap((root) => filesIn(join(ROOT, "..", root)));
  const silent = files.filter((file) =>
    !/^\/[/*]/.test(Deno.readTextFileSync(file))
  );
  assertEquals(silent, []);
});

/** The files whose code, without its comments, has a match. */
function filesWith(what: RegExp): string[] {
  const comments = /\/\*[^]*?\*\/|(?<!["'`:])\/\/.*$/gm;
  return [...texts]
    .filter(([, text]) => what.test(text.replace(comments, "")))
    .map(([file]) => file);
}

Deno.test("only ffi/libc/runtime/ names a runtime", () => {
  const named = filesWith(/\b(?:Deno|Bun|node:|bun:)/);
  const wrong = named.filter((file) => !file.startsWith("libc/runtime/"));
  assertEquals(wrong, []);
});

// Those without node:ffi can import the module, too, and say what they lack.
Deno.test("there is no syntax that old versions of Node do not know", () => {
  assertEquals(filesWith(/^ *(?:await )?using /m), []);
});

/** The paths in the picture of CONTRIBUTING.md, relative to the root. */
function pictured(): string[] {
  const text = Deno.readTextFileSync(join(ROOT, "../CONTRIBUTING.md"));
  const [, picture = ""] = text.match(/^## The house\n\n```\n([^]*?)^```$/m)!;
  const folders: string[] = [];
  const paths: string[] = [];
  for (const [, indent, name] of picture.matchAll(/^((?: {2})*)(\S+)/gm)) {
    const depth = indent!.length / 2;
    if (depth > 3 || name!.startsWith("<")) continue; // the text of the line before
    folders.splice(depth, Infinity, name!.replace("/", ""));
    paths.push(folders.join("/"));
  }
  return paths;
}

Deno.test("the picture in CONTRIBUTING.md has what there is, and nothing else", () => {
  const paths = pictured();
  const found = paths.filter((path) => {
    try {
      return Deno.statSync(join(ROOT, "..", path));
    } catch {
      return false;
    }
  });
  assertEquals(paths, found);
  const files = [...texts.keys()].filter((file) =>
    /^(?:wait\/|kernel\/|[^/]+$)/.test(file)
  ).map((file) => `ffi/${file}`);
  assertEquals(files.filter((file) => !paths.includes(file)), []);
});
