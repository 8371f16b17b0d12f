/* map_clear FILE [watch]: maps the first 40 bytes of a file (or all, if it has
 * fewer), prints the C string in them and fills them with zeros. "watch" changes
 * nothing: it says "mapped", waits for a line of input, and prints how many of
 * the mapped bytes are not zero. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer.h"

enum { PART = 40 };

int main(int argc, char **argv) {
  print_at_once();
  if (argc < 2) {
    fprintf(stderr, "Usage: map_clear FILE\n");
    return 2;
  }
  int file = open(argv[1], O_RDWR | O_CREAT, 0644);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) give_up(argv[1]);
  if (status.st_size == 0) {
    fprintf(stderr, "%s: empty\n", argv[1]);
    return 1;
  }
  size_t size = status.st_size < PART ? (size_t)status.st_size : PART;
  char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (bytes == MAP_FAILED) give_up("mmap");
  if (strcmp(argument(argc, argv, 2, ""), "watch") == 0) {
    size_t left = 0;
    printf("mapped\n");
    if (getchar() == EOF) return 1;
    for (size_t i = 0; i < size; i++) left += bytes[i] != 0;
    printf("%zu left\n", left);
  } else {
    printf("%.*s\n", (int)size, bytes);
    memset(bytes, 0, size);
  }
  munmap(bytes, size);
  close(file);
  return 0;
}
