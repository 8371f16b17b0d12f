/* event_peer ADDRESS COUNT: connects (stream) and takes an eventfd. Reads from it until it
 * has counted to COUNT, and prints that; adds 5 to it. Sends an eventfd (a semaphore), a
 * timerfd (10 ms) and a pidfd of its own, and prints what it reads from the eventfd. Ends
 * with exit code 3.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

enum { SENT = 3 };

int main(int argc, char **argv) {
  print_at_once();
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 3 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, argv[1]);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    give_up("connect");
  }
  union {
    char space[CMSG_SPACE(SENT * sizeof(int))];
    struct cmsghdr aligned;
  } control = {0};
  char byte = 0;
  struct iovec vector = {&byte, 1};
  struct msghdr header = {.msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space};
  if (recvmsg(fd, &header, 0) != 1) give_up("recvmsg");
  struct cmsghdr *message = CMSG_FIRSTHDR(&header);
  if (message == NULL || message->cmsg_type != SCM_RIGHTS) give_up("rights");
  int event;
  memcpy(&event, CMSG_DATA(message), sizeof event);

  uint64_t wanted = strtoull(argv[2], NULL, 10), sum = 0, value;
  while (sum < wanted) {
    /* The eventfd blocks, whatever the other side does with it. */
    if (eventfd_read(event, &value) != 0) give_up("eventfd_read");
    sum += value;
  }
  printf("%llu\n", (unsigned long long) sum);
  if (eventfd_write(event, 5) != 0) give_up("eventfd_write");

  struct itimerspec soon = {.it_value = {.tv_nsec = 10000000}};
  int own[SENT] = {eventfd(0, EFD_SEMAPHORE),
                   timerfd_create(CLOCK_MONOTONIC, 0),
                   (int) syscall(SYS_pidfd_open, getpid(), 0)};
  if (timerfd_settime(own[1], 0, &soon, NULL) != 0) give_up("timerfd_settime");
  header.msg_controllen = sizeof control.space;
  message = CMSG_FIRSTHDR(&header);
  message->cmsg_level = SOL_SOCKET;
  message->cmsg_type = SCM_RIGHTS;
  message->cmsg_len = CMSG_LEN(sizeof own);
  memcpy(CMSG_DATA(message), own, sizeof own);
  if (sendmsg(fd, &header, 0) != 1) give_up("sendmsg");
  if (eventfd_read(own[0], &value) != 0) give_up("eventfd_read");
  printf("%llu\n", (unsigned long long) value);
  return 3;
}
