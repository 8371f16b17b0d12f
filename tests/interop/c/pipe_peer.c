/* pipe_peer MODE FD [ARGUMENT...]: uses an inherited end of a pipe: "echo" and "sip" read,
 * "say" and "records" write, "hold" keeps it open, "list" prints all descriptors. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(int fd, const char *at, size_t left) {
  while (left > 0) {
    ssize_t count = write(fd, at, left);
    if (count < 0) { perror("write"); exit(3); }
    at += count;
    left -= count;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int fd = atoi(argv[2]);
  if (strcmp(argv[1], "list") == 0) { /* which descriptors are open here? */
    DIR *all = opendir("/proc/self/fd");
    for (struct dirent *one; (one = readdir(all)) != NULL;) {
      int number = atoi(one->d_name);
      if (one->d_name[0] != '.' && number != dirfd(all)) printf("%d ", number);
    }
    printf("\n");
  } else if (strcmp(argv[1], "echo") == 0) { /* read once, as it comes */
    char buffer[4096];
    printf("%s\n", fcntl(fd, F_GETFL) & O_NONBLOCK ? "nonblocking" : "blocking");
    fflush(stdout);
    ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0) { perror("read"); return 3; }
    printf("%.*s\n", (int) count, buffer);
  } else if (strcmp(argv[1], "say") == 0) { /* some words, not at once */
    for (int i = 3; i < argc; i++) {
      usleep(20000);
      put(fd, argv[i], strlen(argv[i]));
    }
    usleep(20000);
  } else if (strcmp(argv[1], "records") == 0) { /* letter, count */
    char record[4096];
    memset(record, argv[3][0], sizeof record);
    for (int i = atoi(argv[4]); i > 0; i--) {
      if (write(fd, record, sizeof record) != sizeof record) return 3;
    }
  } else if (strcmp(argv[1], "sip") == 0) { /* read in small parts; sum them up */
    unsigned char buffer[3000];
    unsigned long long sum = 0, total = 0;
    for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) > 0;) {
      for (ssize_t i = 0; i < count; i++) sum = sum * 31 + buffer[i];
      total += count;
      usleep(200);
    }
    printf("%llu %llu\n", total, sum);
  } else if (strcmp(argv[1], "hold") == 0) { /* until it is killed */
    printf("ready\n");
    fflush(stdout);
    pause();
  }
  return 0;
}
