/* shared_mutex_peer ID SHM [SLOT]: uses the mutex with that identifier as the lines on
 * stdin say, and answers each with a line. The ints in the shared memory are described
 * in shared_mutex_test.ts. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/shm.h>
#include <unistd.h>

#include "peer.h"
#include "shared_mutex.h"

enum { FIRST, SECOND, BROKEN, REPORTS, STAYER, SLOTS };

static int mutex;
static volatile int *words;

/* Adds 1 to two ints, so that others could get in between. */
static void work(int dead) {
  if (dead) {
    words[SECOND] = words[FIRST];
    words[REPORTS]++;
  } else if (words[FIRST] != words[SECOND]) {
    words[BROKEN]++;
  }
  int value = words[FIRST] + 1;
  words[FIRST] = value;
  for (volatile int i = 0; i < 200; i++) continue;
  words[SECOND] = value;
}

static void loop(int number) {
  volatile int *slot = words + SLOTS + 2 * number;
  for (;;) {
    slot[0] = 1;
    int dead = lock(mutex) == EOWNERDEAD;
    slot[0] = 2;
    work(dead);
    if (words[STAYER] == number + 1) {
      words[FIRST]++;
      slot[0] = 4;
      for (;;) pause();
    }
    slot[0] = 3;
    unlock(mutex, 1);
    slot[0] = 0;
    slot[1]++;
    sched_yield();
  }
}

static const char *told(int result) {
  return result == 0 ? "locked" : result == EBUSY ? "busy" : "owner died";
}

int main(int argc, char **argv) {
  char line[100];
  char word[20];
  mutex = atoi(argument(argc, argv, 1, ""));
  void *memory = shmat(atoi(argument(argc, argv, 2, "")), NULL, 0);
  if (memory == (void *)-1) give_up("shmat");
  words = memory;
  print_at_once();
  puts("up");
  while (fgets(line, sizeof line, stdin) != NULL) {
    int value = 0;
    if (sscanf(line, "%19s %d", word, &value) < 1) return 2;
    if (strcmp(word, "lock") == 0) {
      puts(told(lock(mutex)));
    } else if (strcmp(word, "try") == 0) {
      puts(told(try_lock(mutex)));
    } else if (strcmp(word, "unlock") == 0) {
      unlock(mutex, 1);
      puts("unlocked");
    } else if (strcmp(word, "leave") == 0) {
      unlock(mutex, 0);
      puts("unlocked");
    } else if (strcmp(word, "count") == 0) {
      while (value-- > 0) {
        work(lock(mutex) == EOWNERDEAD);
        unlock(mutex, 1);
      }
      puts("counted");
    } else if (strcmp(word, "fork") == 0) {
      /* The child lives on, and says so when it is asked to. */
      if (fork() != 0) {
        for (;;) pause();
      }
      puts("forked");
    } else if (strcmp(word, "loop") == 0) {
      loop(atoi(argument(argc, argv, 3, "0")));
    } else {
      return 2;
    }
  }
  return 0;
}
