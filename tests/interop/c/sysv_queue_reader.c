/* sysv_queue_reader KEY [keep|hex]: waits for one message and prints it, or its type
 * and bytes in hexadecimal; then removes the queue, unless it is to be kept. */
#include <sys/ipc.h>
#include <sys/msg.h>

#include "peer.h"
#include "person.h"

int main(int argc, char **argv) {
  key_t key = atoi(argument(argc, argv, 1, "12345"));
  const char *mode = argument(argc, argv, 2, "");
  /* Room for more than a message, to see one that is too long. */
  struct {
    long type;
    union {
      struct person person;
      unsigned char bytes[64];
    };
  } letter;

  print_at_once();
  int queue = msgget(key, IPC_CREAT | 0666);
  if (queue < 0) give_up("msgget");
  ssize_t length = msgrcv(queue, &letter, sizeof letter.bytes, 0, 0);
  if (length < 0) give_up("msgrcv");
  if (strcmp(mode, "hex") == 0) {
    printf("type %ld:", letter.type);
    for (ssize_t i = 0; i < length; i++) printf(" %02x", letter.bytes[i]);
    printf("\n");
  } else if (length != sizeof letter.person) {
    fprintf(stderr, "%zd bytes are no message\n", length);
    return 1;
  } else {
    printf("name : %.20s, age :%d\n", letter.person.name, letter.person.age);
  }
  if (strcmp(mode, "keep") != 0 && msgctl(queue, IPC_RMID, NULL) != 0) {
    give_up("msgctl");
  }
  return 0;
}
