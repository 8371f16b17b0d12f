/* A mapped file, looked through for a byte that is not there. */
#include "map.h"

static void open_channel(bool serves) {
  if (serves) exit(2);
  map_file();
}

static void send_message(void) {}

static void receive_message(void) {
  const void *volatile found = memchr(memory, 1, size);
  if (found != NULL) die("memchr");
}
