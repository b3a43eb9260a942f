/* One start of a process in which two copies of the library make their first call at the same time:
 * the program's own and a plug-in's. plugins.c runs it many times. */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "locator_names.h"
#include "own_tmp.h"
#include "plugin.h"
#include "test.h"

static const plugin *load_plugin(void) {
  void *module = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
  CHECK(module != NULL);
  void *symbol = dlsym(module, "plugin_functions");
  plugin_functions_type functions;
  memcpy(&functions, &symbol, sizeof functions);
  return functions();
}

typedef struct starter {
  nearbuf_status (*get)(const nearbuf_request *, nearbuf_buffer *);
  nearbuf_buffer buffer;
} starter;

static _Atomic int waiting = 2;

static void *start(void *argument) {
  starter *self = argument;
  nearbuf_request request;
  CHECK_OK(nearbuf_request_near((const void *)(uintptr_t)start, 64, &request));
  /* Spinning instead of a barrier: they must start within nanoseconds of each other. */
  atomic_fetch_sub(&waiting, 1);
  while (atomic_load(&waiting) != 0) {
  }
  CHECK_OK(self->get(&request, &self->buffer));
  return NULL;
}

/* Files that name this process besides that of its first locator: abandoned attempts. An earlier
 * process with the same id may have left some. */
static int count_other_files(bool *has_first) {
  *has_first = false;
  DIR *directory = opendir(LOCATOR_DIRECTORY);
  if (directory == NULL) {
    return 0;
  }
  char own[128];
  int length = snprintf(own, sizeof own, LOCATOR_PREFIX "%d", getpid());
  int count = 0;
  for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
    const char *behind = &entry->d_name[length];
    if (strncmp(entry->d_name, own, (size_t)length) == 0) {
      /* The second name is used while the first, of a dead process, is being cleaned up. */
      *has_first = *has_first || *behind == '\0' || strncmp(behind, ", NS ", 5) == 0;
      count += *behind == '.';
    }
  }
  closedir(directory);
  return count;
}

TEST(two_copies_make_the_first_call_at_once) {
  if (!use_shared_directory()) { /* without a /tmp of its own: with files of other tests in it */
    test_skip("the shared directory is another user's");
  }
  bool has_first;
  int left_before = count_other_files(&has_first);
  const plugin *other = load_plugin();
  starter starters[2] = {{.get = nearbuf_get}, {.get = other->get}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, start, &starters[i]));
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], NULL);
  }
  nearbuf_totals ours;
  nearbuf_totals theirs;
  CHECK_OK(nearbuf_get_totals(&ours));
  CHECK_OK(other->get_totals(&theirs));
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, ours.sharing);
  CHECK_EQUAL(NEARBUF_SHARING_SHARED, theirs.sharing);
  CHECK_EQUAL(1, ours.locators);
  CHECK_EQUAL(ours.first_locator, theirs.first_locator);
  CHECK_EQUAL(2, ours.taken);
  CHECK_EQUAL(2, theirs.taken);
  CHECK(starters[0].buffer.item != starters[1].buffer.item);
  CHECK(count_other_files(&has_first) <= left_before);
  CHECK(has_first);
}
