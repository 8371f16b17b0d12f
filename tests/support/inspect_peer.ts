/** A program in C that has one object of each kind: tests/interop/c/inspect_peer.c. */
import {
  PosixMessageQueue,
  SysvMessageQueue,
} from "../../ffi/message_queue.ts";
import { PosixSemaphore, SysvSemaphoreSet } from "../../ffi/semaphore.ts";
import {
  PosixSharedMemory,
  SysvSharedMemory,
} from "../../ffi/shared_memory.ts";
import { peerProgram } from "../interop/peers.ts";
import { type Scratch, scratch, uniqueKey, uniqueName } from "./names.ts";
import { type Child, spawn } from "./process.ts";

/** The C program that has one object of each kind. */
export interface InspectPeer extends AsyncDisposable {
  readonly child: Child;
  readonly key: number;
  readonly name: string;
  readonly directory: Scratch;
  readonly queue: number;
  readonly set: number;
  readonly segment: number;
  readonly memoryFile: number;
  readonly fifo: number;
  readonly pipe: number;
  readonly listener: number;
  readonly client: number;
  readonly server: number;
  readonly locked: number;
}

/** Starts it, and removes what it has made when it is disposed of. */
export async function startInspectPeer(): Promise<InspectPeer> {
  const directory = scratch();
  const key = uniqueKey();
  const name = uniqueName();
  const child = spawn(await peerProgram("inspect_peer"), {
    args: [String(key), name, directory.path],
  });
  const numbers = (await child.line()).split(" ").map(Number);
  const [queue, set, segment, memoryFile, fifo, pipe] = numbers;
  const [listener, client, server, locked] = numbers.slice(6);
  return {
    child,
    key,
    name,
    directory,
    ...{ queue, set, segment, memoryFile, fifo, pipe } as Record<
      string,
      number
    >,
    ...{ listener, client, server, locked } as Record<string, number>,
    async [Symbol.asyncDispose]() {
      await child[Symbol.asyncDispose]();
      SysvMessageQueue.remove({ id: queue! });
      SysvSharedMemory.remove({ id: segment! });
      SysvSemaphoreSet.remove({ id: set! });
      PosixMessageQueue.unlink(name);
      PosixSharedMemory.unlink(name);
      PosixSemaphore.unlink(name);
      directory[Symbol.dispose]();
    },
  } as unknown as InspectPeer;
}
