/* A Unix seqpacket socket. */
#include "socket.h"

static int fd = -1;

static void open_channel(bool serves) {
  fd = open_socket(SOCK_SEQPACKET, serves);
}

static void send_message(void) {
  if (send(fd, message, size, MSG_NOSIGNAL) < 0) die("send");
}

static void receive_message(void) {
  ssize_t count = recv(fd, message, size, 0);
  if (count < 0) die("recv");
  if (count == 0) exit(0);
}
