/* The steps of the .NET implementation, one by one, including its faults: it counts the items at
 * another offset, checks an item's room before it locks it and not again, links a locator before it
 * fills it in, and appends without checking the room; one of its two ways to append does not
 * advance the position. */
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
  uint8_t written_count; /* padding, for it */
  uint8_t padding;
  uint8_t count;
} dotnet_header;
#pragma pack(pop)

static inline dotnet_item *dotnet_items(dotnet_header *header) {
  return (dotnet_item *)(header + 1);
}

/* The first locator: finds it by its name and trusts it, or creates an empty one. `*file` stays
 * open as its stream does. Null if it cannot be locked or the file is not executable: it throws. */
dotnet_header *dotnet_find(int *file);

/* The same step by step, because others can act in between. */
typedef enum dotnet_step {
  DOTNET_LOOKED, /* whether the file exists */
  DOTNET_OPENED, /* it exists now in any case */
  DOTNET_LOCKED,
  DOTNET_SIZED,
  DOTNET_MAPPED
} dotnet_step;

typedef struct dotnet_birth {
  char name[128];
  bool has_existed;
  dotnet_step done;
  int file;
  dotnet_header *mapped;
} dotnet_birth;

dotnet_birth dotnet_look(void);

/* Takes the steps up to this one. False: it failed, and throws. */
bool dotnet_go_on(dotnet_birth *birth, dotnet_step last);

/* After all of them: clears the header if the file did not exist at the first step, else trusts it.
 * If it did not exist, the .NET implementation first looks at every file in the directory, for 26
 * ms or more. */
dotnet_header *dotnet_finish(const dotnet_birth *birth);

/* A buffer that it considers to have `size` bytes of room in [min, max], held; a new one has whole
 * pages. Null if there is no memory: it throws. */
dotnet_item *dotnet_get(dotnet_header *first, uint32_t size, uintptr_t min, uintptr_t max);

uintptr_t dotnet_append(dotnet_item *item, const void *bytes, uint32_t size);

/* Its Append<T>(in T): the position stays, so that the next append of any module overwrites the
 * value. */
uintptr_t dotnet_append_value(const dotnet_item *item, uint64_t value);

void dotnet_release(dotnet_item *item);

#endif
