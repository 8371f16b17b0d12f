/* fifo_printer PATH [COUNT]: makes a FIFO anew and prints the records of 1024
 * bytes that come, COUNT of them or for ever. Says "ready" on stderr, and there
 * complains of a record that is no C string in 1024 bytes. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer.h"

enum { RECORD = 1024 };

int main(int argc, char **argv) {
  const char *path = argument(argc, argv, 1, "./named_pipe");
  long left = atol(argument(argc, argv, 2, "-1"));
  print_at_once();
  unlink(path);
  if (mkfifo(path, 0666) != 0) give_up(path);
  int fifo = open(path, O_RDWR);
  if (fifo < 0) give_up(path);
  fprintf(stderr, "ready\n");
  while (left-- != 0) {
    char record[RECORD];
    ssize_t length = read(fifo, record, sizeof record);
    if (length < 0) give_up("read");
    if (length != RECORD || memchr(record, 0, sizeof record) == NULL) {
      fprintf(stderr, "%zd bytes are no record\n", length);
      return 1;
    }
    printf("recv: %s\n", record);
  }
  unlink(path);
  return 0;
}
