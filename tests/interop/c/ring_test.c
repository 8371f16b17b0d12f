/*
 * All operations of c/linux_ipc_ring.h in one process, for sanitizers: threads that write
 * and read, messages of all lengths, errors, and random bytes in the memory.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "linux_ipc_ring.h"

#define CAPACITY 4096
#define COUNT 2000
#define EXPECT(condition)                                       \
  do {                                                          \
    if (!(condition)) {                                         \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition);   \
      exit(1);                                                  \
    }                                                           \
  } while (0)

static unsigned char *memory;
static const size_t size = LIPC_HEADER + CAPACITY + LIPC_TRAILER;
static lipc_ring ring;

static void make(int kind) {
  memset(memory, 0, size);
  EXPECT(lipc_ring_create(&ring, memory, size, kind, CAPACITY) == 0);
}

static void *produce(void *unused) {
  unsigned char message[200];
  lipc_producer producer;
  EXPECT(lipc_producer_init(&producer, &ring) == 0);
  for (int i = 0; i < COUNT; i++) {
    const size_t length = (size_t)(i % 200);
    memset(message, i & 0xff, length);
    if (i % 3 == 0) {
      EXPECT(lipc_write(&producer, 1 + i, message, length, -1) == 0);
    } else if (i % 3 == 1) {
      lipc_claim claim;
      EXPECT(lipc_claim_space(&producer, 1 + i, length, &claim, -1) == 0);
      if (length > 0) memcpy(claim.data, message, length);
      lipc_commit(&claim);
      EXPECT(lipc_claim_space(&producer, 1, 5, &claim, -1) == 0);
      lipc_abort(&claim);
    } else {
      const lipc_bytes all = {message, length};
      int written;
      while ((written = lipc_try_write_all(&producer, 1 + i, &all, 1)) == -EAGAIN) {
      }
      EXPECT(written == 1);
    }
  }
  lipc_producer_close(&producer);
  return unused;
}

static void take(const lipc_message *message, void *context) {
  const int i = message->type - 1;
  const unsigned char *bytes = message->data;
  EXPECT(i >= 0 && i < COUNT && message->length == (size_t)(i % 200));
  for (size_t k = 0; k < message->length; k++) EXPECT(bytes[k] == (i & 0xff));
  (*(int *)context)++;
}

static void pass(int kind, int producers) {
  pthread_t threads[4];
  lipc_consumer consumer;
  int count = 0, result;
  make(kind);
  EXPECT(lipc_consumer_init(&consumer, &ring) == 0);
  for (int i = 0; i < producers; i++) {
    EXPECT(pthread_create(&threads[i], NULL, produce, NULL) == 0);
  }
  while (count < COUNT * producers) {
    result = lipc_wait(&consumer, 20000);
    if (result == 0) continue; /* the others have not begun */
    EXPECT(result == 1);
    EXPECT(lipc_try_read(&consumer, take, &count, 50) >= 0);
  }
  for (int i = 0; i < producers; i++) pthread_join(threads[i], NULL);
  EXPECT(lipc_wait(&consumer, 0) == 0);
  lipc_consumer_close(&consumer);
}

static void *transmit(void *unused) {
  unsigned char message[200];
  lipc_transmitter transmitter;
  EXPECT(lipc_transmitter_init(&transmitter, &ring) == 0);
  for (int i = 0; i < COUNT; i++) {
    memset(message, i & 0xff, (size_t)(i % 200));
    EXPECT(lipc_transmit(&transmitter, 1 + i, message, (size_t)(i % 200)) == 0);
  }
  lipc_transmitter_close(&transmitter);
  return unused;
}

static void broadcast(void) {
  pthread_t thread;
  lipc_receiver receiver;
  int count = 0, result = 0;
  make(LIPC_BROADCAST);
  EXPECT(lipc_receiver_init(&receiver, &ring) == 0);
  EXPECT(pthread_create(&thread, NULL, transmit, NULL) == 0);
  while (lipc_load64(ring.trailer + LIPC_BROADCAST_TAIL) == 0) {
  }
  while ((result = lipc_receiver_wait(&receiver, 20000)) == 1) {
    EXPECT(lipc_receive(&receiver, take, &count, 50) >= 0);
  }
  EXPECT(result == 0 && count + (int)receiver.missed == COUNT);
  pthread_join(thread, NULL);
  lipc_receiver_close(&receiver);
}

static void refusals(void) {
  lipc_ring other;
  lipc_producer one, two;
  lipc_consumer consumer, second;
  unsigned char message[CAPACITY] = {0};
  EXPECT(lipc_ring_create(&other, memory + 8, size - 8, 1, 0) == -EINVAL);
  EXPECT(lipc_ring_create(&other, memory, 100, 1, 0) == -ENOSPC);
  EXPECT(lipc_ring_create(&other, memory, size, 1, 100) == -EINVAL);
  make(LIPC_ONE_TO_ONE);
  EXPECT(lipc_ring_create(&other, memory, size, 1, 0) == -EEXIST);
  EXPECT(lipc_ring_open(&other, memory, size - 1) == -EPROTO);
  EXPECT(lipc_ring_open(&other, memory, size) == 0 && other.capacity == CAPACITY);
  EXPECT(lipc_producer_init(&one, &ring) == 0);
  EXPECT(lipc_producer_init(&two, &ring) == -EBUSY);
  EXPECT(lipc_try_write(&one, 0, message, 1) == -EINVAL);
  EXPECT(lipc_try_write(&one, 1, message, CAPACITY / 8 + 1) == -EMSGSIZE);
  while (lipc_try_write(&one, 1, message, CAPACITY / 8) == 0) {
  }
  EXPECT(lipc_write(&one, 1, message, CAPACITY / 8, 10) == -ETIMEDOUT);
  EXPECT(lipc_consumer_init(&consumer, &ring) == 0);
  EXPECT(lipc_consumer_init(&second, &ring) == -EBUSY);
  lipc_consumer_close(&consumer);
  EXPECT(lipc_write(&one, 1, message, CAPACITY / 8, -1) == -EPIPE);
  lipc_producer_close(&one);
}

static void ignore(const lipc_message *message, void *context) {
  const unsigned char *bytes = message->data;
  for (size_t i = 0; i < message->length; i++) *(unsigned *)context += bytes[i];
}

/* Any bytes lead to an answer, and to no access outside the memory. */
static void damage(unsigned seed) {
  const int kind = (int)(seed % 3) + 1;
  unsigned sum = 0;
  make(kind);
  srand(seed);
  const int places = rand() % 40;
  for (int i = 0; i < places; i++) {
    const size_t at = (size_t)rand() % (size - LIPC_SLOT) / 4 * 4 + LIPC_SLOT;
    const int32_t value = rand() % 3 == 0 ? rand() % 64 - 32 : (int32_t)((unsigned)rand() * 7u);
    memcpy(memory + at, &value, 4);
  }
  if (rand() % 2 == 0) {
    for (int i = 0; i < CAPACITY; i += 4) {
      const int32_t value = rand() % 300 - 20;
      memcpy(ring.data + i, &value, 4);
    }
  }
  lipc_producer producer;
  lipc_consumer consumer;
  lipc_transmitter transmitter;
  lipc_receiver receiver;
  if (kind == LIPC_BROADCAST) {
    const bool transmits = lipc_transmitter_init(&transmitter, &ring) == 0;
    const bool receives = lipc_receiver_init(&receiver, &ring) == 0;
    for (int i = 0; i < 40; i++) {
      if (transmits) lipc_transmit(&transmitter, 1, memory, (size_t)(rand() % 512));
      if (receives && i % 3 == 0) lipc_receive(&receiver, ignore, &sum, 10);
    }
    if (receives) lipc_receiver_close(&receiver);
    return;
  }
  const bool produces = lipc_producer_init(&producer, &ring) == 0;
  const bool consumes = lipc_consumer_init(&consumer, &ring) == 0;
  for (int i = 0; i < 40; i++) {
    if (produces) lipc_try_write(&producer, 1, memory, (size_t)(rand() % 512));
    if (consumes && i % 2 == 0) lipc_try_read(&consumer, ignore, &sum, 10);
    if (consumes && i % 8 == 0) lipc_wait(&consumer, 0);
    if (consumes && i % 8 == 0) lipc_unblock(&ring, consumer.head);
  }
}

int main(int argc, char **argv) {
  const int times = argc > 1 ? atoi(argv[1]) : 1;
  memory = aligned_alloc(LIPC_SLOT, size); /* with red zones around it */
  EXPECT(memory != NULL);
  for (int i = 0; i < times; i++) {
    pass(LIPC_ONE_TO_ONE, 1);
    pass(LIPC_MANY_TO_ONE, 4);
    broadcast();
    refusals();
    for (unsigned seed = 0; seed < 100; seed++) damage((unsigned)i * 100 + seed);
  }
  free(memory);
  return 0;
}
