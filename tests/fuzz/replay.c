/* Gives every input of the corpus to a fuzz target, with any compiler and without libFuzzer. */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "fuzz.h"
#include "test.h"

enum { LONGEST_INPUT = 1 << 20 };

/* By the open directory: a target may have mounted another file system over its path. */
static void replay(int corpus, const char *name) {
  static uint8_t bytes[LONGEST_INPUT];
  int file = openat(corpus, name, O_RDONLY | O_CLOEXEC);
  ssize_t length = read(file, bytes, sizeof bytes);
  CHECK(length >= 0 && length < LONGEST_INPUT);
  close(file);
  /* Exactly as large as the input, so that a sanitizer notices a read past its end. */
  size_t size = (size_t)length;
  uint8_t *copy = malloc(size == 0 ? 1 : size);
  CHECK(copy != NULL);
  memcpy(copy, bytes, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
}

TEST(every_input_of_the_corpus_passes) {
  DIR *corpus = opendir(CORPUS);
  CHECK(corpus != NULL);
  int count = 0;
  for (const struct dirent *entry = readdir(corpus); entry != NULL; entry = readdir(corpus)) {
    if (entry->d_name[0] != '.') {
      replay(dirfd(corpus), entry->d_name);
      count++;
    }
  }
  closedir(corpus);
  printf("%d inputs\n", count);
  CHECK(count > 0);
}
