/* sysv_queue_writer KEY [AGE [NAME [COUNT [TYPE]]]]: sends messages of 22 bytes, with
 * rubbish after the name's end; a name of 20 bytes has no end at all. */
#include <sys/ipc.h>
#include <sys/msg.h>

#include "peer.h"
#include "person.h"

int main(int argc, char **argv) {
  key_t key = atoi(argument(argc, argv, 1, "12345"));
  const char *name = argument(argc, argv, 3, "ghkim");
  int count = atoi(argument(argc, argv, 4, "1"));
  struct letter letter;
  letter.type = atol(argument(argc, argv, 5, "1"));
  letter.person.age = (short)atoi(argument(argc, argv, 2, "80"));
  memset(letter.person.name, '#', sizeof letter.person.name);
  size_t length = strlen(name) + 1;
  if (length > sizeof letter.person.name) length = sizeof letter.person.name;
  memcpy(letter.person.name, name, length);

  print_at_once();
  int queue = msgget(key, IPC_CREAT | 0666);
  if (queue < 0) give_up("msgget");
  while (count-- > 0) {
    if (msgsnd(queue, &letter, sizeof letter.person, 0) != 0) give_up("msgsnd");
    printf("message sent\n");
  }
  return 0;
}
