/* Opens POSIX shared memory some time after it is told to, and holds it until it is told
 * to check whether the name still leads to what it holds.
 *
 * Input: a line "NAME MICROSECONDS", then a line "check"; again and again.
 * Output: "open" or "ENOENT"; then "named", "lost" or "nothing".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(void) {
  char name[256], line[256];
  long delay;
  print_at_once();
  puts("up");
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "%255s %ld", name, &delay) != 2) give_up("input");
    long long until = now() + delay * 1000LL;
    while (now() < until) continue;
    int fd = shm_open(name, O_RDWR, 0);
    puts(fd == -1 ? "ENOENT" : "open");
    if (fgets(line, sizeof line, stdin) == NULL) break;
    if (fd == -1) {
      puts("nothing");
      continue;
    }
    struct stat held, named;
    int again = shm_open(name, O_RDWR, 0);
    if (fstat(fd, &held) == -1) give_up("fstat");
    int is_same = again != -1 && fstat(again, &named) == 0 &&
                  held.st_ino == named.st_ino && held.st_nlink == 1;
    puts(is_same ? "named" : "lost");
    if (again != -1) close(again);
    close(fd);
  }
  return 0;
}
