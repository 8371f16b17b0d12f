/* What programs with rings have in common. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int polls; /* 0 for who sleeps at once */
#define LIPC_SPINS polls
#define LIPC_YIELDS polls
#include "../../c/linux_ipc_ring.h"
#include "bench.h"

#define BATCH 16

static lipc_producer producer;
static lipc_consumer consumer;

static void open_ring(lipc_ring *ring, const char *name) {
  char path[300];
  struct stat status;
  snprintf(path, sizeof path, "/dev/shm%s", name);
  const int fd = open(path, O_RDWR);
  if (fd < 0 || fstat(fd, &status) < 0) die(path);
  void *memory = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) die("mmap");
  if (lipc_ring_open(ring, memory, status.st_size) != 0) fail("open");
}

static inline void take(const lipc_message *received, void *unused) {
  (void)unused;
  memcpy(message, received->data, received->length);
}

/* One message: those that are there are read together. */
static inline void receive(bool spins) {
  static int got; /* messages that were read, and not counted yet */
  while (got == 0) {
    if (!spins && lipc_wait(&consumer, -1) != 1) exit(0);
    got = lipc_try_read(&consumer, take, NULL, BATCH);
  }
  got--;
}

#endif
