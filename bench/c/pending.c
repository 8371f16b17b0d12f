/* The same FIFOs: the others who wait are in the process that is timed. */
#include "fifo.c"
