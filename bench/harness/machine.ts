// Where a run took place: figures of different machines are not to be compared.

import { compilerName } from "./compile.ts";

/** What the figures depend on. */
export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly libc: string;
  readonly compiler: string;
  readonly deno: string;
  readonly v8: string;
  /** Processes that wanted to run, on average, in the last minute before. */
  readonly load: number;
}

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
    v8: Deno.version.v8,
    load: Deno.loadavg()[0]!,
  };
}
