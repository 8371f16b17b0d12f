/* map_person FILE OFFSET: shows and changes what is mapped, for each line that it reads. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct person {
  short age;
  char name[20];
};

int main(int argc, char **argv) {
  char line[100];
  setvbuf(stdout, NULL, _IOLBF, 0);
  int fd = argc == 3 ? open(argv[1], O_RDWR) : -1;
  char *file = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (file == MAP_FAILED) return 1;
  struct person *person = (struct person *)(file + atoi(argv[2]));
  while (fgets(line, sizeof line, stdin) != NULL) {
    struct person before = *person;
    person->age++;
    line[strcspn(line, "\n")] = 0;
    strncpy(person->name, line, 19);
    printf("%d %s\n", before.age, before.name);
  }
  return 0;
}
