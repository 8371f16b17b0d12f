/* posix_queue_peer NAME [FD]: uses a POSIX message queue as the lines on stdin say, and
 * answers each with a line. FD is a queue that it was started with. Bytes are written
 * in hexadecimal, "-" for none. */
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/stat.h>

#include "peer.h"
#include "person.h"

static unsigned char data[65536];

/* Reads bytes in hexadecimal. */
static size_t parse(const char *hex) {
  size_t length = 0;
  unsigned int byte;
  if (strcmp(hex, "-") == 0) return 0;
  for (; sscanf(hex, "%2x", &byte) == 1; hex += 2) data[length++] = byte;
  return length;
}

static void receive(mqd_t queue) {
  unsigned int priority;
  ssize_t length = mq_receive(queue, (char *)data, sizeof data, &priority);
  if (length < 0) give_up("mq_receive");
  printf("%u ", priority);
  if (length == 0) printf("-");
  for (ssize_t i = 0; i < length; i++) printf("%02x", data[i]);
  printf("\n");
}

/* Waits until the kernel tells of a message in a queue that was empty. */
static void wait_for_notification(mqd_t queue) {
  sigset_t set;
  siginfo_t info;
  struct sigevent event = {0};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  event.sigev_value.sival_int = 42;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  if (mq_notify(queue, &event) != 0) give_up("mq_notify");
  puts("registered");
  while (sigwaitinfo(&set, &info) < 0) continue;
  printf("notified %d %d\n", info.si_value.sival_int, (int)info.si_pid);
}

int main(int argc, char **argv) {
  static char line[2 * sizeof data + 100];
  static char text[2 * sizeof data];
  char word[20];
  const char *name = argument(argc, argv, 1, "");
  mqd_t queue = atoi(argument(argc, argv, 2, "-1"));
  print_at_once();
  while (fgets(line, sizeof line, stdin) != NULL) {
    long first = 0;
    long second = 0;
    if (sscanf(line, "%19s %ld %ld", word, &first, &second) < 1) return 2;
    if (strcmp(word, "create") == 0) {
      struct mq_attr attr = {.mq_maxmsg = first, .mq_msgsize = second};
      queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
      if (queue < 0) give_up("mq_open");
      puts("created");
    } else if (strcmp(word, "open") == 0) {
      queue = mq_open(name, O_RDWR);
      if (queue < 0) give_up("mq_open");
      puts("opened");
    } else if (strcmp(word, "unlink") == 0) {
      if (mq_unlink(name) != 0) give_up("mq_unlink");
      puts("unlinked");
    } else if (strcmp(word, "attributes") == 0) {
      struct mq_attr attr;
      if (mq_getattr(queue, &attr) != 0) give_up("mq_getattr");
      printf("%ld %ld %ld\n", attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs);
    } else if (strcmp(word, "send") == 0) {
      if (sscanf(line, "%*s %*d %s", text) != 1) return 2;
      if (mq_send(queue, (char *)data, parse(text), first) != 0) {
        give_up("mq_send");
      }
      puts("sent");
    } else if (strcmp(word, "receive") == 0) {
      receive(queue);
    } else if (strcmp(word, "person") == 0) {
      struct person person = {.age = first, .name = "ghkim"};
      if (mq_send(queue, (char *)&person, sizeof person, 0) != 0) {
        give_up("mq_send");
      }
      puts("sent");
    } else if (strcmp(word, "notify") == 0) {
      wait_for_notification(queue);
    } else {
      return 2;
    }
  }
  return 0;
}
