// Where a run took place: figures of different machines are not to be compared.

import { compilerName } from "./compile.ts";
import type { Machine } from "./results.ts";

function cpuModel(): string {
  const text = Deno.readTextFileSync("/proc/cpuinfo");
  return /^model name\s*:\s*(.*)$/m.exec(text)?.[1] ?? Deno.build.arch;
}

function glibcVersion(): string {
  const libc = Deno.dlopen("libc.so.6", {
    // const char *gnu_get_libc_version(void)
    gnu_get_libc_version: { parameters: [], result: "pointer" },
  });
  const version = libc.symbols.gnu_get_libc_version()!;
  return `glibc ${Deno.UnsafePointerView.getCString(version)}`;
}

/** The version of Node.js, or null if there is none. */
export function nodeVersion(): string | null {
  try {
    const { stdout } = new Deno.Command("node", { args: ["--version"] })
      .outputSync();
    // Without Node.js, Deno answers in its place.
    return /^v(\S+)/.exec(new TextDecoder().decode(stdout))?.[1] ?? null;
  } catch {
    return null;
  }
}

/** This machine, now. */
export function thisMachine(): Machine {
  return {
    date: new Date().toISOString(),
    cpu: cpuModel(),
    cores: navigator.hardwareConcurrency,
    kernel: `Linux ${Deno.osRelease()} ${Deno.build.arch}`,
    libc: glibcVersion(),
    compiler: compilerName(),
    deno: Deno.version.deno,
    node: nodeVersion(),
    v8: Deno.version.v8,
    load: Deno.loadavg()[0]!,
  };
}
