/* semaphore_set_make KEY get|setval|zero|some|op: makes a set, and gives it a value or
 * none, or gives one of two semaphores a value. */
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int some = strcmp(argv[2], "some") == 0;
  int id = semget(atoi(argv[1]), some ? 2 : 1, IPC_CREAT | IPC_EXCL | 0600);
  struct sembuf plus = {0, 1, 0};
  if (id < 0) return 1;
  if (strcmp(argv[2], "zero") == 0) return semctl(id, 0, SETVAL, 0) != 0;
  if (some || strcmp(argv[2], "setval") == 0) return semctl(id, 0, SETVAL, 3) != 0;
  if (strcmp(argv[2], "op") == 0) return semop(id, &plus, 1) != 0;
  return 0;
}
