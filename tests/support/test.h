/* A minimal harness that runs every test in its own process.
 *
 *   TEST(get_in_a_full_range_reports_no_room) { ... CHECK(...); }
 *
 * CTest runs the program once for each TEST, with its name as the argument. A failed check ends the
 * process at once and prints the place and the values; it may be used in any thread. */
#ifndef NEARBUF_TEST_H
#define NEARBUF_TEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <nearbuf/nearbuf.h>

enum { TEST_EXIT_FAILED = 1, TEST_EXIT_SKIPPED = 77 };

/* 1 where the program is built with the thread sanitizer. */
#if defined(__SANITIZE_THREAD__)
#define TEST_HAS_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_HAS_THREAD_SANITIZER 1
#endif
#endif
#ifndef TEST_HAS_THREAD_SANITIZER
#define TEST_HAS_THREAD_SANITIZER 0
#endif

typedef void (*test_function)(void);
void test_register(const char *name, test_function function);

#if defined(__MINGW32__)
#define TEST_PRINTF gnu_printf /* mingw's own, not that of Microsoft's runtime */
#else
#define TEST_PRINTF printf
#endif

/* Ends the process; does not return. */
__attribute__((noreturn, format(TEST_PRINTF, 3, 4))) void test_fail(const char *file, int line,
                                                                    const char *format, ...);
__attribute__((noreturn, format(TEST_PRINTF, 1, 2))) void test_skip(const char *format, ...);

#define TEST(name)                                                                                 \
  static void name(void);                                                                          \
  __attribute__((constructor)) static void register_##name(void) {                                 \
    test_register(#name, name);                                                                    \
  }                                                                                                \
  static void name(void)

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      test_fail(__FILE__, __LINE__, "%s", #condition);                                             \
    }                                                                                              \
  } while (0)

/* Integers and addresses, of any type. */
#define CHECK_EQUAL(expected, actual)                                                              \
  do {                                                                                             \
    uintmax_t test_expected = (uintmax_t)(expected);                                               \
    uintmax_t test_actual = (uintmax_t)(actual);                                                   \
    if (test_expected != test_actual) {                                                            \
      test_fail(__FILE__, __LINE__, "%s is %ju (0x%jx), not %ju (0x%jx)", #actual, test_actual,    \
                test_actual, test_expected, test_expected);                                        \
    }                                                                                              \
  } while (0)

#define CHECK_STATUS(expected, call)                                                               \
  do {                                                                                             \
    nearbuf_status test_status = (call);                                                           \
    if (test_status != (expected)) {                                                               \
      test_fail(__FILE__, __LINE__, "%s is %s, not %s", #call, nearbuf_status_name(test_status),   \
                nearbuf_status_name(expected));                                                    \
    }                                                                                              \
  } while (0)

#define CHECK_OK(call) CHECK_STATUS(NEARBUF_OK, call)

#endif
