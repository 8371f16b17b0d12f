/* flow send ID COUNT SIZE: sends so many messages of so many bytes to a System V queue.
 * flow receive ID COUNT: receives so many. Prints "done". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>

int main(int argc, char **argv) {
  static struct {
    long type;
    char bytes[8192];
  } letter = {.type = 1};
  if (argc < 4) return 2;
  int queue = atoi(argv[2]);
  long count = atol(argv[3]);
  size_t size = argc > 4 ? strtoul(argv[4], NULL, 10) : sizeof letter.bytes;
  int sends = strcmp(argv[1], "send") == 0;
  while (count-- > 0) {
    if (sends ? msgsnd(queue, &letter, size, 0) != 0
              : msgrcv(queue, &letter, size, 0, 0) < 0) {
      perror(argv[1]);
      return 1;
    }
  }
  printf("done\n");
  return 0;
}
