/* pthread_peer SHM|FILE: uses the objects in that System V segment, or in that file, as the
 * lines on stdin say, and answers each with a line. The struct is that of pthread_test.ts. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

enum { FIRST, SECOND, BROKEN, REPORTS, READY, STOP, SLOTS = 16, SLOT_COUNT = 32 };

struct shared {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_rwlock_t rw;
  pthread_barrier_t barrier;
  volatile int words[64];
};

static struct shared *s;

static void must(int code, const char *what) {
  errno = code;
  if (code != 0) give_up(what);
}

static void init(int type, int robust, int inherit, int shared) {
  pthread_mutexattr_t mutex;
  pthread_condattr_t cond;
  pthread_rwlockattr_t rw;
  pthread_barrierattr_t barrier;
  pthread_mutexattr_init(&mutex);
  pthread_condattr_init(&cond);
  pthread_rwlockattr_init(&rw);
  pthread_barrierattr_init(&barrier);
  must(pthread_mutexattr_settype(&mutex, type), "settype");
  must(pthread_mutexattr_setrobust(&mutex, robust), "setrobust");
  must(pthread_mutexattr_setprotocol(&mutex, inherit), "setprotocol");
  pthread_mutexattr_setpshared(&mutex, shared);
  pthread_condattr_setpshared(&cond, shared);
  pthread_rwlockattr_setpshared(&rw, shared);
  pthread_barrierattr_setpshared(&barrier, shared);
  must(pthread_mutex_init(&s->lock, &mutex), "pthread_mutex_init");
  must(pthread_cond_init(&s->changed, &cond), "pthread_cond_init");
  must(pthread_rwlock_init(&s->rw, &rw), "pthread_rwlock_init");
  must(pthread_barrier_init(&s->barrier, &barrier, 2), "pthread_barrier_init");
}

static const char *told(int code) {
  if (code == 0) return "ok";
  if (code == EBUSY) return "busy";
  if (code == EOWNERDEAD) return "owner died";
  if (code == ENOTRECOVERABLE) return "not recoverable";
  return strerror(code);
}

/* Locks, and repairs what a dead owner has left half changed: each process counts its work
 * in a slot, too, and the sum of these is right at any moment. */
static void take(void) {
  int code = pthread_mutex_lock(&s->lock);
  if (code == EOWNERDEAD) {
    int sum = 0;
    for (int i = 0; i < SLOT_COUNT; i++) sum += s->words[SLOTS + i];
    s->words[FIRST] = s->words[SECOND] = sum;
    s->words[REPORTS]++;
    must(pthread_mutex_consistent(&s->lock), "pthread_mutex_consistent");
  } else {
    must(code, "pthread_mutex_lock");
  }
}

/* Adds 1 to three ints, so that others could get in between. */
static void work(void) {
  take();
  if (s->words[FIRST] != s->words[SECOND]) s->words[BROKEN]++;
  int value = s->words[FIRST] + 1;
  s->words[FIRST] = value;
  for (volatile int i = 0; i < 50; i++) continue;
  s->words[SLOTS + getpid() % SLOT_COUNT]++;
  s->words[SECOND] = value;
  must(pthread_mutex_unlock(&s->lock), "pthread_mutex_unlock");
}

static void *count(void *times) {
  for (long left = (long)times; left > 0; left--) work();
  return NULL;
}

static void *work_until_stopped(void *unused) {
  while (s->words[STOP] == 0) work();
  return unused;
}

/* The same, with pauses, in which others find the mutex free. */
static void *visit_until_stopped(void *unused) {
  while (s->words[STOP] == 0) {
    work();
    usleep(rand() % 100);
  }
  return unused;
}

static void run_threads(int number, void *(*run)(void *), void *argument) {
  pthread_t threads[16];
  for (int i = 0; i < number; i++) {
    must(pthread_create(&threads[i], NULL, run, argument), "pthread_create");
  }
  for (int i = 0; i < number; i++) pthread_join(threads[i], NULL);
}

/* Kills so many processes in the middle of what they do, two at a time. */
static void storm(int rounds) {
  pid_t victims[2] = {0, 0};
  for (int round = 0; round < rounds; round++) {
    pid_t *victim = &victims[round % 2];
    if (*victim != 0) {
      kill(*victim, SIGKILL);
      waitpid(*victim, NULL, 0);
    }
    *victim = fork();
    if (*victim == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) work();
    }
    usleep(rand() % 1000);
  }
  for (int i = 0; i < 2; i++) {
    if (victims[i] == 0) continue;
    kill(victims[i], SIGKILL);
    waitpid(victims[i], NULL, 0);
  }
}

static const char *answer(const char *word, int *n) {
  if (strcmp(word, "init") == 0) {
    init(n[0], n[1], n[2], n[3]);
    return "ok";
  }
  if (strcmp(word, "lock") == 0) return told(pthread_mutex_lock(&s->lock));
  if (strcmp(word, "try") == 0) return told(pthread_mutex_trylock(&s->lock));
  if (strcmp(word, "unlock") == 0) return told(pthread_mutex_unlock(&s->lock));
  if (strcmp(word, "consistent") == 0) {
    return told(pthread_mutex_consistent(&s->lock));
  }
  if (strcmp(word, "count") == 0) {
    run_threads(n[0], count, (void *)(long)n[1]);
    return "counted";
  }
  if (strcmp(word, "run") == 0) {
    run_threads(n[0], work_until_stopped, NULL);
    return "stopped";
  }
  if (strcmp(word, "visit") == 0) {
    run_threads(n[0], visit_until_stopped, NULL);
    return "stopped";
  }
  if (strcmp(word, "storm") == 0) {
    storm(n[0]);
    return "over";
  }
  if (strcmp(word, "flip") == 0) { /* as no program would */
    volatile int *kind = (int *)&s->lock + 4;
    for (int i = 0; i < n[1] && s->words[STOP] == 0; i++) *kind ^= n[0];
    return "flipped";
  }
  if (strcmp(word, "await") == 0) {
    take();
    while (s->words[READY] == 0) {
      must(pthread_cond_wait(&s->changed, &s->lock), "pthread_cond_wait");
    }
    s->words[READY]--;
    must(pthread_mutex_unlock(&s->lock), "pthread_mutex_unlock");
    return "woken";
  }
  if (strcmp(word, "signal") == 0) {
    take();
    s->words[READY] += n[0];
    must(pthread_cond_signal(&s->changed), "pthread_cond_signal");
    must(pthread_mutex_unlock(&s->lock), "pthread_mutex_unlock");
    return "ok";
  }
  if (strcmp(word, "read") == 0) return told(pthread_rwlock_rdlock(&s->rw));
  if (strcmp(word, "write") == 0) return told(pthread_rwlock_wrlock(&s->rw));
  if (strcmp(word, "tryread") == 0) {
    return told(pthread_rwlock_tryrdlock(&s->rw));
  }
  if (strcmp(word, "trywrite") == 0) {
    return told(pthread_rwlock_trywrlock(&s->rw));
  }
  if (strcmp(word, "leave") == 0) return told(pthread_rwlock_unlock(&s->rw));
  if (strcmp(word, "barrier") == 0) {
    int code = pthread_barrier_wait(&s->barrier);
    return code == PTHREAD_BARRIER_SERIAL_THREAD ? "last" : told(code);
  }
  errno = EINVAL;
  give_up(word);
  return NULL;
}

static void *map(const char *path) {
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd == -1) give_up(path);
  return mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

int main(int argc, char **argv) {
  char line[100];
  char word[20];
  const char *where = argument(argc, argv, 1, "");
  void *memory = *where == '/' ? map(where) : shmat(atoi(where), NULL, 0);
  if (memory == (void *)-1) give_up(where);
  s = memory;
  print_at_once();
  printf("%zu %zu %zu %zu %zu\n", offsetof(struct shared, changed),
         offsetof(struct shared, rw), offsetof(struct shared, barrier),
         offsetof(struct shared, words), sizeof(struct shared));
  while (fgets(line, sizeof line, stdin) != NULL) {
    int n[4] = {0, 0, 0, 0};
    if (sscanf(line, "%19s %d %d %d %d", word, n, n + 1, n + 2, n + 3) < 1) {
      return 2;
    }
    puts(answer(word, n));
  }
  return 0;
}
