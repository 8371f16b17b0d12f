/* turns [MILLISECONDS]: four threads take turns with one semaphore, each for one
 * second or the given time, and greet. */
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "peer.h"

enum { THREADS = 4 };

static sem_t turn;
static struct timespec pause_time = {1, 0};

static void *greet(void *number) {
  while (sem_wait(&turn) != 0) continue;
  nanosleep(&pause_time, NULL);
  printf("Hello from thread %d\n", *(int *)number);
  sem_post(&turn);
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t threads[THREADS];
  int numbers[THREADS];
  long milliseconds = atol(argument(argc, argv, 1, "1000"));
  pause_time.tv_sec = milliseconds / 1000;
  pause_time.tv_nsec = milliseconds % 1000 * 1000000;
  print_at_once();
  if (sem_init(&turn, 0, 1) != 0) give_up("sem_init");
  for (int i = 0; i < THREADS; i++) {
    numbers[i] = i;
    errno = pthread_create(&threads[i], NULL, greet, &numbers[i]);
    if (errno != 0) give_up("pthread_create");
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  sem_destroy(&turn);
  return 0;
}
