/* The steps of the .NET implementation; see dotnet_writer.h. */
#include "dotnet_writer.h"
#include "locator_names.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void *map(int file) {
  int kind = file >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, kind, file, 0);
  return page == MAP_FAILED ? NULL : page;
}

static void initialise(dotnet_header *header) {
  header->this_address = (uintptr_t)header;
  header->next = NULL;
  header->is_locked = 0;
  header->flags = 0;
  header->count = 0;
}

dotnet_birth dotnet_look(void) {
  dotnet_birth birth = {.file = -1};
  (void)mkdir(SHARED_PARENT, 0777);
  (void)mkdir(LOCATOR_DIRECTORY, 0777);
  snprintf(birth.name, sizeof birth.name, LOCATOR_DIRECTORY "/" LOCATOR_PREFIX "%d", (int)getpid());
  birth.has_existed = access(birth.name, F_OK) == 0;
  return birth;
}

bool dotnet_go_on(dotnet_birth *birth, dotnet_step last) {
  bool is_done = true;
  while (is_done && birth->done < last) {
    birth->done = (dotnet_step)(birth->done + 1);
    switch (birth->done) {
    case DOTNET_OPENED:
      birth->file = open(birth->name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
      is_done = birth->file >= 0;
      break;
    case DOTNET_LOCKED:
      is_done = flock(birth->file, LOCK_SH | LOCK_NB) == 0;
      break;
    case DOTNET_SIZED:
      is_done = ftruncate(birth->file, PAGE) == 0;
      break;
    case DOTNET_MAPPED:
      birth->mapped = map(birth->file);
      is_done = birth->mapped != NULL;
      break;
    case DOTNET_LOOKED:
    default:
      break;
    }
  }
  return is_done;
}

dotnet_header *dotnet_finish(const dotnet_birth *birth) {
  if (!birth->has_existed) {
    initialise(birth->mapped);
    return birth->mapped;
  }
  dotnet_header *first = (dotnet_header *)birth->mapped->this_address;
  (void)munmap(birth->mapped, PAGE);
  close(birth->file);
  return first;
}

dotnet_header *dotnet_find(int *file) {
  dotnet_birth birth = dotnet_look();
  bool is_open = dotnet_go_on(&birth, DOTNET_MAPPED);
  *file = birth.file;
  return is_open ? dotnet_finish(&birth) : NULL;
}

/* Interlocked operations are sequentially consistent, plain ones unordered; volatile keeps the
 * compiler from merging them. */
static bool try_lock(int32_t *word) { /* NOLINT(readability-non-const-parameter): written */
  int32_t free_word = 0;
  return __atomic_compare_exchange_n(word, &free_word, 1, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
}

static void lock(int32_t *word) {
  while (!try_lock(word)) {
    usleep(1);
  }
}

static void unlock(int32_t *word) { /* NOLINT(readability-non-const-parameter): written */
  (void)__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
}

static uint32_t count_of(const dotnet_header *header) {
  return *(const volatile uint8_t *)&header->count;
}

static bool is_full(const dotnet_header *header) {
  return count_of(header) >= (PAGE - sizeof(dotnet_header)) / sizeof(dotnet_item);
}

/* Checked before the item is locked, and not again. */
static bool can_use(const dotnet_item *item, uint32_t size, uintptr_t min, uintptr_t max) {
  const volatile dotnet_item *seen = item;
  uint32_t position = seen->position;
  uintptr_t start = seen->base + position;
  return seen->base != 0 && seen->size - position >= size && start >= min && start + size <= max;
}

static dotnet_item *get_available(dotnet_header *header, uint32_t size, uintptr_t min,
                                  uintptr_t max) {
  uint32_t count = count_of(header);
  for (uint32_t i = 0; i < count; i++) {
    dotnet_item *item = &dotnet_items(header)[i];
    if (can_use(item, size, min, max) && try_lock(&item->is_taken)) {
      return item;
    }
  }
  return NULL;
}

/* The lowest free pages in the range. */
static uintptr_t allocate(uint32_t size, uintptr_t min, uintptr_t max) {
  uintptr_t whole = ((uintptr_t)size + PAGE - 1) / PAGE * PAGE;
  for (uintptr_t at = (min + PAGE - 1) / PAGE * PAGE; at + whole <= max; at += PAGE) {
    void *got = mmap((void *)at, whole, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == (void *)at) {
      return at;
    }
    if (got != MAP_FAILED) {
      (void)munmap(got, whole);
    }
  }
  return 0;
}

/* Null with `*is_full_now` if there is no slot, null without it if there is no memory. */
static dotnet_item *add(dotnet_header *header, uint32_t size, uintptr_t min, uintptr_t max,
                        bool *is_full_now) {
  *is_full_now = is_full(header);
  if (*is_full_now) {
    return NULL;
  }
  lock(&header->is_locked);
  dotnet_item *item = NULL;
  *is_full_now = is_full(header);
  if (!*is_full_now) {
    uintptr_t base = allocate(size, min, max);
    if (base != 0) {
      dotnet_item made = {.base = base, .is_taken = 1};
      made.size = (size + PAGE - 1) / PAGE * PAGE;
      item = &dotnet_items(header)[header->count];
      memcpy(item, &made, sizeof made);
      *(volatile uint8_t *)&header->count = (uint8_t)(header->count + 1);
    }
  }
  unlock(&header->is_locked);
  return item;
}

static dotnet_header *next_of(dotnet_header *header) {
  dotnet_header *volatile *link =
      (dotnet_header *volatile *)((uintptr_t)header + sizeof(uintptr_t));
  if (*link == NULL) {
    lock(&header->is_locked);
    if (*link == NULL) {
      dotnet_header *made = map(-1);
      *link = made; /* visible to all threads, and not yet filled in */
      usleep(1);
      if (made != NULL) {
        initialise(made);
      }
    }
    unlock(&header->is_locked);
  }
  return *link;
}

dotnet_item *dotnet_get(dotnet_header *first, uint32_t size, uintptr_t min, uintptr_t max) {
  for (dotnet_header *header = first; header != NULL; header = next_of(header)) {
    dotnet_item *item = get_available(header, size, min, max);
    bool is_full_now = false;
    if (item == NULL) {
      item = add(header, size, min, max, &is_full_now);
    }
    if (item != NULL || !is_full_now) {
      return item;
    }
  }
  return NULL;
}

uintptr_t dotnet_append(dotnet_item *item, const void *bytes, uint32_t size) {
  uintptr_t address = item->base + item->position;
  memcpy((void *)address, bytes, size);
  item->position += size;
  return address;
}

uintptr_t dotnet_append_value(const dotnet_item *item, uint64_t value) {
  uintptr_t address = item->base + item->position;
  memcpy((void *)address, &value, sizeof value);
  return address;
}

void dotnet_release(dotnet_item *item) {
  unlock(&item->is_taken);
}
