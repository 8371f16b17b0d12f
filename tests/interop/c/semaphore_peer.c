/* semaphore_peer name NAME | shm ID OFFSET | map FILE OFFSET: uses a POSIX
 * semaphore as the lines on stdin say, and answers each with a line. Behind one in
 * shared memory there is an int to count with. */
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include "peer.h"

/* The semaphore that the arguments name. */
static sem_t *find(int argc, char **argv) {
  const char *kind = argument(argc, argv, 1, "");
  const char *which = argument(argc, argv, 2, "");
  long offset = atol(argument(argc, argv, 3, "0"));
  char *memory;
  if (strcmp(kind, "name") == 0) {
    sem_t *named = sem_open(which, 0);
    if (named == SEM_FAILED) give_up("sem_open");
    return named;
  }
  if (strcmp(kind, "shm") == 0) {
    memory = shmat(atoi(which), NULL, 0);
    if (memory == (void *)-1) give_up("shmat");
  } else {
    struct stat status;
    int fd = open(which, O_RDWR);
    if (fd < 0 || fstat(fd, &status) != 0) give_up(which);
    memory = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                  0);
    if (memory == MAP_FAILED) give_up("mmap");
  }
  return (sem_t *)(memory + offset);
}

/* Adds 1 to the int behind the semaphore, so that others can get in between. */
static void add(sem_t *semaphore) {
  volatile int *counter = (volatile int *)(semaphore + 1);
  while (sem_wait(semaphore) != 0) continue;
  int value = *counter;
  for (volatile int i = 0; i < 100; i++) continue;
  *counter = value + 1;
  if (sem_post(semaphore) != 0) give_up("sem_post");
}

int main(int argc, char **argv) {
  char line[100];
  char word[20];
  sem_t *semaphore = find(argc, argv);
  print_at_once();
  while (fgets(line, sizeof line, stdin) != NULL) {
    int value = 0;
    if (sscanf(line, "%19s %d", word, &value) < 1) return 2;
    if (strcmp(word, "init") == 0) {
      if (sem_init(semaphore, 1, value) != 0) give_up("sem_init");
      puts("ready");
    } else if (strcmp(word, "threads") == 0) {
      if (sem_init(semaphore, 0, value) != 0) give_up("sem_init");
      puts("ready");
    } else if (strcmp(word, "post") == 0) {
      if (sem_post(semaphore) != 0) give_up("sem_post");
      puts("posted");
    } else if (strcmp(word, "wait") == 0) {
      while (sem_wait(semaphore) != 0) continue;
      puts("taken");
    } else if (strcmp(word, "try") == 0) {
      puts(sem_trywait(semaphore) == 0 ? "taken" : "none");
    } else if (strcmp(word, "value") == 0) {
      if (sem_getvalue(semaphore, &value) != 0) give_up("sem_getvalue");
      printf("%d\n", value);
    } else if (strcmp(word, "add") == 0) {
      while (value-- > 0) add(semaphore);
      puts("added");
    } else {
      return 2;
    }
  }
  return 0;
}
