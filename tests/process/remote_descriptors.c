/* A program whose standard input is closed gets 0 as a descriptor: it is used like any other, and
 * is closed again. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote_linux.h"
#include "test.h"

static bool is_closed(int descriptor) {
  return fcntl(descriptor, F_GETFD) < 0;
}

static int count_one(const nearbuf_process_mapping *mapping, void *context) {
  (void)mapping;
  ++*(int *)context;
  return 0;
}

static int find_file(const nearbuf_file *file, void *context) {
  nearbuf_file *found = context;
  *found = file->process == found->process ? *file : *found;
  return 0;
}

static int ignore_id(int64_t id, void *context) {
  (void)id;
  (void)context;
  return 0;
}

/* Everything that can be done with an open process. */
static void use_everything(nearbuf_process process) {
  nearbuf_process_info info;
  nearbuf_process_walk walk;
  nearbuf_process_locator locator;
  int64_t id = process.id;
  CHECK_OK(nearbuf_process_check(&process));
  CHECK_OK(nearbuf_process_describe(&process, &info));
  CHECK_EQUAL(id, info.own_id);
  CHECK(info.name[0] != '\0');
  CHECK_OK(nearbuf_process_visit_all(ignore_id, NULL));
  int mappings = 0;
  CHECK_OK(nearbuf_process_visit_map(&process, count_one, &mappings));
  CHECK(mappings > 0);
  uint64_t first = put(&process, "hello", 5);
  CHECK(first != put(&process, "again", 5));
  char seen[6] = {0};
  CHECK_OK(nearbuf_process_read(&process, first, seen, 5, NULL));
  CHECK(strcmp(seen, "hello") == 0);
  CHECK_OK(nearbuf_process_write(&process, first, "HELLO", 5, NULL));
  (void)first_locator(&process, &walk, &locator);
  CHECK_EQUAL(1, locator.is_shared);
  nearbuf_process_request request = anywhere(1);
  uint64_t address;
  uint64_t size;
  CHECK_OK(nearbuf_process_allocate(&process, &request, &address, &size));
  CHECK_OK(nearbuf_process_free(&process, address, size));
  nearbuf_file file = {.process = id};
  CHECK_OK(nearbuf_process_visit_files(find_file, &file));
  CHECK_EQUAL(NEARBUF_FILE_LIVE, file.state);
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_remove_file(&file, NULL));
}

TEST(where_the_standard_input_is_closed_all_works_and_it_stays_closed) {
  target idle = target_start_idle();
  nearbuf_process process = target_open(&idle);
  close(0); /* each call that opens something gets it */
  use_everything(process);
  CHECK(is_closed(0));
  CHECK_OK(nearbuf_process_close(&process));
  target_kill(&idle);
}

TEST(a_process_whose_descriptor_is_the_standard_input_is_as_good_as_any) {
  target idle = target_start_idle();
  close(0);
  nearbuf_process process = target_open(&idle);
  use_everything(process);
  CHECK_OK(nearbuf_process_close(&process));
  CHECK(is_closed(0));
  target_kill(&idle);
}

/* Of one that hides its memory only the files are left to look at. */
TEST(where_the_standard_input_is_closed_a_process_that_hides_its_memory_is_read_and_locked) {
  want_own_tmp();
  become_nobody();
  target user = target_start(REMOTE_USER_TARGET, NULL, NULL);
  char line[64];
  CHECK(kill(user.id, SIGHUP) == 0); /* makes later locators */
  target_line(&user, line, sizeof line);
  CHECK(kill(user.id, SIGUSR2) == 0);
  target_line(&user, line, sizeof line);
  close(0);
  nearbuf_process process = target_open(&user);
  CHECK_EQUAL(0, process.address_bits);
  nearbuf_process_walk walk = {0};
  nearbuf_process_locator locator;
  for (int i = 0; i < 3; i++) {
    CHECK_OK(nearbuf_process_next_locator(&process, &walk, &locator));
    CHECK(locator.fault == NULL && locator.count > 0);
  }
  CHECK_STATUS(NEARBUF_NOT_FOUND, nearbuf_process_next_locator(&process, &walk, &locator));
  nearbuf_process_request request = anywhere(1);
  nearbuf_process_buffer buffer;
  request.flags = NEARBUF_PROCESS_EXISTING;
  CHECK_STATUS(NEARBUF_BUSY, nearbuf_process_get(&process, &request, &buffer)); /* all are held */
  CHECK_OK(nearbuf_process_close(&process));
  CHECK(is_closed(0));
  target_kill(&user);
}
