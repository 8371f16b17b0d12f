/*
 * The lock of two System V semaphores that docs/shared-mutex.md tells of: locked to
 * send, and unlocked to receive, by one process alone.
 */
#include <sys/ipc.h>
#include <sys/sem.h>

#include "bench.h"

static int mutex;

static void open_channel(bool serves) {
  if (serves) exit(2);
  mutex = atoi(addresses[0]);
}

static void send_message(void) {
  struct sembuf take[] = {
      {0, 0, IPC_NOWAIT}, {1, 0, IPC_NOWAIT}, {0, 1, SEM_UNDO}, {1, 1, 0}};
  if (semop(mutex, take, 4) < 0) die("semop");
}

static void receive_message(void) {
  struct sembuf give[] = {{0, -1, IPC_NOWAIT | SEM_UNDO}, {1, -1, IPC_NOWAIT}};
  if (semop(mutex, give, 2) < 0) die("semop");
}
