/* The harness; see test.h. */
#include "test.h"

#include <stdarg.h>
#include <string.h>

enum { MOST_TESTS = 256 };

static struct {
  const char *name;
  test_function function;
} tests[MOST_TESTS];
static int test_count;

void test_register(const char *name, test_function function) {
  if (test_count < MOST_TESTS) {
    tests[test_count].name = name;
    tests[test_count++].function = function;
  }
}

void test_fail(const char *file, int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s:%d: failed: ", file, line);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  fflush(NULL);
  _Exit(TEST_EXIT_FAILED);
}

void test_skip(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("skipped: ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  fflush(NULL);
  _Exit(TEST_EXIT_SKIPPED);
}

int main(int argc, char **argv) {
  for (int i = 0; argc == 2 && i < test_count; i++) {
    if (strcmp(tests[i].name, argv[1]) == 0) {
      tests[i].function();
      printf("passed: %s\n", tests[i].name);
      return 0;
    }
  }
  fprintf(stderr, "usage: %s TEST, one of:\n", argv[0]);
  for (int i = 0; i < test_count; i++) {
    fprintf(stderr, "  %s\n", tests[i].name);
  }
  return 2;
}
