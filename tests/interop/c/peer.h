/* What all peers share: lines that leave at once, and a way to give up. */
#ifndef PEER_H
#define PEER_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program with "what: why" on stderr and exit code 1. */
static inline void give_up(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

/* Through a pipe, stdio would keep its lines until the end. */
static inline void print_at_once(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

/* The argument at a place, or what stands for it. */
static inline const char *argument(int argc, char **argv, int place,
                                   const char *otherwise) {
  return argc > place ? argv[place] : otherwise;
}

#endif
