// deno-lint-ignore no-explicit-any
type ErrorConstructorOf<E extends Error> = abstract new (...args: any[]) => E;

/** What every assertion here throws when it does not hold. */
export class AssertionError extends Error {
  /** An error with this message and, in `options`, perhaps a cause. */
  constructor(message: string, options?: ErrorOptions);
}

/** The value is truthy. */
export function assert(expr: unknown, msg?: string): asserts expr;

/** Both values are equal, compared deeply. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void;

/** The values differ somewhere, compared deeply. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;

/** Both are one and the same value, as `Object.is` sees it. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T;

/** The function throws something, which is returned. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** The function throws an error of this class, which is returned. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorConstructorOf<E>,
  msgIncludes?: string,
  msg?: string,
): E;

/** The promise rejects, and resolves to the reason here. A throw will not do. */
export function assertRejects(
  fn: () => PromiseLike<unknown>,
  msg?: string,
): Promise<unknown>;
/** The promise rejects with an error of this class. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorConstructorOf<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;

/** The value was made by this class or one that extends it. */
export function assertInstanceOf<
  // deno-lint-ignore no-explicit-any
  T extends abstract new (...args: any[]) => any,
>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T>;

/** The text matches the pattern. */
export function assertMatch(
  actual: string,
  expected: RegExp,
  msg?: string,
): void;

/** The text contains the other text. */
export function assertStringIncludes(
  actual: string,
  expected: string,
  msg?: string,
): void;

/** `actual > expected` */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void;

/** `actual >= expected` */
export function assertGreaterOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void;

/** `actual < expected` */
export function assertLess<T>(actual: T, expected: T, msg?: string): void;

/** `actual <= expected` */
export function assertLessOrEqual<T>(
  actual: T,
  expected: T,
  msg?: string,
): void;

/** The numbers are no further apart than `tolerance`; by default 1e-7 of `expected`. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void;

/** The value is neither `null` nor `undefined`. */
export function assertExists<T>(
  actual: T,
  msg?: string,
): asserts actual is NonNullable<T>;

/** Throws an {@linkcode AssertionError}, always. */
export function fail(msg?: string): never;
