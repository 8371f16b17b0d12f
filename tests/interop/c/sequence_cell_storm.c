/* sequence_cell_storm ID SIZE: changes 64 bytes of a cell again and again, each time for
 * about 50 microseconds. It ends in the middle of a write when stdin does. */
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/shm.h>
#include <time.h>

#include "peer.h"

static void spin(long nanoseconds) {
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec <
           nanoseconds);
}

int main(int argc, char **argv) {
  char *memory = shmat(atoi(argument(argc, argv, 1, "")), NULL, 0);
  if (memory == (void *)-1) give_up("shmat");
  uint32_t *sequence = (uint32_t *)memory;
  long size = atol(argument(argc, argv, 2, "64"));
  struct pollfd in = {0, POLLIN, 0};
  print_at_once();
  puts("up");
  for (long round = 0; poll(&in, 1, 0) == 0; round++) {
    if (round > 0) __atomic_fetch_add(sequence, 1, __ATOMIC_SEQ_CST);
    spin(50000);
    __atomic_fetch_add(sequence, 1, __ATOMIC_SEQ_CST);
    memset(memory + 8 + round * 64 % size, (int)round, 64);
  }
  return 0;
}
