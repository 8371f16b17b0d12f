/* socket_peer MODE ADDRESS: the other side of sockets. "@name" is an abstract
 * address.
 *
 * echo      connects (seqpacket), sends every message back, prints the lengths
 * serve     listens (seqpacket), says "ready", then as echo for one client
 * ask       binds a datagram socket to a name of the kernel's choice, sends it
 *           "question" with its credentials, prints the answer
 * whoami    connects (stream), prints pid, uid and gid of the peer, waits for its
 *           end
 * give      connects (stream), passes the read end of a pipe and a file, and writes
 *           to the pipe what the peer is to read
 * take      connects (stream), takes two descriptors, prints whether they are
 *           different, and writes a line to each
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

enum { MAX_MESSAGE = 1 << 20 };

static socklen_t fill_in(struct sockaddr_un *address, const char *name) {
  size_t length = strlen(name);
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, name, length);
  if (name[0] != '@') return (socklen_t)sizeof *address;
  address->sun_path[0] = '\0';
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static int connected(int type, const char *name) {
  struct sockaddr_un address;
  socklen_t length = fill_in(&address, name);
  int fd = socket(AF_UNIX, type, 0);
  if (fd < 0) give_up("socket");
  if (connect(fd, (struct sockaddr *)&address, length) != 0) give_up(name);
  return fd;
}

static void echo(int fd) {
  static char message[MAX_MESSAGE];
  ssize_t length;
  while ((length = recv(fd, message, sizeof message, 0)) > 0) {
    printf("%zd\n", length);
    if (send(fd, message, (size_t)length, MSG_NOSIGNAL) != length) {
      give_up("send");
    }
  }
  printf("end\n");
}

static void serve(const char *name) {
  struct sockaddr_un address;
  socklen_t length = fill_in(&address, name);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  if (bind(fd, (struct sockaddr *)&address, length) != 0) give_up("bind");
  if (listen(fd, 1) != 0) give_up("listen");
  printf("ready\n");
  int client = accept(fd, NULL, NULL);
  if (client < 0) give_up("accept");
  echo(client);
}

/* Sends bytes with one control message. */
static void send_with(int fd, const struct sockaddr_un *to, socklen_t length,
                      const char *text, int type, const void *data,
                      size_t size) {
  union {
    char space[256];
    struct cmsghdr aligned;
  } control;
  memset(&control, 0, sizeof control);
  struct iovec vector = {(void *)text, strlen(text)};
  struct msghdr header = {.msg_name = (void *)to,
                          .msg_namelen = length,
                          .msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = CMSG_SPACE(size)};
  struct cmsghdr *first = CMSG_FIRSTHDR(&header);
  first->cmsg_level = SOL_SOCKET;
  first->cmsg_type = type;
  first->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(first), data, size);
  if (sendmsg(fd, &header, MSG_NOSIGNAL) < 0) give_up("sendmsg");
}

static void ask(const char *name) {
  struct sockaddr_un address;
  socklen_t length = fill_in(&address, name);
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  struct sockaddr family = {.sa_family = AF_UNIX};
  if (bind(fd, &family, sizeof(sa_family_t)) != 0) give_up("bind");
  struct ucred mine = {getpid(), getuid(), getgid()};
  send_with(fd, &address, length, "question", SCM_CREDENTIALS, &mine,
            sizeof mine);
  char answer[256];
  ssize_t count = recv(fd, answer, sizeof answer - 1, 0);
  if (count < 0) give_up("recv");
  printf("%.*s\n", (int)count, answer);
}

static void who_am_i(const char *name) {
  int fd = connected(SOCK_STREAM, name);
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    give_up("getsockopt");
  }
  printf("%d %u %u\n", peer.pid, peer.uid, peer.gid);
  char byte;
  if (read(fd, &byte, 1) < 0) give_up("read");
}

static void give(const char *name) {
  int fd = connected(SOCK_STREAM, name);
  int ends[2];
  if (pipe(ends) != 0) give_up("pipe");
  FILE *file = tmpfile();
  if (file == NULL) give_up("tmpfile");
  fputs("in the file", file);
  fflush(file);
  int passed[2] = {ends[0], fileno(file)};
  send_with(fd, NULL, 0, "two", SCM_RIGHTS, passed, sizeof passed);
  close(ends[0]);
  if (write(ends[1], "through the pipe", 16) != 16) give_up("write");
}

static void take(const char *name) {
  int fd = connected(SOCK_STREAM, name);
  union {
    char space[256];
    struct cmsghdr aligned;
  } control;
  char text[16];
  struct iovec vector = {text, sizeof text};
  struct msghdr header = {.msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space};
  ssize_t count = recvmsg(fd, &header, 0);
  if (count < 0) give_up("recvmsg");
  struct cmsghdr *first = CMSG_FIRSTHDR(&header);
  if (first == NULL || first->cmsg_type != SCM_RIGHTS ||
      first->cmsg_len != CMSG_LEN(2 * sizeof(int))) {
    fprintf(stderr, "not two descriptors\n");
    exit(1);
  }
  int taken[2];
  memcpy(taken, CMSG_DATA(first), sizeof taken);
  printf("%.*s %d\n", (int)count, text, taken[0] != taken[1]);
  for (int i = 0; i < 2; i++) {
    if (dprintf(taken[i], "written by C to %d\n", i) < 0) give_up("write");
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "Usage: socket_peer MODE ADDRESS\n");
    return 2;
  }
  print_at_once();
  const char *mode = argv[1], *name = argv[2];
  if (strcmp(mode, "echo") == 0) echo(connected(SOCK_SEQPACKET, name));
  if (strcmp(mode, "serve") == 0) serve(name);
  if (strcmp(mode, "ask") == 0) ask(name);
  if (strcmp(mode, "whoami") == 0) who_am_i(name);
  if (strcmp(mode, "give") == 0) give(name);
  if (strcmp(mode, "take") == 0) take(name);
  return 0;
}
