/* receive_numbers QUEUE COUNT TYPES: receives what send_numbers has sent, until it has seen
 * the last number of each type. Prints how many messages there were, how many of them were
 * repeated or late, how many were missing when the next one came, and how many torn. */
#include "numbers.h"

enum { MAX_TYPES = 16 };

int main(int argc, char **argv) {
  long count = atol(argument(argc, argv, 2, "1"));
  long types = atol(argument(argc, argv, 3, "1"));
  long expected[MAX_TYPES] = {0};
  long received = 0, repeated = 0, missing = 0, torn = 0, whole = 0;
  if (types > MAX_TYPES) return 2;
  struct queue queue = open_queue(argument(argc, argv, 1, "12345"));
  print_at_once();
  printf("up\n");
  while (whole < types) {
    struct letter letter;
    ssize_t size = receive_letter(queue, &letter);
    long number = letter.numbers[0];
    received++;
    if (size != sizeof letter.numbers || number != ~letter.numbers[1] ||
        letter.type < 1 || letter.type > types) {
      torn++;
      continue;
    }
    long *next = &expected[letter.type - 1];
    if (number < *next) {
      repeated++;
      continue;
    }
    missing += number - *next;
    *next = number + 1;
    if (*next == (count - letter.type + types) / types) whole++;
  }
  printf("received %ld, repeated %ld, missing %ld, torn %ld\n", received, repeated,
         missing, torn);
  return 0;
}
