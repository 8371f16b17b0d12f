/* send_numbers QUEUE COUNT TYPES: sends so many messages of 16 bytes, whose types are 1 to
 * TYPES in turn. Each has a number, which goes up within its type. */
#include "numbers.h"

int main(int argc, char **argv) {
  long count = atol(argument(argc, argv, 2, "1"));
  long types = atol(argument(argc, argv, 3, "1"));
  struct queue queue = open_queue(argument(argc, argv, 1, "12345"));
  for (long i = 0; i < count; i++) {
    long number = i / types;
    struct letter letter = {i % types + 1, {number, ~number}};
    send_letter(queue, &letter);
  }
  printf("sent %ld\n", count);
  return 0;
}
