/* Two FIFOs: the first goes to the one who serves, the second comes from there. */
#include <fcntl.h>

#include "stream.h"

static int open_end(const char *path, int flags) {
  int fd = open(path, flags);
  if (fd < 0) die(path);
  return fd;
}

static void open_channel(bool serves) {
  if (serves) ready();
  const int to = open_end(addresses[0], serves ? O_RDONLY : O_WRONLY);
  const int from = open_end(addresses[1], serves ? O_WRONLY : O_RDONLY);
  in = serves ? to : from;
  out = serves ? from : to;
}
