/* LLVM's own interpreter with the example that gives it its memory, in a process where the gaps
 * between the libraries are small and those below them far away. Without the example the program
 * ends with SIGSEGV there. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

enum { NOT_FOUND = 127 };

/* Becomes LLVM's interpreter, which runs the program and prints nothing. */
static void become_interpreter(const char *preloaded) {
  struct rlimit no_core = {0, 0};
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(nowhere >= 0 && dup2(nowhere, STDOUT_FILENO) >= 0 && dup2(nowhere, STDERR_FILENO) >= 0);
  CHECK_EQUAL(0, setrlimit(RLIMIT_CORE, &no_core));
  CHECK_EQUAL(0, setenv("LD_PRELOAD", preloaded, 1));
  (void)execlp("lli-16", "lli-16", "-code-model=small", "-relocation-model=pic",
               "-disable-symbolication", PROGRAM, (char *)NULL);
  _exit(NOT_FOUND);
}

/* Returns its wait status. */
static int run(const char *preloaded) {
  int status = 0;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    become_interpreter(preloaded);
  }
  CHECK_EQUAL(child, waitpid(child, &status, 0));
  return status;
}

static bool is_success(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(a_program_that_llvm_compiles_reaches_its_data_in_memory_of_ours_where_it_does_not_without) {
  if (strpbrk(WALL EXAMPLE, " :") != NULL) {
    test_skip("a path with spaces or colons cannot be preloaded");
  }
  int status = run(WALL);
  if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND) {
    test_skip("lli-16 is not installed (Debian: llvm-16-runtime)");
  }
  if (is_success(status)) {
    test_skip("the system found memory within reach");
  }
  CHECK(is_success(run(WALL ":" EXAMPLE)));
  CHECK(is_success(run(EXAMPLE)));
}
