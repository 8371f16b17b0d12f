/* shared_condition_peer MUTEX SHM CONDITION: waits and makes changes as the lines on
 * stdin say. The ints in the shared memory are described in shared_condition_test.ts. */
#define _GNU_SOURCE
#include <sys/shm.h>
#include <unistd.h>

#include "peer.h"
#include "shared_mutex.h"

enum { GATES = 4 };
enum { FIRST, SECOND, TOKENS, INSIDE, TIMES };

static int mutex;
static int condition;
static volatile int *words;

static void operate(int set, struct sembuf *operations, int count) {
  while (semop(set, operations, count) != 0) {
    if (errno != EINTR) give_up("semop");
  }
}

/* The gate that is closed, or else (if there is one) the first that can be; else -1. */
static int find_gate(int *closed) {
  unsigned short values[2 * GATES];
  if (semctl(condition, 0, GETALL, values) != 0) give_up("semctl");
  *closed = 1;
  for (int gate = 0; gate < GATES; gate++) {
    if (values[2 * gate] != 0) return gate;
  }
  *closed = 0;
  for (int gate = 0; gate < GATES; gate++) {
    if (values[2 * gate + 1] == 0) return gate;
  }
  return -1;
}

/* Unlocks, and waits for a change. */
static void wait_for_change(void) {
  int closed;
  int gate = find_gate(&closed);
  if (gate == -1) { /* all are still being left: look again, a little later */
    unlock(mutex, 1);
    usleep(1000);
    return;
  }
  struct sembuf join[] = {{2 * gate, -1, IPC_NOWAIT},
                          {2 * gate, 1, 0},
                          {2 * gate + 1, 1, SEM_UNDO}};
  struct sembuf close[] = {{2 * gate, 0, IPC_NOWAIT},
                           {2 * gate + 1, 0, IPC_NOWAIT},
                           {2 * gate, 1, 0},
                           {2 * gate + 1, 1, SEM_UNDO}};
  struct sembuf wait[] = {{2 * gate, 0, 0}};
  struct sembuf leave[] = {{2 * gate + 1, -1, IPC_NOWAIT | SEM_UNDO}};
  operate(condition, closed ? join : close, closed ? 3 : 4);
  unlock(mutex, 1);
  operate(condition, wait, 1);
  operate(condition, leave, 1);
}

/* Promises to open the gate at which they wait; -1 when nobody does. */
static int begin_change(void) {
  int closed;
  int gate = find_gate(&closed);
  if (!closed) return -1;
  struct sembuf promise[] = {{2 * gate, -1, IPC_NOWAIT}, {2 * gate, 1, SEM_UNDO}};
  operate(condition, promise, 2);
  return gate;
}

static void end_change(int gate) {
  struct sembuf open[] = {{2 * gate, -1, IPC_NOWAIT | SEM_UNDO}};
  if (gate != -1) operate(condition, open, 1);
}

/* Locks when the predicate holds. */
static void lock_when(int (*predicate)(int), int argument) {
  for (;;) {
    if (lock(mutex) == EOWNERDEAD) words[SECOND] = words[FIRST];
    if (predicate(argument)) return;
    wait_for_change();
  }
}

static int is_there(int least) { return words[TOKENS] >= least; }
static int is_turn(int turn) { return words[FIRST] % 4 == turn; }

static void add(int tokens, int stays) {
  if (lock(mutex) == EOWNERDEAD) words[SECOND] = words[FIRST];
  int gate = begin_change();
  words[FIRST]++;
  words[TOKENS] += tokens;
  if (stays) {
    words[INSIDE] = getpid();
    for (;;) pause();
  }
  words[SECOND]++;
  end_change(gate);
  unlock(mutex, 1);
  words[TIMES]++;
}

static void take(void) {
  lock_when(is_there, 1);
  int gate = begin_change();
  words[TOKENS]--;
  end_change(gate);
  unlock(mutex, 1);
  words[TIMES]++;
}

static void turns(int turn, int count) {
  while (count-- > 0) {
    lock_when(is_turn, turn);
    int gate = begin_change();
    words[FIRST]++;
    words[SECOND]++;
    end_change(gate);
    unlock(mutex, 1);
  }
}

int main(int argc, char **argv) {
  char line[100];
  char word[20];
  mutex = atoi(argument(argc, argv, 1, ""));
  void *memory = shmat(atoi(argument(argc, argv, 2, "")), NULL, 0);
  if (memory == (void *)-1) give_up("shmat");
  words = memory;
  condition = atoi(argument(argc, argv, 3, ""));
  print_at_once();
  puts("up");
  while (fgets(line, sizeof line, stdin) != NULL) {
    int value = 0, times = 0;
    if (sscanf(line, "%19s %d %d", word, &value, &times) < 1) return 2;
    if (strcmp(word, "stay") == 0) {
      add(3, 1);
    } else if (strcmp(word, "wait") == 0) {
      lock_when(is_there, 1000000);
    } else if (strcmp(word, "add") == 0) {
      for (;;) add(1, 0);
    } else if (strcmp(word, "take") == 0) {
      for (;;) take();
    } else if (strcmp(word, "turns") == 0) {
      turns(value, times);
      puts("done");
    } else {
      return 2;
    }
  }
  return 0;
}
