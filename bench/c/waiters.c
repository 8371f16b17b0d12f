/*
 * Wakes one of many waiters in another process, now and then, and waits for its answer
 * from a FIFO.
 *
 * The first address is the FIFO, the last one the object that the waiter waits for; the
 * arguments after it are the kind of object, and what concerns the waiters. Says how many
 * nanoseconds an answer took: p50 and on average, then p50, p99 and the maximum; then
 * twice how many answers there were.
 */
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <unistd.h>

#include "histogram.h"

#define PATIENCE 5000 /* milliseconds that an answer may take */
#define PAUSE 40      /* at least so many milliseconds from an answer to the next post */
#define MORE 20       /* and at most so many more, so that no rhythm is met */

static int id; /* of a System V object */
static sem_t *semaphore;
static mqd_t queue;

static int post_sysv_semaphore(void) {
  struct sembuf give = {.sem_op = 1};
  return semop(id, &give, 1);
}

static int post_posix_semaphore(void) { return sem_post(semaphore); }

static int post_sysv_queue(void) {
  const struct { long type; char text; } message = {.type = 1};
  return msgsnd(id, &message, 1, 0);
}

static int post_posix_queue(void) { return mq_send(queue, "", 1, 0); }

/* How the object is posted to, which is opened. */
static int (*opened(const char *kind, const char *object))(void) {
  id = atoi(object);
  if (strcmp(kind, "sysv-semaphore") == 0) return post_sysv_semaphore;
  if (strcmp(kind, "sysv-queue") == 0) return post_sysv_queue;
  if (strcmp(kind, "posix-semaphore") == 0) {
    semaphore = sem_open(object, 0);
    if (semaphore == SEM_FAILED) die("sem_open");
    return post_posix_semaphore;
  }
  queue = mq_open(object, O_WRONLY);
  if (queue < 0) die("mq_open");
  return post_posix_queue;
}

static int64_t answer(int fifo) {
  struct pollfd ready = {.fd = fifo, .events = POLLIN};
  char byte;
  if (poll(&ready, 1, PATIENCE) == 0) fail("The waiter does not answer");
  if (read(fifo, &byte, 1) != 1) fail("The process of the waiter has ended");
  return nanoseconds();
}

/* Goes on for so many milliseconds; returns the sum of what all answers took. */
static int64_t wake(int (*post)(void), int fifo, int duration) {
  const int64_t end = nanoseconds() + duration * MILLISECOND;
  int64_t sum = 0, start;
  do {
    usleep(1000 * PAUSE + rand() % (1000 * MORE));
    start = nanoseconds();
    if (post() < 0) die("post");
    const int64_t took = answer(fifo) - start;
    add_wait(took);
    sum += took;
  } while (start < end);
  return sum;
}

int main(int argc, char **argv) {
  if (argc < 11) return 2;
  int (*post)(void) = opened(argv[argc - 3], argv[argc - 4]);
  const int fifo = open(argv[6], O_RDONLY | O_CLOEXEC);
  if (fifo < 0) die("open");
  wake(post, fifo, atoi(argv[4]));
  forget_waits();
  const int64_t sum = wake(post, fifo, atoi(argv[5]));
  printf("%" PRId64 " %.2f ", percentile(0.5), (double)sum / all_waits);
  print_waits();
  printf(" %" PRId64 " %" PRId64 "\n", all_waits, all_waits);
  return 0;
}
