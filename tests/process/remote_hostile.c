/* Other processes with hostile contents: none of it harms the process that reads them. The
 * inspector is tested with the same by tests/cli/hostile_*.sh. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/format.h"
#include "locator_names.h"
#include "remote_linux.h"
#include "test.h"

/* Ends the program, which waits for the end of its input. */
static void end_of_input(target *what) {
  (void)fclose(what->input);
  what->input = fopen("/dev/null", "w");
  CHECK_EQUAL(0, target_wait(what));
}

/* ---- Long names ------------------------------------------------------------------------------ */

/* The map as read by the library, compared with the test's own reading of it. */
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
    memset(root + length, 'r', 100); /* not longer than the map's own limit for names */
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
  (void)snprintf(end, sizeof end, "/" LOCATOR_PREFIX "%d", (int)inside.id);
  CHECK_EQUAL(sizeof locator.name - 1, strnlen(locator.name, sizeof locator.name));
  CHECK(strcmp(locator.name + strlen(locator.name) - strlen(end), end) == 0);
  (void)target_end(&inside);
  (void)snprintf(command, sizeof command, "rm -r /tmp/%.20s*", root + 5);
  CHECK_EQUAL(0, system(command));
}

/* ---- Long texts ------------------------------------------------------------------------------ */

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

static void need_own_tmp(void) {
  if (geteuid() != 0) {
    test_skip("needs a /tmp of its own");
  }
  want_own_tmp();
}

/* ---- Files of its choice --------------------------------------------------------------------- */

/* Gives the process a first locator that is full, and a second one in the page that it prints. */
static void chain_printed_page(target *what, nearbuf_process *process) {
  _Alignas(8) unsigned char image[NBUF_LOCATOR_SIZE];
  const nbuf_layout *layout = nbuf_layout_of(sizeof(void *), NEARBUF_DIALECT_WRITTEN);
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  char line[64];
  unsigned long long page;
  target_line(what, line, sizeof line);
  CHECK_EQUAL(1, sscanf(line, "%llx", &page));
  (void)put(process, "hello", 5);
  uint64_t first = first_locator(process, &walk, &locator);
  nbuf_format_build((uintptr_t)image, layout, (uintptr_t)page, NULL, 0);
  CHECK_OK(nearbuf_process_write(process, page, image, sizeof image, NULL));
  CHECK_OK(nearbuf_process_read(process, first, image, sizeof image, NULL));
  const nbuf_item last = {.base = 0x10000000, .size = 16, .taken = 1}; /* which may not be empty */
  nbuf_item_write(nbuf_item_at((uintptr_t)image, layout, layout->capacity - 1), layout, &last);
  nbuf_format_store_count((uintptr_t)image, layout, layout->capacity);
  CHECK(nbuf_shared_link_set_release((uintptr_t)image + layout->next, (uintptr_t)page));
  CHECK_OK(nearbuf_process_write(process, first, image, sizeof image, NULL));
}

static nearbuf_status get_large(nearbuf_process *process) {
  nearbuf_process_request request = anywhere(100000); /* more than what is listed has */
  nearbuf_process_buffer buffer;
  nearbuf_status status = nearbuf_process_get(process, &request, &buffer);
  if (status == NEARBUF_OK) {
    CHECK_OK(nearbuf_process_release(process, &buffer));
  }
  return status;
}

TEST(a_mapped_name_with_a_slash_opens_nothing) {
  need_own_tmp();
  static const char folder[] = "/tmp/" LOCATOR_PREFIX "1";
  static const char link[] = LOCATOR_DIRECTORY "/" LOCATOR_PREFIX "1";
  char path[128];
  (void)snprintf(path, sizeof path, "%s/victim", folder);
  CHECK(mkdir(folder, 0700) == 0 && mkdir("/tmp/victims", 0700) == 0);
  target what = target_start(REMOTE_HOSTILE_TARGET, "map", path);
  nearbuf_process process = target_open(&what);
  chain_printed_page(&what, &process);
  /* The victim's path, followed from the shared directory, leads to another one. */
  CHECK(symlink("/tmp/victims", link) == 0);
  FILE *victim = fopen("/tmp/victims/victim", "w");
  CHECK(victim != NULL && ftruncate(fileno(victim), 4096) == 0 && fclose(victim) == 0);
  int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  CHECK(watch >= 0 && inotify_add_watch(watch, "/tmp/victims/victim", IN_OPEN) >= 0);
  nearbuf_status status = get_large(&process);
  CHECK(status == NEARBUF_OK || status == NEARBUF_DENIED);
  char event[256];
  CHECK(read(watch, event, sizeof event) < 0 && errno == EAGAIN);
  end_of_input(&what);
}

TEST(a_lease_on_a_locators_file_keeps_no_process_waiting) {
  need_own_tmp();
  target what = target_start(REMOTE_HOSTILE_TARGET, "lease", "/tmp/leased");
  nearbuf_process process = target_open(&what);
  chain_printed_page(&what, &process);
  /* A process that waits gets the file after /proc/sys/fs/lease-break-time seconds. */
  CHECK_STATUS(NEARBUF_BUSY, get_large(&process));
  CHECK_EQUAL(EWOULDBLOCK, process.system_error);
  end_of_input(&what);
}

/* Each of them could be waited for half a second, if the bound were not that of the whole call. */
TEST(thousands_of_locks_that_are_held_are_waited_for_like_one) {
  need_own_tmp();
  target what = target_start(REMOTE_HOSTILE_TARGET, "locked", "1300");
  nearbuf_process process = target_open(&what);
  CHECK_OK(get_large(&process));
  end_of_input(&what);
}
