// AbortSignals, read with the accessors of the platform: an object may have properties
// of its own that say something else.

const { apply } = Reflect;
const { addEventListener, removeEventListener } = AbortSignal.prototype;

function getter(key: "aborted" | "reason"): () => unknown {
  return Object.getOwnPropertyDescriptor(AbortSignal.prototype, key)!.get!;
}

const aborted = getter("aborted");
const reason = getter("reason");

/** Whether a signal is aborted. */
export function isAborted(signal: AbortSignal): boolean {
  return apply(aborted, signal, []) as boolean;
}

/** The reason of an aborted signal. */
export function reasonOf(signal: AbortSignal): unknown {
  return apply(reason, signal, []);
}

/** Throws the reason of a signal that is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal !== undefined && isAborted(signal)) throw reasonOf(signal);
}

// An object that has a signal as its prototype passes as one, and is never aborted. It
// lacks the properties that the constructor sets.
const OWN = Reflect.ownKeys(new AbortController().signal);

/** Checks that a value is an AbortSignal, which can end a wait. */
export function checkSignal(value: unknown): asserts value is AbortSignal {
  try {
    isAborted(value as AbortSignal); // throws for every other object
    if (OWN.every((key) => Object.hasOwn(value as AbortSignal, key))) return;
  } catch {
    // Refused below.
  }
  throw new TypeError('Argument "signal" must be an AbortSignal');
}

// Listeners of the capture phase come first: others may stop the event.
const CAPTURE = true;

/** Calls `listener` when the signal is aborted, until what this returns is called. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  // The event alone proves nothing: anything can dispatch one.
  const heed = () => {
    if (isAborted(signal)) listener();
  };
  apply(addEventListener, signal, ["abort", heed, CAPTURE]);
  return () => apply(removeEventListener, signal, ["abort", heed, CAPTURE]);
}
