/* posix_shared_memory_make NAME SIZE: makes shared memory in the way of C programs. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int fd = shm_open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0600);
  puts("made");
  fflush(stdout);
  if (fd == -1 || getchar() == EOF) return 1;
  if (ftruncate(fd, atoi(argv[2])) != 0) return 1;
  char *bytes = mmap(NULL, atoi(argv[2]), PROT_WRITE, MAP_SHARED, fd, 0);
  if (bytes == MAP_FAILED) return 1;
  strcpy(bytes, "from C");
  puts("sized");
  fflush(stdout);
  return getchar() == EOF;
}
