#include "command.h"
#include "host.h"

#include <dlfcn.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <nearbuf/nearbuf.h>

enum { PATH_SIZE = 4096 };

int64_t host_process(void) {
  return getpid();
}

uintptr_t host_library_function(const char *name, char *module, size_t module_size) {
  void *function = dlsym(RTLD_DEFAULT, name);
  Dl_info info;
  if (function == NULL || dladdr(function, &info) == 0) {
    return 0;
  }
  (void)snprintf(module, module_size, "%s", info.dli_fname);
  return (uintptr_t)function;
}

bool host_write_code(uintptr_t address, const void *bytes, size_t size_bytes, const char **reason) {
  uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = address & ~(page_size - 1);
  void *pages = (void *)first;
  size_t size = address + size_bytes - first;
  if (mprotect(pages, size, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) {
    *reason = strerror(errno);
    return false;
  }
  memcpy((void *)address, bytes, size_bytes);
  nearbuf_sync_code((void *)address, size_bytes);
  if (mprotect(pages, size, PROT_READ | PROT_EXEC) != 0) {
    *reason = strerror(errno);
    return false;
  }
  return true;
}

bool host_is_mapped(const void *address) {
  uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  void *page = (void *)((uintptr_t)address & ~(page_size - 1));
  return msync(page, page_size, MS_ASYNC) == 0;
}

/* The path of this program. */
static bool own_path(char *path, size_t size) {
  ssize_t length = readlink("/proc/self/exe", path, size - 1);
  if (length > 0) {
    path[length] = '\0';
    return true;
  }
  Dl_info info;
  static const char here;
  if (dladdr(&here, &info) == 0) {
    return false;
  }
  return (size_t)snprintf(path, size, "%s", info.dli_fname) < size;
}

void *host_load(const char *relative_path, const char **reason) {
  char path[PATH_SIZE];
  char *end = own_path(path, sizeof path) ? strrchr(path, '/') : NULL;
  size_t room = end == NULL ? 0 : sizeof path - (size_t)(end + 1 - path);
  if (end == NULL || (size_t)snprintf(end + 1, room, "%s", relative_path) >= room) {
    *reason = "the path of this program is not known";
    return NULL;
  }
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (module == NULL) {
    *reason = dlerror();
  }
  return module;
}

void host_unload(void *module) {
  (void)dlclose(module);
}

uintptr_t host_symbol(void *module, const char *name) {
  return (uintptr_t)dlsym(module, name);
}

bool host_lies_in_module(uintptr_t address) {
  Dl_info info;
  return dladdr((void *)address, &info) != 0;
}

const char *host_file_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? path : slash + 1;
}

bool host_names_are_equal(const char *one, const char *other, size_t length) {
  return strncmp(one, other, length) == 0;
}

const char *host_error_text(int32_t code) {
  return strerror(code);
}

void host_visit_areas(const nearbuf_process *process, host_area_visitor visit, void *context) {
  (void)process, (void)visit, (void)context; /* the map has the names */
}

bool host_user_name(uint64_t user, char *name, size_t name_size) {
  const struct passwd *entry = getpwuid((uid_t)user);
  if (entry == NULL) {
    return false;
  }
  (void)snprintf(name, name_size, "%s", entry->pw_name);
  return true;
}

/* The restriction of tracing by Yama, on Linux: from 0, none, to 3, no process may trace. */
static int tracing_scope(void) {
  FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "r");
  int scope = file == NULL ? '0' : getc(file);
  if (file != NULL) {
    (void)fclose(file);
  }
  return scope - '0';
}

const char *host_denied_hint(void) {
  int scope = tracing_scope();
  if (scope == 3) {
    return "On this system no process can be traced: /proc/sys/kernel/yama/ptrace_scope is 3.";
  }
  if (geteuid() == 0) {
    return "Root needs the right to trace (Linux: CAP_SYS_PTRACE), which containers often lack.";
  }
  if (scope == 1 || scope == 2) {
    return "Run as root; /proc/sys/kernel/yama/ptrace_scope is not 0, so being its user is not "
           "enough.";
  }
  return "Run as root, or as its user unless the program opted out or was started with more\n"
         "  rights than that user has.";
}

bool host_has_colours(void) {
  const char *terminal = getenv("TERM");
  /* https://no-color.org */
  const char *refusal = getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (refusal == NULL || refusal[0] == '\0') &&
         terminal != NULL && strcmp(terminal, "dumb") != 0;
}

static void end_of_shared_memory(int signal_number) {
  static const char sentence[] =
      "nearbuf: a process truncated a locator's file while it was being read\n";
  (void)signal_number;
  (void)!write(STDERR_FILENO, sentence, sizeof sentence - 1);
  _exit(EXIT_FAILED);
}

/* The owner of a locator's file can truncate it while it is mapped. */
void host_expect_loss(void) {
  (void)signal(SIGBUS, end_of_shared_memory);
}

void host_input_of_bytes(void) {
}

void host_sleep(uint32_t milliseconds) {
  struct timespec time = {(time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};
  (void)nanosleep(&time, NULL);
}
