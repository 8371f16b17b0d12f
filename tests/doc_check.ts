/**
 * The documentation as JSR counts and shows it. The score of a package depends on how many
 * exported symbols have a comment, and a name that is exported again counts as a symbol of
 * its own. So each has one: the first sentence of what it stands for. Links have to
 * resolve, each entry point has an example, and no page shows an internal constructor.
 *
 * ```sh
 * deno task doc:check       # fails if something is missing, or a comment is outdated
 * deno task doc:check --fix # writes the comments of the names that are exported again
 * ```
 */
import config from "../deno.json" with { type: "json" };

const ROOT = new URL("../", import.meta.url);

interface Location {
  readonly filename: string;
  readonly byteIndex: number;
}

interface Declaration {
  readonly kind: string;
  readonly declarationKind: string;
  readonly location: Location;
  readonly jsDoc?: Comment;
  readonly def?: {
    readonly hasBody?: boolean;
    readonly target?: Location;
    readonly constructors?: readonly Constructor[];
    readonly methods?: readonly Member[];
    readonly properties?: readonly Member[];
  };
}

interface Comment {
  readonly doc?: string;
  readonly tags?: readonly { readonly kind: string }[];
}

interface Constructor {
  readonly accessibility?: string;
  readonly params: readonly { readonly name?: string }[];
}

interface Member {
  readonly name: string;
  readonly isStatic?: boolean;
}

interface Page {
  readonly module_doc?: Comment;
  readonly symbols: readonly {
    readonly name: string;
    readonly declarations: readonly Declaration[];
  }[];
}

/**
 * The pages of the entry points, by the URL of the file. As on JSR they are in the order
 * of these URLs: what several entry points export is on the page of the first one, and the
 * others refer to it.
 */
async function readPages(): Promise<Map<string, Page>> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...Object.values(config.exports).sort()],
    cwd: ROOT,
    stderr: "inherit",
  }).output();
  if (code !== 0) Deno.exit(code);
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, Page>;
  };
  return new Map(Object.entries(nodes));
}

/**
 * What JSR counts: each declaration that is not private, without the implementation of
 * a function with overloads.
 */
function* counted(page: Page): Generator<readonly [string, Declaration]> {
  for (const { name, declarations } of page.symbols) {
    const visible = declarations.filter((declaration) =>
      declaration.declarationKind !== "private"
    );
    const overloaded = visible.length > 1 &&
      visible.every(({ kind }) => kind === "function");
    for (const declaration of visible) {
      if (overloaded && declaration.def?.hasBody) continue;
      yield [name, declaration];
    }
  }
}

/** A name in `export { ... }`. */
interface Specifier {
  /** As it is written: `type Name`, `Name`, `name as other`. */
  readonly text: string;
  /** The name that is exported. */
  readonly name: string;
  /** The text of its comment, on one line. */
  readonly comment: string;
}

/** `export { ... }` in a source file. */
interface Clause {
  readonly start: number;
  readonly end: number;
  /** `export {` or `export type {`. */
  readonly head: string;
  readonly specifiers: readonly Specifier[];
}

const HEAD = /^export (?:type )?\{/gm;
const TOKEN = /\s+|\/\*\*([^]*?)\*\/|\}|,|[^\s,}/][^,}/]*/y;

/** Every `export { ... }` of a source file, as `deno fmt` writes it. */
function clausesOf(source: string): Clause[] {
  return [...source.matchAll(HEAD)].map(({ 0: head, index: start }) => {
    const specifiers: Specifier[] = [];
    let comment = "";
    TOKEN.lastIndex = start + head.length;
    for (;;) {
      const [token, text] = TOKEN.exec(source) ?? [""];
      if (token === "") throw new Error(`Cannot read: ${source.slice(start)}`);
      if (token === "}") break;
      if (text !== undefined) {
        comment = oneLine(text.replace(/^\s*\*/gm, ""));
      } else if (/[^\s,]/.test(token)) {
        const name = /\w+\s*$/.exec(token)![0].trim();
        specifiers.push({ text: token.trim(), name, comment });
        comment = "";
      }
    }
    return { start, end: TOKEN.lastIndex, head, specifiers };
  });
}

const LINK = /\{@link(?:code)? ([^\s|}]+)(?: (?:\| )?([^}]+))?\}/g;

function oneLine(text: string): string {
  return text.trim().replace(/\s+/g, " ");
}

/** The first sentence of a documentation, with code in place of links. */
function firstSentence(doc: string): string {
  const text = oneLine(doc.split(/\n\s*\n/)[0]!);
  const sentence = /^.*?[.!?](?= |$)/.exec(text)?.[0] ?? text;
  return sentence.replace(LINK, (_, target, label = target) => `\`${label}\``);
}

/** A comment of that text, indented by two spaces. */
function commentOf(text: string): string {
  if (text.length <= 80) return `  /** ${text} */\n`;
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.pop()!;
    if (line.length + word.length > 82) lines.push(line, word);
    else lines.push(line === "" ? word : `${line} ${word}`);
  }
  return `  /**\n${lines.map((line) => `   * ${line}\n`).join("")}   */\n`;
}

/** The first sentence of each symbol of a page, by its name. */
function sentencesOf(
  { symbols }: Page,
  declarationAt: Map<string, Declaration>,
): Map<string, string> {
  return new Map(
    symbols.map(({ name, declarations: [first] }) => {
      const { jsDoc } = resolve(first!, declarationAt);
      return [name, firstSentence(jsDoc?.doc ?? "")];
    }),
  );
}

function keyOf({ filename, byteIndex }: Location): string {
  return `${filename}:${byteIndex}`;
}

/**
 * The source of an entry point with the comments of what it exports again. The names whose
 * comments are others are added to `outdated`.
 */
function withComments(
  file: string,
  source: string,
  sentences: Map<string, string>,
  outdated: string[],
): string {
  let text = "";
  let done = 0;
  for (const { start, end, head, specifiers } of clausesOf(source)) {
    const lines = specifiers.map((specifier) => {
      const sentence = sentences.get(specifier.name) ?? "";
      if (specifier.comment !== sentence || sentence === "") {
        outdated.push(`${file}: ${specifier.name}`);
      }
      return `${commentOf(sentence)}  ${specifier.text},\n`;
    });
    text += `${source.slice(done, start)}${head}\n${lines.join("")}}`;
    done = end;
  }
  return text + source.slice(done);
}

/** The names that links of a page can have as their target: members only where they are. */
function targetsOf({ symbols }: Page): Set<string> {
  const targets = new Set<string>();
  for (const { name, declarations } of symbols) {
    targets.add(name);
    for (const { kind, def = {} } of declarations) {
      const { methods = [], properties = [] } = def;
      for (const { name: member, isStatic } of [...methods, ...properties]) {
        const ofInstance = kind === "class" && !isStatic;
        targets.add(`${name}.${ofInstance ? "prototype." : ""}${member}`);
      }
    }
  }
  return targets;
}

function resolve(
  declaration: Declaration,
  declarationAt: Map<string, Declaration>,
): Declaration {
  const target = declaration.def?.target;
  return target ? declarationAt.get(keyOf(target)) ?? declaration : declaration;
}

/** All text of comments in a part of a page. */
function* textsIn(part: unknown): Generator<string> {
  if (typeof part !== "object" || part === null) return;
  for (const [key, value] of Object.entries(part)) {
    if (key === "doc" && typeof value === "string") yield value;
    else yield* textsIn(value);
  }
}

const MARKDOWN_LINK = /\]\((?!https?:|#)([^)#]+)/g;

/** Links of a page that lead nowhere. */
function* brokenLinks(page: Page, targets: Set<string>): Generator<string> {
  for (const text of textsIn(page)) {
    for (const [link, target] of text.matchAll(LINK)) {
      const module = /^\[(.+)\]$/.exec(target!)?.[1];
      const found = module === undefined
        ? target!.startsWith("https://") || targets.has(target!)
        : `./${module}` in config.exports;
      if (!found) yield link;
    }
    // JSR resolves a leading slash against the root of the package.
    for (const [, path] of text.matchAll(MARKDOWN_LINK)) {
      const [, name] = path!.split("/");
      if (!path!.startsWith("/") || !isFile(path!)) yield path!;
      else if (!config.publish.include.includes(name!)) {
        yield `${path} is not published`;
      }
    }
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(new URL(`.${path}`, ROOT)).isFile;
  } catch {
    return false;
  }
}

/** Classes whose constructors a page shows, although only this module may call them. */
function* internalConstructors({ symbols }: Page): Generator<string> {
  for (const { name, declarations } of symbols) {
    for (const { def } of declarations) {
      for (const { accessibility, params } of def?.constructors ?? []) {
        const isInternal = params.some(({ name }) => name === "token");
        if (accessibility !== undefined || isInternal) yield name;
      }
    }
  }
}

const fix = Deno.args.includes("--fix");
const pages = await readPages();
const declarationAt = new Map<string, Declaration>();
for (const { symbols } of pages.values()) {
  for (const { declarations } of symbols) {
    for (const declaration of declarations) {
      if (declaration.kind === "reference") continue;
      declarationAt.set(keyOf(declaration.location), declaration);
    }
  }
}

let total = 0;
const missing: string[] = [];
const outdated: string[] = [];
const wrong: string[] = [];
for (const [url, page] of pages) {
  const file = url.slice(ROOT.href.length);
  for (const [name, { jsDoc }] of counted(page)) {
    total++;
    if (jsDoc === undefined) missing.push(`${file}: ${name}`);
  }
  const { doc = "", tags = [] } = page.module_doc ?? {};
  if (!doc.includes("```") && !tags.some(({ kind }) => kind === "example")) {
    wrong.push(`${file}: the module has no example`);
  }
  for (const link of brokenLinks(page, targetsOf(page))) {
    wrong.push(`${file}: the link does not resolve: ${link}`);
  }
  for (const name of internalConstructors(page)) {
    wrong.push(`${file}: the constructor of ${name} needs @ignore`);
  }
  const source = Deno.readTextFileSync(new URL(url));
  const sentences = sentencesOf(page, declarationAt);
  const text = withComments(file, source, sentences, outdated);
  if (fix) Deno.writeTextFileSync(new URL(url), text);
}

if (fix) {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", ...Object.values(config.exports)],
    cwd: ROOT,
  }).output();
  console.log(`${outdated.length} comments written`);
  Deno.exit(code);
}

// JSR gives all its points for 80 %, but here none is missing.
const documented = total - missing.length;
console.log(`${documented} of ${total} symbols are documented`);
for (const line of missing) console.log(`  not documented: ${line}`);
for (const line of wrong) console.log(`  ${line}`);
for (const line of outdated) console.log(`  not its first sentence: ${line}`);
if (outdated.length > 0) console.log("deno task doc:check --fix writes them.");
if (missing.length + wrong.length + outdated.length > 0) Deno.exit(1);
