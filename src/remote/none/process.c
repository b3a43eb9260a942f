/* Systems without a port for other processes; see remote/port.h. */
#include <string.h>

#include "os/os.h"
#include "remote/port.h"

static nb_result unsupported(void) {
  return nb_result_of(NEARBUF_UNSUPPORTED);
}

nb_result nb_remote_open(int64_t id, nearbuf_process *process) {
  (void)id;
  (void)process;
  return unsupported();
}

void nb_remote_close(nearbuf_process *process) {
  (void)process;
}

nb_result nb_remote_check(const nearbuf_process *process) {
  (void)process;
  return unsupported();
}

nb_result nb_remote_describe(const nearbuf_process *process, nearbuf_process_info *info) {
  (void)process;
  (void)info;
  return unsupported();
}

nb_result nb_remote_visit_all(nearbuf_process_visitor visit, void *context) {
  (void)visit;
  (void)context;
  return unsupported();
}

nb_result nb_remote_read(const nearbuf_process *process, uint64_t address, void *bytes, size_t size,
                         size_t *done) {
  (void)process;
  (void)address;
  (void)bytes;
  (void)size;
  *done = 0;
  return unsupported();
}

nb_result nb_remote_write(const nearbuf_process *process, uint64_t address, const void *bytes,
                          size_t size, size_t *done) {
  (void)process;
  (void)address;
  (void)bytes;
  (void)size;
  *done = 0;
  return unsupported();
}

nb_result nb_remote_note_program(nearbuf_process *process) {
  (void)process;
  return nb_result_of(NEARBUF_UNSUPPORTED);
}

nb_result nb_remote_check_program(const nearbuf_process *process) {
  (void)process;
  return nb_result_of(NEARBUF_UNSUPPORTED);
}

nb_result nb_remote_memory_open(const nearbuf_process *process, intptr_t *memory) {
  (void)process;
  *memory = 0;
  return unsupported();
}

nb_result nb_remote_memory_write(intptr_t memory, uint64_t address, const void *bytes,
                                 size_t size) {
  (void)memory;
  (void)address;
  (void)bytes;
  (void)size;
  return unsupported();
}

void nb_remote_memory_close(intptr_t memory) {
  (void)memory;
}

nb_result nb_remote_map_open(const nearbuf_process *process, nb_remote_map *map) {
  (void)process;
  map->system_error = 0;
  return unsupported();
}

void nb_remote_map_close(nb_remote_map *map) {
  (void)map;
}

nb_result nb_remote_map_next(nb_remote_map *map, nb_remote_mapping *mapping) {
  (void)map;
  (void)mapping;
  return unsupported();
}

nb_range nb_remote_limits(uint32_t address_bits, uintptr_t around) {
  (void)address_bits;
  return nb_os_limits(0, around);
}

nb_result nb_remote_allocate(nearbuf_process *process, uint64_t address, uint64_t size) {
  (void)process;
  (void)address;
  (void)size;
  return unsupported();
}

nb_result nb_remote_free(nearbuf_process *process, uint64_t address, uint64_t size) {
  (void)process;
  (void)address;
  (void)size;
  return unsupported();
}

bool nb_remote_is_growing_stack(nearbuf_process *process, uint64_t start) {
  (void)process, (void)start;
  return false;
}

nb_result nb_remote_first(nearbuf_process *process, uint64_t *address,
                          nearbuf_dialect *dialect_if_empty) {
  (void)process;
  *address = 0;
  *dialect_if_empty = NEARBUF_DIALECT_UNKNOWN;
  return unsupported();
}

nb_result nb_remote_image(const nearbuf_process *process, uint64_t address,
                          unsigned char image[NB_LOCATOR_SIZE]) {
  (void)process;
  (void)address;
  memset(image, 0, NB_LOCATOR_SIZE);
  return unsupported();
}

nb_result nb_remote_view_open(nearbuf_process *process, uint64_t address, nb_remote_view *view) {
  (void)process;
  (void)address;
  *view = (nb_remote_view){0, 0, 0};
  return unsupported();
}

void nb_remote_view_close(nb_remote_view *view) {
  (void)view;
}

nb_result nb_remote_page_make(nearbuf_process *process, const nb_layout *layout,
                              const nb_item *item, bool is_first, nb_remote_page *page) {
  (void)process;
  (void)layout;
  (void)item;
  (void)is_first;
  *page = (nb_remote_page){0, 0, 0};
  return unsupported();
}

void nb_remote_page_discard(nearbuf_process *process, const nb_remote_page *page) {
  (void)process;
  (void)page;
}

nb_result nb_remote_visit_files(nearbuf_file_visitor visit, void *context) {
  (void)visit;
  (void)context;
  return unsupported();
}

nb_result nb_remote_remove_file(const nearbuf_file *file) {
  (void)file;
  return unsupported();
}
