/* What a libstdc++ that was built for glibc wants of glibc, and musl does not have. */
#define _GNU_SOURCE
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;
struct { unsigned vendor, type, subtype, features[1]; } __cpu_model;

int __cpu_indicator_init(void) { return 0; }

uint32_t arc4random(void) {
  uint32_t value = 0;
  getrandom(&value, sizeof value, 0);
  return value;
}

size_t __strftime_l(char *text, size_t size, const char *format,
                    const struct tm *time, locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}

/* Destructors of threads do not run, and exceptions of C++ are not caught. */
int __cxa_thread_atexit_impl(void (*run)(void *), void *object, void *library) {
  (void)run, (void)object, (void)library;
  return 0;
}

int _dl_find_object(void *address, void *found) {
  (void)address, (void)found;
  return -1;
}
