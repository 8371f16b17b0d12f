/* posix_shared_memory_peer NAME TIMES: adds to an int, and puts a struct behind it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct shared {
  int count;
  short age;
  char name[20];
  long long wide;
};

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int fd = shm_open(argv[1], O_RDWR, 0);
  struct stat status;
  if (fd == -1 || fstat(fd, &status) != 0) return 1;
  struct shared *shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED || (size_t)status.st_size < sizeof *shared) return 1;
  shared->age = 80;
  strcpy(shared->name, "ghkim");
  for (int i = atoi(argv[2]); i > 0; i--) {
    __atomic_fetch_add(&shared->count, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&shared->wide, 1, __ATOMIC_SEQ_CST);
  }
  return 0;
}
