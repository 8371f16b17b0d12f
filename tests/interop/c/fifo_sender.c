/* fifo_sender PATH [COUNT [TEXT]]: writes COUNT records of 1024 bytes, each a C
 * string with rubbish after its end, into a FIFO; waits for a reader. */
#include <fcntl.h>
#include <unistd.h>

#include "peer.h"

enum { RECORD = 1024 };

int main(int argc, char **argv) {
  const char *path = argument(argc, argv, 1, "./named_pipe");
  int count = atoi(argument(argc, argv, 2, "3"));
  const char *text = argument(argc, argv, 3, "Send Message");
  int fifo = open(path, O_WRONLY);
  if (fifo < 0) give_up(path);
  for (int i = 0; i < count; i++) {
    char record[RECORD];
    memset(record, '#', sizeof record);
    snprintf(record, sizeof record, "%s[%d]", text, i);
    if (write(fifo, record, sizeof record) != RECORD) give_up("write");
  }
  return 0;
}
