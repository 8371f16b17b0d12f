// boost_peer FILE: uses the objects of Boost.Interprocess in that file as the lines on stdin
// say, and answers each with a line. The struct is that of boost_test.ts.
#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_recursive_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <cstddef>
#include <iostream>
#include <new>
#include <string>

using namespace boost::interprocess;

struct shared {
  interprocess_mutex lock;
  interprocess_recursive_mutex recursive;
  interprocess_condition changed;
  volatile int ready;
  volatile int count;
};

template <class Mutex>
static void count(shared *s, Mutex &mutex, int times) {
  for (int i = 0; i < times; i++) {
    scoped_lock<Mutex> lock(mutex);
    s->count = s->count + 1;
  }
}

static std::string answer(shared *s, const std::string &word, int number) {
  if (word == "make") {
    new (s) shared();
    s->ready = s->count = 0;
  } else if (word == "lock") {
    s->lock.lock();
  } else if (word == "try") {
    return s->lock.try_lock() ? "ok" : "busy";
  } else if (word == "within") {
    auto end = boost::posix_time::microsec_clock::universal_time() +
               boost::posix_time::milliseconds(number);
    return s->lock.timed_lock(end) ? "ok" : "too late";
  } else if (word == "unlock") {
    s->lock.unlock();
  } else if (word == "count") {
    count(s, s->lock, number);
  } else if (word == "recount") {
    count(s, s->recursive, number);
  } else if (word == "await") {
    scoped_lock<interprocess_mutex> lock(s->lock);
    while (s->ready == 0) s->changed.wait(lock);
    s->ready = s->ready - 1;
    return "woken";
  } else if (word == "signal") {
    scoped_lock<interprocess_mutex> lock(s->lock);
    s->ready = s->ready + 1;
    s->changed.notify_one();
  } else {
    return "what?";
  }
  return "ok";
}

int main(int, char **argv) {
  file_mapping file(argv[1], read_write);
  mapped_region region(file, read_write);
  shared *s = static_cast<shared *>(region.get_address());
  std::cout << offsetof(shared, recursive) << ' ' << offsetof(shared, changed)
            << ' ' << offsetof(shared, ready) << ' ' << sizeof(shared)
            << std::endl;
  std::string word;
  int number;
  while (std::cin >> word >> number) {
    std::cout << answer(s, word, number) << std::endl;
  }
}
