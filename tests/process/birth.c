/* Creation of the first locator: one per process, complete when it is seen, found again without a
 * name. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "locator_names.h"
#include "support.h"

/* ---- Races ----------------------------------------------------------------------------------- */

enum { STARTS = 400, CALLERS = 4 };

typedef struct caller {
  copy library;
  pthread_barrier_t *start;
  bool retries_busy;
  unsigned char number;
  unsigned char *placed; /* out */
} caller;

static void *call_first(void *context) {
  caller *self = context;
  nearbuf_request request = request_of(64);
  unsigned char bytes[64];
  memset(bytes, self->number, sizeof bytes);
  nearbuf_memory placed;
  pthread_barrier_wait(self->start);
  nearbuf_status status;
  do {
    status = self->library.place(&request, bytes, &placed);
  } while (status == NEARBUF_BUSY && self->retries_busy);
  CHECK_OK(status);
  self->placed = placed.run_at;
  return NULL;
}

/* `copies` copies, used by CALLERS threads at once, end with one locator and separate memory. */
static void start_at_once(int copies, bool retries_busy) {
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, CALLERS);
  caller callers[CALLERS];
  pthread_t threads[CALLERS];
  for (int i = 0; i < CALLERS; i++) {
    callers[i] =
        (caller){load_copy(i % copies), &start, retries_busy, (unsigned char)(i + 1), NULL};
    CHECK_EQUAL(0, pthread_create(&threads[i], NULL, call_first, &callers[i]));
  }
  for (int i = 0; i < CALLERS; i++) {
    pthread_join(threads[i], NULL);
  }
  for (int i = 0; i < CALLERS; i++) {
    CHECK_EQUAL(first_locator_of(&callers[0].library), first_locator_of(&callers[i].library));
    for (int at = 0; at < 64; at++) {
      CHECK_EQUAL(callers[i].number, callers[i].placed[at]);
    }
  }
}

static void start_copies_at_once(void *context) {
  start_at_once(*(const int *)context, false);
  CHECK(exists(locator_path(getpid()).text));
  CHECK_EQUAL(0, unlink(locator_path(getpid()).text));
  CHECK_EQUAL(0, count_locator_files());
}

TEST(copies_that_start_at_the_same_time_end_with_one_locator) {
  own_tmp();
  int copies = CALLERS;
  for (int i = 0; i < STARTS; i++) {
    in_child(start_copies_at_once, &copies);
  }
}

TEST(threads_that_make_the_first_call_together_get_different_memory) {
  own_tmp();
  int copies = 1;
  for (int i = 0; i < STARTS; i++) {
    in_child(start_copies_at_once, &copies);
  }
}

static void start_over_a_stale_file(void *context) {
  char zeros[4096] = {0};
  zeros[1] = 0x10; /* an address: the file is not a new one */
  write_file(locator_path(getpid()).text, zeros, sizeof zeros, 0600);
  start_copies_at_once(context);
}

TEST(copies_that_start_together_over_a_stale_file_end_with_one_locator) {
  own_tmp();
  make_locator_directory();
  int copies = CALLERS;
  for (int i = 0; i < STARTS; i++) {
    in_child(start_over_a_stale_file, &copies);
  }
}

/* One copy finds the directory usable and the other one does not: the disk fills up in between. */
static void *fill_and_free_directory(void *context) {
  const _Atomic bool *stop = context;
  while (!*stop) {
    CHECK_EQUAL(0, chmod(SHARED_PARENT, 0));
    CHECK_EQUAL(0, chmod(SHARED_PARENT, 01777));
  }
  return NULL;
}

static void start_in_a_flickering_directory(void *context) {
  _Atomic bool stop = false;
  pthread_t flicker;
  CHECK_EQUAL(0, pthread_create(&flicker, NULL, fill_and_free_directory, &stop));
  /* While the directory changes all the time, another maker may take longer than one call waits. */
  start_at_once(*(const int *)context, true);
  stop = true;
  pthread_join(flicker, NULL);
}

static void leave_root(void *context) {
  CHECK_EQUAL(0, setgid(65534));
  CHECK_EQUAL(0, setuid(65534));
  for (int i = 0; i < STARTS; i++) {
    in_child(start_in_a_flickering_directory, context);
  }
}

TEST(copies_of_which_some_must_be_private_end_with_one_locator) {
  own_tmp();
  need_root();
  make_locator_directory();
  CHECK_EQUAL(0, chown(SHARED_PARENT, 65534, 65534));
  int copies = CALLERS;
  for (int i = 0; i < CALLERS; i++) {
    (void)load_copy(i); /* the files, while we may write them */
  }
  in_child(leave_root, &copies);
}

/* ---- What others see ------------------------------------------------------------------------- */

static void make_locator(void *context) {
  (void)context;
  (void)place("x", 1);
}

/* Every file that appears under a final name is complete at that moment. */
TEST(a_file_is_visible_only_when_it_is_complete) {
  own_tmp();
  make_locator_directory();
  int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  CHECK(watch >= 0);
  CHECK(inotify_add_watch(watch, LOCATOR_DIRECTORY, IN_CREATE | IN_MOVED_TO | IN_MODIFY) >= 0);
  in_child(make_locator, NULL);
  _Alignas(struct inotify_event) char events[8192];
  ssize_t filled = read(watch, events, sizeof events);
  bool is_published = false;
  for (ssize_t at = 0; at < filled;) {
    const struct inotify_event *event = (const void *)&events[at];
    bool is_final =
        strchr(event->name, '.') != NULL && strchr(strrchr(event->name, ','), '.') == NULL;
    if (is_final) {
      CHECK_EQUAL(IN_MOVED_TO, event->mask); /* never created or written under that name */
      is_published = true;
    }
    at += (ssize_t)(sizeof *event + event->len);
  }
  CHECK(is_published);
  close(watch);
}

TEST(the_file_is_whole_and_for_its_owner_alone) {
  own_tmp();
  umask(0);
  (void)place("x", 1);
  struct stat status;
  CHECK_EQUAL(0, stat(locator_path(getpid()).text, &status));
  CHECK_EQUAL(0600, status.st_mode & 07777);
  CHECK_EQUAL(sysconf(_SC_PAGESIZE), status.st_size);
  CHECK(status.st_blocks * 512 >= status.st_size); /* written, no hole */
}

TEST(the_directories_are_for_every_user_against_the_umask) {
  own_tmp();
  umask(0777);
  (void)place("x", 1);
  struct stat status;
  CHECK_EQUAL(0, stat(SHARED_PARENT, &status));
  CHECK_EQUAL(01777, status.st_mode & 07777);
  CHECK_EQUAL(0, stat(LOCATOR_DIRECTORY, &status));
  CHECK_EQUAL(01777, status.st_mode & 07777);
}

/* ---- Lost names ------------------------------------------------------------------------------ */

TEST(a_later_module_finds_the_locator_whose_file_was_removed) {
  own_tmp();
  copy first = load_copy(1);
  copy second = load_copy(2);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(first.place(&request, "12345678", &placed));
  CHECK_EQUAL(0, unlink(locator_path(getpid()).text));
  CHECK_OK(second.place(&request, "abcdefgh", &placed));
  CHECK_EQUAL(first_locator_of(&first), first_locator_of(&second));
  CHECK_EQUAL(0, count_locator_files());
}

TEST(a_later_module_finds_the_locator_whose_directory_was_removed_or_replaced) {
  own_tmp();
  copy first = load_copy(1);
  copy second = load_copy(2);
  nearbuf_request request = request_of(8);
  nearbuf_memory placed;
  CHECK_OK(first.place(&request, "12345678", &placed));
  CHECK_EQUAL(0, rename(SHARED_PARENT, "/tmp/moved"));
  make_locator_directory();
  CHECK_OK(second.place(&request, "abcdefgh", &placed));
  CHECK_EQUAL(first_locator_of(&first), first_locator_of(&second));
}

TEST(no_descriptor_stays_open) {
  own_tmp();
  int before = count_descriptors();
  (void)place("x", 1);
  CHECK_EQUAL(before, count_descriptors());
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  CHECK_EQUAL(before, count_descriptors());
}
