/* send_numbers KEY COUNT TYPES [FIRST]: sends so many messages of 16 bytes to a queue, whose
 * types are 1 to TYPES in turn. Each has a number, which goes up within its type. */
#include <sys/ipc.h>
#include <sys/msg.h>

#include "peer.h"

int main(int argc, char **argv) {
  key_t key = atoi(argument(argc, argv, 1, "12345"));
  long count = atol(argument(argc, argv, 2, "1"));
  long types = atol(argument(argc, argv, 3, "1"));
  long first = atol(argument(argc, argv, 4, "0"));
  struct {
    long type;
    long numbers[2];
  } letter;

  int queue = msgget(key, IPC_CREAT | 0666);
  if (queue < 0) give_up("msgget");
  for (long i = 0; i < count; i++) {
    letter.type = i % types + 1;
    letter.numbers[0] = first + i / types;
    letter.numbers[1] = ~letter.numbers[0];
    if (msgsnd(queue, &letter, sizeof letter.numbers, 0) != 0) give_up("msgsnd");
  }
  printf("sent %ld\n", count);
  return 0;
}
