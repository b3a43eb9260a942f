/* The steps of the .NET reference, one by one, faults included: it counts the items at an offset of
 * its own, looks before it locks and not again, does not look at an item's size at all but only at the
 * caller's range, links a locator before it fills it in, and appends without looking at the room. */
#ifndef NEARBUF_TEST_DOTNET_WRITER_H
#define NEARBUF_TEST_DOTNET_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Its layout. */
#pragma pack(push, 1)
typedef struct dotnet_item {
  uintptr_t base;
  int32_t is_taken;
  uint32_t size;
  uint32_t position;
} dotnet_item;

typedef struct dotnet_header {
  uintptr_t this_address;
  struct dotnet_header *next;
  int32_t is_locked;
  uint8_t flags;
  uint8_t written_count; /* padding, to it */
  uint8_t padding;
  uint8_t count;
} dotnet_header;
#pragma pack(pop)

static inline dotnet_item *dotnet_items(dotnet_header *header) {
  return (dotnet_item *)(header + 1);
}

/* The first locator: finds it by its name and believes it, or makes an empty one. `*file` stays open
 * as its stream does. Null where its lock cannot be had or the file is not executable: it throws. */
dotnet_header *dotnet_find(int *file);

/* The same in its three steps, for others come in between: does the file exist; open or make it, and map
 * it; take the header for its own if it did not exist at the first step. */
typedef struct dotnet_birth {
  char name[128];
  bool has_existed;
  int file;
  dotnet_header *mapped;
} dotnet_birth;

dotnet_birth dotnet_look(void);
bool dotnet_open(dotnet_birth *birth);
dotnet_header *dotnet_finish(const dotnet_birth *birth);

/* A buffer that it takes for one with `size` bytes of room in [min, max], held; a new one has whole
 * pages. Null where no memory can be had there: it throws. */
dotnet_item *dotnet_get(dotnet_header *first, uint32_t size, uintptr_t min, uintptr_t max);

uintptr_t dotnet_append(dotnet_item *item, const void *bytes, uint32_t size);
void dotnet_release(dotnet_item *item);

#endif
