// Ending a call that blocks on a thread of the pool and has no timeout: msgrcv and
// msgsnd. A signal that does nothing makes them return EINTR. It goes to the thread
// that is in the call, which /proc tells by the call's arguments.

import { namesIn } from "../libc/dirent.ts";
import { readProc } from "../libc/proc.ts";
import { SA_RESTART, sigaction, signal } from "../libc/signal.ts";

const TASKS = "/proc/self/task";
const encoder = new TextEncoder();
let number: number | undefined; // of the signal; 0 where this does not work

/** Makes the last real-time signal that is free do nothing. */
function install(): number {
  try {
    const { dlsym, sigaction: call, __libc_current_sigrtmax } = signal();
    // abs() takes an int as a handler does, and touches nothing.
    const nothing = dlsym(0n, encoder.encode("abs\0"));
    const old = new Uint8Array(sigaction.size);
    const act = sigaction.encode({
      sa_handler: nothing,
      sa_mask: new Uint8Array(128),
      sa_flags: SA_RESTART, // for calls of others: msgrcv and msgsnd never restart
      sa_restorer: 0n,
    });
    for (let free = __libc_current_sigrtmax(); free > 34; free--) {
      if (call(free, null, old) !== 0) continue;
      const { sa_handler } = sigaction.decode(old);
      if (sa_handler === nothing) return free; // another thread of JavaScript did it
      if (sa_handler !== 0n) continue;
      if (call(free, act, null) === 0) return free;
    }
  } catch {
    // A libc that has these functions elsewhere.
  }
  return 0;
}

/** Whether the address of a buffer can be had: not under a path-scoped grant. */
function mayPoint(): boolean {
  try {
    return Deno.UnsafePointer.of(new Uint8Array(1)) !== null;
  } catch {
    return false;
  }
}

/** Whether blocked calls can be interrupted on this system. */
export function canInterrupt(): boolean {
  if (number === undefined) {
    const visible = readProc(`${TASKS}/${Deno.pid}/syscall`) !== undefined;
    number = visible && mayPoint() ? install() : 0;
  }
  return number !== 0;
}

/**
 * Interrupts the thread that is in the system call of that number with that second
 * argument. It may not be in it yet: call again until the call has returned.
 */
export function interrupt(syscall: number, argument: bigint): void {
  const { tgkill } = signal();
  for (const task of namesIn(TASKS)) {
    const fields = readProc(`${TASKS}/${task}/syscall`)?.split(" ");
    if (fields?.length !== 9 || Number(fields[0]) !== syscall) continue;
    if (BigInt(fields[2]!) === argument) {
      tgkill(Deno.pid, Number(task), number!);
    }
  }
}
