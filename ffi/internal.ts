// Constructors that belong to this module alone. TypeScript's `private` is gone at run
// time, so they demand a value that nothing outside has.

/** The first argument of an internal constructor. */
export const internal: unique symbol = Symbol("internal");

/** Refuses a construction from outside; `instead` says what to call. */
export function checkInternal(
  token: unknown,
  name: string,
  instead = "its static methods",
): asserts token is typeof internal {
  if (token === internal) return;
  throw new TypeError(`Cannot construct ${name}: use ${instead}`);
}
