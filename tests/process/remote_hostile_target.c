/* A program with hostile contents, read by the library and the inspector. Its first argument
 * chooses them; it prints "ready" and stays until its standard input ends.
 *
 *   names FOLDER   files with paths of every length that a buffer might end at, mapped one by one
 *   map PATH       a page of that file, shared; it prints where
 *   lease PATH     the same, with a lease on the file: opening it blocks until that is broken
 *   chain NUMBER   that many locators after its own, once it was given one and reads a line; 20,000
 *                  mappings, and invisible characters in its name
 *   mutate NUMBER  the same, and then it changes all of them at random, its name, and the map
 *   locked NUMBER  that many locators in one file, each with room and a lock that is held
 *   groups         it is in 4,000 groups, and may only read, write and end (seccomp) */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/locator_names.h"

static void fail(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  exit(1);
}

/* ---- Long names ------------------------------------------------------------------------------ */

/* Maps a file of one page whose path has that many characters. Its folders have long names; the
 * current one is the last of them, because a path passed to the kernel may have only 4,095
 * characters. */
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

/* ---- A file ---------------------------------------------------------------------------------- */

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

/* ---- A long chain, and one that changes ------------------------------------------------------ */

/* Finds its first locator, which was created from outside. */
static uint64_t *find_locator(void) {
  char line[8192];
  unsigned long long start = 0;
  FILE *map = fopen("/proc/self/maps", "r");
  while (map != NULL && fgets(line, sizeof line, map) != NULL) {
    if (strstr(line, "/" LOCATOR_PREFIX) != NULL) {
      start = strtoull(line, NULL, 16);
    }
  }
  if (map != NULL) {
    fclose(map);
  }
  if (start == 0) {
    fail("no locator");
  }
  return (uint64_t *)(uintptr_t)start; /* its own address, and that of the next */
}

static unsigned char *show_chain(size_t count) {
  enum { LINES = 20000, SIZE = 4096 };
  uint64_t *first = find_locator();
  unsigned char *pages = mmap(NULL, (count + LINES) * SIZE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    fail("mmap");
  }
  for (size_t i = 0; i < LINES; i += 2) {
    (void)mprotect(pages + (count + i) * SIZE, SIZE, PROT_READ);
  }
  for (size_t i = 0; i < count; i++) {
    uint64_t *page = (uint64_t *)(void *)(pages + i * SIZE);
    memcpy(page, first, SIZE);
    page[0] = (uint64_t)(uintptr_t)page;
    page[1] = i + 1 == count ? 0 : page[0] + SIZE;
  }
  first[1] = (uint64_t)(uintptr_t)pages;
  /* U+202E, which reverses what follows, and a zero-width space. */
  static const unsigned char name[] = {'a', 0xe2, 0x80, 0xae, 't',  'x',  't', '.',
                                       'e', 'x',  'e',  0xe2, 0x80, 0x8b, 0};
  (void)prctl(PR_SET_NAME, name);
  return pages;
}

static uint64_t next_random(void) {
  static uint64_t state = 1;
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth */
  return state >> 16;
}

/* Bytes of a locator: random, a small number, or an address of its own. */
static void mutate_word(uint32_t *words, const unsigned char *pages, size_t count) {
  static const uint32_t values[] = {0, 1, 2, 203, 255, 0x7fffffff, 0x80000000, 0xffffffff};
  uint64_t *wide = (uint64_t *)(void *)words;
  uint64_t chance = next_random();
  size_t at = (chance & 1) != 0 ? chance / 2 % 8 : chance / 2 % 1024; /* the header more often */
  switch (next_random() % 3) {
  case 0:
    words[at] = (uint32_t)next_random();
    break;
  case 1:
    words[at] = values[next_random() % (sizeof values / sizeof values[0])];
    break;
  default:
    wide[at / 2] = (uint64_t)(uintptr_t)pages + next_random() % count * 4096;
    break;
  }
}

static void mutate(unsigned char *pages, size_t count) {
  uint32_t *first = (uint32_t *)(void *)find_locator();
  uint32_t image[1024];
  memcpy(image, first, sizeof image);
  for (uint64_t round = 0;; round++) {
    size_t page = next_random() % (count + 1);
    uint32_t *words = page == count ? first : (uint32_t *)(void *)(pages + page * 4096);
    mutate_word(words, pages, count);
    if (round % 64 == 0) {
      memcpy(first, image, sizeof image); /* so that the others are inspected, too */
    }
    if (round % 1024 == 0) {
      char name[16];
      for (size_t i = 0; i < sizeof name; i++) {
        name[i] = (char)next_random();
      }
      (void)prctl(PR_SET_NAME, name);
      (void)mprotect(pages + (count + next_random() % 1000) * 4096, 4096,
                     (next_random() & 1) != 0 ? PROT_READ : PROT_READ | PROT_WRITE);
    }
  }
}

static void show_when_told(bool is_mutated, size_t count) {
  puts("ready");
  fflush(stdout);
  char byte;
  if (read(0, &byte, 1) == 1) {
    unsigned char *pages = show_chain(count);
    puts("shown");
    fflush(stdout);
    if (is_mutated) {
      mutate(pages, count);
    }
  }
  while (read(0, &byte, 1) > 0) {
  }
  exit(0);
}

/* ---- Locks that are not given back ----------------------------------------------------------- */

/* The shared directory of this user's locators' files. */
static int open_locators(size_t size) {
  char path[160];
  (void)mkdir("/tmp/.reloaded", 01777);
  (void)mkdir("/tmp/.reloaded/memory.buffers", 01777);
  (void)snprintf(path, sizeof path,
                 "/tmp/.reloaded/memory.buffers/Reloaded.Memory.Buffers.MemoryBuffer, PID %d",
                 (int)getpid());
  int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, (off_t)size) != 0) {
    fail(path);
  }
  return file;
}

static void show_locked(size_t count) {
  enum { SIZE = 4096, LOCKED_AT = 16, COUNT_AT = 21, ITEM_AT = 24, SIZE_AT = ITEM_AT + 12 };
  int file = open_locators(count * SIZE);
  char *pages = mmap(NULL, count * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  char *buffers = mmap(NULL, count * SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || buffers == MAP_FAILED) {
    fail("mmap");
  }
  for (size_t i = 0; i < count; i++) {
    char *page = pages + i * SIZE;
    char *links[3] = {page, i + 1 == count ? NULL : page + SIZE, buffers + i * SIZE};
    uint32_t size_and_position[2] = {SIZE, SIZE};
    memcpy(page, links, 2 * sizeof links[0]);
    memcpy(page + ITEM_AT, &links[2], sizeof links[2]);
    memcpy(page + SIZE_AT, size_and_position, sizeof size_and_position);
    page[LOCKED_AT] = 1;
    page[COUNT_AT] = 1;
  }
}

/* ---- A long status --------------------------------------------------------------------------- */

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

/* ---------------------------------------------------------------------------------------------- */

int main(int count, char **arguments) {
  void *page = NULL;
  if (count == 3 && strcmp(arguments[1], "names") == 0) {
    show_names(arguments[2]);
  } else if (count == 3 && strcmp(arguments[1], "map") == 0) {
    page = show_file(arguments[2], false);
  } else if (count == 3 && strcmp(arguments[1], "lease") == 0) {
    page = show_file(arguments[2], true);
  } else if (count == 3 && strcmp(arguments[1], "chain") == 0) {
    show_when_told(false, strtoul(arguments[2], NULL, 10));
  } else if (count == 3 && strcmp(arguments[1], "mutate") == 0) {
    show_when_told(true, strtoul(arguments[2], NULL, 10));
  } else if (count == 3 && strcmp(arguments[1], "locked") == 0) {
    show_locked(strtoul(arguments[2], NULL, 10));
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
