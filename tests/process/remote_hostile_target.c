/* A program that shows what no honest one would: to the library that looks at it, and to the inspector.
 * What it shows is its first argument; it says "ready" and stays until its standard input ends.
 *
 *   names FOLDER   files with paths of every length that a buffer might end at, mapped one by one
 *   map PATH       a page of that file, shared; it prints where
 *   lease PATH     the same, with a lease on the file: who opens it waits until that is broken
 *   groups         it is in 4,000 groups, and may only read, write and end (seccomp) */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  exit(1);
}

/* ---- Long names --------------------------------------------------------------------------------- */

/* Maps a file of one page whose path has so many characters. Its folders have long names; the current
 * one is the last of them, because a path may only have 4,095 characters at once. */
static void map_path_of_length(const char *folder, size_t length) {
  enum { STEP = 200 };
  size_t left = length - strlen(folder);
  char name[NAME_MAX + 1];
  if (chdir(folder) != 0) {
    fail(folder);
  }
  for (; left > STEP + 2; left -= STEP + 1) {
    memset(name, 'd', STEP);
    name[STEP] = '\0';
    (void)mkdir(name, 0700);
    if (chdir(name) != 0) {
      fail(name);
    }
  }
  memset(name, 'f', left - 1);
  name[left - 1] = '\0';
  int file = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, 4096) != 0 ||
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED) {
    fail(name);
  }
  close(file);
}

static void show_names(const char *folder) {
  static const size_t lengths[] = {63,  64,  95,  96,  127, 128,  129,  191,  192,
                                   254, 255, 256, 257, 511, 1023, 4000, 4095, 6000};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    map_path_of_length(folder, lengths[i]);
  }
}

/* ---- A file ------------------------------------------------------------------------------------- */

static void *show_file(const char *path, bool is_leased) {
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, 4096) != 0) {
    fail(path);
  }
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  signal(SIGIO, SIG_IGN);
  if (page == MAP_FAILED || (is_leased && fcntl(file, F_SETLEASE, F_WRLCK) != 0)) {
    fail(path);
  }
  return page;
}

/* ---- A long status ------------------------------------------------------------------------------ */

static void run_strictly_in_many_groups(void) {
  enum { GROUPS = 4000 };
  static gid_t groups[GROUPS];
  char byte;
  for (int i = 0; i < GROUPS; i++) {
    groups[i] = 4000000000U + (gid_t)i;
  }
  if (setgroups(GROUPS, groups) != 0 || prctl(PR_SET_SECCOMP, 1 /* strict */) != 0) {
    fail("groups");
  }
  (void)!write(1, "ready\n", 6);
  while (read(0, &byte, 1) > 0) {
  }
  (void)syscall(SYS_exit, 0);
}

/* ------------------------------------------------------------------------------------------------ */

int main(int count, char **arguments) {
  void *page = NULL;
  if (count == 3 && strcmp(arguments[1], "names") == 0) {
    show_names(arguments[2]);
  } else if (count == 3 && strcmp(arguments[1], "map") == 0) {
    page = show_file(arguments[2], false);
  } else if (count == 3 && strcmp(arguments[1], "lease") == 0) {
    page = show_file(arguments[2], true);
  } else if (count == 2 && strcmp(arguments[1], "groups") == 0) {
    run_strictly_in_many_groups();
  } else {
    printf("unknown: %s\n", count > 1 ? arguments[1] : "");
    return 2;
  }
  puts("ready");
  if (page != NULL) {
    printf("%p\n", page);
  }
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return 0;
}
