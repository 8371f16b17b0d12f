/* eventfd_parent PROGRAM SCRIPT: starts a script with an eventfd, and signals it when
 * a byte comes. */
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  (void) argc;
  int fd = eventfd(0, 0);
  pid_t child = fork();
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    execlp(argv[1], argv[1], "run", "-A", "--quiet", argv[2], number, (char *) 0);
    return 127;
  }
  char go;
  uint64_t one = 1;
  if (read(0, &go, 1) != 1 || write(fd, &one, 8) != 8) return 3;
  int status;
  return waitpid(child, &status, 0) == child ? status : 4;
}
