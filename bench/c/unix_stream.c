/* A Unix stream socket. */
#include "socket.h"
#include "stream.h"

static void open_channel(bool serves) {
  in = out = open_socket(SOCK_STREAM, serves);
}
