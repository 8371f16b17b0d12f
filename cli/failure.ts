// How the command fails: with a message, and an exit code that scripts can tell.

/** The exit codes. */
export const EXIT = {
  /** It was done. */
  done: 0,
  /** The system refused it. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** There is no such object or process. */
  missing: 3,
  /** The name is of several objects. */
  ambiguous: 4,
  /** Nothing to receive, no room or no permit, in the time that was given. */
  nothing: 5,
  /** The object stays: a process holds it, or it is not orphaned. */
  refused: 6,
} as const;

/** A failure that is told without a stack. */
export class Failure extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
