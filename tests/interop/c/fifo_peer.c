/* fifo_peer MODE PATH: opens a FIFO; "read" prints it to the end, "write" copies each
 * line of stdin into it, "visit" opens and closes its write end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  if (strcmp(argv[1], "read") == 0) { /* blocking, to the end */
    int fd = open(argv[2], O_RDONLY);
    printf("open\n");
    fflush(stdout);
    char buffer[65536];
    for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) > 0;) {
      fwrite(buffer, 1, count, stdout);
      fflush(stdout);
    }
    printf("\nend\n");
  } else if (strcmp(argv[1], "write") == 0) { /* each line of stdin */
    int fd = open(argv[2], O_WRONLY);
    printf("open\n");
    fflush(stdout);
    char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
      if (write(fd, line, strlen(line)) < 0) { perror("write"); return 3; }
    }
  } else if (strcmp(argv[1], "visit") == 0) { /* writes nothing */
    close(open(argv[2], O_WRONLY));
  }
  return 0;
}
