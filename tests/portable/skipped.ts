/** Tests that say nothing of the library on Node or on Bun, and why. */

const NO_DLOPEN = "it calls Deno.dlopen itself";
const OWN_DESCRIPTORS = "it counts on how many descriptors Deno has of its own";
const NO_SERVER = "it needs Deno.listen";

const BOTH: Record<string, string> = {
  "struct() agrees with the C compiler":
    "the stand-in for the streams of a child does not always end there",
  "EMFILE on receipt is told, and what fits arrives": OWN_DESCRIPTORS,
  "ETOOMANYREFS names its limit": OWN_DESCRIPTORS,
  "BufferedReader leaks no descriptor, with EMFILE in between": NO_DLOPEN,
  "FramedStream without a free descriptor says so": OWN_DESCRIPTORS,
  "Fifo.open() refuses other files without touching them": NO_SERVER,
  "MemoryMap.open() refuses a socket": NO_SERVER,
  "socket_server.ts sends the answer, the end and the farewell as parts":
    "it needs the reads of Deno.connect",
  "SharedMutex belongs to the process, not to what it forks": NO_DLOPEN,
  "PthreadMutex and robust mutexes of other code of the thread": NO_DLOPEN,
  "splice() beyond RLIMIT_FSIZE says EFBIG, and the process lives": NO_DLOPEN,
};

const NODE: Record<string, string> = {
  "SysvSemaphoreSet undoes for the process, not for its Worker":
    "the thread of its Worker ends by itself",
  "PipeWriter.close() ends a pipeTo() whose reader is stalled":
    "Node cancels the source of a pipeTo() later",
};

const BUN: Record<string, string> = {
  "MemoryMap.open() maps beyond 4 GiB": "Bun has no such ArrayBuffers",
  "UnixStream.detach() hands over to node:net": "Bun takes no descriptors",
  "PosixMessageQueue.inherit() gives the queue to a child without the name":
    "Bun closes the descriptors of its children",
};

/** Why a test is left out here; undefined if it is not. */
export function reasonToSkip(name: string): string | undefined {
  return BOTH[name] ?? ("Bun" in globalThis ? BUN : NODE)[name];
}
