/* shared_rw_lock_peer ID SHM [SLOT]: uses the reader-writer lock with that identifier
 * as the lines on stdin say, and answers each with a line. The ints in the shared
 * memory are described in shared_rw_lock_test.ts. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

enum { LOCK, MARK, TURN, READERS, WAITING };
enum { FIRST, SECOND, BROKEN, REPAIRS, SLOTS };
enum { OUTSIDE, CALLING, READING, WRITING, ASKING };
enum { GO_ON, STAY_READING, STAY_WRITING, WRITE };

static int lock;
static volatile int *words;

/* 0, EOWNERDEAD, or EBUSY when it has to wait. */
static int take(struct sembuf *whole, int count, struct sembuf *marked, int more) {
  if (semop(lock, whole, count) == 0) return 0;
  if (errno != EAGAIN) give_up("semop");
  if (semop(lock, marked, more) == 0) return EOWNERDEAD;
  if (errno != EAGAIN) give_up("semop");
  return EBUSY;
}

/* What a holder does to the turn: it waits until nobody has it, or gives its own away. */
static struct sembuf turn_of(int has_turn) {
  struct sembuf free = {TURN, 0, IPC_NOWAIT}, give = {TURN, -1, IPC_NOWAIT | SEM_UNDO};
  return has_turn ? give : free;
}

static int try_write_in(int has_turn) {
  struct sembuf whole[] = {{LOCK, 0, IPC_NOWAIT},  {READERS, 0, IPC_NOWAIT},
                           turn_of(has_turn),      {MARK, 0, IPC_NOWAIT},
                           {LOCK, 1, SEM_UNDO},    {MARK, 1, 0}};
  struct sembuf marked[] = {{LOCK, 0, IPC_NOWAIT}, {READERS, 0, IPC_NOWAIT},
                            turn_of(has_turn),     {MARK, -1, IPC_NOWAIT},
                            {MARK, 1, 0},          {LOCK, 1, SEM_UNDO}};
  return take(whole, 6, marked, 6);
}

static int try_write(void) { return try_write_in(0); }

/* Of a reader; regardless of waiters. */
static int try_read(void) {
  struct sembuf whole[] = {{LOCK, 0, IPC_NOWAIT},
                           {MARK, 0, IPC_NOWAIT},
                           {READERS, 1, SEM_UNDO}};
  struct sembuf marked[] = {{LOCK, 0, IPC_NOWAIT},
                            {MARK, -1, IPC_NOWAIT},
                            {MARK, 1, 0},
                            {READERS, 1, SEM_UNDO}};
  return take(whole, 3, marked, 4);
}

static int try_read_in(int has_turn) {
  struct sembuf whole[] = {{LOCK, 0, IPC_NOWAIT},
                           turn_of(has_turn),
                           {WAITING, 0, IPC_NOWAIT},
                           {MARK, 0, IPC_NOWAIT},
                           {READERS, 1, SEM_UNDO}};
  struct sembuf marked[] = {{LOCK, 0, IPC_NOWAIT},
                            turn_of(has_turn),
                            {WAITING, 0, IPC_NOWAIT},
                            {MARK, -1, IPC_NOWAIT},
                            {MARK, 1, 0},
                            {READERS, 1, SEM_UNDO}};
  if (has_turn) whole[2] = marked[2] = whole[0]; /* it need not wait for writers */
  return take(whole, 5, marked, 6);
}

/* Waits for at most that many milliseconds. Whether the operations are done. */
static int wait_for(struct sembuf *operations, int count, long ms) {
  struct timespec time = {0, ms * 1000000};
  if (semtimedop(lock, operations, count, &time) == 0) return 1;
  if (errno != EAGAIN && errno != EINTR) give_up("semtimedop");
  return 0;
}

/* The operations wait until one can lock: the first few of them, with the turn. */
static int lock_in_turn(int (*try_in)(int), struct sembuf *wait, int few, int all) {
  struct sembuf take_turn[] = {{TURN, 0, 0}, {TURN, 1, SEM_UNDO}};
  int result = try_in(0);
  if (result != EBUSY) return result;
  wait_for(wait, all, 2);
  for (int has_turn = 0;;) {
    has_turn = has_turn && semctl(lock, TURN, GETPID) == getpid(); /* not taken away */
    result = has_turn ? try_in(1) : EBUSY;
    if (result == EBUSY) result = try_in(0);
    if (result != EBUSY) return result;
    if (has_turn) {
      wait_for(wait, few, 100);
    } else {
      has_turn = wait_for(take_turn, 2, 100);
    }
  }
}

static int write_lock(void) {
  struct sembuf announce[] = {{WAITING, 1, SEM_UNDO}};
  struct sembuf wait[] = {{LOCK, 0, 0}, {READERS, 0, 0}, {TURN, 0, 0}};
  struct sembuf withdraw[] = {{WAITING, -1, IPC_NOWAIT | SEM_UNDO}};
  int result = try_write();
  if (result != EBUSY) return result;
  if (semop(lock, announce, 1) != 0) give_up("semop");
  result = lock_in_turn(try_write_in, wait, 2, 3);
  if (semop(lock, withdraw, 1) != 0) give_up("semop");
  return result;
}

static double impatient_at;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

/* A reader lets others go first for a second. */
static int try_read_politely(int has_turn) {
  int result = try_read_in(has_turn);
  return result == EBUSY && now() >= impatient_at ? try_read() : result;
}

static int read_lock(void) {
  struct sembuf wait[] = {{LOCK, 0, 0}, {TURN, 0, 0}, {WAITING, 0, 0}};
  impatient_at = now() + 1;
  return lock_in_turn(try_read_politely, wait, 1, 3);
}

static void unlock_write(int consistent) {
  struct sembuf give[] = {{LOCK, -1, IPC_NOWAIT | SEM_UNDO},
                          {MARK, -1, IPC_NOWAIT}};
  if (semop(lock, give, consistent ? 2 : 1) != 0) give_up("semop");
}

static void unlock_read(void) {
  struct sembuf give[] = {{READERS, -1, IPC_NOWAIT | SEM_UNDO}};
  if (semop(lock, give, 1) != 0) give_up("semop");
}

static void stay(volatile int *order, int here) {
  while (*order == here) sched_yield();
}

/* Adds 1 to two ints, so that others could get in between. */
static void change(int dead, volatile int *order) {
  if (dead) {
    words[SECOND] = words[FIRST];
    words[REPAIRS]++;
  } else if (words[FIRST] != words[SECOND]) {
    words[BROKEN]++;
  }
  int value = words[FIRST] + 1;
  words[FIRST] = value;
  for (volatile int i = 0; i < 200; i++) continue;
  stay(order, STAY_WRITING);
  words[SECOND] = value;
}

static void write_once(volatile int *slot) {
  slot[0] = ASKING;
  int dead = write_lock() == EOWNERDEAD;
  slot[0] = WRITING;
  change(dead, slot + 2);
  slot[0] = CALLING;
  unlock_write(1);
  slot[0] = OUTSIDE;
}

/* Whether it could read; if not, somebody has to write first. */
static int read_once(volatile int *slot) {
  slot[0] = CALLING;
  int dead = read_lock() == EOWNERDEAD;
  slot[0] = READING;
  if (!dead) {
    int value = words[FIRST];
    for (volatile int i = 0; i < 200; i++) continue;
    if (words[FIRST] != value || words[SECOND] != value) words[BROKEN]++;
  }
  stay(slot + 2, STAY_READING);
  slot[0] = CALLING;
  unlock_read();
  slot[0] = OUTSIDE;
  return !dead;
}

static void loop(volatile int *slot) {
  for (int round = 0;; round++) {
    int order = slot[2];
    int reads = order == GO_ON ? round % 2 == 0 : order == STAY_READING;
    if (!reads || !read_once(slot)) write_once(slot);
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
  lock = atoi(argument(argc, argv, 1, ""));
  void *memory = shmat(atoi(argument(argc, argv, 2, "")), NULL, 0);
  if (memory == (void *)-1) give_up("shmat");
  words = memory;
  volatile int *slot = words + SLOTS + 3 * atoi(argument(argc, argv, 3, "0"));
  print_at_once();
  puts("up");
  while (fgets(line, sizeof line, stdin) != NULL) {
    int value = 0;
    if (sscanf(line, "%19s %d", word, &value) < 1) return 2;
    if (strcmp(word, "read") == 0) {
      puts(told(read_lock()));
    } else if (strcmp(word, "write") == 0) {
      puts(told(write_lock()));
    } else if (strcmp(word, "try-read") == 0) {
      puts(told(try_read()));
    } else if (strcmp(word, "try-write") == 0) {
      puts(told(try_write()));
    } else if (strcmp(word, "unlock-read") == 0) {
      unlock_read();
      puts("unlocked");
    } else if (strcmp(word, "unlock-write") == 0) {
      unlock_write(1);
      puts("unlocked");
    } else if (strcmp(word, "leave") == 0) {
      unlock_write(0);
      puts("unlocked");
    } else if (strcmp(word, "count") == 0) {
      while (value-- > 0) {
        read_once(slot);
        write_once(slot);
      }
      puts("counted");
    } else if (strcmp(word, "loop") == 0) {
      loop(slot);
    } else {
      return 2;
    }
  }
  return 0;
}
