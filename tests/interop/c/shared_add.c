/* shared_add ID TIMES: adds 1 to the int in a segment, that many times. */
#include <stdlib.h>
#include <sys/shm.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int *value = shmat(atoi(argv[1]), NULL, 0);
  if (value == (void *)-1) return 1;
  while (__atomic_load_n(value + 1, __ATOMIC_SEQ_CST) == 0) continue;
  for (int i = atoi(argv[2]); i > 0; i--)
    __atomic_fetch_add(value, 1, __ATOMIC_SEQ_CST);
  return 0;
}
