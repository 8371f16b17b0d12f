/* counter KEY [remove|hold|look]: counts the number in a shared memory segment
 * up and prints it. "remove" removes the segment then; "hold" stays attached and
 * prints the number again for every line of input; "look" does not count. */
#include <sys/ipc.h>
#include <sys/shm.h>

#include "peer.h"

int main(int argc, char **argv) {
  key_t key = atoi(argument(argc, argv, 1, "12345"));
  const char *mode = argument(argc, argv, 2, "");
  print_at_once();
  int segment = shmget(key, sizeof(int), IPC_CREAT | 0666);
  if (segment < 0) give_up("shmget");
  volatile int *number = shmat(segment, NULL, 0);
  if (number == (void *)-1) give_up("shmat");
  if (strcmp(mode, "look") != 0) *number += 1;
  printf("shared memory value :%d\n", *number);
  if (strcmp(mode, "remove") == 0 && shmctl(segment, IPC_RMID, NULL) != 0) {
    give_up("shmctl");
  }
  if (strcmp(mode, "hold") == 0) {
    while (getchar() != EOF) printf("shared memory value :%d\n", *number);
  }
  return 0;
}
