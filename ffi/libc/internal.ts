// Constructors that belong to this module alone. TypeScript's `private` is gone at run
// time, so they demand a value that nothing outside has.

/** The first argument of an internal constructor. */
export const internal: unique symbol = Symbol("internal");

/** Refuses a caller that is not of this module. */
export function checkInternal(token: unknown, name: string): void {
  if (token === internal) return;
  throw new TypeError(`Cannot construct ${name}: use its static methods`);
}
