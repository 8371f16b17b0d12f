/* A library that creates the file LOADED when it is loaded. */
#include <fcntl.h>
#include <stdlib.h>

__attribute__((constructor)) static void loaded(void) {
  open(getenv("LOADED"), O_CREAT | O_WRONLY, 0600);
}
