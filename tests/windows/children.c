/* Other processes that run the same test in another role; see children.h. */
#include "children.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

#define ROLE "NEARBUF_TEST_ROLE"

bool child_has_role(const char *role) {
  char own[64];
  DWORD length = GetEnvironmentVariableA(ROLE, own, sizeof own);
  return length > 0 && length < sizeof own && strcmp(own, role) == 0;
}

HANDLE child_start(const char *test, const char *role) {
  char program[MAX_PATH];
  char command[2 * MAX_PATH];
  CHECK(GetModuleFileNameA(NULL, program, sizeof program) < sizeof program);
  (void)snprintf(command, sizeof command, "\"%s\" %s", program, test);
  CHECK(SetEnvironmentVariableA(ROLE, role));
  /* Its errors are shown; its standard output is not, because it is not the test's result. */
  STARTUPINFOA startup = {.cb = sizeof startup,
                          .dwFlags = STARTF_USESTDHANDLES,
                          .hStdError = GetStdHandle(STD_ERROR_HANDLE)};
  PROCESS_INFORMATION child;
  CHECK(CreateProcessA(program, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child));
  CHECK(SetEnvironmentVariableA(ROLE, NULL));
  CHECK(CloseHandle(child.hThread));
  return child.hProcess;
}

int child_status(HANDLE child) {
  DWORD status;
  if (WaitForSingleObject(child, 60000) != WAIT_OBJECT_0) {
    (void)TerminateProcess(child, TEST_EXIT_FAILED);
    test_fail(__FILE__, __LINE__, "the other process does not end");
  }
  CHECK(GetExitCodeProcess(child, &status));
  CHECK(CloseHandle(child));
  return (int)status;
}
