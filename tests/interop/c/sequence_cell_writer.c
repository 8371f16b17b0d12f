/* sequence_cell_writer ID ROUNDS: writes a struct as SequenceCell does. */
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

struct person {
  short age;
  char name[20];
  double score;
};
struct cell {
  uint32_t sequence;
  _Alignas(8) struct person value;
};

int main(int argc, char **argv) {
  if (argc != 3 || sizeof(struct cell) != 40) return 2;
  volatile struct cell *cell = shmat(atoi(argv[1]), NULL, 0);
  if (cell == (void *)-1) return 1;
  for (int round = 1; round <= atoi(argv[2]); round++) {
    __atomic_fetch_add(&cell->sequence, 1, __ATOMIC_SEQ_CST);
    cell->value.age = round % 30000;
    snprintf((char *)cell->value.name, 20, "name %d", round % 30000);
    cell->value.score = round % 30000;
    __atomic_fetch_add(&cell->sequence, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &cell->sequence, FUTEX_WAKE, 0x7fffffff);
  }
  return 0;
}
