/* line_client PATH [slow]: sends what is typed to a Unix socket, prints every
 * answer, and prompts again when a read begins with "end". "quit" ends it, and
 * so does the end of the input. "slow" lets every answer lie for a while, so that
 * what a server sends without waiting runs together in one read.
 *
 * Exit code 3: the server closed. Exit code 4: an "end" inside of an answer. */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

enum { LINE = 255 };

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "Usage: line_client PATH\n");
    return 2;
  }
  int slow = strcmp(argument(argc, argv, 2, ""), "slow") == 0;
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  if (server < 0) give_up("socket");
  if (connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
    give_up(argv[1]);
  }
  while (1) {
    char line[LINE] = "";
    printf("입력 : ");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) return 0;
    if (write(server, line, strlen(line)) < 0) give_up("write");
    if (strncmp(line, "quit", 4) == 0) return 0;
    while (1) {
      char answer[LINE + 1];
      if (slow) {
        struct pollfd there = {.fd = server, .events = POLLIN};
        poll(&there, 1, -1);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
      }
      ssize_t length = read(server, answer, LINE);
      if (length < 0) give_up("read");
      if (length == 0) {
        fprintf(stderr, "the server closed\n");
        return 3;
      }
      answer[length] = '\0';
      if (strncmp(answer, "end", 3) == 0) break;
      if (strstr(answer, "end") != NULL) {
        fprintf(stderr, "an end inside of \"%s\"\n", answer);
        return 4;
      }
      printf("%s\n", answer);
      fflush(stdout);
    }
  }
}
