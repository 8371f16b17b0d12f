/* shared_count KEY: adds 1 to the int in a segment that it makes if need be. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int id = shmget(atoi(argv[1]), sizeof(int), IPC_CREAT | 0600);
  int *value = shmat(id, NULL, 0);
  if (value == (void *)-1) return 1;
  printf("%d\n", ++*value);
  return shmdt(value) != 0;
}
