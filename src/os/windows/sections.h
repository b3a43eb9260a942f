/* The names of sections and the contents of a new one, for this process and for other processes.
 *
 *   0                4096                                                       65536
 *   [ locator       ][ buffer 16384 ][ buffer 16384 ][ buffer 16384 ][ buffer  |n]
 *
 * A section is one granule, shared by all modules and by processes that open its name. The last
 * bytes (n) of a later one hold the number in its name. */
#ifndef NBUF_WINDOWS_SECTIONS_H
#define NBUF_WINDOWS_SECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "os/pages.h"

/* Room for the prefix, a process id, and every suffix. */
typedef struct nbuf_section_name {
  wchar_t text[128];
  uint32_t length;
} nbuf_section_name;

/* The names that the first locator of a process can have: the usual one, and one with the process's
 * creation time, used if another process has the first. */
enum { NBUF_SECTION_NAMES = 2 };
nbuf_section_name nbuf_section_name_of_first(int which, uint32_t process_id, void *process);

/* The name of a later locator. Every program of the session can read names, so it does not contain
 * the address; other processes, which need the name to open the section, find its number in the
 * last bytes of the section. A new number is not 0, and most likely unique. */
nbuf_section_name nbuf_section_name_of_later(uint32_t process_id, uint32_t number);
uint32_t nbuf_section_new_number(void);
size_t nbuf_section_number_at(void);

/* A section is one granule. */
size_t nbuf_section_size(void);

/* Writes a locator into a zeroed section, mapped here at `view`, that its process has mapped at
 * `base`: the initial items, and for a later one, with its number, the tail as buffers, but not its
 * own address. nbuf_section_publish stores that last: a reader of the address sees everything.
 *
 * The tail of a first one, which has no number, stays unused: another implementation that takes the
 * section for its own at any later time lists that memory in its own view. */
void nbuf_section_build(uintptr_t view, uint64_t base, const nbuf_initial_items *initial,
                        uint32_t number);
void nbuf_section_publish(uintptr_t view, uint64_t base, const nbuf_initial_items *initial);

#endif
