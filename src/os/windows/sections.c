/* The names and the contents of sections; see windows/sections.h. */
#include <windows.h>

#include "os/os.h"
#include "os/wait.h"
#include "os/windows/sections.h"

#define NAME_PREFIX L"/Reloaded.Memory.Buffers.MemoryBuffer, PID "

enum {
  TAIL_BUFFER = 16384, /* the largest buffer that the specification makes of the tail */
  NUMBER_ROOM = 16,    /* not part of a buffer, for the number in the name */
  MOST_INITIAL_ITEMS = NBUF_FIRST_SLOT + 16
};

/* ---- Names ----------------------------------------------------------------------------------- */

static void append_text(nbuf_section_name *name, const wchar_t *text) {
  while (*text != L'\0' && name->length + 1 < sizeof name->text / sizeof name->text[0]) {
    name->text[name->length++] = *text++;
  }
  name->text[name->length] = L'\0';
}

static void append_decimal(nbuf_section_name *name, uint32_t number) {
  wchar_t digits[16];
  size_t at = sizeof digits / sizeof digits[0] - 1;
  digits[at] = L'\0';
  do {
    digits[--at] = L"0123456789"[number % 10];
    number /= 10;
  } while (number != 0);
  append_text(name, &digits[at]);
}

static void append_hexadecimal(nbuf_section_name *name, uint64_t number) {
  wchar_t digits[24];
  size_t at = sizeof digits / sizeof digits[0] - 1;
  digits[at] = L'\0';
  do {
    digits[--at] = L"0123456789abcdef"[number & 15];
    number >>= 4;
  } while (number != 0);
  append_text(name, &digits[at]);
}

static nbuf_section_name name_of_process(uint32_t process_id) {
  nbuf_section_name name = {.length = 0};
  append_text(&name, NAME_PREFIX);
  append_decimal(&name, process_id);
  return name;
}

nbuf_section_name nbuf_section_name_of_first(int which, uint32_t process_id, void *process) {
  nbuf_section_name name = name_of_process(process_id);
  if (which != 0) {
    FILETIME created = {0, 0};
    FILETIME unused;
    (void)GetProcessTimes(process, &created, &unused, &unused, &unused);
    append_text(&name, L", T ");
    append_hexadecimal(&name, (uint64_t)created.dwHighDateTime << 32 | created.dwLowDateTime);
  }
  return name;
}

nbuf_section_name nbuf_section_name_of_later(uint32_t process_id, uint32_t number) {
  nbuf_section_name name = name_of_process(process_id);
  append_text(&name, L", later ");
  append_hexadecimal(&name, number);
  return name;
}

uint32_t nbuf_section_new_number(void) {
  static _Atomic uint32_t made;
  uint64_t mixed = (nbuf_os_nanoseconds() + ++made) * UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(mixed >> 32) | 1;
}

/* ---- Content --------------------------------------------------------------------------------- */

size_t nbuf_section_size(void) {
  return nbuf_os_granularity();
}

size_t nbuf_section_number_at(void) {
  return nbuf_section_size() - sizeof(uint32_t);
}

void nbuf_section_build(uintptr_t view, uint64_t base, const nbuf_initial_items *initial,
                        uint32_t number) {
  nbuf_item items[MOST_INITIAL_ITEMS];
  uint32_t count = 0;
  for (; count < initial->count; count++) {
    items[count] = initial->items[count];
  }
  uint64_t end = number == 0 ? base : base + nbuf_section_size() - NUMBER_ROOM;
  for (uint64_t at = base + NBUF_LOCATOR_SIZE; at < end && count < MOST_INITIAL_ITEMS; count++) {
    uint64_t size = end - at < TAIL_BUFFER ? end - at : TAIL_BUFFER;
    items[count] = (nbuf_item){.base = at, .size = (uint32_t)size};
    at += size;
  }
  nbuf_format_build(view, initial->layout, 0, items, count);
  if (number != 0) {
    nbuf_shared_store_relaxed(view + nbuf_section_number_at(), number);
  }
}

void nbuf_section_publish(uintptr_t view, uint64_t base, const nbuf_initial_items *initial) {
  nbuf_shared_address_store_release(view, initial->layout->width, base);
}
