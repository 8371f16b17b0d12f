/* passed_peer ADDRESS: connects (stream), takes the descriptors of one message, prints
 * for each whether it is blocking, and writes to the first one, in one call, more than a
 * pipe holds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

enum { MAX_PASSED = 32, LARGE = 300000 };

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) {
    fprintf(stderr, "Usage: passed_peer ADDRESS\n");
    return 2;
  }
  print_at_once();
  strcpy(address.sun_path, argv[1]);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) give_up("socket");
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    give_up("connect");
  }
  union {
    char space[CMSG_SPACE(MAX_PASSED * sizeof(int))];
    struct cmsghdr aligned;
  } control;
  char byte;
  struct iovec vector = {&byte, 1};
  struct msghdr header = {.msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space};
  if (recvmsg(fd, &header, 0) != 1) give_up("recvmsg");
  struct cmsghdr *first = CMSG_FIRSTHDR(&header);
  if (first == NULL || first->cmsg_type != SCM_RIGHTS) give_up("no rights");
  int passed[MAX_PASSED];
  size_t count = (first->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  memcpy(passed, CMSG_DATA(first), count * sizeof(int));
  for (size_t i = 0; i < count; i++) {
    int flags = fcntl(passed[i], F_GETFL);
    puts(flags & O_NONBLOCK ? "non-blocking" : "blocking");
  }
  static char bytes[LARGE];
  printf("%zd\n", write(passed[0], bytes, sizeof bytes));
  return 0;
}
