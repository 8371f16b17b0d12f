/* A mapped file, copied into other memory. */
#include "map.h"

static void open_channel(bool serves) {
  if (serves) exit(2);
  map_file();
}

static void send_message(void) {}

static void receive_message(void) {
  memcpy(message, memory, size);
  __asm__ volatile("" ::: "memory"); /* the compiler must keep the copy */
}
