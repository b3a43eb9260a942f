/* The names of sections, and what a new one holds: what the files for this process and for other
 * processes share. */
#ifndef NB_WINDOWS_SECTIONS_H
#define NB_WINDOWS_SECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "os/pages.h"

/* Room for the prefix, a process id, and every suffix. */
typedef struct nb_section_name {
  wchar_t text[128];
  uint32_t length;
} nb_section_name;

/* The names that the first locator of a process can have: the usual one, and one with the process's
 * creation time for where that is somebody else's. */
enum { NB_SECTION_NAMES = 2 };
nb_section_name nb_section_name_of_first(int which, uint32_t process_id, void *process);

/* The name of a later locator. Every program of the session can read names, so it tells no address; other
 * processes, which need the name to open the section, find its number in the last bytes of the section. A
 * new number is not 0, and most likely no other one's. */
nb_section_name nb_section_name_of_later(uint32_t process_id, uint32_t number);
uint32_t nb_section_new_number(void);
size_t nb_section_number_at(void);

/* A section is one granule. */
size_t nb_section_size(void);

/* Writes a locator into a zeroed section, seen at `view`, that its process has mapped at `base`:
 * the seed, then the tail as buffers; all but its own address. That comes last, with
 * nb_section_publish: who reads it sees everything. */
void nb_section_build(uintptr_t view, uint64_t base, const nb_initial_items *initial,
                      uint32_t number);
void nb_section_publish(uintptr_t view, uint64_t base, const nb_initial_items *initial);

#endif
