/* The shared mutex, as a C program takes part in it: docs/shared-locks.md. */
#ifndef SHARED_MUTEX_H
#define SHARED_MUTEX_H

#include <sys/sem.h>

#include "peer.h"

enum { LOCK, MARK };

/* 0, EOWNERDEAD, or EBUSY when it is locked. */
static inline int try_lock(int mutex) {
  struct sembuf take[] = {{LOCK, 0, IPC_NOWAIT},
                          {MARK, 0, IPC_NOWAIT},
                          {LOCK, 1, SEM_UNDO},
                          {MARK, 1, 0}};
  struct sembuf take_from_dead[] = {{LOCK, 0, IPC_NOWAIT},
                                    {MARK, -1, IPC_NOWAIT},
                                    {MARK, 1, 0},
                                    {LOCK, 1, SEM_UNDO}};
  if (semop(mutex, take, 4) == 0) return 0;
  if (errno != EAGAIN) give_up("semop");
  if (semop(mutex, take_from_dead, 4) == 0) return EOWNERDEAD;
  if (errno != EAGAIN) give_up("semop");
  return EBUSY;
}

static inline int lock(int mutex) {
  for (;;) {
    struct sembuf wait[] = {{LOCK, 0, 0}};
    int result = try_lock(mutex);
    if (result != EBUSY) return result;
    if (semop(mutex, wait, 1) != 0 && errno != EINTR) give_up("semop");
  }
}

static inline void unlock(int mutex, int consistent) {
  struct sembuf give[] = {{LOCK, -1, IPC_NOWAIT | SEM_UNDO},
                          {MARK, -1, IPC_NOWAIT}};
  if (semop(mutex, give, consistent ? 2 : 1) != 0) give_up("semop");
}

#endif
