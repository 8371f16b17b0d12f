// What several runs of the same say together.

/** The middle one; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle]!;
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

/** How far the runs are apart, from the least to the most, as a part of the median. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/**
 * How these compare with the others: the median of what the rounds say. The runs of
 * one round are close to each other in time, so that what slows the machine down for
 * a while slows down both.
 */
export function pairwise(
  values: readonly number[],
  others: readonly number[],
  compare: (value: number, other: number) => number,
): number {
  return median(values.map((value, round) => compare(value, others[round]!)));
}
