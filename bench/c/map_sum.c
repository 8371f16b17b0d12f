/* A mapped file of doubles, added up in a loop. */
#include "map.h"

static void open_channel(bool serves) {
  if (serves) exit(2);
  map_file();
}

static void send_message(void) {}

static void receive_message(void) {
  const double *values = (const double *)memory;
  volatile double result;
  double sum = 0;
  for (size_t i = 0; i < size / sizeof *values; i++) sum += values[i];
  result = sum;
  if (result != 0) die("sum");
}
