// The baseline: the same calls of the C library, with nothing around them.

/** Calls of the C library. */
export const libc = Deno.dlopen("libc.so.6", {
  // ssize_t read(int fd, void *buf, size_t count), and write
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int sem_post(sem_t *sem), and sem_wait
  sem_post: { parameters: ["pointer"], result: "i32" },
  sem_wait: { parameters: ["pointer"], result: "i32" },
  // int pthread_mutex_lock(pthread_mutex_t *mutex), and pthread_mutex_unlock
  pthread_mutex_lock: { parameters: ["pointer"], result: "i32" },
  pthread_mutex_unlock: { parameters: ["pointer"], result: "i32" },
  // int pthread_rwlock_rdlock(pthread_rwlock_t *rwlock), and its siblings
  pthread_rwlock_rdlock: { parameters: ["pointer"], result: "i32" },
  pthread_rwlock_wrlock: { parameters: ["pointer"], result: "i32" },
  pthread_rwlock_unlock: { parameters: ["pointer"], result: "i32" },
  // int semop(int semid, struct sembuf *sops, size_t nsops)
  semop: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  // int msgget(key_t key, int msgflg)
  msgget: { parameters: ["i32", "i32"], result: "i32" },
  // int msgsnd(int msqid, const void *msgp, size_t msgsz, int msgflg)
  msgsnd: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  // ssize_t msgrcv(int msqid, void *msgp, size_t msgsz, long msgtyp, int msgflg)
  msgrcv: {
    parameters: ["i32", "buffer", "usize", "i64", "i32"],
    result: "i32",
  },
  // int mq_send(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned msg_prio)
  mq_send: { parameters: ["i32", "buffer", "usize", "u32"], result: "i32" },
  // ssize_t mq_receive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned *prio)
  mq_receive: {
    parameters: ["i32", "buffer", "usize", "pointer"],
    result: "i32",
  },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
  mmap: {
    parameters: ["usize", "usize", "i32", "i32", "i32", "i64"],
    result: "usize",
  },
  // int munmap(void *addr, size_t length)
  munmap: { parameters: ["usize", "usize"], result: "i32" },
}).symbols;
