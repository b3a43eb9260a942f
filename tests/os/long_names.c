/* The map of a Linux process shows files whose paths are as long as the text that is read at a
 * time, and longer: the kernel's query fails for the longest. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/os.h"
#include "os/posix/posix.h"
#include "test.h"

enum { NAME_LENGTH = 200, MAPPINGS = 4 };

static const size_t PIECE = 0x10000; /* from one mapping to the next */

/* Descends that many folders with long names, and creates missing ones. Returns how many. */
static int go_down(int folders) {
  char name[NAME_LENGTH + 1];
  memset(name, 'n', NAME_LENGTH);
  name[NAME_LENGTH] = '\0';
  for (int i = 0; i < folders; i++) {
    (void)mkdir(name, 0700);
    CHECK(chdir(name) == 0);
  }
  return folders;
}

static void go_up(int folders) {
  for (int i = 0; i < folders; i++) {
    CHECK(chdir("..") == 0);
  }
}

static void map_file(unsigned char *at, const char *name) {
  int file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(file >= 0 && ftruncate(file, 4096) == 0);
  CHECK(mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == at);
  close(file);
}

static void remove_all(int folders) {
  char name[NAME_LENGTH + 1];
  memset(name, 'n', NAME_LENGTH);
  name[NAME_LENGTH] = '\0';
  const char *const files[] = {"long", "longer", "longest"};
  for (int i = 0; i < folders; i++) {
    for (int j = 0; j < 3; j++) {
      (void)unlink(files[j]);
    }
    CHECK(chdir("..") == 0 && rmdir(name) == 0);
  }
}

TEST(mappings_of_files_with_long_paths_are_told_one_after_the_other) {
  char folder[] = "/tmp/nearbuf.names.XXXXXX";
  const char *const ends[MAPPINGS] = {"/longer", "/long", "/longest", "/long"};
  unsigned char *start =
      mmap(NULL, PIECE * MAPPINGS, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(start != MAP_FAILED);
  CHECK(mkdtemp(folder) != NULL && chdir(folder) == 0);
  int depth = go_down(19);
  map_file(start + PIECE, "long"); /* about 3,850 characters */
  depth += go_down(7);
  map_file(start, "longer"); /* about 5,250 */
  map_file(start + 2 * PIECE, "longest");
  go_up(7);
  CHECK(unlink("long") == 0);
  map_file(start + 3 * PIECE, "long");
  go_down(7);

  nbuf_map map;
  nbuf_mapping mapping;
  CHECK_OK(nbuf_os_map_open(&map, true).status);
  uintptr_t from = (uintptr_t)start;
  for (int i = 0; i < MAPPINGS; i++) {
    CHECK_EQUAL(NBUF_MAP_FOUND, nbuf_posix_map_next_shared(&map, from, &mapping));
    CHECK_EQUAL((uintptr_t)start + (uintptr_t)i * PIECE, mapping.range.min);
    CHECK_EQUAL((uintptr_t)start + (uintptr_t)i * PIECE + 4095, mapping.range.max);
    CHECK(strstr(mapping.name_end, ends[i]) != NULL);
    CHECK(mapping.readable && mapping.writable && mapping.shared && mapping.inode != 0);
    from = mapping.range.max + 1;
  }
  nbuf_os_map_close(&map);
  remove_all(depth);
  CHECK(chdir("/") == 0 && rmdir(folder) == 0);
}
