/* frame_peer ADDRESS echo SIZE big|little 0|1: connects (stream), reads frames whose
 *           prefix has SIZE bytes, and counts itself if the last argument is 1; prints
 *           the length of each message, and sends it back
 * frame_peer ADDRESS lines: the same with lines
 * frame_peer ADDRESS give: sends three messages with a prefix of 4 bytes, two of them
 *           with the read end of a pipe: one at the prefix, one at the last byte. Writes
 *           to the pipes what the peer is to read
 * frame_peer ADDRESS byte: sends a message, and one byte with a descriptor
 */
#include <endian.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

enum { MAX_MESSAGE = 1 << 20 };

static int connected(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, name);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) give_up("socket");
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    give_up(name);
  }
  return fd;
}

/* Fills the buffer; 0 at the end. */
static int read_all(int fd, void *buffer, size_t size) {
  for (size_t filled = 0; filled < size;) {
    ssize_t count = read(fd, (char *)buffer + filled, size - filled);
    if (count < 0) give_up("read");
    if (count == 0) return 0;
    filled += (size_t)count;
  }
  return 1;
}

static void write_all(int fd, const void *buffer, size_t size) {
  for (size_t written = 0; written < size;) {
    ssize_t count = send(fd, (const char *)buffer + written, size - written,
                         MSG_NOSIGNAL);
    if (count < 0) give_up("send");
    written += (size_t)count;
  }
}

static uint64_t length_in(const void *prefix, size_t size, int little) {
  uint8_t u8;
  uint16_t u16;
  uint32_t u32;
  uint64_t u64;
  switch (size) {
    case 1: return memcpy(&u8, prefix, 1), u8;
    case 2: return memcpy(&u16, prefix, 2), little ? le16toh(u16) : be16toh(u16);
    case 4: return memcpy(&u32, prefix, 4), little ? le32toh(u32) : be32toh(u32);
    default: return memcpy(&u64, prefix, 8), little ? le64toh(u64) : be64toh(u64);
  }
}

static char message[MAX_MESSAGE];

static void echo(int fd, size_t size, int little, int included) {
  char prefix[8];
  while (read_all(fd, prefix, size)) {
    uint64_t length = length_in(prefix, size, little) - (included ? size : 0);
    if (length > sizeof message || !read_all(fd, message, length)) {
      fprintf(stderr, "a length of %ju\n", (uintmax_t)length);
      exit(1);
    }
    printf("%ju\n", (uintmax_t)length);
    write_all(fd, prefix, size);
    write_all(fd, message, length);
  }
  printf("end\n");
}

static void lines(int fd) {
  FILE *in = fdopen(fd, "r");
  while (fgets(message, sizeof message, in) != NULL) {
    printf("%zu\n", strcspn(message, "\n"));
    write_all(fd, message, strlen(message));
  }
  printf("end\n");
}

static void send_with(int fd, const void *data, size_t size, int passed) {
  union {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control;
  struct iovec vector = {(void *)data, size};
  struct msghdr header = {.msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space};
  struct cmsghdr *first = CMSG_FIRSTHDR(&header);
  first->cmsg_level = SOL_SOCKET;
  first->cmsg_type = SCM_RIGHTS;
  first->cmsg_len = CMSG_LEN(sizeof passed);
  memcpy(CMSG_DATA(first), &passed, sizeof passed);
  if (sendmsg(fd, &header, MSG_NOSIGNAL) != (ssize_t)size) give_up("sendmsg");
}

static int filled_pipe(const char *text) {
  int ends[2];
  if (pipe(ends) != 0) give_up("pipe");
  if (write(ends[1], text, strlen(text)) < 0) give_up("write");
  close(ends[1]);
  return ends[0];
}

static void give(int fd) {
  write_all(fd, "\0\0\0\3one", 7);
  send_with(fd, "\0\0\0\3", 4, filled_pipe("first"));
  write_all(fd, "two", 3);
  write_all(fd, "\0\0\0\5thre", 8);
  send_with(fd, "e", 1, filled_pipe("second"));
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "Usage: frame_peer ADDRESS MODE [SIZE big|little 0|1]\n");
    return 2;
  }
  print_at_once();
  int fd = connected(argv[1]);
  const char *mode = argv[2];
  if (strcmp(mode, "echo") == 0 && argc == 6) {
    echo(fd, (size_t)atoi(argv[3]), strcmp(argv[4], "little") == 0,
         atoi(argv[5]));
  }
  if (strcmp(mode, "lines") == 0) lines(fd);
  if (strcmp(mode, "give") == 0) give(fd);
  if (strcmp(mode, "byte") == 0) {
    write_all(fd, "\0\0\0\3one", 7);
    send_with(fd, "\1", 1, STDIN_FILENO);
    if (read(fd, message, 1) < 0) give_up("read"); /* until the peer closes */
  }
  return 0;
}
