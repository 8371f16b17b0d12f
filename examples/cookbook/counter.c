// Adds to a number in a file, under a lock of the file.
// cc -o counter counter.c
#define _GNU_SOURCE // F_OFD_SETLKW
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void set_lock(int fd, short type) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET}; // all of the file
  if (fcntl(fd, F_OFD_SETLKW, &lock) == -1) { // F_SETLKW excludes the others, too
    perror("fcntl");
    exit(1);
  }
}

int main(int argc, char *argv[]) {
  int fd = open(argc > 1 ? argv[1] : "./counter", O_RDWR | O_CREAT, 0600);
  int times = argc > 2 ? atoi(argv[2]) : 1000;
  for (int time = 0; time < times; time++) {
    set_lock(fd, F_WRLCK);
    char text[21] = "";
    if (pread(fd, text, 20, 0) == -1) return 1;
    int length = snprintf(text, sizeof text, "%d", atoi(text) + 1);
    if (pwrite(fd, text, length, 0) != length) return 1;
    set_lock(fd, F_UNLCK);
  }
  printf("C has counted\n");
  return 0;
}
