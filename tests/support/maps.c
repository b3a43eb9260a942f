/* The memory map of the test's own process; see maps.h. */
#include "maps.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "test.h"

void maps_read(maps *all) {
  FILE *file = fopen("/proc/self/maps", "re");
  CHECK(file != NULL);
  all->count = 0;
  char line[4096];
  while (fgets(line, sizeof line, file) != NULL) {
    CHECK(all->count < MAPS_MOST);
    maps_entry *entry = &all->entries[all->count++];
    *entry = (maps_entry){0};
    CHECK(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %255[^\n]", &entry->start,
                 &entry->end, entry->permissions, entry->name) >= 3);
  }
  fclose(file);
}

const maps_entry *maps_find(const maps *all, uintptr_t address) {
  for (int i = 0; i < all->count; i++) {
    if (all->entries[i].start <= address && address < all->entries[i].end) {
      return &all->entries[i];
    }
  }
  return NULL;
}
