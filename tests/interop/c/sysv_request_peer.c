/* sysv_request_peer serve ID COUNT: replies to so many requests with their bytes doubled.
 * sysv_request_peer ask ID SIZE BYTE: sends a request of so many bytes, and prints the
 * size of the reply and its first byte.
 * sysv_request_peer send ID SIZE BYTE: sends the same, and does not wait. */
#include <sys/msg.h>
#include <unistd.h>

#include "peer.h"

struct letter {
  long type;
  union {
    long reply_type; /* of a request; its data follows */
    unsigned char bytes[8192];
  };
};

static void serve(int queue, int count) {
  static struct letter letter;
  while (count-- > 0) {
    ssize_t size = msgrcv(queue, &letter, sizeof letter.bytes, 1, 0);
    if (size < 0) give_up("msgrcv");
    letter.type = letter.reply_type;
    size -= sizeof letter.reply_type;
    memmove(letter.bytes, letter.bytes + sizeof letter.reply_type, size);
    for (ssize_t i = 0; i < size; i++) letter.bytes[i] *= 2;
    if (msgsnd(queue, &letter, size, 0) != 0) give_up("msgsnd");
  }
}

static void ask(int queue, size_t size, int byte, int waits) {
  static struct letter letter;
  long reply_type = (long)getpid() << 32 | 1;
  letter.type = 1;
  letter.reply_type = reply_type;
  memset(letter.bytes + sizeof reply_type, byte, size);
  if (msgsnd(queue, &letter, sizeof reply_type + size, 0) != 0) {
    give_up("msgsnd");
  }
  if (!waits) return;
  ssize_t got = msgrcv(queue, &letter, sizeof letter.bytes, reply_type, 0);
  if (got < 0) give_up("msgrcv");
  printf("%zd %d\n", got, got > 0 ? letter.bytes[0] : -1);
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int queue = atoi(argv[2]);
  print_at_once();
  if (strcmp(argv[1], "serve") == 0) {
    serve(queue, atoi(argv[3]));
  } else {
    ask(queue, atoi(argv[3]), atoi(argument(argc, argv, 4, "0")),
        strcmp(argv[1], "ask") == 0);
  }
  return 0;
}
