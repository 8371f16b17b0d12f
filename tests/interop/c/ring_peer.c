/*
 * Takes part in a ring or a broadcast, through c/linux_ipc_ring.h.
 *
 *   ring_peer produce RING ID KIND COUNT    0 messages: for ever
 *   ring_peer consume RING LEDGER           for ever
 *   ring_peer drain RING                    prints how many messages there are
 *   ring_peer echo RING RING                sends each message back
 *   ring_peer transmit RING COUNT
 *   ring_peer receive RING                  prints how many came, and were missed
 *   ring_peer create RING KIND CAPACITY
 *   ring_peer hold RING                     claims, says so, and never commits
 *
 * A message is the number of its producer, its own number in that producer, and bytes that
 * all have the value of the latter. What came of each producer is in the ledger.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "linux_ipc_ring.h"
#include "peer.h"

enum { PROGRESS, WRONG, FIRST = 16 };
enum { BATCH = 8, MOST = 120 };

static _Atomic int32_t *ledger;

static void *map(const char *name, size_t *size) {
  char path[300];
  struct stat status;
  snprintf(path, sizeof path, "/dev/shm%s", name);
  const int fd = open(path, O_RDWR);
  if (fd < 0 || fstat(fd, &status) < 0) give_up(path);
  *size = (size_t)status.st_size;
  void *memory = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) give_up("mmap");
  close(fd);
  return memory;
}

static void check(int result, const char *what) {
  if (result >= 0) return;
  errno = -result;
  give_up(what);
}

static void open_ring(lipc_ring *ring, const char *name) {
  size_t size;
  void *memory = map(name, &size);
  check(lipc_ring_open(ring, memory, size), "open");
}

/* A consumer that was killed is followed by another one. */
#define RETRY(call)              \
  do {                           \
    int result;                  \
    while ((result = (call)) == -EPIPE) { \
    }                            \
    check(result, #call);        \
  } while (0)

static size_t fill(unsigned char *message, int32_t id, int32_t number) {
  const size_t length = 8 + (size_t)(number * 31 % MOST);
  memcpy(message, &id, 4);
  memcpy(message + 4, &number, 4);
  memset(message + 8, number & 0xff, length - 8);
  return length;
}

static void produce(const lipc_ring *ring, int32_t id, int kind, int32_t count) {
  static unsigned char messages[BATCH][8 + MOST];
  lipc_producer producer;
  int claims = 0;
  check(lipc_producer_init(&producer, ring), "producer");
  puts("up");
  for (int32_t number = 1; count == 0 || number <= count;) {
    if (kind == 0) {
      const size_t length = fill(messages[0], id, number);
      RETRY(lipc_write(&producer, 1, messages[0], length, -1));
      number++;
    } else if (kind == 1) {
      lipc_claim claim;
      const size_t length = fill(messages[0], id, number);
      RETRY(lipc_claim_space(&producer, 1, length, &claim, -1));
      memcpy(claim.data, messages[0], length);
      if (++claims % 7 == 0) {
        lipc_abort(&claim); /* and once more */
        continue;
      }
      lipc_commit(&claim);
      number++;
    } else {
      lipc_bytes all[BATCH];
      int batch = 0;
      while (batch < BATCH && (count == 0 || number + batch <= count)) {
        all[batch].length = fill(messages[batch], id, number + batch);
        all[batch].data = messages[batch];
        batch++;
      }
      const int written = lipc_try_write_all(&producer, 1, all, batch);
      if (written == -EAGAIN) {
        RETRY(lipc_write(&producer, 1, all->data, all->length, -1));
        number++;
      } else {
        check(written, "batch");
        number += written;
      }
    }
  }
  lipc_producer_close(&producer);
}

static void wrong(int what) {
  ledger[WRONG] = what;
  fprintf(stderr, "wrong: %d\n", what);
  exit(1);
}

/* How many messages may be repeated: those of the batch in which the last one died. */
static int repeatable = BATCH;

static void take(const lipc_message *message, void *context) {
  const unsigned char *bytes = message->data;
  int32_t id, number;
  (void)context;
  if (message->length < 8 || message->type != 1) wrong(1);
  memcpy(&id, bytes, 4);
  memcpy(&number, bytes + 4, 4);
  if (message->length != 8 + (size_t)(number * 31 % MOST)) wrong(2);
  for (size_t i = 8; i < message->length; i++) {
    if (bytes[i] != (number & 0xff)) wrong(3);
  }
  const int32_t last = ledger[FIRST + id];
  if (number > last + 1) wrong(4);
  if (number <= last && repeatable-- <= 0) wrong(5);
  if (number == last + 1) ledger[FIRST + id] = number;
  ledger[PROGRESS]++;
}

static void consume(const lipc_ring *ring, const char *name) {
  size_t size;
  lipc_consumer consumer;
  ledger = map(name, &size);
  check(lipc_consumer_init(&consumer, ring), "consumer");
  puts("up");
  int result;
  while ((result = lipc_wait(&consumer, -1)) >= 0) {
    if (result == 0) usleep(500); /* the only producer was killed: another one follows */
    check(lipc_try_read(&consumer, take, NULL, BATCH), "read");
    if (result == 1) repeatable = 0;
  }
  check(result, "wait");
  lipc_consumer_close(&consumer);
}

static void nothing(const lipc_message *message, void *context) {
  (void)message;
  (void)context;
}

static void drain(const lipc_ring *ring) {
  lipc_consumer consumer;
  int total = 0, count;
  check(lipc_consumer_init(&consumer, ring), "consumer");
  while ((count = lipc_try_read(&consumer, nothing, NULL, 100)) > 0) total += count;
  check(count, "read");
  printf("%d\n", total);
  lipc_consumer_close(&consumer);
}

static void answer(const lipc_message *message, void *context) {
  check(lipc_write(context, message->type, message->data, message->length, -1), "write");
}

static void echo(const lipc_ring *in, const char *out) {
  lipc_ring ring;
  lipc_producer producer;
  lipc_consumer consumer;
  open_ring(&ring, out);
  check(lipc_producer_init(&producer, &ring), "producer");
  check(lipc_consumer_init(&consumer, in), "consumer");
  puts("up");
  int result;
  while ((result = lipc_wait(&consumer, -1)) == 1) {
    check(lipc_try_read(&consumer, answer, &producer, 100), "read");
  }
  check(result, "wait");
  lipc_producer_close(&producer);
}

static void transmit(const lipc_ring *ring, int32_t count) {
  unsigned char message[8 + MOST];
  lipc_transmitter transmitter;
  check(lipc_transmitter_init(&transmitter, ring), "transmitter");
  for (int32_t number = 1; number <= count; number++) {
    const size_t length = fill(message, 0, number);
    check(lipc_transmit(&transmitter, 1, message, length), "transmit");
  }
  lipc_transmitter_close(&transmitter);
}

static int32_t received_last;

static void receive_one(const lipc_message *message, void *context) {
  const unsigned char *bytes = message->data;
  int32_t number;
  (*(int *)context)++;
  memcpy(&number, bytes + 4, 4);
  if (message->length != 8 + (size_t)(number * 31 % MOST)) exit(3);
  for (size_t i = 8; i < message->length; i++) {
    if (bytes[i] != (number & 0xff)) exit(4);
  }
  if (number != received_last + 1 + (int32_t)message->missed) exit(5);
  received_last = number;
}

static void receive(const lipc_ring *ring) {
  lipc_receiver receiver;
  int count = 0, result;
  check(lipc_receiver_init(&receiver, ring), "receiver");
  puts("up");
  while ((result = lipc_receiver_wait(&receiver, -1)) == 1) {
    check(lipc_receive(&receiver, receive_one, &count, 100), "receive");
  }
  check(result, "wait");
  printf("%lld\n", count + (long long)receiver.missed);
  lipc_receiver_close(&receiver);
}

int main(int argc, char **argv) {
  lipc_ring ring;
  print_at_once();
  if (argc < 3) return 2;
  const char *what = argv[1];
  const char *third = argument(argc, argv, 3, "0");
  if (strcmp(what, "create") == 0) {
    size_t size;
    void *memory = map(argv[2], &size);
    const size_t capacity = (size_t)atoi(argument(argc, argv, 4, "0"));
    check(lipc_ring_create(&ring, memory, size, atoi(third), capacity), "create");
    return 0;
  }
  open_ring(&ring, argv[2]);
  if (strcmp(what, "produce") == 0) {
    const int kind = atoi(argument(argc, argv, 4, "0"));
    produce(&ring, atoi(third), kind, atoi(argument(argc, argv, 5, "0")));
  } else if (strcmp(what, "consume") == 0) {
    consume(&ring, third);
  } else if (strcmp(what, "drain") == 0) {
    drain(&ring);
  } else if (strcmp(what, "echo") == 0) {
    echo(&ring, third);
  } else if (strcmp(what, "transmit") == 0) {
    transmit(&ring, atoi(third));
  } else if (strcmp(what, "receive") == 0) {
    receive(&ring);
  } else if (strcmp(what, "hold") == 0) {
    lipc_producer producer;
    lipc_claim claim;
    check(lipc_producer_init(&producer, &ring), "producer");
    check(lipc_claim_space(&producer, 1, 16, &claim, -1), "claim");
    puts("up");
    pause();
  } else {
    return 2;
  }
  return 0;
}
