/* memory_file_reader FD: prints the text in a memory file, and tries to change it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int fd = argc == 2 ? atoi(argv[1]) : -1;
  int seals = fcntl(fd, F_GET_SEALS);
  char *text = mmap(NULL, 5, PROT_READ, MAP_PRIVATE, fd, 0);
  if (seals == -1 || text == MAP_FAILED) return 1;
  printf("%.5s %d", text, seals == (F_SEAL_SHRINK | F_SEAL_WRITE));
  printf(" %d", ftruncate(fd, 0) == -1 && errno == EPERM);
  printf(" %d\n", write(fd, "x", 1) == -1 && errno == EPERM);
  return 0;
}
