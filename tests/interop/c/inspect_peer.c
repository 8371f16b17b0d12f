/* One object of each kind, for an inspector to find: a name, a directory and a key say
 * which. Then it does what its input says: it waits in a call, or fills a queue.
 *
 * Usage: inspect_peer KEY NAME DIRECTORY
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

static int checked(int result, const char *what) {
  if (result == -1) give_up(what);
  return result;
}

static int inode(int fd) {
  struct stat status;
  checked(fstat(fd, &status), "fstat");
  return (int)status.st_ino;
}

int main(int argc, char **argv) {
  key_t key = (key_t)strtol(argument(argc, argv, 1, "0"), NULL, 10);
  const char *name = argument(argc, argv, 2, "/none");
  const char *directory = argument(argc, argv, 3, ".");
  char path[4096];
  print_at_once();

  int queue = checked(msgget(key, IPC_CREAT | IPC_EXCL | 0640), "msgget");
  struct { long type; char text[5]; } message = {3, "hello"};
  checked(msgsnd(queue, &message, sizeof message.text, 0), "msgsnd");
  int set = checked(semget(key, 2, IPC_CREAT | IPC_EXCL | 0600), "semget");
  struct sembuf up = {1, 4, 0};
  checked(semop(set, &up, 1), "semop");
  int segment = checked(shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0644), "shmget");
  if (shmat(segment, NULL, 0) == (void *)-1) give_up("shmat");

  struct mq_attr attributes = {.mq_maxmsg = 3, .mq_msgsize = 16};
  mqd_t messages = checked(
      mq_open(name, O_CREAT | O_EXCL | O_WRONLY, 0600, &attributes), "mq_open");
  checked(mq_send(messages, "four", 4, 1), "mq_send");
  int memory = checked(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600), "shm_open");
  checked(ftruncate(memory, 8192), "ftruncate");
  void *mapped = mmap(NULL, 8192, PROT_READ, MAP_SHARED, memory, 0);
  if (mapped == MAP_FAILED) give_up("mmap");
  sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 2);
  if (semaphore == SEM_FAILED) give_up("sem_open");

  int file = checked(memfd_create("inspected\033[31m", MFD_CLOEXEC), "memfd_create");
  checked(ftruncate(file, 123), "ftruncate");
  snprintf(path, sizeof path, "%s/fifo", directory);
  checked(mkfifo(path, 0600), "mkfifo");
  int fifo = checked(open(path, O_RDONLY | O_NONBLOCK), "open");
  int ends[2];
  checked(pipe(ends), "pipe");
  int event = checked(eventfd(7, EFD_SEMAPHORE), "eventfd");

  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
  int listener = checked(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
  checked(bind(listener, (void *)&address, sizeof address), "bind");
  checked(listen(listener, 5), "listen");
  int client = checked(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
  checked(connect(client, (void *)&address, sizeof address), "connect");
  int server = checked(accept(listener, NULL, NULL), "accept");
  checked((int)write(client, "unread", 6), "write");

  snprintf(path, sizeof path, "%s/locked", directory);
  int locked = checked(open(path, O_CREAT | O_RDWR, 0600), "open");
  checked(flock(locked, LOCK_EX), "flock");

  printf("%d %d %d %d %d %d %d %d %d %d\n", queue, set, segment, inode(file),
         inode(fifo), inode(ends[0]), inode(listener), inode(client),
         inode(server), inode(locked));

  char line[32];
  while (fgets(line, sizeof line, stdin) != NULL) {
    char byte;
    if (strcmp(line, "msgrcv\n") == 0) {
      msgrcv(queue, &message, sizeof message.text, 99, 0);
    } else if (strcmp(line, "semop\n") == 0) {
      struct sembuf down = {0, -1, 0};
      semop(set, &down, 1);
    } else if (strcmp(line, "sem_wait\n") == 0) {
      while (sem_wait(semaphore) == 0) continue;
    } else if (strcmp(line, "read\n") == 0) {
      read(ends[0], &byte, 1);
    } else if (strcmp(line, "recv\n") == 0) {
      recv(client, &byte, 1, 0);
    } else if (strcmp(line, "mq_send\n") == 0) {
      while (mq_send(messages, "more", 4, 1) == 0) continue;
    } else if (strcmp(line, "msgsnd\n") == 0) {
      while (msgsnd(queue, &message, sizeof message.text, 0) == 0) continue;
    }
    printf("returned\n");
  }
  (void)event;
  return 0;
}
