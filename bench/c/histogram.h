/* How long waits took: how many of each length, which is exact to 2 %. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <inttypes.h>
#include <string.h>

#include "common.h"

#define STEPS 64 /* to twice the length */

static int64_t waits[STEPS * 64], all_waits, longest_wait;

static inline void forget_waits(void) {
  memset(waits, 0, sizeof waits);
  all_waits = longest_wait = 0;
}

static inline void add_wait(int64_t length) {
  int shift = 57 - __builtin_clzll(length | STEPS);
  waits[shift * STEPS + (length >> shift)]++;
  all_waits++;
  if (length > longest_wait) longest_wait = length;
}

/* The length that this part of the waits, such as 0.99, did not exceed. */
static inline int64_t percentile(double part) {
  int64_t left = part * all_waits;
  int index = 0;
  while (left >= waits[index]) left -= waits[index++];
  const int shift = index < 2 * STEPS ? 0 : index / STEPS - 1;
  return (int64_t)(index - shift * STEPS) << shift;
}

static inline void print_waits(void) {
  const int64_t p50 = percentile(0.5), p99 = percentile(0.99);
  printf("%" PRId64 " %" PRId64 " %" PRId64, p50, p99, longest_wait);
}

#endif
