/* What the process tests share: a private /tmp, children, copies of the library, code to
 * execute. */
#ifndef PROCESS_SUPPORT_H
#define PROCESS_SUPPORT_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/types.h>

#include "locator_names.h"
#include "request.h"
#include "test.h"

/* ---- Surroundings ---------------------------------------------------------------------------- */

/* Gives this process an empty /tmp (a tmpfs) that no other process sees; skips the test where that
 * is not allowed. The programs and libraries of the build stay reachable. */
void own_tmp(void);

/* Skips the test unless it runs as root. */
void need_root(void);

/* ---- Children -------------------------------------------------------------------------------- */

typedef void (*body)(void *context);

/* Forks and runs the body in the child, whose exit status is 0 unless a check fails. */
pid_t start_child(body run, void *context);

/* Waits for it. A child that failed, or died of a signal, fails the test. */
void expect_success(pid_t child);

void in_child(body run, void *context);

/* A part of a test that needs a fresh image: the program runs it by its name as it runs a test, but
 * ctest does not list it. exec_part replaces the process with it. */
#define PART(name) TEST(name)
__attribute__((noreturn)) void exec_part(const char *name);

/* ---- Locators -------------------------------------------------------------------------------- */

/* The path of the first locator's file of a process. */
typedef struct path {
  char text[256];
} path;
path locator_path(pid_t process);

/* Files in the shared directory; 0 where there is no directory. */
int count_locator_files(void);
bool exists(const char *file);

/* Writes a file. */
void write_file(const char *file, const void *bytes, size_t size, mode_t mode);
void make_locator_directory(void);

/* The directory that is used instead of the shared one if that belongs to another user. */
path own_directory(void);
path own_directory_path(pid_t process);

/* Creates files in place of both directories. */
void obstruct_directories(void);

/* Open descriptors of this process. */
int count_descriptors(void);
int count_mappings(void);

/* ---- Using the library ----------------------------------------------------------------------- */

/* Places bytes with the library that the program is linked with. */
unsigned char *place(const void *bytes, size_t size);

/* Places a function that returns `value`, and calls one. If the processor is unknown to the tests,
 * the bytes are data, and reading them replaces the call. */
typedef int (*answer)(void);
unsigned char *place_answer(int value);
int call_answer(const unsigned char *code);

/* The first locator of this process. */
uintptr_t first_locator(void);

/* ---- Copies of the library ------------------------------------------------------------------- */

/* A copy of the shared library that shares nothing with other copies but the process. */
typedef struct copy {
  void *handle;
  nearbuf_status (*get)(const nearbuf_request *, nearbuf_buffer *);
  nearbuf_status (*append)(nearbuf_buffer *, const void *, size_t, void **);
  nearbuf_status (*release)(nearbuf_buffer *);
  nearbuf_status (*place)(const nearbuf_request *, const void *, nearbuf_memory *);
  nearbuf_status (*find)(const void *, nearbuf_info *);
  nearbuf_status (*get_totals)(nearbuf_totals *);
  nearbuf_status (*choose_sharing)(nearbuf_sharing);
} copy;

/* Loads copy number `number`; requires own_tmp. */
copy load_copy(int number);

/* The same in its own namespace of the linker, beside another C library, whose fork handlers are
 * never called; skips the test if there are no such namespaces. */
copy load_copy_apart(int number);
uintptr_t first_locator_of(const copy *library);

#endif
