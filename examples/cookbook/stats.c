// Makes a struct in shared memory, with its mutex, and counts requests in it.
// cc -pthread -o stats stats.c, and -lrt before glibc 2.34
#include "stats.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void lock(struct stats *stats) {
  // A process was killed in the middle: the numbers may be wrong, but are of use.
  if (pthread_mutex_lock(&stats->lock) == EOWNERDEAD) pthread_mutex_consistent(&stats->lock);
}

int main(int argc, char *argv[]) {
  const char *name = argc > 1 ? argv[1] : "/stats";
  int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd == -1 || ftruncate(fd, sizeof (struct stats)) == -1) {
    perror(name);
    return 1;
  }
  struct stats *stats = mmap(NULL, sizeof *stats, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (stats == MAP_FAILED) return 1;

  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED); // not the default
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&stats->lock, &attr);

  printf("ready\n");
  fflush(stdout);
  while (getchar() != EOF) { // a request for each character
    lock(stats);
    stats->requests++;
    stats->load = 0.5;
    strcpy(stats->last, "C");
    pthread_mutex_unlock(&stats->lock);
  }

  lock(stats);
  printf("%lu requests, the last one of %s\n", stats->requests, stats->last);
  pthread_mutex_unlock(&stats->lock);
  shm_unlink(name);
  return 0;
}
