/* The file of a benchmark, mapped. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bench.h"

static char *memory;

static inline void map_file(void) {
  struct stat stat;
  const int file = open(addresses[0], O_RDWR | O_CLOEXEC);
  if (file < 0) die("open");
  if (fstat(file, &stat) < 0) die("fstat");
  if ((size_t)stat.st_size != size) die("size");
  memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) die("mmap");
  close(file);
}

static inline void unmap_file(void) {
  if (munmap(memory, size) < 0) die("munmap");
}
