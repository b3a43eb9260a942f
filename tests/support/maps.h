/* The memory map of the test's own process, read in the simplest way. */
#ifndef NEARBUF_TEST_MAPS_H
#define NEARBUF_TEST_MAPS_H

#include <stdint.h>

typedef struct maps_entry {
  uintptr_t start;
  uintptr_t end; /* exclusive */
  char permissions[5];
  char name[256];
} maps_entry;

enum { MAPS_MOST = 16384 };

typedef struct maps {
  int count;
  maps_entry entries[MAPS_MOST];
} maps;

/* Reads the whole map. */
void maps_read(maps *all);

/* The entry that holds an address, or null. */
const maps_entry *maps_find(const maps *all, uintptr_t address);

#endif
