/* The contract of a port for other processes, beside os.h: each system has its files for it, and
 * systems without one use remote/none/process.c. The files of src/remote/ make no other system
 * calls.
 *
 * Addresses are those of the other process and 64 bits wide. If a process is gone the result is
 * NOT_FOUND, if the system refuses, DENIED. Nothing allocates from the heap. What is opened is
 * closed by its counterpart, which accepts any structure that was zeroed or filled. */
#ifndef NBUF_REMOTE_PORT_H
#define NBUF_REMOTE_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nearbuf/process.h>

#include "base/format.h"
#include "base/range.h"
#include "base/result.h"
#include "os/os.h"
#include "os/pages.h"

/* ---- Processes ------------------------------------------------------------------------------- */

/* Fills id, address_bits and handles. */
nbuf_result nbuf_remote_open(int64_t id, nearbuf_process *process);
void nbuf_remote_close(nearbuf_process *process);

/* OK or NOT_FOUND. */
nbuf_result nbuf_remote_check(const nearbuf_process *process);

nbuf_result nbuf_remote_describe(const nearbuf_process *process, nearbuf_process_info *info);
nbuf_result nbuf_remote_visit_all(nearbuf_process_visitor visit, void *context);

/* ---- Memory ---------------------------------------------------------------------------------- */

/* Copies as much as possible; `*done` is the number of bytes copied. NOT_MAPPED: a part is not
 * mapped.
 * Writing also reaches pages that the process may only read, if the system allows that. */
nbuf_result nbuf_remote_read(const nearbuf_process *process, uint64_t address, void *bytes,
                             size_t size, size_t *done);
nbuf_result nbuf_remote_write(const nearbuf_process *process, uint64_t address, const void *bytes,
                              size_t size, size_t *done);

/* A process may replace its program (exec) at any time; then nothing that was learned about its
 * memory holds any more. The first call records in `reserved` which program it runs. From then on
 * the calls that make, unmap and open memory for writing do so only in that program, and return
 * BUSY if another one runs. The second returns whether it is still that one, or none was recorded:
 * OK or STALE, or an error. */
nbuf_result nbuf_remote_note_program(nearbuf_process *process);
nbuf_result nbuf_remote_check_program(const nearbuf_process *process);

/* Closes what the first of them opened for the rest of the call. Every call ends with it. */
void nbuf_remote_let_go(nearbuf_process *process);

/* The address space of the noted program, for writing: after an exec nothing is written any
 * more. */
nbuf_result nbuf_remote_memory_open(nearbuf_process *process, intptr_t *memory);
nbuf_result nbuf_remote_memory_write(intptr_t memory, uint64_t address, const void *bytes,
                                     size_t size);
void nbuf_remote_memory_close(intptr_t memory);

typedef struct nbuf_remote_mapping {
  nearbuf_process_mapping info;
  uint64_t device; /* of the file; both are 0 if there is none */
  uint64_t inode;
} nbuf_remote_mapping;

/* The map of a process, read once in ascending order. Lives on the caller's stack. */
typedef struct nbuf_remote_map {
  nbuf_port_state port;
} nbuf_remote_map;

nbuf_result nbuf_remote_map_open(const nearbuf_process *process, nbuf_remote_map *map);
void nbuf_remote_map_close(nbuf_remote_map *map);

/* OK, NOT_FOUND: there are no more, or what went wrong. */
nbuf_result nbuf_remote_map_next(nbuf_remote_map *map, nbuf_remote_mapping *mapping);

/* The addresses that the system can give to a process of this width; `around` as in
 * nbuf_os_limits. */
nbuf_range nbuf_remote_limits(uint32_t address_bits, uintptr_t around);

/* The page of a first locator, begun before the memory is there that it will list: where a process
 * is stopped to make memory, it maps the page as well. Lives on the caller's stack; zeroed: not
 * begun. A port that gains nothing by it leaves it so. */
typedef union nbuf_remote_draft {
  unsigned char bytes[1024];
  uint64_t alignment;
} nbuf_remote_draft;

/* Begins the page, if it is not begun. What fails here nbuf_remote_page_make does again. */
void nbuf_remote_draft_begin(nearbuf_process *process, nbuf_remote_draft *draft);

/* Takes back what was begun and did not become a page. */
void nbuf_remote_draft_discard(nearbuf_process *process, nbuf_remote_draft *draft);

/* Maps zeroed memory that can be read, written and run, at this address exactly, and unmaps it.
 * NO_ROOM: something is there already. Whatever fails, the process goes on as it was. `draft`, or
 * null: its page is mapped as well, as far as possible; the port may write to the memory before it
 * is in use, and zeroes it again. */
nbuf_result nbuf_remote_allocate(nearbuf_process *process, uint64_t address, uint64_t size,
                                 nbuf_remote_draft *draft);
nbuf_result nbuf_remote_free(nearbuf_process *process, uint64_t address, uint64_t size);

/* Whether the mapping that starts at `start`, the page below which is free, is a stack that grows
 * on demand: nbuf_remote_allocate refuses places less than NBUF_OS_LEAST_GROWTH below it. */
bool nbuf_remote_is_growing_stack(nearbuf_process *process, uint64_t start);

/* ---- Locators -------------------------------------------------------------------------------- */

/* Where the first locator is. NOT_FOUND where there is none; `*dialect_if_empty` as in pages.h. */
nbuf_result nbuf_remote_first(nearbuf_process *process, uint64_t *address,
                              nearbuf_dialect *dialect_if_empty);

/* Copies the bytes of the locator at an address. */
nbuf_result nbuf_remote_image(const nearbuf_process *process, uint64_t address,
                              unsigned char image[NBUF_LOCATOR_SIZE]);

/* The page of a locator, shared with the process and proved to be the one that it has mapped there.
 * DENIED: it may not be opened, or it is memory that cannot be shared. */
typedef struct nbuf_remote_view {
  uintptr_t base; /* of the locator, here; 0: not open */
  uintptr_t page;
  size_t size;
} nbuf_remote_view;

nbuf_result nbuf_remote_view_open(nearbuf_process *process, uint64_t address,
                                  nbuf_remote_view *view);
void nbuf_remote_view_close(nbuf_remote_view *view);

/* A page that was made in the process. */
typedef struct nbuf_remote_page {
  uint64_t address;
  intptr_t handle; /* the port's own */
} nbuf_remote_page;

/* Makes a page with a locator in the process, listing the initial items. The port may write to the
 * memory of the last one, which is zeroed and not yet in use, and zeroes it again. `first`: null,
 * or the draft of a first locator, begun or not, which is used up. A first one is found by name
 * afterwards; a later one is not in the chain yet, and nbuf_remote_page_discard takes it back.
 * BUSY: another thread or process made the first one meanwhile. */
nbuf_result nbuf_remote_page_make(nearbuf_process *process, const nbuf_initial_items *initial,
                                  nbuf_remote_draft *first, nbuf_remote_page *page);
void nbuf_remote_page_discard(nearbuf_process *process, const nbuf_remote_page *page);

/* ---- Files ----------------------------------------------------------------------------------- */

nbuf_result nbuf_remote_visit_files(nearbuf_file_visitor visit, void *context);
nbuf_result nbuf_remote_remove_file(const nearbuf_file *file);

#endif
