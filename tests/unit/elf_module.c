/* Where a module begins and ends, with invented modules. os/posix/elf_module.c is compiled here,
 * with other names for what it calls and defines. With real modules it is tested by
 * tests/api/module.c. */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "os/os.h"

static int invented_iterate(int (*visit)(struct dl_phdr_info *module, size_t size, void *context),
                            void *context);

#define dl_iterate_phdr invented_iterate
#define nbuf_os_module_extent tested_module_extent
#define nbuf_os_module_start tested_module_start
bool tested_module_extent(uintptr_t address, nbuf_range *extent);
uintptr_t tested_module_start(uintptr_t address);

#include "os/posix/elf_module.c" /* NOLINT(bugprone-suspicious-include) */

#include "test.h"

#define LOADED_AT ((uintptr_t)0x10000)
enum { MODULES = 3, MOST_PARTS = 4 };

static struct {
  ElfW(Phdr) parts[MODULES][MOST_PARTS];
  uint16_t counts[MODULES];
  int looked_at;
} it;

/* Until a visit returns something else than 0. */
static int invented_iterate(int (*visit)(struct dl_phdr_info *module, size_t size, void *context),
                            void *context) {
  int result = 0;
  for (it.looked_at = 0; it.looked_at < MODULES && result == 0; it.looked_at++) {
    struct dl_phdr_info module;
    memset(&module, 0, sizeof module);
    module.dlpi_addr = LOADED_AT * ((uintptr_t)it.looked_at + 1);
    module.dlpi_phdr = it.parts[it.looked_at];
    module.dlpi_phnum = it.counts[it.looked_at];
    result = visit(&module, sizeof module, context);
  }
  return result;
}

/* A part that starts so far behind the address at which the module is loaded. */
static void add_part(int module, uint32_t type, uint32_t from, uint32_t size) {
  CHECK(it.counts[module] < MOST_PARTS);
  ElfW(Phdr) *part = &it.parts[module][it.counts[module]++];
  part->p_type = type;
  part->p_vaddr = from;
  part->p_memsz = size;
  part->p_filesz = size / 2;
}

static void check_none(uintptr_t address) {
  nbuf_range extent;
  CHECK(!nbuf_os_module_extent(address, &extent));
  CHECK_EQUAL(MODULES, it.looked_at);
}

static void check_extent(uintptr_t min, uintptr_t max) {
  const uintptr_t inside[] = {min, min + 1, max - 1, max};
  for (int i = 0; i < 4; i++) {
    nbuf_range extent;
    CHECK(nbuf_os_module_extent(inside[i], &extent));
    CHECK_EQUAL(min, extent.min);
    CHECK_EQUAL(max, extent.max);
  }
}

TEST(a_module_reaches_from_its_first_to_its_last_loaded_byte) {
  add_part(0, PT_LOAD, 0x1000, 0x234);
  add_part(0, PT_LOAD, 0x4000, 0x101);
  check_extent(LOADED_AT + 0x1000, LOADED_AT + 0x4100);
  check_none(LOADED_AT + 0xFFF);
  check_none(LOADED_AT + 0x4101);
}

TEST(its_parts_may_be_in_any_order) {
  add_part(0, PT_LOAD, 0x4000, 0x101);
  add_part(0, PT_LOAD, 0x1000, 0x234);
  add_part(0, PT_LOAD, 0x2000, 1);
  check_extent(LOADED_AT + 0x1000, LOADED_AT + 0x4100);
}

TEST(what_is_not_loaded_does_not_belong_to_it) {
  add_part(0, PT_NOTE, 0, 0x9000);
  add_part(0, PT_LOAD, 0x9000, 0);
  add_part(0, PT_LOAD, 0x1000, 2);
  add_part(0, PT_LOAD, 0, 0);
  check_extent(LOADED_AT + 0x1000, LOADED_AT + 0x1001);
  check_none(LOADED_AT);
  check_none(LOADED_AT + 0x1002);
  check_none(LOADED_AT + 0x9000);
}

TEST(of_several_modules_the_one_with_the_address_is_told) {
  add_part(0, PT_NOTE, 0, 0x9000);
  add_part(1, PT_LOAD, 0, 0x1000);
  add_part(2, PT_LOAD, 0, 0x2000);
  check_extent(2 * LOADED_AT, 2 * LOADED_AT + 0xFFF);
  check_extent(3 * LOADED_AT, 3 * LOADED_AT + 0x1FFF);
  check_none(LOADED_AT);
  check_none(0);
  check_none(UINTPTR_MAX);
}

TEST(a_module_may_have_a_single_byte_and_parts_that_do_not_count) {
  add_part(0, PT_LOAD, 0x1000, 1);
  add_part(0, PT_LOAD, 0x3000, 0x1000);
  it.counts[0] = 1;
  nbuf_range extent;
  CHECK(nbuf_os_module_extent(LOADED_AT + 0x1000, &extent));
  CHECK_EQUAL(LOADED_AT + 0x1000, extent.min);
  CHECK_EQUAL(LOADED_AT + 0x1000, extent.max);
  check_none(LOADED_AT + 0x3000);
}

/* Of this program, for here the loader is asked directly. */
TEST(the_start_of_a_module_is_told_where_the_loader_tells_it) {
  uintptr_t own = (uintptr_t)check_none;
  uintptr_t start = nbuf_os_module_start(own);
#ifdef DLFO_STRUCT_HAS_EH_DBASE
  CHECK(start != 0);
#endif
  if (start != 0) {
    CHECK(start < own);
    CHECK(memcmp((const void *)start, ELFMAG, SELFMAG) == 0);
  }
  CHECK_EQUAL(0, nbuf_os_module_start((uintptr_t)&own));
}
