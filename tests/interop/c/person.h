/* What the two queue peers exchange. */
#ifndef PERSON_H
#define PERSON_H

struct person {
  short age;
  char name[20];
};

struct letter {
  long type;
  struct person person;
};

_Static_assert(sizeof(struct person) == 22, "a message has 22 bytes");

#endif
