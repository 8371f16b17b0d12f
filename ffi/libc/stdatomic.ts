// <stdatomic.h>

import { sched } from "./sched.ts";

// (module (func (export "f") atomic.fence))
const MODULE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // "\0asm", version 1
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00], // one type: () -> ()
  ...[0x03, 0x02, 0x01, 0x00], // one function of it
  ...[0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00], // exported as "f"
  ...[0x0a, 0x07, 0x01, 0x05, 0x00, 0xfe, 0x03, 0x00, 0x0b], // its code
);

let instruction: (() => void) | undefined;

/**
 * `atomic_thread_fence(memory_order_seq_cst)`: no access to memory moves across it, in
 * either direction. JavaScript has no fence: on aarch64, plain accesses pass the code
 * that V8 emits for `Atomics.add` and `Atomics.exchange`. This is `dmb ish` there, and
 * `mfence` or a locked instruction on x86_64.
 */
export function fence(): void {
  instruction ??= compile();
  instruction();
}

function compile(): () => void {
  // --jitless has no WebAssembly. The kernel's scheduler begins with a full barrier.
  if (typeof WebAssembly === "undefined") return () => sched().sched_yield();
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE));
  return exports.f as () => void;
}
