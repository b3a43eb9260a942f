/* Names and paths of locators' files, which other programs and the other implementations create as
 * well. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/posix/files.h"
#include "test.h"

#define PREFIX "Reloaded.Memory.Buffers.MemoryBuffer, PID "

static void check_text(const char *expected, const char *actual) {
  if (strcmp(expected, actual) != 0) {
    test_fail(__FILE__, __LINE__, "\"%s\", not \"%s\"", actual, expected);
  }
}

TEST(a_first_locator_is_named_after_its_process) {
  check_text(PREFIX "1", nbuf_name_of_process(1).text);
  check_text(PREFIX "4194304", nbuf_name_of_process(4194304).text);
  check_text(PREFIX "2147483647", nbuf_name_of_process(INT32_MAX).text);
  check_text(PREFIX "12, NS 4026531836", nbuf_name_in_namespace_number(12, 4026531836).text);
  check_text(PREFIX "12, NS 0", nbuf_name_in_namespace_number(12, 0).text);
  check_text(PREFIX "7, NS 18446744073709551615",
             nbuf_name_in_namespace_number(7, UINT64_MAX).text);
}

TEST(a_later_locator_has_its_number_in_its_name) {
  nbuf_name first = nbuf_name_in_namespace_number(12, 34);
  check_text(PREFIX "12, NS 34, later 1f", nbuf_name_of_later(&first, 0x1f).text);
  check_text(PREFIX "12, NS 34, later ffffffff", nbuf_name_of_later(&first, UINT32_MAX).text);
  check_text(PREFIX "12, NS 34", first.text);
  CHECK(nbuf_name_is_of_later(nbuf_name_of_later(&first, 1).text));
  CHECK(!nbuf_name_is_of_later(first.text));
}

TEST(a_temporary_name_is_another_one_each_time) {
  nbuf_name one = nbuf_name_temporary(5);
  nbuf_name other = nbuf_name_temporary(5);
  CHECK(strcmp(one.text, other.text) != 0);
  CHECK(strncmp(one.text, PREFIX "5.", strlen(PREFIX "5.")) == 0);
  CHECK(one.text[strlen(PREFIX "5.")] != '\0');
  CHECK_EQUAL(5, nbuf_name_process(one.text));
}

TEST(the_process_is_read_from_every_kind_of_name_and_from_no_other) {
  static const struct {
    const char *name;
    int64_t process;
  } cases[] = {{PREFIX "1", 1},
               {PREFIX "12345", 12345},
               {PREFIX "9", 9},
               {PREFIX "10", 10},
               {PREFIX "0000000012", 12},
               {PREFIX "2147483647", INT32_MAX},
               {PREFIX "12.5af", 12},
               {PREFIX "12, NS 5", 12},
               {PREFIX "12, later a", 12},
               {PREFIX "2147483648", -1},
               {PREFIX "9999999999", -1},
               {PREFIX "00000000012", -1}, /* more digits than any id */
               {PREFIX "0", -1},
               {PREFIX "", -1},
               {PREFIX "x", -1},
               {PREFIX "-1", -1},
               {PREFIX "12x", -1},
               {PREFIX "12 (deleted)", -1},
               {PREFIX "12,NS", -1},
               {"Reloaded.Memory.Buffers.MemoryBuffer, PI 12", -1},
               {"12", -1},
               {"", -1}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (nbuf_name_process(cases[i].name) != cases[i].process) {
      test_fail(__FILE__, __LINE__, "%s", cases[i].name);
    }
  }
}

TEST(a_name_is_of_a_process_in_any_namespace_and_also_where_it_is_gone) {
  static const char *const its[] = {PREFIX "12", PREFIX "12 (deleted)", PREFIX "12, NS 5",
                                    PREFIX "12, NS 90 (deleted)"};
  static const char *const others[] = {PREFIX "1",
                                       PREFIX "123",
                                       PREFIX "12.5",
                                       PREFIX "12, later 5",
                                       PREFIX "12, NS 5x",
                                       PREFIX "12, NS x5",
                                       PREFIX "12(deleted)",
                                       PREFIX "12, NS",
                                       PREFIX "12 (deleted) ",
                                       PREFIX "12, NSA 1",
                                       "12",
                                       "",
                                       PREFIX "12, NS 5, later 1"};
  for (size_t i = 0; i < sizeof its / sizeof its[0]; i++) {
    CHECK(nbuf_name_is_of_process(its[i], 12));
    CHECK(!nbuf_name_is_of_process(its[i], 13));
  }
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    if (nbuf_name_is_of_process(others[i], 12)) {
      test_fail(__FILE__, __LINE__, "%s", others[i]);
    }
  }
}

/* ---- Paths in a memory map ------------------------------------------------------------------- */

static const nbuf_user user = {.owner = 1000, .named = 7};

TEST(each_user_has_a_directory_beside_the_shared_one) {
  check_text("/tmp/.reloaded/memory.buffers", nbuf_directory_path(NBUF_FOLDER_SHARED, user).text);
  check_text("/tmp/.reloaded.7", nbuf_directory_path(NBUF_FOLDER_OF_USER, user).text);
}

static nbuf_origin origin_of(const char *path, size_t room, const char *temporary) {
  nbuf_path where = {""};
  memcpy(where.text, temporary, strlen(temporary) + 1);
  return nbuf_path_origin(path, room, 12, user, &where);
}

TEST(only_the_two_directories_and_memory_are_where_a_locators_file_comes_from) {
  static const struct {
    const char *path;
    nbuf_origin origin;
  } cases[] = {{"/tmp/.reloaded/memory.buffers/" PREFIX "12", NBUF_ORIGIN_DIRECTORY},
               {"/tmp/.reloaded/memory.buffers/" PREFIX "12 (deleted)", NBUF_ORIGIN_DIRECTORY},
               {"/tmp/.reloaded.7/" PREFIX "12, NS 3", NBUF_ORIGIN_DIRECTORY},
               {"/memfd:" PREFIX "12", NBUF_ORIGIN_MEMORY},
               {"/memfd:" PREFIX "12 (deleted)", NBUF_ORIGIN_MEMORY},
               {"/memfd:" PREFIX "13", NBUF_ORIGIN_OTHER},
               {"/memfd;" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/memfd:x/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/tmp/.reloaded/memory.buffers/" PREFIX "13", NBUF_ORIGIN_OTHER},
               {"/tmp/.reloaded/memory.buffers/x/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/tmp/.reloaded/memory.buffer/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/tmp/.reloaded.1000/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/tmp/.reloaded.70/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/var/tmp/.reloaded.7/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/.reloaded.7/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {"/" PREFIX "12", NBUF_ORIGIN_OTHER},
               {PREFIX "12", NBUF_ORIGIN_OTHER},
               {"", NBUF_ORIGIN_OTHER}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (origin_of(cases[i].path, 256, "/tmp") != cases[i].origin) {
      test_fail(__FILE__, __LINE__, "%s", cases[i].path);
    }
  }
  CHECK_EQUAL(NBUF_ORIGIN_DIRECTORY,
              origin_of("/root/of/it/tmp/.reloaded.7/" PREFIX "12", 256, "/root/of/it/tmp"));
  CHECK_EQUAL(NBUF_ORIGIN_OTHER,
              origin_of("/tmp/.reloaded.7/" PREFIX "12", 256, "/root/of/it/tmp"));
}

TEST(a_path_whose_beginning_was_cut_off_is_known_by_its_end) {
  static const char whole[] = "/root/of/it/tmp/.reloaded.7/" PREFIX "12";
  for (size_t cut = 1; cut < strlen("/root/of/it/tmp"); cut++) {
    size_t room = sizeof whole - cut; /* so that the end just fits */
    CHECK_EQUAL(NBUF_ORIGIN_DIRECTORY, origin_of(whole + cut, room, "/root/of/it/tmp"));
    CHECK_EQUAL(NBUF_ORIGIN_OTHER, origin_of(whole + cut, room + 1, "/root/of/it/tmp"));
    CHECK_EQUAL(NBUF_ORIGIN_OTHER, origin_of(whole + cut, room, "/root/of/it/tmx"));
  }
}

TEST(another_users_directory_is_told_by_the_systems_code) {
  static const struct {
    int error;
    bool is_anothers;
  } cases[] = {{EACCES, true},  {EPERM, true},  {ENOTDIR, true}, {ELOOP, true}, {EEXIST, true},
               {ENOSPC, false}, {EROFS, false}, {EMFILE, false}, {0, false}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    nbuf_result result = nbuf_result_system(NEARBUF_DENIED, cases[i].error);
    CHECK_EQUAL(cases[i].is_anothers, nbuf_directory_is_anothers(result));
  }
}
