/* What all programs in C have in common. */
#ifndef COMMON_H
#define COMMON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MILLISECOND INT64_C(1000000)

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline void fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

static inline void say(const char *line) {
  puts(line);
  fflush(stdout);
}

static inline void ready(void) { say("ready"); }

static inline int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

#endif
