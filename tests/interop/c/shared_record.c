/* shared_record ID: changes the struct in a segment for each line that it reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

struct record {
  short age;
  char name[20];
  int scores[3];
  unsigned round;
};

int main(int argc, char **argv) {
  char line[100];
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc != 2) return 2;
  volatile struct record *record = shmat(atoi(argv[1]), NULL, 0);
  if (record == (void *)-1) return 1;
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%d %s %d %d %d %u\n", record->age, (char *)record->name,
           record->scores[0], record->scores[1], record->scores[2],
           record->round);
    record->age--;
    line[strcspn(line, "\n")] = 0;
    strncpy((char *)record->name, line, 19);
    for (int i = 0; i < 3; i++) record->scores[i] *= -2;
    record->round++;
  }
  return 0;
}
