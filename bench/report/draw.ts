// Drawing, which is done by a program with imports of its own.

import { fromFileUrl } from "@std/path";
import type { Spec } from "./charts.ts";

/** The charts as SVG, by the names of their specifications. */
export async function draw(
  specs: Record<string, Spec>,
): Promise<Record<string, string>> {
  const at = (file: string) =>
    fromFileUrl(import.meta.resolve(`./vega/${file}`));
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--check",
      "--frozen",
      "--config",
      at("deno.json"),
      at("draw.ts"),
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(specs)));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) throw new Error("The charts could not be drawn");
  return JSON.parse(new TextDecoder().decode(stdout));
}
