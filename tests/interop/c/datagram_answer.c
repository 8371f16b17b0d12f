/* datagram_answer NAME: binds a datagram socket to a relative path, says "ready",
 * sends what it receives back to the address that it came from, and prints the
 * start of that address.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/un.h>

#include "peer.h"

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sockaddr_un address = {.sun_family = AF_UNIX}, from;
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  socklen_t length = sizeof from;
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    give_up("bind");
  }
  puts("ready");
  fflush(stdout);
  char message[256];
  ssize_t count = recvfrom(fd, message, sizeof message, 0,
                           (struct sockaddr *)&from, &length);
  if (count < 0) give_up("recvfrom");
  if (sendto(fd, message, (size_t)count, 0, (struct sockaddr *)&from,
             length) != count) {
    give_up("sendto");
  }
  printf("%.6s\n", from.sun_path);
  return 0;
}
