/** Resolves what deno.json's `imports` and `exports` name, on Node. */
import * as module from "node:module";
import process from "node:process";
import { pathToFileURL } from "node:url";

const ROOT = new URL("../../", import.meta.url);
const names = JSON.parse(process.env.PORTABLE_IMPORTS!) as Record<
  string,
  string
>;

function targetOf(specifier: string): string | undefined {
  const exact = names[specifier];
  if (exact !== undefined) return new URL(exact, ROOT).href;
  const folder = "deno-std/";
  if (!specifier.startsWith(folder)) return undefined;
  const directory = pathToFileURL(names[folder]!).href;
  return `${directory}/${specifier.slice(folder.length)}`;
}

module.registerHooks({
  resolve: (specifier, context, next) =>
    next(targetOf(specifier) ?? specifier, context),
});
