/* Programs with sanitizers, which need fixed parts of the address space when they start, beside an
 * audit library that has used the library before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "test.h"

/* ctest lists only programs that the compilers here could build. */
#ifndef WITH_ADDRESS
#define WITH_ADDRESS NULL
#endif
#ifndef WITH_THREAD
#define WITH_THREAD NULL
#endif
#ifndef WITH_MEMORY
#define WITH_MEMORY NULL
#endif

static void run(const char *program, const char *audit, char *said, size_t size) {
  char command[1024];
  (void)snprintf(command, sizeof command, "LD_AUDIT='%s' '%s' 2>&1", audit, program);
  FILE *output = popen(command, "r"); /* NOLINT(cert-env33-c): of the test's own programs */
  CHECK(output != NULL);
  size_t length = fread(said, 1, size - 1, output);
  said[length] = '\0';
  int status = pclose(output);
  if (status != 0) {
    fprintf(stderr, "%s: %d, %s", program, status, said);
  }
}

static void expect_to_run(const char *program) {
  char said[4096];
  if (program == NULL) {
    test_skip("no compiler for this sanitizer was found");
  }
  run(program, "", said, sizeof said);
  if (strcmp(said, "runs\n") != 0) {
    test_skip("this sanitizer does not work here");
  }
  run(program, AUDIT, said, sizeof said);
  CHECK(strcmp(said, "audit\nruns\n") == 0);
}

TEST(a_program_with_the_address_sanitizer_starts_beside_an_audit_library) {
  expect_to_run(WITH_ADDRESS);
}

TEST(a_program_with_the_thread_sanitizer_starts_beside_an_audit_library) {
  expect_to_run(WITH_THREAD);
}

TEST(a_program_with_the_memory_sanitizer_starts_beside_an_audit_library) {
  expect_to_run(WITH_MEMORY);
}
