/* Other processes that show what no honest one would: nothing of it harms the process that looks. The
 * inspector is tried with the same by tests/cli/hostile_*.sh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote_linux.h"
#include "test.h"

/* Ends what waits for the end of its input. */
static void end_of_input(target *what) {
  (void)fclose(what->input);
  what->input = fopen("/dev/null", "w");
  CHECK_EQUAL(0, target_wait(what));
}

/* ---- Long names --------------------------------------------------------------------------------- */

/* What the map says, with the program's own reading of it beside. */
typedef struct named_map {
  FILE *text;
  size_t line_size;
  char *line;
  int long_names;
} named_map;

static int compare_name(const nearbuf_process_mapping *mapping, void *context) {
  named_map *map = context;
  ssize_t length = getline(&map->line, &map->line_size, map->text);
  CHECK(length > 0 && map->line[length - 1] == '\n');
  map->line[length - 1] = '\0';
  size_t told = strnlen(mapping->name, sizeof mapping->name);
  CHECK(told < sizeof mapping->name);
  const char *path = strchr(map->line, '/');
  if (path != NULL) {
    size_t whole = strlen(path);
    size_t expected = whole < sizeof mapping->name ? whole : sizeof mapping->name - 1;
    CHECK_EQUAL(expected, told);
    CHECK(strcmp(mapping->name, path + whole - expected) == 0);
    map->long_names += whole >= sizeof mapping->name;
  }
  return 0;
}

TEST(of_every_long_path_the_end_is_told_and_nothing_behind_it) {
  want_own_tmp();
  char folder[] = "/tmp/nearbuf.names.XXXXXX";
  char map_path[32];
  CHECK(mkdtemp(folder) != NULL);
  target what = target_start(REMOTE_HOSTILE_TARGET, "names", folder);
  nearbuf_process process = target_open(&what);
  (void)snprintf(map_path, sizeof map_path, "/proc/%d/maps", (int)what.id);
  named_map map = {.text = fopen(map_path, "r")};
  CHECK(map.text != NULL);
  CHECK_OK(nearbuf_process_visit_map(&process, compare_name, &map));
  CHECK(map.long_names >= 13);
  free(map.line);
  CHECK(fclose(map.text) == 0);
  end_of_input(&what);
  char command[64];
  (void)snprintf(command, sizeof command, "rm -r %s", folder);
  CHECK_EQUAL(0, system(command));
}

TEST(a_locator_below_a_long_root_is_found_by_its_name) {
  if (geteuid() != 0) {
    test_skip("needs the right to change the root");
  }
  char root[400] = "/tmp/";
  char command[64];
  want_own_tmp();
  for (int i = 0; i < 3; i++) {
    size_t length = strlen(root);
    memset(root + length, 'r', 100); /* not longer than the map's own end of a name */
    memcpy(root + length + 100, "/", 2);
    CHECK(mkdir(root, 0755) == 0);
  }
  memcpy(root + strlen(root), "tmp", 4);
  CHECK(mkdir(root, 01777) == 0);
  *strrchr(root, '/') = '\0';
  target inside = target_start(REMOTE_TARGET, "idle", root);
  nearbuf_process process = target_open(&inside);
  uint64_t address = put(&process, "hello", 5);
  CHECK_EQUAL(address + 16, put(&process, "again", 5));
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  char end[80];
  (void)first_locator(&process, &walk, &locator);
  (void)snprintf(end, sizeof end, "/Reloaded.Memory.Buffers.MemoryBuffer, PID %d", (int)inside.id);
  CHECK_EQUAL(sizeof locator.name - 1, strnlen(locator.name, sizeof locator.name));
  CHECK(strcmp(locator.name + strlen(locator.name) - strlen(end), end) == 0);
  (void)target_end(&inside);
  (void)snprintf(command, sizeof command, "rm -r /tmp/%.20s*", root + 5);
  CHECK_EQUAL(0, system(command));
}

/* ---- Long texts --------------------------------------------------------------------------------- */

TEST(a_filtered_process_in_thousands_of_groups_is_understood_and_lives) {
  if (geteuid() != 0) {
    test_skip("needs the right to be in other groups");
  }
  target what = target_start(REMOTE_HOSTILE_TARGET, "groups", NULL);
  nearbuf_process process = target_open(&what);
  nearbuf_process_info info;
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(what.id, info.own_id);
  CHECK_EQUAL(1, info.is_filtered);
  (void)put(&process, "hello", 5);
  CHECK_OK(nearbuf_process_check(&process));
  end_of_input(&what);
}
