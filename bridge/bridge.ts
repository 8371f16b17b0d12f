// A running bridge: it connects, passes messages on, and connects again when that fails,
// until it is stopped or cannot go on.

import {
  type NatsConnection,
  PermissionViolationError,
} from "@nats-io/transport-node";
import { open, type ServerOptions } from "./connection.ts";
import { BridgeError } from "./error.ts";
import { pause } from "./wait.ts";

/** What has flowed through a bridge since it was started. */
export interface BridgeCounters {
  /** Messages that the other side has taken over. */
  readonly messages: number;
  /** The bytes of these. */
  readonly bytes: number;
  /** Messages that were dropped: repeated ones, and replies whose client had gone. */
  readonly dropped: number;
  /** Messages that were set aside. */
  readonly aside: number;
  /** Messages that are on the way: taken from one side, and not yet given to the other. */
  readonly inHand: number;
  /** How often the other side had no room, so that the bridge had to wait. */
  readonly stalls: number;
  /** Connections to the server that were opened. */
  readonly connections: number;
  /** Whether there is a connection now. */
  readonly connected: boolean;
}

/** The counters, which count. */
export type Counts = {
  -readonly [K in keyof BridgeCounters]: BridgeCounters[K];
};

/** Options of all bridges. */
export interface BridgeOptions {
  /** The NATS server. */
  readonly server?: ServerOptions | undefined;
  /**
   * Where a bridge says what happens, a line each time.
   *
   * @default {console.error}
   */
  readonly log?: ((line: string) => void) | undefined;
}

/** What a kind of bridge does, and what it gets to do it. */
export interface Flow {
  /** Where messages come from and where they go to. */
  readonly name: string;
  /**
   * Passes messages on over a connection until the signal is aborted. It throws if that
   * fails: BridgeError if it is useless to try again.
   */
  run(connection: NatsConnection, run: Run): Promise<void>;
  /** Gives back what it holds. */
  close(): void;
}

/** One connection's time. */
export interface Run {
  /** Aborted when the bridge is stopped or the connection is lost. */
  readonly signal: AbortSignal;
  readonly counts: Counts;
  log(line: string): void;
  /** Everything that can be checked is checked: messages flow. */
  ready(): void;
}

const FIRST_DELAY = 100; // ms
const LONGEST_DELAY = 5000;

/**
 * A bridge between a queue and a subject. It runs from the moment it is made.
 *
 * It waits for a server that is not there, and connects again when the connection is lost;
 * it ends by itself only if that is useless: `done` rejects with a {@linkcode BridgeError}
 * then.
 */
export class Bridge implements AsyncDisposable {
  readonly #flow: Flow;
  readonly #options: BridgeOptions;
  readonly #stopping = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  readonly #done: Promise<void>;
  readonly #counts: Counts;
  #said = "";
  #wasReady = false;

  /** Internal: `outgoing()` and its siblings make it. */
  constructor(flow: Flow, options: BridgeOptions, counts: Counts) {
    this.#flow = flow;
    this.#options = options;
    this.#counts = counts;
    this.#done = this.#drive();
    // They may be awaited late, or never: the log has the error, too.
    this.#ready.promise.catch(() => {});
    this.#done.catch(() => {});
  }

  /** Where messages come from and where they go to. */
  get name(): string {
    return this.#flow.name;
  }

  /** Resolves when the first connection is there and all limits are checked. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves when the bridge was stopped; rejects if it could not go on. */
  get done(): Promise<void> {
    return this.#done;
  }

  /** What has flowed so far. */
  get counters(): BridgeCounters {
    return { ...this.#counts };
  }

  /**
   * Ends the bridge: what is being published is awaited, for some seconds at most; what
   * has arrived and was not given to the queue goes back to the server.
   *
   * @returns A promise that is settled as `done` is.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  /** Stops the bridge. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
  }

  async #drive(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      for (let delay = FIRST_DELAY; !signal.aborted;) {
        if (await this.#runOnce()) delay = FIRST_DELAY;
        await pause(delay * (0.5 + Math.random()), signal);
        delay = Math.min(delay * 2, LONGEST_DELAY);
      }
      this.#ready.reject(new BridgeError(`${this.name} was stopped`));
    } catch (error) {
      this.#log((error as Error).message);
      this.#ready.reject(error);
      throw error;
    } finally {
      this.#flow.close();
    }
  }

  /** One connection, from its start to its end; false if no message could flow. */
  async #runOnce(): Promise<boolean> {
    const { server = {} } = this.#options;
    let connection: NatsConnection | undefined;
    this.#wasReady = false;
    try {
      connection = await open(server, `ipc-nats: ${this.name}`);
      this.#counts.connections++;
      await this.#run(connection);
    } catch (error) {
      if (error instanceof BridgeError) throw error;
      if (isForbidden(error)) {
        throw new BridgeError(
          `The NATS server refuses: ${(error as Error).message}`,
        );
      }
      if (!this.#stopping.signal.aborted) {
        this.#log(`${textOf(error)}; trying again`);
      }
    } finally {
      this.#counts.connected = false;
      await connection?.close();
    }
    return this.#wasReady;
  }

  async #run(connection: NatsConnection): Promise<void> {
    const lost = new AbortController();
    connection.closed().then(() => lost.abort(new Error("connection lost")));
    await this.#flow.run(connection, {
      signal: AbortSignal.any([this.#stopping.signal, lost.signal]),
      counts: this.#counts,
      log: (line) => this.#log(line),
      ready: () => {
        this.#counts.connected = this.#wasReady = true;
        this.#log(`connected to ${connection.getServer()}`);
        this.#ready.resolve();
      },
    });
    if (!this.#stopping.signal.aborted) {
      throw new Error("the connection is lost");
    }
  }

  /** Says what is new. */
  #log(line: string): void {
    if (line === this.#said) return;
    this.#said = line;
    (this.#options.log ?? console.error)(`${this.name}: ${line}`);
  }
}

/** Whether the user may not do that. */
function isForbidden(error: unknown): boolean {
  return error instanceof PermissionViolationError ||
    (error instanceof Error && error.cause instanceof PermissionViolationError);
}

/** An error in words, with the reason that a connection could not be opened. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  const isNew = cause instanceof Error && cause.message !== message;
  return isNew ? `${message}: ${cause.message}` : message;
}

/** Counters at their start. */
export function newCounts(): Counts {
  return {
    messages: 0,
    bytes: 0,
    dropped: 0,
    aside: 0,
    inHand: 0,
    stalls: 0,
    connections: 0,
    connected: false,
  };
}
