/** Code that tells, in a Deno of its own, which limit a call ran into. */
import { codeArgs } from "./code.ts";
import { type Ended, run } from "./process.ts";

const PRELUDE = `
  import * as ipc from "${import.meta.resolve("../../mod.ts")}";
  const {
    ipcLimits, MemoryMap, pipe, PosixMessageQueue, SharedMutex, SharedRwLock,
    SysvMessageQueue, SysvSemaphoreSet, SysvSharedMemory,
  } = ipc;
  function shown({ code, syscall, limit, message }) {
    if (code === undefined) return console.log(message);
    console.log(code, syscall, limit === undefined
      ? "none"
      : limit.name + " " + limit.value);
  }
  /** Prints the error of a call, and its limit. */
  function say(call) {
    try {
      const result = call();
      if (result instanceof Promise) {
        return result.then(() => console.log("no error"), shown);
      }
      console.log("no error");
    } catch (error) {
      shown(error);
    }
  }
`;

/** Runs code with `say()` to its end, in a process that a command wraps. */
export function runCode(wrapper: string[], text: string): Promise<Ended> {
  const [first, ...args] = [
    ...wrapper,
    Deno.execPath(),
    ...codeArgs(PRELUDE + text),
  ];
  return run(first!, { args });
}
