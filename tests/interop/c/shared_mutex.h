/* The shared mutex, as a C program takes part in it: docs/shared-locks.md. */
#ifndef SHARED_MUTEX_H
#define SHARED_MUTEX_H

#include <sys/sem.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

enum { LOCK, MARK, TURN };

/* 0, EOWNERDEAD, or EBUSY when it is locked, or the turn of another waiter. */
static inline int try_lock_in(int mutex, int has_turn) {
  struct sembuf turn = {TURN, has_turn ? -1 : 0, IPC_NOWAIT | (has_turn ? SEM_UNDO : 0)};
  struct sembuf take[] = {{LOCK, 0, IPC_NOWAIT},
                          turn,
                          {MARK, 0, IPC_NOWAIT},
                          {LOCK, 1, SEM_UNDO},
                          {MARK, 1, 0}};
  struct sembuf take_from_dead[] = {{LOCK, 0, IPC_NOWAIT},
                                    turn,
                                    {MARK, -1, IPC_NOWAIT},
                                    {MARK, 1, 0},
                                    {LOCK, 1, SEM_UNDO}};
  if (semop(mutex, take, 5) == 0) return 0;
  if (errno != EAGAIN) give_up("semop");
  if (semop(mutex, take_from_dead, 5) == 0) return EOWNERDEAD;
  if (errno != EAGAIN) give_up("semop");
  return EBUSY;
}

static inline int try_lock(int mutex) { return try_lock_in(mutex, 0); }

/* Waits for at most that many milliseconds. Whether the operations are done. */
static inline int wait_for(int set, struct sembuf *operations, int count, long ms) {
  struct timespec time = {0, ms * 1000000};
  if (semtimedop(set, operations, count, &time) == 0) return 1;
  if (errno != EAGAIN && errno != EINTR) give_up("semtimedop");
  return 0;
}

static inline int lock(int mutex) {
  struct sembuf wait[] = {{LOCK, 0, 0}, {TURN, 0, 0}};
  struct sembuf take_turn[] = {{TURN, 0, 0}, {TURN, 1, SEM_UNDO}};
  int result = try_lock(mutex);
  if (result != EBUSY) return result;
  wait_for(mutex, wait, 2, 2);
  for (int has_turn = 0;;) {
    has_turn = has_turn && semctl(mutex, TURN, GETPID) == getpid(); /* not taken away */
    result = has_turn ? try_lock_in(mutex, 1) : EBUSY;
    if (result == EBUSY) result = try_lock(mutex);
    if (result != EBUSY) return result;
    if (has_turn) {
      wait_for(mutex, wait, 1, 100);
    } else {
      has_turn = wait_for(mutex, take_turn, 2, 100);
    }
  }
}

static inline void unlock(int mutex, int consistent) {
  struct sembuf give[] = {{LOCK, -1, IPC_NOWAIT | SEM_UNDO},
                          {MARK, -1, IPC_NOWAIT}};
  if (semop(mutex, give, consistent ? 2 : 1) != 0) give_up("semop");
}

#endif
