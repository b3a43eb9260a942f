/* See support.h. */
#include "support.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "locator_names.h"
#include "own_tmp.h"

/* ---- Surroundings ---------------------------------------------------------------------------- */

void need_root(void) {
  if (geteuid() != 0) {
    test_skip("needs root");
  }
}

void own_tmp(void) {
  if (!use_own_tmp()) {
    test_skip("cannot mount a /tmp of its own: %s", strerror(errno));
  }
}

/* ---- Children -------------------------------------------------------------------------------- */

pid_t start_child(body run, void *context) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    run(context);
    fflush(NULL);
    _exit(0);
  }
  return child;
}

void expect_success(pid_t child) {
  int status = -1;
  while (waitpid(child, &status, 0) < 0) {
    CHECK_EQUAL(EINTR, errno);
  }
  if (WIFSIGNALED(status)) {
    test_fail(__FILE__, __LINE__, "a child died of signal %d", WTERMSIG(status));
  }
  if (WEXITSTATUS(status) == TEST_EXIT_SKIPPED) {
    test_skip("said a child");
  }
  CHECK_EQUAL(0, WEXITSTATUS(status));
}

void in_child(body run, void *context) {
  expect_success(start_child(run, context));
}

void exec_part(const char *name) {
  /* By the link: in a chroot's own mount namespace its text is not a path that leads there. */
  execl("/proc/self/exe", "part", name, (char *)NULL);
  test_fail(__FILE__, __LINE__, "exec: %s", strerror(errno));
}

/* ---- Locators -------------------------------------------------------------------------------- */

path locator_path(pid_t process) {
  path made;
  snprintf(made.text, sizeof made.text, "%s/%s%d", LOCATOR_DIRECTORY, LOCATOR_PREFIX, (int)process);
  return made;
}

static int count_entries(const char *folder) {
  DIR *directory = opendir(folder);
  int count = 0;
  while (directory != NULL) {
    const struct dirent *entry = readdir(directory);
    if (entry == NULL) {
      break;
    }
    count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
  }
  if (directory != NULL) {
    closedir(directory);
  }
  return count;
}

int count_locator_files(void) {
  return count_entries(LOCATOR_DIRECTORY);
}

bool exists(const char *file) {
  struct stat status;
  return lstat(file, &status) == 0;
}

void write_file(const char *file, const void *bytes, size_t size, mode_t mode) {
  int descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  CHECK(descriptor >= 0);
  CHECK_EQUAL(0, fchmod(descriptor, mode));
  CHECK_EQUAL(size, write(descriptor, bytes, size));
  close(descriptor);
}

void make_locator_directory(void) {
  mode_t old = umask(0);
  CHECK_EQUAL(0, mkdir(SHARED_PARENT, 01777));
  CHECK_EQUAL(0, mkdir(LOCATOR_DIRECTORY, 01777));
  umask(old);
}

path own_directory(void) {
  path made;
  snprintf(made.text, sizeof made.text, USER_DIRECTORY_FORMAT, (unsigned)geteuid());
  return made;
}

path own_directory_path(pid_t process) {
  path made = own_directory();
  size_t length = strlen(made.text);
  snprintf(made.text + length, sizeof made.text - length, "/%s%d", LOCATOR_PREFIX, (int)process);
  return made;
}

void obstruct_directories(void) {
  write_file(SHARED_PARENT, "", 0, 0600);
  write_file(own_directory().text, "", 0, 0600);
}

int count_descriptors(void) {
  return count_entries("/proc/self/fd");
}

int count_mappings(void) {
  FILE *map = fopen("/proc/self/maps", "r");
  CHECK(map != NULL);
  int count = 0;
  for (int character = getc(map); character != EOF; character = getc(map)) {
    count += character == '\n';
  }
  fclose(map);
  return count;
}

/* ---- Using the library ----------------------------------------------------------------------- */

unsigned char *place(const void *bytes, size_t size) {
  nearbuf_request request = request_of(size);
  nearbuf_memory placed;
  CHECK_OK(nearbuf_place(&request, bytes, &placed));
  return placed.run_at;
}

unsigned char *place_answer(int value) {
#if defined(__x86_64__) || defined(__i386__)
  unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax, value; ret */
  memcpy(&code[1], &value, 4);
#elif defined(__aarch64__)
  uint32_t code[] = {0x52800000u | (uint32_t)(value & 0xffff) << 5, 0xd65f03c0u}; /* mov w0; ret */
#else
  int code[] = {value};
#endif
  return place(code, sizeof code);
}

int call_answer(const unsigned char *code) {
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
  answer function;
  memcpy(&function, &code, sizeof function);
  return function();
#else
  int value;
  memcpy(&value, code, sizeof value);
  return value;
#endif
}

uintptr_t first_locator(void) {
  nearbuf_totals totals;
  CHECK_OK(nearbuf_get_totals(&totals));
  return totals.first_locator;
}

/* ---- Copies of the library ------------------------------------------------------------------- */

static void copy_library(const char *to) {
  int from = open(NEARBUF_LIBRARY, O_RDONLY | O_CLOEXEC);
  int made = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  CHECK(from >= 0 && made >= 0);
  static char bytes[1 << 16];
  ssize_t count;
  while ((count = read(from, bytes, sizeof bytes)) > 0) {
    CHECK_EQUAL(count, write(made, bytes, (size_t)count));
  }
  close(from);
  close(made);
}

static void *symbol(void *handle, const char *name) {
  void *found = dlsym(handle, name);
  CHECK(found != NULL);
  return found;
}

static copy use_copy(void *handle) {
  copy library = {.handle = handle};
  if (library.handle == NULL) {
    test_fail(__FILE__, __LINE__, "%s", dlerror());
  }
  *(void **)&library.get = symbol(library.handle, "nearbuf_get");
  *(void **)&library.append = symbol(library.handle, "nearbuf_append");
  *(void **)&library.release = symbol(library.handle, "nearbuf_release");
  *(void **)&library.place = symbol(library.handle, "nearbuf_place");
  *(void **)&library.find = symbol(library.handle, "nearbuf_find");
  *(void **)&library.get_totals = symbol(library.handle, "nearbuf_get_totals");
  *(void **)&library.choose_sharing = symbol(library.handle, "nearbuf_choose_sharing");
  return library;
}

copy load_copy(int number) {
  char file[64];
  snprintf(file, sizeof file, "/tmp/copy-%d.so", number);
  if (!exists(file)) {
    copy_library(file);
  }
  return use_copy(dlopen(file, RTLD_NOW | RTLD_LOCAL));
}

copy load_copy_apart(int number) {
  char file[64];
  snprintf(file, sizeof file, "/tmp/copy-%d.so", number);
  if (!exists(file)) {
    copy_library(file);
  }
#ifdef LM_ID_NEWLM
  void *handle = dlmopen(LM_ID_NEWLM, file, RTLD_NOW);
  if (handle != NULL) {
    return use_copy(handle);
  }
  test_skip("no other namespace of the linker: %s", dlerror());
#else
  test_skip("the linker has no namespaces");
#endif
}

uintptr_t first_locator_of(const copy *library) {
  nearbuf_totals totals;
  CHECK_OK(library->get_totals(&totals));
  return totals.first_locator;
}
