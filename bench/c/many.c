/*
 * Many connections at once, each with one message under way: the load for all servers,
 * and a server with one epoll.
 *
 * The last arguments are the path, the kind of connection, and how many there are.
 * "echo" serves until its last client has gone. "ping" says how many nanoseconds there
 * were for a message, twice; then p50, p99 and the maximum of what an answer took, in
 * nanoseconds; then the least and the most messages of a connection.
 */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "histogram.h"

#define EVENTS 1024
#define PATIENCE 5 /* seconds without any answer */

/* What a message begins with, so that each answer is seen to be the right one. */
struct mark {
  int32_t connection, number;
};

struct connection {
  int fd;
  struct mark mark; /* of the message under way */
  int64_t sent, count;
  size_t there; /* bytes of a message that have come */
  char bytes[]; /* a whole message */
};

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int type = SOCK_STREAM, epoll;
static size_t prefix, unit; /* bytes: the length before a message, and both */
static int under_way;       /* messages without an answer */
static struct epoll_event events[EVENTS];

/* As many descriptors as the system gives. */
static void allow_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) die("setrlimit");
}

static int open_socket(int flags) {
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) die("socket");
  return fd;
}

static void watch(int fd, struct connection *connection) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static struct connection *watched(int fd) {
  struct connection *one = calloc(1, sizeof *one + unit);
  if (one == NULL) die("calloc");
  one->fd = fd;
  watch(fd, one);
  return one;
}

static void send_message(struct connection *one) {
  const uint32_t length = htonl(unit - prefix);
  memcpy(one->bytes, &length, prefix);
  const ssize_t count = send(one->fd, one->bytes, unit, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (count < 0) die("send");
  if ((size_t)count < unit) fail("send: a part of a message");
}

/* Reads what has come: 1 if a message is complete, 0 if not, -1 at the end. */
static int receive_message(struct connection *one) {
  const ssize_t count =
      recv(one->fd, one->bytes + one->there, unit - one->there, MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return 0;
  if (count <= 0) return -1;
  if ((one->there += count) < unit) return 0;
  const uint32_t length = htonl(unit - prefix);
  if (memcmp(one->bytes, &length, prefix) != 0) fail("The length is wrong");
  one->there = 0;
  return 1;
}

/* Accepts all that wait: with one at a time, the last of many would wait for long. */
static int accept_clients(int listener) {
  for (int count = 0;; count++) {
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN) return count;
    if (fd < 0) die("accept4");
    watched(fd);
  }
}

static void serve(void) {
  const int listener = open_socket(SOCK_NONBLOCK);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
  if (listen(listener, SOMAXCONN) < 0) die("listen");
  watch(listener, NULL);
  ready();
  int clients = 0;
  do {
    const int count = epoll_wait(epoll, events, EVENTS, -1);
    if (count < 0) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      struct connection *one = events[i].data.ptr;
      if (one == NULL) {
        clients += accept_clients(listener);
        continue;
      }
      const int received = receive_message(one);
      if (received > 0) send_message(one);
      if (received >= 0) continue;
      close(one->fd);
      free(one);
      clients--;
    }
  } while (clients > 0);
}

static struct connection *connected(int index) {
  const struct timeval patience = {.tv_sec = PATIENCE};
  const int fd = open_socket(0);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
  struct connection *one = watched(fd);
  one->mark.connection = index;
  return one;
}

static void ask(struct connection *one, int64_t now) {
  one->sent = now;
  one->mark.number++;
  under_way++;
  memcpy(one->bytes + prefix, &one->mark, sizeof one->mark);
  send_message(one);
}

/* Takes the answers that have come, and goes on if there is more to ask. */
static int64_t take_answers(bool more) {
  const int count = epoll_wait(epoll, events, EVENTS, PATIENCE * 1000);
  if (count < 0) die("epoll_wait");
  if (count == 0) fail("The server does not answer");
  int64_t now = 0;
  for (int i = 0; i < count; i++) {
    struct connection *one = events[i].data.ptr;
    const int received = receive_message(one);
    now = nanoseconds();
    if (received < 0) fail("The server has closed a connection");
    if (received == 0) continue;
    if (memcmp(one->bytes + prefix, &one->mark, sizeof one->mark) != 0) {
      fail("The answer is not the message");
    }
    under_way--;
    if (!more) continue;
    add_wait(now - one->sent);
    one->count++;
    ask(one, now);
  }
  return now;
}

/* Goes on for so many milliseconds; returns the time. */
static int64_t take_answers_for(int duration) {
  const int64_t end = nanoseconds() + duration * MILLISECOND;
  int64_t now;
  do now = take_answers(true); while (now < end);
  return now;
}

static void load(int connections, int warmup, int duration) {
  struct connection *all[connections];
  for (int i = 0; i < connections; i++) all[i] = connected(i);
  for (int i = 0; i < connections; i++) ask(all[i], nanoseconds());
  while (under_way > 0) take_answers(false); /* all are accepted */
  for (int i = 0; i < connections; i++) ask(all[i], nanoseconds());
  take_answers_for(warmup);
  for (int i = 0; i < connections; i++) all[i]->count = 0;
  forget_waits();
  const int64_t start = nanoseconds(), now = take_answers_for(duration);
  if (all_waits == 0) fail("The server has answered nothing in time");
  const double each = (double)(now - start) / all_waits;
  int64_t least = INT64_MAX, most = 0;
  for (int i = 0; i < connections; i++) {
    const int64_t count = all[i]->count, waited = now - all[i]->sent;
    if (count < least) least = count;
    if (count > most) most = count;
    if (waited > longest_wait) longest_wait = waited; /* it goes on */
  }
  while (under_way > 0) take_answers(false);
  printf("%.2f %.2f ", each, each);
  print_waits();
  printf(" %" PRId64 " %" PRId64 "\n", least, most);
}

int main(int argc, char **argv) {
  if (argc != 9) return 2;
  const char *part = argv[1], *kind = argv[7];
  strncpy(address.sun_path, argv[6], sizeof address.sun_path - 1);
  if (strcmp(kind, "seqpacket") == 0) type = SOCK_SEQPACKET;
  if (strcmp(kind, "framed") == 0) prefix = sizeof(uint32_t);
  unit = prefix + strtoul(argv[3], NULL, 10);
  if (unit < prefix + sizeof(struct mark)) fail("The message is too short");
  allow_descriptors();
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  if (strcmp(part, "echo") == 0) serve();
  else load(atoi(argv[8]), atoi(argv[4]), atoi(argv[5]));
  return 0;
}
