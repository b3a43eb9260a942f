/* What the inspector asks of a POSIX system, with an invented one that grants, denies and fails as
 * a test says. tools/nearbuf/host_posix.c is compiled here, with other names for what it calls. */
#include <dlfcn.h>
#include <errno.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <nearbuf/nearbuf.h>

#include "test.h"

typedef void (*signal_handler)(int number);

static void *invented_dlsym(void *module, const char *name);
static int invented_dladdr(const void *address, Dl_info *info);
static void *invented_dlopen(const char *path, int flags);
static int invented_dlclose(void *module);
static char *invented_dlerror(void);
static long invented_sysconf(int name);
static int invented_mprotect(void *address, size_t size, int protection);
static int invented_msync(void *address, size_t size, int flags);
static ssize_t invented_readlink(const char *path, char *text, size_t size);
static struct passwd *invented_getpwuid(uid_t user);
static FILE *invented_fopen(const char *path, const char *mode);
static int invented_getc(FILE *file);
static int invented_fclose(FILE *file);
static uid_t invented_geteuid(void);
static char *invented_getenv(const char *name);
static int invented_isatty(int file);
static signal_handler invented_signal(int number, signal_handler handler);
static ssize_t invented_write(int file, const void *bytes, size_t size);
__attribute__((noreturn)) static void invented_exit(int code);
static int invented_nanosleep(const struct timespec *time, struct timespec *rest);
static void invented_sync_code(const void *address, size_t size);

#undef getc
#define dlsym invented_dlsym
#define dladdr invented_dladdr
#define dlopen invented_dlopen
#define dlclose invented_dlclose
#define dlerror invented_dlerror
#define sysconf invented_sysconf
#define mprotect invented_mprotect
#define msync invented_msync
#define readlink invented_readlink
#define getpwuid invented_getpwuid
#define fopen invented_fopen
#define getc invented_getc
#define fclose invented_fclose
#define geteuid invented_geteuid
#define getenv invented_getenv
#define isatty invented_isatty
#define signal(number, handler) invented_signal(number, handler)
#define write(file, bytes, size) invented_write(file, bytes, size)
#define _exit invented_exit /* NOLINT(bugprone-reserved-identifier) */
#define nanosleep invented_nanosleep
#define nearbuf_sync_code invented_sync_code

#include "../../tools/nearbuf/host_posix.c" /* NOLINT(bugprone-suspicious-include) */

#undef write

/* ---- The system ------------------------------------------------------------------------------ */

enum { PAGE = 4096, LONGEST = PATH_SIZE - 1, STREAM_OF_OUTPUT = 1 };

static _Alignas(PAGE) unsigned char pages[4 * PAGE];
static char the_module;
static char the_file;

static struct {
  bool has_symbol;
  bool is_in_module;
  const char *module_path; /* of this program, or of a function */
  char link[LONGEST + 2];  /* of this program; empty: there is none */
  char opened[LONGEST + 2];
  bool cannot_load;
  int closed;
  int protections[2];
  uintptr_t protected[2];
  size_t protected_size[2];
  int protects;
  int refused_protect; /* the number of the one that fails; 0: none */
  uintptr_t synced;
  size_t synced_size;
  bool is_mapped;
  struct passwd *user;
  int scope; /* the character in Yama's file; 0: there is no file, EOF: it is empty */
  int open_files;
  uid_t own_user;
  const char *terminal;
  const char *no_color;
  bool is_terminal;
  int signal;
  signal_handler handler;
  char written[256];
  jmp_buf end;
  struct timespec slept;
} it;

static void *invented_dlsym(void *module, const char *name) {
  CHECK(module == (strcmp(name, "of_c") == 0 ? RTLD_DEFAULT : (void *)&the_module));
  return it.has_symbol ? pages + 64 : NULL;
}

static int invented_dladdr(const void *address, Dl_info *info) {
  CHECK(address != NULL);
  info->dli_fname = it.module_path;
  return it.is_in_module ? 1 : 0;
}

static void *invented_dlopen(const char *path, int flags) {
  CHECK_EQUAL(RTLD_NOW | RTLD_LOCAL, flags);
  CHECK(strlen(path) < sizeof it.opened);
  memcpy(it.opened, path, strlen(path) + 1);
  return it.cannot_load ? NULL : &the_module;
}

static int invented_dlclose(void *module) {
  CHECK(module == &the_module);
  it.closed++;
  return 0;
}

static char *invented_dlerror(void) {
  static char text[] = "no module";
  return text;
}

static long invented_sysconf(int name) {
  CHECK(name == _SC_PAGESIZE);
  return PAGE;
}

/* Changed code is writable only between two calls. */
static int invented_mprotect(void *address, size_t size, int protection) {
  CHECK(it.protects < 2);
  it.protected[it.protects] = (uintptr_t)address;
  it.protected_size[it.protects] = size;
  it.protections[it.protects] = protection;
  it.protects++;
  errno = it.protects == it.refused_protect ? EACCES : 0;
  return it.protects == it.refused_protect ? -1 : 0;
}

static int invented_msync(void *address, size_t size, int flags) {
  CHECK(address == pages && size == PAGE && flags == MS_ASYNC);
  return it.is_mapped ? 0 : -1;
}

static ssize_t invented_readlink(const char *path, char *text, size_t size) {
  CHECK(strcmp(path, "/proc/self/exe") == 0);
  CHECK_EQUAL(LONGEST, size); /* and room for what ends it */
  size_t length = strlen(it.link);
  memset(text, '/', size); /* it ends nothing, and what it leaves when it fails is unknown */
  if (length == 0) {
    memcpy(text, "/x", sizeof "/x");
    return -1;
  }
  length = length < size ? length : size;
  memcpy(text, it.link, length);
  return (ssize_t)length;
}

static struct passwd *invented_getpwuid(uid_t user) {
  CHECK_EQUAL(4000000000, user);
  return it.user;
}

static FILE *invented_fopen(const char *path, const char *mode) {
  CHECK(strcmp(path, "/proc/sys/kernel/yama/ptrace_scope") == 0 && strcmp(mode, "r") == 0);
  it.open_files += it.scope != 0;
  return it.scope == 0 ? NULL : (FILE *)(void *)&the_file;
}

static int invented_getc(FILE *file) {
  CHECK((void *)file == &the_file);
  return it.scope;
}

static int invented_fclose(FILE *file) {
  CHECK((void *)file == &the_file);
  it.open_files--;
  return 0;
}

static uid_t invented_geteuid(void) {
  return it.own_user;
}

static char *invented_getenv(const char *name) {
  const char *value = strcmp(name, "TERM") == 0 ? it.terminal : it.no_color;
  CHECK(strcmp(name, "TERM") == 0 || strcmp(name, "NO_COLOR") == 0);
  return (char *)(uintptr_t)value;
}

static int invented_isatty(int file) {
  CHECK_EQUAL(STREAM_OF_OUTPUT, file);
  return it.is_terminal ? 1 : 0;
}

static signal_handler invented_signal(int number, signal_handler handler) {
  it.signal = number;
  it.handler = handler;
  return SIG_DFL;
}

static ssize_t invented_write(int file, const void *bytes, size_t size) {
  CHECK(file == STDERR_FILENO && size < sizeof it.written && strlen(bytes) == size);
  memcpy(it.written, bytes, size);
  return (ssize_t)size;
}

static void invented_exit(int code) {
  longjmp(it.end, code + 100);
}

static int invented_nanosleep(const struct timespec *time, struct timespec *rest) {
  CHECK(rest == NULL);
  it.slept = *time;
  return 0;
}

static void invented_sync_code(const void *address, size_t size) {
  CHECK_EQUAL(1, it.protects);
  it.synced = (uintptr_t)address;
  it.synced_size = size;
}

static void begin(void) {
  memset(&it, 0, sizeof it);
}

/* ---- Modules --------------------------------------------------------------------------------- */

TEST(a_function_of_the_c_library_has_an_address_and_a_module) {
  char module[16] = "";
  begin();
  it.has_symbol = true;
  it.is_in_module = true;
  it.module_path = "/lib/libc";
  CHECK_EQUAL((uintptr_t)pages + 64, host_library_function("of_c", module, sizeof module));
  CHECK(strcmp(module, "/lib/libc") == 0);
  CHECK_EQUAL((uintptr_t)pages + 64, host_library_function("of_c", module, 5));
  CHECK(strcmp(module, "/lib") == 0);
  it.is_in_module = false;
  CHECK_EQUAL(0, host_library_function("of_c", module, sizeof module));
  it.is_in_module = true;
  it.has_symbol = false;
  CHECK_EQUAL(0, host_library_function("of_c", module, sizeof module));
}

TEST(a_module_is_loaded_from_the_folder_of_this_program) {
  const char *reason = "";
  begin();
  (void)snprintf(it.link, sizeof it.link, "/usr/bin/nearbuf");
  CHECK(host_load("../lib/plugin.so", &reason) == &the_module);
  CHECK(strcmp(it.opened, "/usr/bin/../lib/plugin.so") == 0 && reason[0] == '\0');
  it.cannot_load = true;
  CHECK(host_load("plugin.so", &reason) == NULL);
  CHECK(strcmp(it.opened, "/usr/bin/plugin.so") == 0);
  CHECK(strcmp(reason, "no module") == 0);
}

/* Where there is no such link, the loader knows the path. */
TEST(without_a_link_to_this_program_the_loader_tells_its_path) {
  const char *reason = "";
  begin();
  it.is_in_module = true;
  it.module_path = "/opt/nearbuf";
  CHECK(host_load("plugin.so", &reason) == &the_module);
  CHECK(strcmp(it.opened, "/opt/plugin.so") == 0);
  it.module_path = "nearbuf"; /* in no folder */
  CHECK(host_load("plugin.so", &reason) == NULL);
  CHECK(strcmp(reason, "the path of this program is not known") == 0);
  it.is_in_module = false;
  it.module_path = "/opt/nearbuf";
  reason = "";
  CHECK(host_load("plugin.so", &reason) == NULL);
  CHECK(strcmp(reason, "the path of this program is not known") == 0);
}

/* A path of that many characters, of which the last ones are this program's name. */
static void make_path(char *path, size_t length, size_t name_length) {
  memset(path, 'd', length);
  path[0] = '/';
  path[length - name_length - 1] = '/';
  path[length] = '\0';
}

TEST(paths_up_to_the_longest_are_known_and_no_part_of_one_is_taken_for_it) {
  static char path[LONGEST + 2];
  const char *reason = "";
  begin();
  make_path(it.link, LONGEST, 1);
  CHECK(host_load("p", &reason) == &the_module);
  CHECK_EQUAL(LONGEST, strlen(it.opened));
  CHECK(host_load("pq", &reason) == NULL);
  it.link[0] = '\0';
  it.is_in_module = true;
  it.module_path = path;
  make_path(path, LONGEST, 1);
  CHECK(host_load("p", &reason) == &the_module);
  make_path(path, LONGEST + 1, 2);
  CHECK(host_load("p", &reason) == NULL);
}

TEST(a_module_has_symbols_and_can_be_unloaded) {
  begin();
  it.has_symbol = true;
  CHECK_EQUAL((uintptr_t)pages + 64, host_symbol(&the_module, "function"));
  it.has_symbol = false;
  CHECK_EQUAL(0, host_symbol(&the_module, "function"));
  host_unload(&the_module);
  CHECK_EQUAL(1, it.closed);
  CHECK(!host_lies_in_module(0x1000));
  it.is_in_module = true;
  CHECK(host_lies_in_module(0x1000));
}

TEST(a_file_name_is_what_follows_the_last_slash) {
  CHECK(strcmp(host_file_name("/usr/lib/libc.so"), "libc.so") == 0);
  CHECK(strcmp(host_file_name("libc.so"), "libc.so") == 0);
  CHECK(strcmp(host_file_name("/usr/"), "") == 0);
  CHECK(strcmp(host_file_name(""), "") == 0);
}

TEST(names_are_compared_with_their_case_and_up_to_a_length) {
  CHECK(host_names_are_equal("libc.so+1", "libc.so.6", 7));
  CHECK(!host_names_are_equal("libc.so+1", "libc.so.6", 8));
  CHECK(!host_names_are_equal("LIBC", "libc", 4));
}

/* ---- Memory ---------------------------------------------------------------------------------- */

TEST(code_is_writable_only_while_it_is_changed_and_all_its_pages_are) {
  static const unsigned char bytes[] = {1, 2, 3, 4};
  static const struct {
    size_t at;
    size_t first;
  } cases[] = {{0, 0}, {100, 0}, {PAGE - 4, 0}, {PAGE - 2, 0}, {PAGE, PAGE}, {2 * PAGE - 1, PAGE}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *reason = "none";
    begin();
    memset(pages, 0, sizeof pages);
    uintptr_t address = (uintptr_t)pages + cases[i].at;
    CHECK(host_write_code(address, bytes, sizeof bytes, &reason));
    CHECK(memcmp((void *)address, bytes, sizeof bytes) == 0 && pages[cases[i].at + 4] == 0);
    CHECK_EQUAL(PROT_READ | PROT_WRITE | PROT_EXEC, it.protections[0]);
    CHECK_EQUAL(PROT_READ | PROT_EXEC, it.protections[1]);
    for (int call = 0; call < 2; call++) {
      CHECK_EQUAL((uintptr_t)pages + cases[i].first, it.protected[call]);
      CHECK_EQUAL(cases[i].at + sizeof bytes - cases[i].first, it.protected_size[call]);
    }
    CHECK(it.synced == address && it.synced_size == sizeof bytes);
    CHECK(strcmp(reason, "none") == 0);
  }
}

TEST(a_system_that_does_not_let_code_be_changed_gives_a_reason) {
  static const unsigned char bytes[] = {1, 2};
  const char *reason = "";
  begin();
  memset(pages, 0, sizeof pages);
  it.refused_protect = 1;
  CHECK(!host_write_code((uintptr_t)pages, bytes, sizeof bytes, &reason));
  CHECK(strcmp(reason, strerror(EACCES)) == 0 && pages[0] == 0 && it.protects == 1);
  begin();
  reason = "";
  it.refused_protect = 2;
  CHECK(!host_write_code((uintptr_t)pages, bytes, sizeof bytes, &reason));
  CHECK(strcmp(reason, strerror(EACCES)) == 0 && it.protects == 2);
}

TEST(an_address_is_mapped_if_its_page_is) {
  begin();
  CHECK(!host_is_mapped(pages));
  it.is_mapped = true;
  CHECK(host_is_mapped(pages));
  CHECK(host_is_mapped(pages + PAGE - 1));
}

/* ---- Texts ----------------------------------------------------------------------------------- */

TEST(errors_and_users_have_the_names_of_the_system) {
  static char root[] = "root";
  static struct passwd user = {.pw_name = root};
  char name[16] = "";
  begin();
  CHECK(strcmp(host_error_text(EACCES), strerror(EACCES)) == 0);
  CHECK_EQUAL(getpid(), host_process());
  CHECK(!host_user_name(4000000000, name, sizeof name));
  it.user = &user;
  CHECK(host_user_name(4000000000, name, sizeof name));
  CHECK(strcmp(name, "root") == 0);
  CHECK(host_user_name(4000000000, name, 3));
  CHECK(strcmp(name, "ro") == 0);
}

static void check_hint(int scope, uid_t user, const char *start) {
  begin();
  it.scope = scope;
  it.own_user = user;
  const char *hint = host_denied_hint();
  if (strncmp(hint, start, strlen(start)) != 0) {
    test_fail(__FILE__, __LINE__, "the hint is \"%s\"", hint);
  }
  CHECK_EQUAL(0, it.open_files);
}

TEST(the_hint_is_about_what_denies_it) {
  static const char nobody[] = "On this system no process can be traced";
  static const char root[] = "Root needs the right to trace";
  static const char yama[] = "Run as root; /proc/sys/kernel/yama/ptrace_scope is not 0";
  static const char user[] = "Run as root, or as its user";
  check_hint('3', 0, nobody);
  check_hint('3', 1000, nobody);
  static const int others[] = {0, EOF, '0', '1', '2'};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    check_hint(others[i], 0, root);
  }
  check_hint('1', 1000, yama);
  check_hint('2', 1, yama);
  check_hint('0', 1000, user);
  check_hint(0, 1, user);
  check_hint(EOF, 1000, user);
  check_hint('4', 1000, user);
}

static bool has_colours(bool is_terminal, const char *terminal, const char *no_color) {
  it.is_terminal = is_terminal;
  it.terminal = terminal;
  it.no_color = no_color;
  return host_has_colours();
}

TEST(colours_are_for_terminals_that_have_them_and_users_who_want_them) {
  begin();
  CHECK(has_colours(true, "xterm", NULL));
  CHECK(has_colours(true, "xterm", ""));
  CHECK(has_colours(true, "", NULL));
  CHECK(!has_colours(true, "xterm", "1"));
  CHECK(!has_colours(true, "xterm", "no"));
  CHECK(!has_colours(true, "dumb", NULL));
  CHECK(!has_colours(true, NULL, NULL));
  CHECK(!has_colours(false, "xterm", NULL));
}

/* ---- Signals and time ------------------------------------------------------------------------ */

TEST(a_file_that_is_truncated_ends_the_program_with_a_sentence) {
  begin();
  host_expect_loss();
  CHECK_EQUAL(SIGBUS, it.signal);
  int code = setjmp(it.end);
  if (code == 0) {
    it.handler(SIGBUS);
  }
  CHECK_EQUAL(100 + EXIT_FAILED, code);
  CHECK(strcmp(it.written,
               "nearbuf: a process truncated a locator's file while it was being read\n") == 0);
}

TEST(a_pause_has_the_given_length) {
  begin();
  host_sleep(50);
  CHECK(it.slept.tv_sec == 0 && it.slept.tv_nsec == 50000000);
  host_sleep(2001);
  CHECK(it.slept.tv_sec == 2 && it.slept.tv_nsec == 1000000);
  host_sleep(999);
  CHECK(it.slept.tv_sec == 0 && it.slept.tv_nsec == 999000000);
}

TEST(the_map_names_the_areas_and_the_input_needs_no_mode) {
  nearbuf_process process = {0};
  host_visit_areas(&process, NULL, NULL);
  host_input_of_bytes();
}
