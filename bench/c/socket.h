/* A connected Unix socket of any type. */
#ifndef SOCKET_H
#define SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "bench.h"

static int open_socket(int type, bool serves) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, addresses[0], sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, type, 0);
  if (fd < 0) die("socket");
  if (!serves) {
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
      die("connect");
    }
    return fd;
  }
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
  if (listen(fd, 1) < 0) die("listen");
  ready();
  int connection = accept(fd, NULL, NULL);
  if (connection < 0) die("accept");
  return connection;
}

#endif
