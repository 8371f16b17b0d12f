/* receive_numbers KEY COUNT TYPES: receives what send_numbers has sent, until it has seen
 * the last number of each type. Prints how many messages there were, how many of them were
 * repeated, how many were missing, and how many came before one with a lower number. */
#include <sys/ipc.h>
#include <sys/msg.h>

#include "peer.h"

enum { MAX_TYPES = 16 };

int main(int argc, char **argv) {
  key_t key = atoi(argument(argc, argv, 1, "12345"));
  long count = atol(argument(argc, argv, 2, "1"));
  long types = atol(argument(argc, argv, 3, "1"));
  struct {
    long type;
    long numbers[2];
  } letter;
  long expected[MAX_TYPES] = {0};
  long received = 0, repeated = 0, missing = 0, torn = 0, whole = 0;

  if (types > MAX_TYPES) return 2;
  int queue = msgget(key, IPC_CREAT | 0666);
  if (queue < 0) give_up("msgget");
  print_at_once();
  printf("up\n");
  while (whole < types) {
    ssize_t size = msgrcv(queue, &letter, sizeof letter.numbers, 0, 0);
    if (size < 0) give_up("msgrcv");
    received++;
    if (size != sizeof letter.numbers || letter.numbers[0] != ~letter.numbers[1] ||
        letter.type < 1 || letter.type > types) {
      torn++;
      continue;
    }
    long *next = &expected[letter.type - 1];
    if (letter.numbers[0] < *next) {
      repeated++;
      continue;
    }
    missing += letter.numbers[0] - *next;
    *next = letter.numbers[0] + 1;
    if (*next == (count - letter.type + types) / types) whole++;
  }
  printf("received %ld, repeated %ld, missing %ld, torn %ld\n", received, repeated,
         missing, torn);
  return 0;
}
