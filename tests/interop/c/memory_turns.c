/* memory_turns ID TIMES: waits for odd numbers in a word, and makes them even. */
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int *word = shmat(atoi(argv[1]), NULL, 0), times = atoi(argv[2]);
  if (word == (void *)-1) return 1;
  for (int turn = 1; turn < times; turn += 2) {
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != turn)
      syscall(SYS_futex, word, FUTEX_WAIT, turn - 1, NULL);
    __atomic_store_n(word, turn + 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, word, FUTEX_WAKE, 1);
  }
  return 0;
}
