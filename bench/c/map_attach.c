/* A file: opened, mapped, written to, unmapped. */
#include "map.h"

static void open_channel(bool serves) {
  if (serves) exit(2);
}

static void send_message(void) {
  map_file();
  ((volatile char *)memory)[size - 1]++;
}

static void receive_message(void) { unmap_file(); }
