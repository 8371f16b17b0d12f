// Ending a call that blocks on a thread of the pool and has no timeout: msgrcv and
// msgsnd. A signal whose handler does nothing makes them return EINTR. It goes to the
// thread that is in the call, which /proc tells by the call's arguments.

import { entriesOf } from "../libc/dirent.ts";
import { EMFILE, ENFILE, errno, ESRCH } from "../libc/errno.ts";
import {
  F_DUPFD_CLOEXEC,
  fcntl,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
} from "../libc/fcntl.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { SYS_read, SYS_tgkill } from "../libc/sys_syscall.ts";
import { SA_RESTART, sigaction, signal } from "../libc/signal.ts";
import { pointerTo } from "../libc/string.ts";
import { linkedTo, SEEK_SET, unistd } from "../libc/unistd.ts";

const TASKS = "/proc/self/task";
const OWN_THREAD = "/proc/thread-self";
const encoder = new TextEncoder();
const decoder = new TextDecoder();
let signalNumber: number | undefined; // 0 where this does not work

/** Makes the last real-time signal that is free do nothing; 0 if there is none. */
function installHandler(): number {
  const { dlsym, sigaction: call, __libc_current_sigrtmax } = signal();
  // abs() takes an int as a handler does, and touches nothing.
  const nothing = dlsym(0n, encoder.encode("abs\0"));
  if (nothing === 0n) return 0;
  const old = new Uint8Array(sigaction.size);
  const act = sigaction.encode({
    sa_handler: nothing,
    sa_mask: new Uint8Array(128),
    sa_flags: SA_RESTART, // for other calls: msgrcv and msgsnd never restart
    sa_restorer: 0n,
  });
  for (let free = __libc_current_sigrtmax(); free > 34; free--) {
    if (call(free, null, old) !== 0) continue;
    const { sa_handler } = sigaction.decode(old);
    if (sa_handler === nothing) return free; // another thread of JavaScript did it
    if (sa_handler !== 0n) continue;
    if (call(free, act, null) === 0) return free;
  }
  return 0;
}

/** A system call that a thread is in. */
interface Call {
  readonly number: number;
  /** The second one. */
  readonly argument: bigint;
}

const line = new Uint8Array(new ArrayBuffer(512)); // which stays where it is
const NO_DESCRIPTOR = new Set([EMFILE, ENFILE]);

/** The call that a thread is in; undefined if it runs, or has ended. */
function callOf(directory: number, task: string): Call | undefined {
  const name = encoder.encode(`${task}/syscall\0`);
  const fd = fcntl().openat(directory, name, O_RDONLY | O_CLOEXEC, 0);
  if (fd === -1) return undefined;
  const size = unistd().read(fd, line, line.length);
  unistd().close(fd);
  if (size <= 0) return undefined;
  const fields = decoder.decode(line.subarray(0, size)).split(" ");
  if (fields.length !== 9) return undefined;
  return { number: Number(fields[0]), argument: BigInt(fields[2]!) };
}

/** Sends a signal to a thread of this process. */
function sendTo(task: string, number: number): number {
  const { tgkill } = signal();
  return tgkill(BigInt(SYS_tgkill), runtime.pid, Number(task), number);
}

/**
 * The number of the signal, 0 if blocked calls cannot be interrupted on this system;
 * undefined if there is no descriptor to find that out.
 */
function prepare(directory: number): number | undefined {
  const task = linkedTo(OWN_THREAD).split("/").at(-1)!;
  const call = callOf(directory, task);
  if (call === undefined && NO_DESCRIPTOR.has(errno())) return undefined;
  // Under the emulation of another machine the numbers and addresses are the host's.
  const tellsOwnCall = call?.number === SYS_read &&
    call.argument === pointerTo(line);
  if (!tellsOwnCall) return 0;
  const found = installHandler();
  // To send it may be forbidden, or be beyond RLIMIT_SIGPENDING.
  const works = found !== 0 &&
    sendTo(task, found) === 0;
  return works ? found : 0;
}

/**
 * Finds the threads of this process, and interrupts one. It has its descriptors from
 * the start: when a wait must end there may be none.
 */
export class Interrupter implements Disposable {
  readonly #directory: number;
  #spare = -1; // in the place of the files that are read

  private constructor(directory: number) {
    this.#directory = directory;
  }

  /** Undefined where calls cannot be interrupted, now or at all. */
  static open(): Interrupter | undefined {
    if (signalNumber === 0) return undefined;
    const flags = O_DIRECTORY | O_CLOEXEC;
    const directory = fcntl().open(encoder.encode(`${TASKS}\0`), flags, 0);
    if (directory === -1) return undefined;
    const interrupter = new Interrupter(directory);
    if (interrupter.#reserve() && interrupter.#works()) return interrupter;
    interrupter[Symbol.dispose]();
    return undefined;
  }

  /**
   * Interrupts the thread that is in the system call of that number with that second
   * argument. It may not be in it yet: call again until the call has returned. False
   * where the signal cannot be sent any more.
   */
  interrupt(syscall: number, argument: bigint): boolean {
    this.#free();
    unistd().lseek(this.#directory, 0n, SEEK_SET);
    for (const task of entriesOf(this.#directory, TASKS)) {
      if (task.startsWith(".")) continue;
      const call = callOf(this.#directory, task);
      if (call?.number !== syscall || call.argument !== argument) continue;
      const sent = sendTo(task, signalNumber!);
      if (sent === -1 && errno() !== ESRCH) signalNumber = 0;
    }
    this.#reserve();
    return signalNumber !== 0;
  }

  [Symbol.dispose](): void {
    this.#free();
    unistd().close(this.#directory);
  }

  #works(): boolean {
    if (signalNumber !== undefined) return signalNumber !== 0;
    this.#free();
    try {
      signalNumber = prepare(this.#directory);
    } catch {
      signalNumber = 0; // /proc is not there, or libc has these functions elsewhere
    }
    return this.#reserve() && (signalNumber ?? 0) !== 0;
  }

  #reserve(): boolean {
    this.#spare = fcntl().fcntl(this.#directory, F_DUPFD_CLOEXEC, 0);
    return this.#spare !== -1;
  }

  #free(): void {
    if (this.#spare !== -1) unistd().close(this.#spare);
    this.#spare = -1;
  }
}

/** Interrupts a call once, as an Interrupter does; false where it cannot. */
export function interruptCall(syscall: number, argument: bigint): boolean {
  const interrupter = Interrupter.open();
  try {
    return interrupter?.interrupt(syscall, argument) ?? false;
  } finally {
    interrupter?.[Symbol.dispose]();
  }
}
