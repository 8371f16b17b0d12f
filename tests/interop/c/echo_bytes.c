/* echo_bytes FROM TO: sends each byte back. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  char byte;
  while (read(atoi(argv[1]), &byte, 1) == 1) {
    if (write(atoi(argv[2]), &byte, 1) != 1) return 3;
  }
  return 0;
}
