/* sysv_queue_send ID TYPE AGE NAME: sends one message to a queue by its id. */
#include <sys/msg.h>

#include "peer.h"
#include "person.h"

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  struct letter letter;
  memset(&letter, 0, sizeof letter);
  letter.type = atol(argv[2]);
  letter.person.age = (short)atoi(argv[3]);
  strncpy(letter.person.name, argv[4], sizeof letter.person.name - 1);
  if (msgsnd(atoi(argv[1]), &letter, sizeof letter.person, 0) != 0) {
    give_up("msgsnd");
  }
  return 0;
}
