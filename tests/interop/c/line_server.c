/* line_server PATH [end]: prints what its clients send, one client at a time,
 * and answers "IPC SUCCESS" to every read; to "quit" it answers "Connection
 * Closed" and closes. With "end", it sends that as well, once the client has read
 * the answer. Says "ready" on stderr. */
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

enum { LINE = 255 };

static void say(int client, const char *text) {
  if (send(client, text, strlen(text), MSG_NOSIGNAL) < 0) {
    fprintf(stderr, "send: %s\n", strerror(errno));
  }
}

/* Waits until the client has read all that was sent to it. */
static void wait_until_read(int client) {
  int unread = 1;
  /* TIOCOUTQ is SIOCOUTQ, which musl's headers lack. */
  while (ioctl(client, TIOCOUTQ, &unread) == 0 && unread > 0) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "Usage: line_server PATH\n");
    return 2;
  }
  int ends = strcmp(argument(argc, argv, 2, ""), "end") == 0;
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  print_at_once();
  unlink(argv[1]);
  if (listener < 0) give_up("socket");
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, 5) != 0) {
    give_up(argv[1]);
  }
  fprintf(stderr, "ready\n");
  while (1) {
    int client = accept(listener, NULL, NULL);
    if (client < 0) give_up("accept");
    while (1) {
      char line[LINE + 1];
      ssize_t length = read(client, line, LINE);
      if (length <= 0) break;
      fwrite(line, 1, (size_t)length, stdout);
      if (length >= 4 && memcmp(line, "quit", 4) == 0) {
        say(client, "Connection Closed\n");
        break;
      }
      say(client, "IPC SUCCESS");
      if (ends) {
        wait_until_read(client);
        say(client, "end");
      }
    }
    close(client);
  }
}
