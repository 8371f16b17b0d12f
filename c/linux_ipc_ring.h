/*
 * linux_ipc_ring.h - messages through shared memory, between C, TypeScript and Java.
 *
 * The ring buffers of @linux/ipc/ring in C11: one producer or many, and one consumer; and a
 * broadcast. Copy this file; it needs nothing else. docs/ring-format.md of that package
 * describes each byte of the memory. The format of the records and counters is that of
 * Agrona's ring buffers.
 *
 * All functions return 0 or a count, or a negative errno: -EAGAIN when there is nothing, or
 * no space, now; -EBADMSG when a peer has damaged the ring. What is in the memory is never
 * trusted. Timeouts are milliseconds; a negative one waits for ever.
 *
 *   lipc_ring ring;
 *   lipc_ring_open(&ring, memory, size);            // or lipc_ring_create()
 *   lipc_producer producer;
 *   lipc_producer_init(&producer, &ring);
 *   lipc_write(&producer, 1, "hello", 5, -1);
 *
 * A structure is used by one thread at a time. All of them are for one process: make them
 * after fork(), not before.
 *
 * MIT License
 *
 * Copyright (c) 2026 The linux-ipc authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this
 * software and associated documentation files (the "Software"), to deal in the Software
 * without restriction, including without limitation the rights to use, copy, modify, merge,
 * publish, distribute, sublicense, and/or sell copies of the Software, and to permit
 * persons to whom the Software is furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or
 * substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED,
 * INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
 * PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
 * FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
 * OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
 * DEALINGS IN THE SOFTWARE.
 */
#ifndef LINUX_IPC_RING_H
#define LINUX_IPC_RING_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

/* Declared here, because <unistd.h> hides it under -std=c11. */
extern long syscall(long number, ...);

#define LIPC_ONE_TO_ONE 1
#define LIPC_MANY_TO_ONE 2
#define LIPC_BROADCAST 3

#define LIPC_HEADER 4096      /* bytes before the data */
#define LIPC_RECORD 8         /* bytes before a message */
#define LIPC_PADDING (-1)     /* the type of a record that is no message */
#define LIPC_MAX_PRODUCERS 62
#define LIPC_SLICE 100        /* ms of sleep until the peers are looked after */

/* How often a wait tries again, and then yields the processor, before it sleeps. */
#ifndef LIPC_SPINS
#define LIPC_SPINS 200
#endif
#ifndef LIPC_YIELDS
#define LIPC_YIELDS 16
#endif

#define LIPC_MAGIC UINT64_C(0x474e49524350494c) /* "LIPCRING" */
#define LIPC_VERSION 1
#define LIPC_MIN_CAPACITY 64
#define LIPC_MAX_CAPACITY 0x40000000

typedef _Atomic int32_t lipc_int32;
typedef _Atomic int64_t lipc_int64;

/* A ring in memory. */
typedef struct {
  unsigned char *header; /* the beginning of the ring */
  unsigned char *data;
  unsigned char *trailer;
  int64_t capacity;
  int32_t max_length; /* of a message */
  int32_t kind;
} lipc_ring;

/* One message, in place: valid until the handler returns. */
typedef struct {
  const void *data;
  size_t length;
  int32_t type;
  uint64_t missed; /* messages of a broadcast that were missed right before this one */
} lipc_message;

typedef void (*lipc_handler)(const lipc_message *message, void *context);

/* What one write of several messages takes. */
typedef struct {
  const void *data;
  size_t length;
} lipc_bytes;

typedef struct {
  lipc_ring ring;
  unsigned char *slot;
  int64_t tail; /* if it is the only producer */
  int64_t head; /* as of the last look */
  int32_t owner;
} lipc_producer;

typedef struct {
  lipc_ring ring;
  unsigned char *slot;
  int64_t head;
  unsigned vain;
} lipc_consumer;

/* Space for one message, to be filled and committed. */
typedef struct {
  lipc_producer *producer;
  void *data;
  size_t length;
  int32_t type;
} lipc_claim;

typedef struct {
  lipc_ring ring;
  unsigned char *slot;
  int64_t tail;
  int64_t intent; /* never less than that of a transmitter that was killed */
  uint32_t count;
} lipc_transmitter;

typedef struct {
  lipc_ring ring;
  int64_t next;         /* the position of the next record */
  uint32_t count;       /* how many messages there have been before it */
  uint64_t missed;      /* messages, since the receiver was made */
  uint64_t missed_bytes;
  uint64_t untold;      /* those of which no message has told yet */
  unsigned char *copy;
} lipc_receiver;

/* ---- Parts of the memory ------------------------------------------------------------ */

#define LIPC_VERSION_AT 8
#define LIPC_KIND_AT 12
#define LIPC_CAPACITY_AT 16
#define LIPC_LOST_AT 24
#define LIPC_CONSUMER_SLOT 64
#define LIPC_PRODUCER_SLOTS 128
#define LIPC_SLOT 64

/* In a slot. */
#define LIPC_START 8
#define LIPC_NAMESPACE 16
#define LIPC_POSITION 24
#define LIPC_LENGTH 32
#define LIPC_STAMP 36

/* In the trailer of a ring. */
#define LIPC_CONSUMER_SLEEPS 0 /* and the futex word behind it */
#define LIPC_PRODUCERS_SLEEP 64
#define LIPC_TAIL 128
#define LIPC_HEAD 384
#define LIPC_TRAILER 768

/* In the trailer of a broadcast. */
#define LIPC_INTENT 0
#define LIPC_BROADCAST_TAIL 8
#define LIPC_LATEST 16
#define LIPC_MARK 24
#define LIPC_RECEIVERS_SLEEP 64
#define LIPC_BROADCAST_TRAILER 128

#define LIPC_INLINE static inline __attribute__((unused))

LIPC_INLINE lipc_int32 *lipc_i32(unsigned char *at) { return (lipc_int32 *)(void *)at; }
LIPC_INLINE lipc_int64 *lipc_i64(unsigned char *at) { return (lipc_int64 *)(void *)at; }

LIPC_INLINE int32_t lipc_load(unsigned char *at) { return atomic_load(lipc_i32(at)); }
LIPC_INLINE int64_t lipc_load64(unsigned char *at) { return atomic_load(lipc_i64(at)); }

LIPC_INLINE int64_t lipc_aligned(int64_t length) { return (length + 7) & ~INT64_C(7); }

LIPC_INLINE size_t lipc_trailer_of(int kind) {
  return kind == LIPC_BROADCAST ? LIPC_BROADCAST_TRAILER : LIPC_TRAILER;
}

/* The bytes that a ring takes: as much memory as lipc_ring_create() needs. */
LIPC_INLINE size_t lipc_ring_size(int kind, size_t capacity) {
  return LIPC_HEADER + capacity + lipc_trailer_of(kind);
}

LIPC_INLINE bool lipc_is_capacity(int64_t capacity) {
  return capacity >= LIPC_MIN_CAPACITY && capacity <= LIPC_MAX_CAPACITY &&
         (capacity & (capacity - 1)) == 0;
}

LIPC_INLINE void lipc_place(lipc_ring *ring, void *memory, int kind, int64_t capacity) {
  ring->header = memory;
  ring->data = ring->header + LIPC_HEADER;
  ring->trailer = ring->data + capacity;
  ring->capacity = capacity;
  ring->max_length = capacity / 8 > LIPC_RECORD ? (int32_t)(capacity / 8) : LIPC_RECORD;
  ring->kind = kind;
}

/*
 * Makes an empty ring of memory that begins at a multiple of 64. A capacity of 0 is the
 * largest one that fits. -EEXIST if there is a ring already.
 */
LIPC_INLINE int lipc_ring_create(lipc_ring *ring, void *memory, size_t size, int kind,
                                 size_t capacity) {
  memset(ring, 0, sizeof *ring);
  if (kind < LIPC_ONE_TO_ONE || kind > LIPC_BROADCAST) return -EINVAL;
  if ((uintptr_t)memory % LIPC_SLOT != 0) return -EINVAL;
  if (size < lipc_ring_size(kind, LIPC_MIN_CAPACITY)) return -ENOSPC;
  if (capacity == 0) {
    capacity = LIPC_MAX_CAPACITY;
    while (lipc_ring_size(kind, capacity) > size) capacity /= 2;
  }
  if (!lipc_is_capacity((int64_t)capacity)) return -EINVAL;
  if (lipc_ring_size(kind, capacity) > size) return -ENOSPC;
  lipc_place(ring, memory, kind, (int64_t)capacity);
  if ((uint64_t)lipc_load64(ring->header) == LIPC_MAGIC) return -EEXIST;
  memset(memory, 0, lipc_ring_size(kind, capacity));
  const int32_t version = LIPC_VERSION;
  memcpy(ring->header + LIPC_VERSION_AT, &version, sizeof version);
  memcpy(ring->header + LIPC_KIND_AT, &ring->kind, sizeof ring->kind);
  memcpy(ring->header + LIPC_CAPACITY_AT, &ring->capacity, sizeof ring->capacity);
  atomic_store(lipc_i64(ring->header), (int64_t)LIPC_MAGIC);
  return 0;
}

/* Finds a ring that another process has made. -EPROTO if there is none, or another one. */
LIPC_INLINE int lipc_ring_open(lipc_ring *ring, void *memory, size_t size) {
  unsigned char *header = memory;
  int32_t version, kind;
  int64_t capacity;
  memset(ring, 0, sizeof *ring);
  if ((uintptr_t)memory % LIPC_SLOT != 0) return -EINVAL;
  if (size < LIPC_HEADER || (uint64_t)lipc_load64(header) != LIPC_MAGIC) return -EPROTO;
  memcpy(&version, header + LIPC_VERSION_AT, sizeof version);
  memcpy(&kind, header + LIPC_KIND_AT, sizeof kind);
  memcpy(&capacity, header + LIPC_CAPACITY_AT, sizeof capacity);
  if (version != LIPC_VERSION || kind < LIPC_ONE_TO_ONE || kind > LIPC_BROADCAST ||
      !lipc_is_capacity(capacity) || lipc_ring_size(kind, (size_t)capacity) > size) {
    return -EPROTO;
  }
  lipc_place(ring, memory, kind, capacity);
  return 0;
}

/* How many messages of dead producers were given up. */
LIPC_INLINE uint32_t lipc_lost(const lipc_ring *ring) {
  return (uint32_t)lipc_load(ring->header + LIPC_LOST_AT);
}

/* A counter, which a peer may have damaged: -EBADMSG. */
LIPC_INLINE int64_t lipc_position(unsigned char *at) {
  const int64_t position = lipc_load64(at);
  return position >= 0 && position < INT64_C(1) << 53 && position % 8 == 0 ? position
                                                                            : -EBADMSG;
}

/* ---- Time, and sleeping ------------------------------------------------------------- */

LIPC_INLINE int64_t lipc_now(void) { /* ms */
  struct timespec now = {0, 0};
  syscall(SYS_clock_gettime, 1 /* CLOCK_MONOTONIC */, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether to try again without sleeping, after so many tries. */
LIPC_INLINE bool lipc_spin(int tries) {
  if (tries < LIPC_SPINS) return true;
  if (tries >= LIPC_SPINS + LIPC_YIELDS) return false;
  syscall(SYS_sched_yield);
  return true;
}

/* Says that this thread is about to sleep. Returns the word to sleep with. */
LIPC_INLINE int32_t lipc_announce(unsigned char *flag) {
  const int32_t value = lipc_load(flag + 4);
  atomic_store(lipc_i32(flag), 1);
  return value;
}

LIPC_INLINE void lipc_sleep(unsigned char *flag, int32_t value, int64_t milliseconds) {
  const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  syscall(SYS_futex, flag + 4, 0 /* FUTEX_WAIT */, value, &time, NULL, 0);
}

LIPC_INLINE void lipc_wake_now(unsigned char *flag) {
  if (atomic_exchange(lipc_i32(flag), 0) == 0) return;
  atomic_fetch_add(lipc_i32(flag + 4), 1);
  syscall(SYS_futex, flag + 4, 1 /* FUTEX_WAKE */, INT32_MAX, NULL, NULL, 0);
}

/* Wakes those who sleep. To be called after each change, which was stored seq_cst. */
LIPC_INLINE void lipc_wake(unsigned char *flag) {
  if (lipc_load(flag) != 0) lipc_wake_now(flag);
}

/* ---- Who takes part ----------------------------------------------------------------- */

/* Reads a file or a link of /proc. */
LIPC_INLINE long lipc_read_proc(const char *path, char *text, size_t size) {
  const long fd = syscall(SYS_openat, -100 /* AT_FDCWD */, path, 02000000 /* O_CLOEXEC */);
  if (fd < 0) return -1;
  const long count = syscall(SYS_read, fd, text, size - 1);
  syscall(SYS_close, fd);
  text[count < 0 ? 0 : count] = '\0';
  return count;
}

/* The state and the start of a process: proc_pid_stat(5). */
LIPC_INLINE bool lipc_stat(int32_t id, char *state, uint64_t *start) {
  char path[32] = "/proc/", text[1024];
  char digits[12];
  size_t count = 0, end = 6;
  for (int32_t rest = id; rest > 0; rest /= 10) digits[count++] = (char)('0' + rest % 10);
  while (count > 0) path[end++] = digits[--count];
  memcpy(path + end, "/stat", 6);
  if (lipc_read_proc(path, text, sizeof text) <= 0) return false;
  char *field = strrchr(text, ')'); /* the name may contain anything */
  if (field == NULL || field[1] == '\0') return false;
  *state = field[2];
  for (int i = 0; i < 20 && field != NULL; i++) field = strchr(field + 1, ' ');
  if (field == NULL) return false;
  *start = strtoull(field + 1, NULL, 10);
  return true;
}

/* The inode of this PID namespace; 0 if it is unknown. */
LIPC_INLINE int64_t lipc_namespace(void) {
  char text[64];
  const long count = syscall(SYS_readlinkat, -100, "/proc/self/ns/pid", text,
                             sizeof text - 1);
  if (count <= 0) return 0;
  text[count] = '\0';
  const char *number = strchr(text, '[');
  return number == NULL ? 0 : (int64_t)strtoull(number + 1, NULL, 10);
}

LIPC_INLINE int32_t lipc_slot_id(unsigned char *slot) {
  return (int32_t)(uint32_t)(uint64_t)lipc_load64(slot);
}

LIPC_INLINE int32_t lipc_slot_generation(unsigned char *slot) {
  return (int32_t)((uint64_t)lipc_load64(slot) >> 32 & 0xffffff);
}

/* Whether a thread has the slot, and has certainly ended. */
LIPC_INLINE bool lipc_has_ended(unsigned char *slot) {
  const int64_t word = lipc_load64(slot);
  const int32_t id = (int32_t)(uint32_t)(uint64_t)word;
  const int32_t generation = (int32_t)((uint64_t)word >> 32 & 0xffffff);
  if (id <= 0) return false;
  uint64_t start = 0, present;
  int64_t names = lipc_namespace();
  if (names == 0) return false;
  /* A thread that was killed while it took the slot has left the fields of another. */
  if (lipc_load(slot + LIPC_STAMP) == generation) {
    start = (uint64_t)lipc_load64(slot + LIPC_START);
    if (lipc_load64(slot + LIPC_NAMESPACE) != names) return false;
  }
  if (lipc_load64(slot) != word) return false;
  if (syscall(SYS_kill, id, 0) < 0 && errno == ESRCH) return true;
  char state;
  if (!lipc_stat(id, &state, &present)) return false;
  return state == 'Z' || state == 'X' || (start != 0 && present != start);
}

/* Takes a slot that is free, or whose owner has ended. */
LIPC_INLINE bool lipc_take(unsigned char *slot, bool replace) {
  int64_t word = lipc_load64(slot);
  if ((uint32_t)(uint64_t)word != 0 && !(replace && lipc_has_ended(slot))) return false;
  const int32_t id = (int32_t)syscall(SYS_getpid);
  int32_t generation = (int32_t)((((uint64_t)word >> 32) + 1) & 0xffffff);
  if (generation == 0) generation = 1;
  const int64_t taken = (int64_t)((uint64_t)generation << 32 | (uint32_t)id);
  if (!atomic_compare_exchange_strong(lipc_i64(slot), &word, taken)) return false;
  uint64_t start = 0;
  char state;
  if (!lipc_stat(id, &state, &start)) start = 0;
  atomic_store(lipc_i32(slot + LIPC_LENGTH), 0);
  atomic_store(lipc_i64(slot + LIPC_START), (int64_t)start);
  atomic_store(lipc_i64(slot + LIPC_NAMESPACE), lipc_namespace());
  atomic_store(lipc_i32(slot + LIPC_STAMP), generation);
  return true;
}

LIPC_INLINE void lipc_release(unsigned char *slot) {
  atomic_store(lipc_i32(slot + LIPC_LENGTH), 0);
  const uint64_t word = (uint64_t)lipc_load64(slot);
  atomic_store(lipc_i64(slot), (int64_t)(word & UINT64_C(0xffffffff00000000)));
}

/* Notes which part of the ring the owner of the slot is about to change. */
LIPC_INLINE void lipc_begin(unsigned char *slot, int64_t position, int32_t length) {
  atomic_store_explicit(lipc_i64(slot + LIPC_POSITION), position, memory_order_release);
  atomic_store_explicit(lipc_i32(slot + LIPC_LENGTH), length, memory_order_release);
}

LIPC_INLINE bool lipc_slot_contains(unsigned char *slot, int64_t position) {
  const int32_t length = lipc_load(slot + LIPC_LENGTH);
  const int64_t start = lipc_load64(slot + LIPC_POSITION);
  return length > 0 && start <= position && position - start < length;
}

LIPC_INLINE unsigned char *lipc_producer_slot(const lipc_ring *ring, int index) {
  return ring->header + LIPC_PRODUCER_SLOTS + index * LIPC_SLOT;
}

LIPC_INLINE int lipc_producer_slots(const lipc_ring *ring) {
  return ring->kind == LIPC_MANY_TO_ONE ? LIPC_MAX_PRODUCERS : 1;
}

LIPC_INLINE int32_t lipc_owner(int index, int32_t generation) {
  return -2 - (generation << 6 | index);
}

/* Whether all producers that there have been are gone. */
LIPC_INLINE bool lipc_producers_gone(const lipc_ring *ring, bool certainly) {
  bool any = false;
  for (int i = 0; i < lipc_producer_slots(ring); i++) {
    unsigned char *slot = lipc_producer_slot(ring, i);
    if (lipc_slot_generation(slot) == 0) break;
    any = true;
    if (lipc_slot_id(slot) != 0 && !(certainly && lipc_has_ended(slot))) return false;
  }
  return any;
}

/* ---- What a dead participant has left ------------------------------------------------ */

/* Makes padding of a claim, unless its length is another one by now. */
LIPC_INLINE bool lipc_fill(const lipc_ring *ring, int64_t index, int32_t before,
                           int64_t length, bool whole) {
  unsigned char *record = ring->data + index;
  if (lipc_load(record) != before) return false;
  atomic_store_explicit(lipc_i32(record + 4), LIPC_PADDING, memory_order_relaxed);
  if (!atomic_compare_exchange_strong(lipc_i32(record), &before, (int32_t)length)) {
    return false;
  }
  if (whole) atomic_fetch_add(lipc_i32(ring->header + LIPC_LOST_AT), 1);
  return true;
}

/* The dead producer that has claimed a position; NULL if a living one may have. */
LIPC_INLINE unsigned char *lipc_dead_at(const lipc_ring *ring, int64_t position) {
  unsigned char *dead = NULL;
  for (int i = 0; i < LIPC_MAX_PRODUCERS; i++) {
    unsigned char *slot = lipc_producer_slot(ring, i);
    if (lipc_slot_id(slot) == 0 || !lipc_slot_contains(slot, position)) continue;
    if (!lipc_has_ended(slot)) return NULL;
    dead = slot;
  }
  return dead;
}

/* Where a claim ends in which nothing is written yet: where another one begins. */
LIPC_INLINE int64_t lipc_end_of_claim(const lipc_ring *ring, int64_t position,
                                      int64_t most) {
  for (int i = 0; i < LIPC_MAX_PRODUCERS; i++) {
    unsigned char *slot = lipc_producer_slot(ring, i);
    const int64_t start = lipc_load64(slot + LIPC_POSITION);
    if (lipc_load(slot + LIPC_LENGTH) > 0 && start > position && start - position < most) {
      most = start - position;
    }
  }
  unsigned char *record = ring->data + (position & (ring->capacity - 1));
  for (int64_t length = 8; length < most; length += 8) {
    if (lipc_load(record + length) != 0) return length;
  }
  return most;
}

/* Gives up the claim at a position, if its producer has certainly ended. */
LIPC_INLINE int lipc_unblock(const lipc_ring *ring, int64_t position) {
  const int64_t tail = lipc_position(ring->trailer + LIPC_TAIL);
  if (tail < 0) return -EBADMSG;
  if (tail <= position) return 0;
  const int64_t index = position & (ring->capacity - 1);
  unsigned char *record = ring->data + index;
  const int32_t length = lipc_load(record);
  if (length > 0) return 0;
  int64_t most = ring->capacity - index;
  if (tail - position < most) most = tail - position;
  int64_t end = lipc_aligned(-(int64_t)length);
  bool whole = true;
  if (ring->kind == LIPC_ONE_TO_ONE) {
    if (!lipc_has_ended(lipc_producer_slot(ring, 0))) return 0;
    if (length == 0) {
      end = most;
      whole = most == tail - position;
    }
  } else {
    const int32_t type = lipc_load(record + 4);
    if (length < 0 && type != 0) {
      if (type >= LIPC_PADDING) return 0;
      const uint32_t number = (uint32_t)(-2 - (int64_t)type);
      if (number % 64 >= LIPC_MAX_PRODUCERS) return 0;
      unsigned char *slot = lipc_producer_slot(ring, (int)(number % 64));
      if ((uint32_t)lipc_slot_generation(slot) == number / 64 &&
          lipc_slot_id(slot) != 0 && !lipc_has_ended(slot)) {
        return 0;
      }
    } else {
      unsigned char *dead = lipc_dead_at(ring, position);
      if (dead == NULL) return 0;
      if (length == 0) {
        const int64_t start = lipc_load64(dead + LIPC_POSITION);
        end = lipc_end_of_claim(ring, position, most);
        whole = start + lipc_load(dead + LIPC_LENGTH) <= position + end;
      }
    }
  }
  if (end < LIPC_RECORD || end > most) return -EBADMSG;
  return lipc_fill(ring, index, length, end, whole);
}

/* Gives up what the predecessor of the only producer has left. */
LIPC_INLINE int lipc_settle_one_to_one(const lipc_ring *ring) {
  const int64_t tail = lipc_position(ring->trailer + LIPC_TAIL);
  int64_t position = lipc_position(ring->trailer + LIPC_HEAD);
  if (tail < 0 || position < 0 || tail < position || tail - position > ring->capacity) {
    return -EBADMSG;
  }
  while (position < tail) {
    const int64_t index = position & (ring->capacity - 1);
    int64_t most = ring->capacity - index;
    if (tail - position < most) most = tail - position;
    const int32_t length = lipc_load(ring->data + index);
    const int64_t size = length == 0 ? most
                                     : lipc_aligned(length < 0 ? -(int64_t)length : length);
    if (size < LIPC_RECORD || size > most) return -EBADMSG;
    if (length <= 0) {
      lipc_fill(ring, index, length, size, length < 0 || most == tail - position);
    }
    const int64_t head = lipc_position(ring->trailer + LIPC_HEAD);
    position += size;
    if (head > position) position = head;
  }
  return 0;
}

/* ---- Producers ----------------------------------------------------------------------- */

/* Gives a slot to a producer: -EBUSY if all are taken. */
LIPC_INLINE unsigned char *lipc_find_slot(const lipc_ring *ring, int *index) {
  const int slots = lipc_producer_slots(ring);
  for (int i = 0; i < slots; i++) {
    unsigned char *slot = lipc_producer_slot(ring, i);
    if (lipc_slot_id(slot) == 0 && lipc_take(slot, false)) return *index = i, slot;
  }
  for (int i = 0; i < slots; i++) {
    unsigned char *slot = lipc_producer_slot(ring, i);
    const int64_t end = lipc_load64(slot + LIPC_POSITION) + lipc_load(slot + LIPC_LENGTH);
    const bool settled = ring->kind != LIPC_MANY_TO_ONE ||
                         lipc_load(slot + LIPC_LENGTH) == 0 ||
                         end <= lipc_load64(ring->trailer + LIPC_HEAD);
    if (settled && lipc_take(slot, true)) return *index = i, slot;
  }
  return NULL;
}

/* Takes part as a producer. */
LIPC_INLINE int lipc_producer_init(lipc_producer *producer, const lipc_ring *ring) {
  int index = 0;
  memset(producer, 0, sizeof *producer);
  if (ring->kind == LIPC_BROADCAST) return -EINVAL;
  producer->ring = *ring;
  producer->slot = lipc_find_slot(ring, &index);
  if (producer->slot == NULL) return -EBUSY;
  producer->owner = lipc_owner(index, lipc_slot_generation(producer->slot));
  int error = 0;
  if (ring->kind == LIPC_ONE_TO_ONE) error = lipc_settle_one_to_one(ring);
  producer->tail = lipc_position(ring->trailer + LIPC_TAIL);
  producer->head = lipc_position(ring->trailer + LIPC_HEAD);
  if (error == 0 && producer->tail >= 0 && producer->head >= 0) return 0;
  lipc_release(producer->slot);
  return -EBADMSG;
}

/* Leaves the ring. Claims must be committed or aborted. */
LIPC_INLINE void lipc_producer_close(lipc_producer *producer) {
  lipc_release(producer->slot);
  lipc_wake(producer->ring.trailer + LIPC_CONSUMER_SLEEPS);
}

LIPC_INLINE void lipc_pad(const lipc_ring *ring, int64_t index, int64_t length) {
  unsigned char *record = ring->data + index;
  atomic_store_explicit(lipc_i32(record + 4), LIPC_PADDING, memory_order_relaxed);
  atomic_store_explicit(lipc_i32(record), (int32_t)length, memory_order_release);
}

LIPC_INLINE void lipc_zero(const lipc_ring *ring, int64_t index) {
  atomic_store_explicit(lipc_i64(ring->data + index), 0, memory_order_relaxed);
}

/* Looks at the head again. False if a peer has damaged it. */
LIPC_INLINE bool lipc_look(lipc_producer *producer, int64_t tail) {
  producer->head = lipc_position(producer->ring.trailer + LIPC_HEAD);
  return producer->head >= 0 && producer->head <= tail &&
         tail - producer->head <= producer->ring.capacity;
}

/* Reserves space that this thread alone writes to: the index of the record, or an error. */
LIPC_INLINE int64_t lipc_claim_one(lipc_producer *producer, int64_t length) {
  const lipc_ring *ring = &producer->ring;
  const int64_t capacity = ring->capacity, tail = producer->tail;
  const int64_t size = lipc_aligned(length), required = size + LIPC_RECORD;
  if (required > capacity - (tail - producer->head)) {
    if (!lipc_look(producer, tail)) return -EBADMSG;
    if (required > capacity - (tail - producer->head)) return -EAGAIN;
  }
  const int64_t index = tail & (capacity - 1), left = capacity - index;
  int64_t next = tail + size, found = index;
  if (size < left) {
    lipc_zero(ring, index + size); /* the next header */
  } else if (size == left) {
    lipc_zero(ring, 0);
  } else {
    if (required > (producer->head & (capacity - 1)) && !lipc_look(producer, tail)) {
      return -EBADMSG;
    }
    const bool fits = required <= (producer->head & (capacity - 1));
    lipc_zero(ring, 0);
    if (fits) lipc_zero(ring, size);
    found = fits ? 0 : -EAGAIN;
    next = tail + left + (fits ? size : 0);
  }
  atomic_store_explicit(lipc_i64(ring->trailer + LIPC_TAIL), next, memory_order_release);
  producer->tail = next;
  if (size > left) lipc_pad(ring, index, left);
  return found;
}

/* Reserves space of a ring that many write to. */
LIPC_INLINE int64_t lipc_claim_many(lipc_producer *producer, int64_t length) {
  const lipc_ring *ring = &producer->ring;
  const int64_t capacity = ring->capacity, size = lipc_aligned(length);
  unsigned char *at = ring->trailer + LIPC_TAIL;
  for (int stale = 0; stale < 1 << 12;) {
    int64_t tail = lipc_position(at);
    if (tail < 0) return -EBADMSG;
    if (size > capacity - (tail - producer->head) || tail < producer->head) {
      producer->head = lipc_position(ring->trailer + LIPC_HEAD);
      if (producer->head < 0) return producer->head = 0, -EBADMSG;
      if (producer->head > tail) { /* others have written meanwhile */
        stale++;
        continue;
      }
      if (tail - producer->head > capacity) return -EBADMSG;
      if (size > capacity - (tail - producer->head)) {
        atomic_store(lipc_i32(producer->slot + LIPC_LENGTH), 0);
        return -EAGAIN;
      }
    }
    const int64_t index = tail & (capacity - 1), left = capacity - index;
    int64_t total = size;
    bool fits = true;
    if (size > left) {
      if (size > (producer->head & (capacity - 1))) {
        producer->head = lipc_position(ring->trailer + LIPC_HEAD);
        if (producer->head < 0) return producer->head = 0, -EBADMSG;
        if (producer->head > tail) {
          stale++;
          continue;
        }
      }
      fits = size <= (producer->head & (capacity - 1));
      total = fits ? left + size : left;
    }
    /* From here on others see who owns the space, even if this thread dies. */
    lipc_begin(producer->slot, tail, (int32_t)total);
    if (!atomic_compare_exchange_strong(lipc_i64(at), &tail, tail + total)) continue;
    if (size <= left) return index;
    lipc_pad(ring, index, left);
    if (fits) return 0;
    atomic_store(lipc_i32(producer->slot + LIPC_LENGTH), 0);
    return -EAGAIN;
  }
  return -EBADMSG;
}

LIPC_INLINE int64_t lipc_reserve(lipc_producer *producer, int64_t length) {
  return producer->ring.kind == LIPC_ONE_TO_ONE ? lipc_claim_one(producer, length)
                                                : lipc_claim_many(producer, length);
}

/* Notes in a record that it is not committed, and whose it is. */
LIPC_INLINE void lipc_mark(lipc_producer *producer, unsigned char *record, int64_t size) {
  atomic_store_explicit(lipc_i32(record), (int32_t)-size, memory_order_relaxed);
  atomic_store_explicit(lipc_i32(record + 4), producer->owner, memory_order_relaxed);
}

LIPC_INLINE void lipc_publish(const lipc_ring *ring, unsigned char *record, int32_t type,
                              int64_t size) {
  atomic_store_explicit(lipc_i32(record + 4), type, memory_order_relaxed);
  atomic_store(lipc_i32(record), (int32_t)size);
  lipc_wake(ring->trailer + LIPC_CONSUMER_SLEEPS);
}

LIPC_INLINE int lipc_check(const lipc_ring *ring, int32_t type, size_t length) {
  if (type < 1) return -EINVAL;
  return length > (size_t)ring->max_length ? -EMSGSIZE : 0;
}

/* Writes a message if there is space: -EAGAIN if not. */
LIPC_INLINE int lipc_try_write(lipc_producer *producer, int32_t type, const void *data,
                               size_t length) {
  const int error = lipc_check(&producer->ring, type, length);
  if (error != 0) return error;
  const int64_t size = (int64_t)length + LIPC_RECORD;
  const int64_t index = lipc_reserve(producer, size);
  if (index < 0) return (int)index;
  unsigned char *record = producer->ring.data + index;
  if (producer->ring.kind == LIPC_MANY_TO_ONE) lipc_mark(producer, record, size);
  if (length > 0) memcpy(record + LIPC_RECORD, data, length);
  lipc_publish(&producer->ring, record, type, size);
  return 0;
}

/*
 * Writes the first of these messages, as many as fit into an eighth of the capacity, with
 * one ordered store: how many, or -EAGAIN.
 */
LIPC_INLINE int lipc_try_write_all(lipc_producer *producer, int32_t type,
                                   const lipc_bytes *messages, int count) {
  const lipc_ring *ring = &producer->ring;
  const int64_t most = (int64_t)ring->max_length + LIPC_RECORD;
  int64_t total = 0;
  int written = 0;
  for (int i = 0; i < count; i++) {
    const int error = lipc_check(ring, type, messages[i].length);
    if (error != 0) return error;
    const int64_t size = lipc_aligned((int64_t)messages[i].length + LIPC_RECORD);
    if (i > 0 && total + size > most) break;
    total += size;
    written++;
  }
  if (written == 0) return 0;
  const int64_t index = lipc_reserve(producer, total);
  if (index < 0) {
    if (index != -EAGAIN || written == 1) return (int)index;
    const int error = lipc_try_write(producer, type, messages->data, messages->length);
    return error == 0 ? 1 : error;
  }
  unsigned char *first = ring->data + index, *record = first;
  if (ring->kind == LIPC_MANY_TO_ONE) lipc_mark(producer, first, total);
  for (int i = 0; i < written; i++) {
    const int64_t size = (int64_t)messages[i].length + LIPC_RECORD;
    if (i > 0) {
      atomic_store_explicit(lipc_i32(record + 4), type, memory_order_relaxed);
      atomic_store_explicit(lipc_i32(record), (int32_t)size, memory_order_relaxed);
    }
    if (messages[i].length > 0) {
      memcpy(record + LIPC_RECORD, messages[i].data, messages[i].length);
    }
    record += lipc_aligned(size);
  }
  lipc_publish(ring, first, type, (int64_t)messages->length + LIPC_RECORD);
  return written;
}

/* Reserves space for a message that is written in place. */
LIPC_INLINE int lipc_try_claim(lipc_producer *producer, int32_t type, size_t length,
                               lipc_claim *claim) {
  memset(claim, 0, sizeof *claim);
  const int error = lipc_check(&producer->ring, type, length);
  if (error != 0) return error;
  const int64_t size = (int64_t)length + LIPC_RECORD;
  const int64_t index = lipc_reserve(producer, size);
  if (index < 0) return (int)index;
  unsigned char *record = producer->ring.data + index;
  lipc_mark(producer, record, size);
  claim->producer = producer;
  claim->data = record + LIPC_RECORD;
  claim->length = length;
  claim->type = type;
  return 0;
}

LIPC_INLINE void lipc_commit(const lipc_claim *claim) {
  lipc_publish(&claim->producer->ring, (unsigned char *)claim->data - LIPC_RECORD,
               claim->type, (int64_t)claim->length + LIPC_RECORD);
}

LIPC_INLINE void lipc_abort(const lipc_claim *claim) {
  lipc_publish(&claim->producer->ring, (unsigned char *)claim->data - LIPC_RECORD,
               LIPC_PADDING, (int64_t)claim->length + LIPC_RECORD);
}

/*
 * Sleeps until there may be space. The caller tries again after lipc_announce(), and
 * before this. -EPIPE if the consumer is gone, -ETIMEDOUT if the deadline has passed.
 */
LIPC_INLINE int lipc_await_space(lipc_producer *producer, int32_t value, int64_t deadline) {
  unsigned char *flag = producer->ring.trailer + LIPC_PRODUCERS_SLEEP;
  unsigned char *consumer = producer->ring.header + LIPC_CONSUMER_SLOT;
  const int64_t start = lipc_now();
  if (deadline >= 0 && start >= deadline) return -ETIMEDOUT;
  int64_t time = LIPC_SLICE;
  if (deadline >= 0 && deadline - start < time) time = deadline - start;
  lipc_sleep(flag, value, time);
  if (lipc_now() - start < LIPC_SLICE || lipc_slot_generation(consumer) == 0) return 0;
  return lipc_slot_id(consumer) == 0 || lipc_has_ended(consumer) ? -EPIPE : 0;
}

/* A try that is repeated until there is space, or an error. */
#define LIPC_WAIT_FOR_SPACE(producer, timeout, attempt)                                   \
  unsigned char *lipc_flag = (producer)->ring.trailer + LIPC_PRODUCERS_SLEEP;             \
  int64_t lipc_deadline = -1;                                                             \
  for (int lipc_result, lipc_tries = 0;; lipc_tries++) {                                               \
    lipc_result = (attempt);                                                              \
    if (lipc_result != -EAGAIN) return lipc_result;                                       \
    if (lipc_spin(lipc_tries)) continue;                                                  \
    if (lipc_deadline < 0 && (timeout) >= 0) lipc_deadline = lipc_now() + (timeout);      \
    const int32_t lipc_value = lipc_announce(lipc_flag);                                  \
    lipc_result = (attempt);                                                              \
    if (lipc_result != -EAGAIN) return lipc_result;                                       \
    lipc_result = lipc_await_space((producer), lipc_value, lipc_deadline);                \
    if (lipc_result != 0) return lipc_result;                                             \
  }

/* Writes a message, and waits while the ring is full. */
LIPC_INLINE int lipc_write(lipc_producer *producer, int32_t type, const void *data,
                           size_t length, int64_t timeout) {
  LIPC_WAIT_FOR_SPACE(producer, timeout, lipc_try_write(producer, type, data, length))
}

/* Reserves space for a message that is written in place, and waits while there is none. */
LIPC_INLINE int lipc_claim_space(lipc_producer *producer, int32_t type, size_t length,
                                 lipc_claim *claim, int64_t timeout) {
  LIPC_WAIT_FOR_SPACE(producer, timeout, lipc_try_claim(producer, type, length, claim))
}

/* ---- The consumer -------------------------------------------------------------------- */

/* Gives the space of the next bytes back to the producers. */
LIPC_INLINE void lipc_advance(lipc_consumer *consumer, int64_t count) {
  const lipc_ring *ring = &consumer->ring;
  const int64_t next = consumer->head + count;
  if (count == 0) return;
  if (ring->kind == LIPC_MANY_TO_ONE) {
    /* Producers expect zeroes, and the next consumer must not stop at half of them. */
    lipc_begin(consumer->slot, next, 0);
    memset(ring->data + (consumer->head & (ring->capacity - 1)), 0, (size_t)count);
  }
  atomic_store(lipc_i64(ring->trailer + LIPC_HEAD), next);
  consumer->head = next;
  lipc_wake(ring->trailer + LIPC_PRODUCERS_SLEEP);
}

/* Takes part as the consumer. It goes on where the last one has stopped. */
LIPC_INLINE int lipc_consumer_init(lipc_consumer *consumer, const lipc_ring *ring) {
  memset(consumer, 0, sizeof *consumer);
  if (ring->kind == LIPC_BROADCAST) return -EINVAL;
  consumer->ring = *ring;
  consumer->slot = ring->header + LIPC_CONSUMER_SLOT;
  if (!lipc_take(consumer->slot, true)) return -EBUSY;
  consumer->head = lipc_position(ring->trailer + LIPC_HEAD);
  const int64_t tail = lipc_position(ring->trailer + LIPC_TAIL);
  if (consumer->head < 0 || tail < 0) {
    lipc_release(consumer->slot);
    return -EBADMSG;
  }
  const int64_t consumed = lipc_load64(consumer->slot + LIPC_POSITION);
  const int64_t left = ring->capacity - (consumer->head & (ring->capacity - 1));
  if (ring->kind == LIPC_MANY_TO_ONE && consumed > consumer->head && consumed <= tail &&
      consumed % 8 == 0 && consumed - consumer->head <= left) {
    lipc_advance(consumer, consumed - consumer->head);
  }
  return 0;
}

LIPC_INLINE void lipc_consumer_close(lipc_consumer *consumer) {
  lipc_release(consumer->slot);
  lipc_wake(consumer->ring.trailer + LIPC_PRODUCERS_SLEEP);
}

/*
 * Calls a handler for each message that there is, up to a limit: how many, or -EBADMSG.
 * The space of the messages is given back when the last handler has returned.
 */
LIPC_INLINE int lipc_try_read(lipc_consumer *consumer, lipc_handler handler, void *context,
                              int limit) {
  const lipc_ring *ring = &consumer->ring;
  int count = 0, error = 0;
  for (int part = 0; part < 2 && error == 0; part++) {
    const int64_t index = consumer->head & (ring->capacity - 1);
    const int64_t end = ring->capacity - index;
    int64_t done = 0;
    while (done < end && count < limit) {
      unsigned char *record = ring->data + index + done;
      const int32_t length =
          atomic_load_explicit(lipc_i32(record), memory_order_acquire);
      if (length <= 0) break;
      const int32_t type =
          atomic_load_explicit(lipc_i32(record + 4), memory_order_relaxed);
      /* A peer has written the length: it is checked before it is used. */
      if (length < LIPC_RECORD || length > end - done || type == 0 || type < LIPC_PADDING ||
          (type > 0 && length - LIPC_RECORD > ring->max_length)) {
        error = -EBADMSG;
        break;
      }
      done += lipc_aligned(length);
      if (type == LIPC_PADDING) continue;
      const lipc_message message = {record + LIPC_RECORD, (size_t)length - LIPC_RECORD,
                                    type, 0};
      count++;
      handler(&message, context);
    }
    lipc_advance(consumer, done);
    if (done != end) break;
  }
  if (count > 0) consumer->vain = 0;
  else if (error == 0 && ++consumer->vain % 4096 == 0) lipc_unblock(ring, consumer->head);
  return count == 0 ? error : count;
}

/* Whether there is a message: 1, 0, or -EBADMSG. Removes padding before it. */
LIPC_INLINE int lipc_has_message(lipc_consumer *consumer) {
  const lipc_ring *ring = &consumer->ring;
  for (int64_t i = 0; i <= ring->capacity / 8; i++) {
    const int64_t index = consumer->head & (ring->capacity - 1);
    unsigned char *record = ring->data + index;
    const int32_t length = lipc_load(record);
    if (length <= 0) return 0;
    if (lipc_load(record + 4) != LIPC_PADDING) return 1;
    const int64_t size = lipc_aligned(length);
    if (size > ring->capacity - index) break;
    lipc_advance(consumer, size);
  }
  return -EBADMSG;
}

/*
 * Waits until there is a message: 1. 0 at the end: all producers that there have been are
 * gone. -ETIMEDOUT if the timeout has passed.
 */
LIPC_INLINE int lipc_wait(lipc_consumer *consumer, int64_t timeout) {
  unsigned char *flag = consumer->ring.trailer + LIPC_CONSUMER_SLEEPS;
  int64_t deadline = -1;
  bool certainly = false;
  for (int result, tries = 0;; tries++) {
    result = lipc_has_message(consumer);
    if (result != 0) return result;
    if (lipc_spin(tries)) continue;
    if (lipc_producers_gone(&consumer->ring, certainly)) return lipc_has_message(consumer);
    certainly = false;
    const int32_t value = lipc_announce(flag);
    result = lipc_has_message(consumer);
    if (result != 0) return result;
    const int64_t start = lipc_now();
    if (deadline < 0 && timeout >= 0) deadline = start + timeout;
    if (deadline >= 0 && start >= deadline) return -ETIMEDOUT;
    int64_t time = LIPC_SLICE;
    if (deadline >= 0 && deadline - start < time) time = deadline - start;
    lipc_sleep(flag, value, time);
    if (lipc_now() - start >= LIPC_SLICE) {
      certainly = true;
      result = lipc_unblock(&consumer->ring, consumer->head);
      if (result < 0) return result;
    }
  }
}

/* ---- Broadcast ----------------------------------------------------------------------- */

/* The latest message of a broadcast, or the one that is being written. */
typedef struct {
  int64_t position;
  uint32_t before; /* how many messages there have been before it */
  bool counted;    /* whether that is known */
} lipc_latest;

/*
 * The transmitter stores the number and the position of a message in one word, the mark, so
 * that they belong together; and it does so before it stores LATEST. So a mark that is
 * behind LATEST is not of that message: a transmitter of Agrona's does not count.
 */
LIPC_INLINE int lipc_look_at(const lipc_ring *ring, lipc_latest *latest) {
  latest->position = lipc_position(ring->trailer + LIPC_LATEST);
  if (latest->position < 0) return -EBADMSG;
  const uint64_t mark = (uint64_t)lipc_load64(ring->trailer + LIPC_MARK);
  const uint32_t number = (uint32_t)(mark >> 32);
  const int32_t ahead = (int32_t)((uint32_t)mark - (uint32_t)(latest->position / 8));
  latest->counted = number != 0 && ahead >= 0;
  latest->before = latest->counted ? number - 1 : 0;
  if (latest->counted) latest->position += (int64_t)ahead * 8;
  return 0;
}

/* Whether nothing from this position on was overwritten, before the last loads. */
LIPC_INLINE bool lipc_is_intact(const lipc_ring *ring, int64_t position) {
  atomic_thread_fence(memory_order_seq_cst);
  return position + ring->capacity > lipc_load64(ring->trailer + LIPC_INTENT);
}

/* The header of the record at a position: false if there cannot be one. */
LIPC_INLINE bool lipc_record_at(const lipc_ring *ring, int64_t position, int32_t *length,
                                int32_t *type) {
  const int64_t index = position & (ring->capacity - 1);
  *length = lipc_load(ring->data + index);
  *type = lipc_load(ring->data + index + 4);
  return *length >= LIPC_RECORD && *length <= ring->capacity - index &&
         (*type == LIPC_PADDING || (*type > 0 && *length - LIPC_RECORD <= ring->max_length));
}

/* How many messages begin between two positions: -1 if they were overwritten. */
LIPC_INLINE int64_t lipc_count_between(const lipc_ring *ring, int64_t from, int64_t to) {
  int64_t count = 0;
  while (from < to && to - from <= ring->capacity) {
    int32_t length, type;
    const bool sound = lipc_record_at(ring, from, &length, &type);
    if (!lipc_is_intact(ring, from) || !sound) return -1;
    from += lipc_aligned(length);
    if (type != LIPC_PADDING) count++;
  }
  return from == to ? count : -1;
}

/* The position of the next message, and how many there have been before it. */
LIPC_INLINE int lipc_next(const lipc_ring *ring, int64_t *next, uint32_t *count) {
  for (int retry = 0;; retry++) {
    lipc_latest latest;
    if (lipc_look_at(ring, &latest) != 0) return -EBADMSG;
    *next = lipc_position(ring->trailer + LIPC_BROADCAST_TAIL);
    if (*next < 0) return -EBADMSG;
    *count = latest.before;
    if (*next <= latest.position) return 0; /* not published yet */
    const int64_t between = lipc_count_between(ring, latest.position, *next);
    if (between < 0 && retry < 64) continue;
    *count += between < 0 ? 1 : (uint32_t)between;
    return 0;
  }
}

/* Takes part as the transmitter: -EBUSY if there is one that is alive. */
LIPC_INLINE int lipc_transmitter_init(lipc_transmitter *transmitter, const lipc_ring *ring) {
  memset(transmitter, 0, sizeof *transmitter);
  if (ring->kind != LIPC_BROADCAST) return -EINVAL;
  transmitter->ring = *ring;
  transmitter->slot = lipc_producer_slot(ring, 0);
  if (!lipc_take(transmitter->slot, true)) return -EBUSY;
  transmitter->tail = lipc_position(ring->trailer + LIPC_BROADCAST_TAIL);
  transmitter->intent = lipc_position(ring->trailer + LIPC_INTENT);
  int64_t next;
  if (transmitter->tail >= 0 && transmitter->intent >= 0 &&
      lipc_next(ring, &next, &transmitter->count) == 0) {
    return 0;
  }
  lipc_release(transmitter->slot);
  return -EBADMSG;
}

LIPC_INLINE void lipc_transmitter_close(lipc_transmitter *transmitter) {
  lipc_release(transmitter->slot);
  lipc_wake(transmitter->ring.trailer + LIPC_RECEIVERS_SLEEP);
}

/* Copies words that others read or write at the same time. Both are aligned to 8. */
LIPC_INLINE void lipc_copy_in(unsigned char *to, const void *data, size_t length) {
  const unsigned char *from = data;
  for (; length >= 8; length -= 8, to += 8, from += 8) {
    int64_t word;
    memcpy(&word, from, 8);
    atomic_store_explicit(lipc_i64(to), word, memory_order_relaxed);
  }
  if (length == 0) return;
  int64_t last = 0;
  memcpy(&last, from, length);
  atomic_store_explicit(lipc_i64(to), last, memory_order_relaxed);
}

LIPC_INLINE void lipc_copy_out(unsigned char *to, unsigned char *from, size_t length) {
  for (size_t done = 0; done < length; done += 8) {
    const int64_t word = atomic_load_explicit(lipc_i64(from + done), memory_order_relaxed);
    memcpy(to + done, &word, length - done < 8 ? length - done : 8);
  }
}

LIPC_INLINE void lipc_set(unsigned char *record, int32_t length, int32_t type) {
  atomic_store_explicit(lipc_i32(record), length, memory_order_relaxed);
  atomic_store_explicit(lipc_i32(record + 4), type, memory_order_relaxed);
}

/* Transmits a message. It never waits. */
LIPC_INLINE int lipc_transmit(lipc_transmitter *transmitter, int32_t type, const void *data,
                              size_t length) {
  const lipc_ring *ring = &transmitter->ring;
  const int error = lipc_check(ring, type, length);
  if (error != 0) return error;
  const int64_t size = lipc_aligned((int64_t)length + LIPC_RECORD);
  int64_t tail = transmitter->tail, index = tail & (ring->capacity - 1);
  const int64_t left = ring->capacity - index;
  const int64_t end = tail + size + (size > left ? left : 0);
  if (end > transmitter->intent) transmitter->intent = end;
  atomic_store(lipc_i64(ring->trailer + LIPC_INTENT), transmitter->intent);
  atomic_thread_fence(memory_order_seq_cst); /* before any byte is overwritten */
  if (size > left) {
    lipc_set(ring->data + index, (int32_t)left, LIPC_PADDING);
    tail += left;
    index = 0;
  }
  lipc_set(ring->data + index, (int32_t)length + LIPC_RECORD, type);
  lipc_copy_in(ring->data + index + LIPC_RECORD, data, length);
  transmitter->count++;
  const uint64_t mark = (uint64_t)transmitter->count << 32 | (uint32_t)(tail / 8);
  atomic_store_explicit(lipc_i64(ring->trailer + LIPC_MARK), (int64_t)mark,
                        memory_order_release);
  atomic_store_explicit(lipc_i64(ring->trailer + LIPC_LATEST), tail, memory_order_release);
  atomic_store(lipc_i64(ring->trailer + LIPC_BROADCAST_TAIL), end);
  transmitter->tail = end;
  lipc_wake(ring->trailer + LIPC_RECEIVERS_SLEEP);
  return 0;
}

/* Takes part as a receiver, from the next message on. */
LIPC_INLINE int lipc_receiver_init(lipc_receiver *receiver, const lipc_ring *ring) {
  memset(receiver, 0, sizeof *receiver);
  if (ring->kind != LIPC_BROADCAST) return -EINVAL;
  receiver->ring = *ring;
  if (lipc_next(ring, &receiver->next, &receiver->count) != 0) return -EBADMSG;
  receiver->copy = malloc((size_t)ring->max_length + 8);
  return receiver->copy == NULL ? -ENOMEM : 0;
}

LIPC_INLINE void lipc_receiver_close(lipc_receiver *receiver) {
  free(receiver->copy);
  receiver->copy = NULL;
}

/* Goes on with the latest message. */
LIPC_INLINE int lipc_skip(lipc_receiver *receiver) {
  lipc_latest latest;
  if (lipc_look_at(&receiver->ring, &latest) != 0) return -EBADMSG;
  if (latest.position > receiver->next) {
    receiver->missed_bytes += (uint64_t)(latest.position - receiver->next);
  }
  receiver->next = latest.position;
  if (!latest.counted) return 0;
  const uint32_t missed = latest.before - receiver->count;
  receiver->missed += missed;
  receiver->untold += missed;
  receiver->count = latest.before;
  return 0;
}

/*
 * Calls a handler for a copy of each message that there is, up to a limit: how many, or
 * -EBADMSG. A receiver that was too slow goes on with the latest message, which tells how
 * many were missed right before it.
 */
LIPC_INLINE int lipc_receive(lipc_receiver *receiver, lipc_handler handler, void *context,
                             int limit) {
  const lipc_ring *ring = &receiver->ring;
  int count = 0;
  for (int laps = 0; laps < 64 && count < limit;) {
    const int64_t tail = lipc_position(ring->trailer + LIPC_BROADCAST_TAIL);
    if (tail < 0) return count == 0 ? -EBADMSG : count;
    if (tail <= receiver->next) return count;
    unsigned char *record = ring->data + (receiver->next & (ring->capacity - 1));
    int32_t length, type;
    const bool sound = lipc_record_at(ring, receiver->next, &length, &type);
    if (sound && type != LIPC_PADDING) {
      lipc_copy_out(receiver->copy, record + LIPC_RECORD, (size_t)length - LIPC_RECORD);
    }
    if (!lipc_is_intact(ring, receiver->next)) {
      if (lipc_skip(receiver) < 0) return count == 0 ? -EBADMSG : count;
      laps++;
      continue;
    }
    if (!sound) return count == 0 ? -EBADMSG : count;
    receiver->next += lipc_aligned(length);
    if (type == LIPC_PADDING) continue;
    const lipc_message message = {receiver->copy, (size_t)length - LIPC_RECORD, type,
                                  receiver->untold};
    receiver->count++;
    receiver->untold = 0;
    count++;
    handler(&message, context);
  }
  return count;
}

/*
 * Waits until there is a message: 1. 0 at the end: the transmitter is gone. -ETIMEDOUT if
 * the timeout has passed.
 */
LIPC_INLINE int lipc_receiver_wait(lipc_receiver *receiver, int64_t timeout) {
  const lipc_ring *ring = &receiver->ring;
  unsigned char *flag = ring->trailer + LIPC_RECEIVERS_SLEEP;
  unsigned char *tail = ring->trailer + LIPC_BROADCAST_TAIL;
  int64_t deadline = -1;
  bool certainly = false;
  for (int tries = 0;; tries++) {
    if (lipc_load64(tail) > receiver->next) return 1;
    if (lipc_spin(tries)) continue;
    if (lipc_producers_gone(ring, certainly)) return lipc_load64(tail) > receiver->next;
    certainly = false;
    const int32_t value = lipc_announce(flag);
    if (lipc_load64(tail) > receiver->next) return 1;
    const int64_t start = lipc_now();
    if (deadline < 0 && timeout >= 0) deadline = start + timeout;
    if (deadline >= 0 && start >= deadline) return -ETIMEDOUT;
    int64_t time = LIPC_SLICE;
    if (deadline >= 0 && deadline - start < time) time = deadline - start;
    lipc_sleep(flag, value, time);
    certainly = lipc_now() - start >= LIPC_SLICE;
  }
}

#endif
