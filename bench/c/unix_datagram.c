/*
 * Two Unix datagram sockets: the first is bound by the one who serves, the second
 * by the other, who says that it is there with an empty message.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "bench.h"

static int in = -1, out = -1;

static int open_socket(const char *path,
                       int use(int, const struct sockaddr *, socklen_t)) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) die("socket");
  if (use(fd, (struct sockaddr *)&address, sizeof address) < 0) die(path);
  return fd;
}

static void send_bytes(size_t count) {
  if (send(out, message, count, MSG_NOSIGNAL) < 0) die("send");
}

static void send_message(void) { send_bytes(size); }

static void receive_message(void) {
  if (recv(in, message, size, 0) < 0) die("recv");
}

static void open_channel(bool serves) {
  in = open_socket(addresses[serves ? 0 : 1], bind);
  if (serves) {
    ready();
    receive_message();
  }
  out = open_socket(addresses[serves ? 1 : 0], connect);
  if (!serves) send_bytes(0);
}
