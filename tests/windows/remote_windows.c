/* See ../process/remote_support.h and remote_windows.h. */
#include "remote_windows.h"

#include <fcntl.h>
#include <io.h>
#include <string.h>

#include <windows.h>

#include "locator_names.h"
#include "test.h"

/* A pipe of which the child inherits one end. */
static FILE *make_pipe(HANDLE *of_child, bool is_read_here) {
  SECURITY_ATTRIBUTES inherited = {.nLength = sizeof inherited, .bInheritHandle = TRUE};
  HANDLE read_end;
  HANDLE write_end;
  CHECK(CreatePipe(&read_end, &write_end, &inherited, 0));
  HANDLE here = is_read_here ? read_end : write_end;
  *of_child = is_read_here ? write_end : read_end;
  CHECK(SetHandleInformation(here, HANDLE_FLAG_INHERIT, 0));
  int descriptor = _open_osfhandle((intptr_t)here, is_read_here ? _O_RDONLY | _O_TEXT : 0);
  FILE *file = _fdopen(descriptor, is_read_here ? "r" : "w");
  CHECK(file != NULL);
  return file;
}

target windows_start(const char *command) {
  target what = {0};
  STARTUPINFOA start = {.cb = sizeof start, .dwFlags = STARTF_USESTDHANDLES};
  what.input = make_pipe(&start.hStdInput, false);
  what.output = make_pipe(&start.hStdOutput, true);
  start.hStdError = start.hStdOutput;
  PROCESS_INFORMATION started;
  char line[1024];
  CHECK((size_t)snprintf(line, sizeof line, "%s", command) < sizeof line);
  CHECK(CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &started));
  CHECK(CloseHandle(started.hThread) && CloseHandle(start.hStdInput) &&
        CloseHandle(start.hStdOutput));
  what.id = (pid_t)started.dwProcessId;
  what.handle = started.hProcess;
  return what;
}

target target_start(const char *program, const char *first, const char *second) {
  char command[1024];
  (void)snprintf(command, sizeof command, "\"%s\" %s %s", program, first == NULL ? "" : first,
                 second == NULL ? "" : second);
  target what = windows_start(command);
  char line[64];
  target_line(&what, line, sizeof line);
  CHECK(strcmp(line, "ready\n") == 0);
  return what;
}

target target_start_idle(void) {
  return target_start(REMOTE_TARGET, NULL, NULL);
}

int target_wait(target *what) {
  DWORD status;
  CHECK(WaitForSingleObject(what->handle, INFINITE) == WAIT_OBJECT_0);
  CHECK(GetExitCodeProcess(what->handle, &status));
  CHECK(CloseHandle(what->handle));
  if (what->input != NULL) {
    fclose(what->input);
  }
  fclose(what->output);
  return (int)status;
}

long target_end(target *what) {
  char line[64];
  target_tell(what, "end\n");
  target_line(what, line, sizeof line);
  CHECK_EQUAL(0, target_wait(what));
  return strtol(line, NULL, 10);
}

void target_kill(target *what) {
  CHECK(TerminateProcess(what->handle, 9));
  CHECK_EQUAL(9, target_wait(what));
}

target start_user(void) {
  return target_start(REMOTE_USER, NULL, NULL);
}

const char *ask(target *user, const char *question) {
  static char line[128];
  target_tell(user, question);
  target_line(user, line, sizeof line);
  line[strcspn(line, "\r\n")] = '\0';
  return line;
}

uint64_t ask_address(target *user, const char *question) {
  return strtoull(ask(user, question), NULL, 0);
}

bool has_section(const target *what, const char *suffix) {
  char name[128];
  (void)snprintf(name, sizeof name, "/" LOCATOR_PREFIX "%u%s", (unsigned)what->id, suffix);
  HANDLE section = OpenFileMappingA(FILE_MAP_READ, FALSE, name);
  return section != NULL && CloseHandle(section);
}

bool has_name_of_later(const target *what, const nearbuf_process_locator *locator) {
  enum { NUMBER_AT = 65536 - 4 };
  nearbuf_process process = target_open(what);
  char suffix[32];
  uint32_t number = 0;
  CHECK_OK(
      nearbuf_process_read(&process, locator->address + NUMBER_AT, &number, sizeof number, NULL));
  CHECK_OK(nearbuf_process_close(&process));
  (void)snprintf(suffix, sizeof suffix, ", later %x", number);
  return number != (uint32_t)locator->address && number != locator->address >> 16 &&
         has_section(what, suffix);
}
