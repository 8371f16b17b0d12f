// What the processes share.
#include <pthread.h>
#include <stdint.h>

struct stats {
  pthread_mutex_t lock;
  uint64_t requests;
  double load;
  char last[16];
};
