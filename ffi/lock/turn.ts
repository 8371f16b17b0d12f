// Locking in turn: a process that locks again at once does not starve the others.
// docs/shared-locks.md explains the protocol, and has the bound.

import { SEM_UNDO } from "../libc/sys_sem.ts";
import { IPC_NOWAIT } from "../libc/sys_ipc.ts";
import { type Operation, Operations } from "../semaphore/operations.ts";
import { Acquisition } from "./acquisition.ts";
import {
  lockIfZero,
  type LockOperations,
  type LockSet,
  REVIEW,
  TURN,
} from "./lock_set.ts";

// How long a waiter competes with those that come later, before it takes the turn. The
// lock is idle until the process that has the turn runs, so turns cost throughput.
const COMPETITION = 5; // ms

// Waits until the turn is free, and takes it. The kernel serves the waiters in order.
const TAKE_TURN = takeTurnIfZero([TURN]);
const GIVE_TURN: Operation = [TURN, -1, IPC_NOWAIT | SEM_UNDO];
const WITHDRAW_TURN = Operations.of(GIVE_TURN);

/** The operations of a kind of holder. */
export interface Entry {
  /** Locks if the turn is free. */
  readonly freely: LockOperations;
  /** Waits until `freely` may succeed. */
  readonly waitFreely: Operations;
  /** Takes the turn. */
  readonly takeTurn: Operations;
  /** Locks, and gives the turn to the next waiter. */
  readonly inTurn: LockOperations;
  /** Locks, also if another waiter has the turn. */
  readonly regardless: LockOperations;
  /** Waits until `inTurn` and `regardless` may succeed. */
  readonly wait: Operations;
}

/**
 * The operations of a holder that can lock when these semaphores are 0. Without the turn
 * it also waits until the `preferred` are 0.
 */
export function entryOf(
  zeroes: readonly number[],
  isExclusive: boolean,
  preferred: readonly number[] = [],
): Entry {
  const free = [...zeroes, TURN, ...preferred];
  return {
    freely: lockIfZero(free, isExclusive),
    waitFreely: waitForZero(free),
    takeTurn: takeTurnIfZero([TURN, ...preferred]),
    inTurn: lockIfZero(zeroes, isExclusive, GIVE_TURN),
    regardless: lockIfZero(zeroes, isExclusive),
    wait: waitForZero(zeroes),
  };
}

function waitForZero(indexes: readonly number[]): Operations {
  return Operations.of(...indexes.map((index): Operation => [index, 0, 0]));
}

function takeTurnIfZero(indexes: readonly number[]): Operations {
  const ifZero = indexes.map((index): Operation => [index, 0, 0]);
  return Operations.of(...ifZero, [TURN, +1, SEM_UNDO]);
}

/** The acquisition of a lock, which may have the turn until it is disposed of. */
export abstract class LockAcquisition<Guard> extends Acquisition<Guard>
  implements Disposable {
  #takesTurnAt = Infinity;
  #hasTurn = false;
  #ended = false;

  /** The operations. */
  protected abstract readonly entry: Entry;

  /** Makes the guard. */
  protected abstract guard(ownerDied: boolean): Guard;

  /** Whether it has let others go first for long enough. */
  protected get isImpatient(): boolean {
    return false;
  }

  tryOnce(): Guard | undefined {
    const { set, entry } = this;
    const died = this.#tryInTurn() ??
      set.tryLock(this.isImpatient ? entry.regardless : entry.freely);
    if (died !== undefined) return this.guard(died);
    if (this.#takesTurnAt === Infinity) {
      // EACCES: a turn that may not be read could be taken, but not given back.
      set.getValue(TURN);
      this.#takesTurnAt = performance.now() + COMPETITION;
    } else if (this.#takesTurn && set.operate(this.#takeTurn.trying)) {
      this.#hasTurn = true;
    }
    return undefined;
  }

  get waiting(): Operations {
    if (this.#takesTurn) return this.#takeTurn;
    const { wait, waitFreely } = this.entry;
    return this.#hasTurn || this.isImpatient ? wait : waitFreely;
  }

  override retryAt(): number {
    if (this.#hasTurn) return Infinity;
    return this.#takesTurn ? performance.now() + REVIEW : this.#takesTurnAt;
  }

  protected override get hasPlace(): boolean {
    return this.#takesTurn;
  }

  protected override waited(operations: Operations): void {
    if (operations !== this.entry.takeTurn && operations !== TAKE_TURN) return;
    this.#hasTurn = true;
    if (this.#ended) this.#giveTurn();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#giveTurn();
  }

  get #takesTurn(): boolean {
    return !this.#hasTurn && performance.now() >= this.#takesTurnAt;
  }

  get #takeTurn(): Operations {
    return this.isImpatient ? TAKE_TURN : this.entry.takeTurn;
  }

  #tryInTurn(): boolean | undefined {
    if (!this.#checkTurn()) return undefined;
    const died = this.set.tryLock(this.entry.inTurn);
    if (died !== undefined) this.#hasTurn = false;
    return died;
  }

  /** Another process may have taken the turn away: it must not be given twice. */
  #checkTurn(): boolean {
    return this.#hasTurn &&= this.set.hasOwnTurn;
  }

  #giveTurn(): void {
    if (this.#checkTurn()) this.set.withdraw(WITHDRAW_TURN);
    this.#hasTurn = false;
  }
}

/** Locks without waiting, unless it is the turn of another process. */
export function tryLock(set: LockSet, entry: Entry): boolean | undefined {
  return set.tryLock(entry.freely) ??
    (set.hasOwnTurn ? set.tryLock(entry.regardless) : undefined);
}
