/* semaphore_set_peer: uses a System V semaphore set as the lines on stdin say, and
 * answers each with a line. */
#include <sys/sem.h>
#include <unistd.h>

#include "peer.h"

/* In C, the caller defines this. */
union semun {
  int val;
  struct semid_ds *buf;
  unsigned short *array;
};

/* Opens a set as careful C programs do: not before it has been initialised. */
static int open_initialised(key_t key) {
  struct semid_ds ds;
  union semun argument = {.buf = &ds};
  int id = semget(key, 0, 0);
  if (id < 0) give_up("semget");
  do {
    if (semctl(id, 0, IPC_STAT, argument) != 0) give_up("semctl");
  } while (ds.sem_otime == 0 && usleep(1000) == 0);
  return id;
}

/* Makes a set of three with these values, as careful C programs do. */
static int create(key_t key, int first, int second, int third) {
  unsigned short values[] = {0, second, third};
  union semun argument = {.array = values};
  struct sembuf plus = {0, first, 0};
  int id = semget(key, 3, IPC_CREAT | IPC_EXCL | 0600);
  if (id < 0) give_up("semget");
  if (semctl(id, 0, SETALL, argument) != 0) give_up("semctl");
  if (semop(id, &plus, 1) != 0) give_up("semop");
  return id;
}

static void print_values(int id) {
  struct semid_ds ds;
  union semun argument = {.buf = &ds};
  unsigned short values[100];
  if (semctl(id, 0, IPC_STAT, argument) != 0) give_up("semctl");
  argument.array = values;
  if (semctl(id, 0, GETALL, argument) != 0) give_up("semctl");
  printf("%lu:", (unsigned long)ds.sem_nsems);
  for (size_t i = 0; i < ds.sem_nsems; i++) printf(" %d", values[i]);
  printf("\n");
}

static void print_status(int id) {
  struct semid_ds ds;
  union semun argument = {.buf = &ds};
  if (semctl(id, 0, IPC_STAT, argument) != 0) give_up("semctl");
  printf("%d %o %d %d %ld %ld\n", ds.sem_perm.__key, ds.sem_perm.mode & 0777,
         (int)ds.sem_perm.uid, (int)ds.sem_perm.cuid, (long)ds.sem_otime,
         (long)ds.sem_ctime);
}

int main(void) {
  char line[200];
  char word[20];
  int id = -1;
  print_at_once();
  while (fgets(line, sizeof line, stdin) != NULL) {
    int a = 0, b = 0, c = 0, d = 0;
    if (sscanf(line, "%19s %d %d %d %d", word, &a, &b, &c, &d) < 1) return 2;
    if (strcmp(word, "create") == 0) {
      id = create(a, b, c, d);
      printf("%d\n", id);
    } else if (strcmp(word, "open") == 0) {
      id = open_initialised(a);
      printf("%d\n", id);
    } else if (strcmp(word, "id") == 0) {
      id = a;
      puts("taken over");
    } else if (strcmp(word, "values") == 0) {
      print_values(id);
    } else if (strcmp(word, "status") == 0) {
      print_status(id);
    } else if (strcmp(word, "operate") == 0) { /* two operations at once */
      struct sembuf both[] = {{a, b, 0}, {c, d, 0}};
      if (semop(id, both, 2) != 0) give_up("semop");
      puts("done");
    } else if (strcmp(word, "undo") == 0) { /* one that is undone at the end */
      struct sembuf one = {a, b, SEM_UNDO};
      if (semop(id, &one, 1) != 0) give_up("semop");
      puts("done");
    } else if (strcmp(word, "remove") == 0) {
      if (semctl(id, 0, IPC_RMID) != 0) give_up("semctl");
      puts("removed");
    } else {
      return 2;
    }
  }
  return 0;
}
