/*
 * What the C peers have in common: the command line and the loops.
 *
 * A peer is started as `peer PART MODE SIZE WARMUP DURATION ADDRESS...`, times in
 * milliseconds. The parts "ping" and "take" are timed; "echo" and "give" serve
 * them, and go on until they are killed. "alone" is "ping" with both ends in one
 * process. MODE is for the peers in TypeScript.
 *
 * Who is timed says how many nanoseconds a round takes: in the middle one of slices
 * of 10 ms each, where what other processes do in between does not count, and on
 * average.
 *
 * A mechanism includes this file and defines the three functions below.
 */
#ifndef BENCH_H
#define BENCH_H

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

#define SLICE 10 /* milliseconds */
#define LARGE (1024 * 1024) /* bytes: such a round fills a slice */

static int batch;        /* rounds between two looks at the clock */
static size_t size;      /* bytes of a message */
static char *message;    /* as many bytes */
static char **addresses; /* what the mechanism needs */

/* Gets ready. Who serves calls ready() when the other may start. */
static void open_channel(bool serves);
static void send_message(void);
static void receive_message(void);

static void ping(void) {
  send_message();
  receive_message();
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* How many nanoseconds a round takes, in one slice of time. */
static double slice(void (*round)(void)) {
  const int64_t start = nanoseconds();
  int64_t count = 0, elapsed;
  do {
    for (int i = 0; i < batch; i++) round();
    count += batch;
    elapsed = nanoseconds() - start;
  } while (elapsed < SLICE * MILLISECOND);
  return (double)elapsed / count;
}

/* Goes on for so many milliseconds, then says what the slices were like. */
static void measure(void (*round)(void), int warmup, int duration) {
  double *values = calloc(duration / SLICE + 1, sizeof *values), sum = 0;
  int64_t end = nanoseconds() + warmup * MILLISECOND;
  do slice(round); while (nanoseconds() < end);
  int slices = 0;
  end = nanoseconds() + duration * MILLISECOND;
  do sum += values[slices++] = slice(round); while (nanoseconds() < end);
  qsort(values, slices, sizeof *values, compare);
  char line[64];
  snprintf(line, sizeof line, "%.2f %.2f", values[slices / 2], sum / slices);
  say(line);
}

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  const char *part = argv[1];
  const int warmup = atoi(argv[4]), duration = atoi(argv[5]);
  const bool echoes = strcmp(part, "echo") == 0;
  const bool gives = strcmp(part, "give") == 0;
  size = strtoul(argv[3], NULL, 10);
  batch = size >= LARGE ? 1 : strcmp(part, "alone") == 0 ? 64 : 16;
  message = calloc(1, size + 1);
  addresses = argv + 6;
  open_channel(echoes || gives);
  while (echoes) {
    receive_message();
    send_message();
  }
  while (gives) send_message();
  if (strcmp(part, "take") == 0) measure(receive_message, warmup, duration);
  else measure(ping, warmup, duration);
  return 0;
}

#endif
