/* sysv_queue_receive ID TYPE: receives one message from a queue by its id, and prints
 * its type, size, fields, and its bytes in hexadecimal. */
#include <sys/msg.h>

#include "peer.h"
#include "person.h"

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct letter letter;
  memset(&letter, 0xee, sizeof letter);
  ssize_t size =
      msgrcv(atoi(argv[1]), &letter, sizeof letter.person, atol(argv[2]), 0);
  if (size < 0) give_up("msgrcv");
  printf("%ld %zd %d %.20s", letter.type, size, letter.person.age,
         letter.person.name);
  const unsigned char *bytes = (const unsigned char *)&letter.person;
  for (ssize_t i = 0; i < size; i++) printf(" %02x", bytes[i]);
  printf("\n");
  return 0;
}
