/*
 * Reads the messages of ring_producer.ts, in place, as ring_consumer.ts does.
 *
 *   cc -Ic -o ring_consumer examples/ring_consumer.c
 *   ./ring_consumer /ring
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux_ipc_ring.h"

enum { TICK = 1 };

struct counts {
  unsigned ticks, frames, wrong;
};

static void take(const lipc_message *message, void *context) {
  struct counts *counts = context;
  const unsigned char *bytes = message->data;
  if (message->type == TICK) {
    uint32_t number;
    memcpy(&number, bytes, sizeof number);
    if (number != counts->ticks++) counts->wrong++;
  } else {
    if (bytes[message->length - 1] != (counts->frames++ & 255)) counts->wrong++;
  }
}

/* The shared memory, as soon as there is a ring in it. */
static void open_ring(lipc_ring *ring, const char *name) {
  char path[300];
  struct stat status;
  snprintf(path, sizeof path, "/dev/shm%s", name);
  for (;; usleep(10000)) {
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
      const size_t size = (size_t)status.st_size;
      void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      close(fd);
      if (memory != MAP_FAILED && lipc_ring_open(ring, memory, size) == 0) return;
      if (memory != MAP_FAILED) munmap(memory, size);
    } else {
      close(fd);
    }
  }
}

int main(int argc, char **argv) {
  lipc_ring ring;
  lipc_consumer consumer;
  struct counts counts = {0, 0, 0};
  int result;
  open_ring(&ring, argc > 1 ? argv[1] : "/ring");
  result = lipc_consumer_init(&consumer, &ring);
  while (result >= 0 && (result = lipc_wait(&consumer, -1)) == 1) {
    result = lipc_try_read(&consumer, take, &counts, 1000);
  }
  if (result < 0) {
    fprintf(stderr, "%s\n", strerror(-result));
    return 1;
  }
  lipc_consumer_close(&consumer);
  printf("received %u ticks and %u frames, %u of them wrong\n", counts.ticks,
         counts.frames, counts.wrong);
  return 0;
}
