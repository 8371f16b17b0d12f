/* file_lock_peer FILE: locks ranges of a file as it is told, a command in each line:
 *
 *   lock|try KIND MODE START LENGTH   KIND is ofd or posix, MODE is read, write or unlock
 *   get MODE START LENGTH             who is in the way (F_OFD_GETLK)
 *
 * Answers "locked", "busy", "free" or "MODE START LENGTH PID".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <unistd.h>

#include "peer.h"

static short type_of(const char *mode) {
  return strcmp(mode, "read") == 0    ? F_RDLCK
         : strcmp(mode, "write") == 0 ? F_WRLCK
                                      : F_UNLCK;
}

int main(int argc, char **argv) {
  print_at_once();
  int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) give_up("open");
  puts("open");
  char line[128];
  while (fgets(line, sizeof line, stdin) != NULL) {
    char command[8], kind[8], mode[8];
    long long start, length;
    struct flock lock = {.l_whence = SEEK_SET};
    if (sscanf(line, "get %7s %lld %lld", mode, &start, &length) == 3) {
      lock.l_type = type_of(mode);
      lock.l_start = start;
      lock.l_len = length;
      if (fcntl(fd, F_OFD_GETLK, &lock) != 0) give_up("F_OFD_GETLK");
      if (lock.l_type == F_UNLCK) {
        puts("free");
      } else {
        printf("%s %lld %lld %d\n", lock.l_type == F_RDLCK ? "read" : "write",
               (long long) lock.l_start, (long long) lock.l_len,
               (int) lock.l_pid);
      }
      continue;
    }
    if (sscanf(line, "%7s %7s %7s %lld %lld", command, kind, mode, &start,
               &length) != 5) {
      return 2;
    }
    int waits = strcmp(command, "lock") == 0;
    int operation = strcmp(kind, "ofd") == 0
                        ? (waits ? F_OFD_SETLKW : F_OFD_SETLK)
                        : (waits ? F_SETLKW : F_SETLK);
    lock.l_type = type_of(mode);
    lock.l_start = start;
    lock.l_len = length;
    if (fcntl(fd, operation, &lock) == 0) {
      puts("locked");
    } else if (errno == EAGAIN || errno == EACCES) {
      puts("busy");
    } else {
      give_up("fcntl");
    }
  }
  return 0;
}
