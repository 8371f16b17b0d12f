/** Workers that are terminated while they wait take nothing with them. */
import {
  PosixSemaphore,
  SharedMutex,
  SharedRwLock,
  SysvMessageQueue,
  SysvSemaphoreSet,
} from "../../../mod.ts";
import type { Fuzz } from "../fuzz.ts";
import type { Task } from "../worker.ts";

const MODULE = new URL("../worker.ts", import.meta.url);
const PATIENCE = 2_500; // ms

/** Something that a Worker waits for. */
interface Goods {
  readonly what: string | number;
  /** Gives one. */
  readonly give: () => void;
  /** Takes one here; rejects after that many milliseconds. */
  readonly take: (timeout: number) => Promise<unknown>;
  /** How many may be lost, because the kernel leaves no way. */
  readonly mayBeLost?: number;
}

const GOODS: Record<string, (fuzz: Fuzz) => Goods> = {
  PosixSemaphore: (fuzz) => {
    const name = fuzz.newName();
    const one = fuzz.own(PosixSemaphore.create(name, 0));
    fuzz.left.push("/dev/shm/sem."); // under the name that it had at first
    return {
      what: name,
      give: () => one.release(),
      take: (timeout) => one.acquire({ timeout }),
    };
  },
  SysvSemaphore: (fuzz) => {
    const set = fuzz.own(SysvSemaphoreSet.create(null, [0]));
    const one = set.semaphore(0);
    return {
      what: set.id,
      give: () => one.release(),
      take: (timeout) => one.acquire({ timeout }),
    };
  },
  SysvMessageQueue: (fuzz) => {
    const queue = fuzz.own(SysvMessageQueue.create(null));
    return {
      what: queue.id,
      give: () => queue.trySend(new Uint8Array(8)),
      take: (timeout) => queue.receive({ timeout }),
      mayBeLost: 1,
    };
  },
  SharedMutex: (fuzz) => {
    const one = fuzz.own(SharedMutex.create(null));
    const guard = one.lockSync();
    return {
      what: one.id,
      give: () => guard.release(),
      take: (timeout) => one.lock({ timeout }),
    };
  },
  SharedRwLock: (fuzz) => {
    const one = fuzz.own(SharedRwLock.create(null));
    const guard = one.lockWriteSync();
    return {
      what: one.id,
      give: () => guard.release(),
      take: (timeout) => one.lockWrite({ timeout }),
    };
  },
};

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function started(task: Task): Promise<Worker> {
  const worker = new Worker(MODULE, { type: "module" });
  const waiting = new Promise((resolve) => worker.onmessage = resolve);
  worker.postMessage(task);
  await waiting;
  return worker;
}

/** What is given after the end of the Worker that has waited for it is there. */
export async function terminatedWorker(fuzz: Fuzz): Promise<void> {
  const { random } = fuzz;
  const kind = random.pick(Object.keys(GOODS));
  const { what, give, take, mayBeLost = 0 } = GOODS[kind]!(fuzz);
  const isLock = kind.startsWith("Shared");
  const count = isLock ? 1 : random.pick([1, 2, 6]);
  const pauses = [random.int(0, 60), random.pick([0, 5, 20, 45])] as const;
  fuzz.log.note(
    `${count} waits for ${kind}, terminated after ${pauses[0]} ms, ` +
      `given after ${pauses[1]} ms more`,
  );
  const waits = isLock ? 1 : random.pick([1, count]);
  const worker = await started({ kind, what, count: waits });
  await sleep(pauses[0]);
  worker.terminate();
  await sleep(pauses[1]);
  for (let i = 0; i < count; i++) give();
  const end = performance.now() + PATIENCE;
  let got = 0;
  while (got < count) {
    const left = Math.max(end - performance.now(), 1);
    const one = await take(left).catch(() => undefined);
    if (one === undefined) break;
    fuzz.keep(one);
    got++;
  }
  fuzz.check(
    got >= count - mayBeLost,
    `${kind}: ${got} of ${count} are left after a Worker was terminated`,
  );
}
