/* For tests that compile a part of the inspector: what it prints on the standard output is kept
 * here instead. To be included after the system's headers and before the part. */
#ifndef NEARBUF_TESTS_SAID_H
#define NEARBUF_TESTS_SAID_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

static struct {
  char text[8192];
  size_t length;
  int flushes;
} said;

static int said_text(const char *text) {
  size_t length = strlen(text);
  CHECK(said.length + length < sizeof said.text);
  memcpy(said.text + said.length, text, length + 1);
  said.length += length;
  return 0;
}

__attribute__((format(TEST_PRINTF, 1, 0))) static int said_vprintf(const char *format,
                                                                   va_list values) {
  char text[2048];
  int length = vsnprintf(text, sizeof text, format, values);
  CHECK(length >= 0 && (size_t)length < sizeof text);
  return said_text(text);
}

__attribute__((format(TEST_PRINTF, 1, 2), unused)) static int said_printf(const char *format, ...) {
  va_list values;
  va_start(values, format);
  int result = said_vprintf(format, values);
  va_end(values);
  return result;
}

__attribute__((unused)) static int said_putchar(int character) {
  const char text[2] = {(char)character, '\0'};
  return said_text(text);
}

__attribute__((unused)) static int said_puts(const char *text) {
  (void)said_text(text);
  return said_text("\n");
}

__attribute__((unused)) static int said_fputs(const char *text, const FILE *file) {
  CHECK(file == stdout);
  return said_text(text);
}

__attribute__((unused)) static int said_fflush(const FILE *file) {
  CHECK(file == stdout);
  said.flushes++;
  return 0;
}

static void forget_said(void) {
  said.length = 0;
  said.text[0] = '\0';
  said.flushes = 0;
}

/* What was said since the last time is this. */
__attribute__((unused)) static void check_said(const char *expected) {
  if (strcmp(said.text, expected) != 0) {
    test_fail(__FILE__, __LINE__, "it says:\n%s\nand not:\n%s", said.text, expected);
  }
  forget_said();
}

/* These have arguments, so that the names of attributes stay. On some systems they are macros
 * already. */
#undef printf
#undef vprintf
#undef putchar
#undef puts
#undef fputs
#undef fflush
#define printf(...) said_printf(__VA_ARGS__)
#define vprintf(format, values) said_vprintf(format, values)
#define putchar(character) said_putchar(character)
#define puts(text) said_puts(text)
#define fputs(text, file) said_fputs(text, file)
#define fflush(file) said_fflush(file)

#endif
