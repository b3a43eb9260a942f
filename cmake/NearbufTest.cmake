# nearbuf_test(NAME file.c [more.c ...] [LIBS library ...] [TIMEOUT seconds] [LABELS label ...]
#              [ROWS pattern name])
#
# Builds the program build/<preset>/tests/NAME and registers its tests. Each line of file.c that
# starts with TEST(some_behaviour) is a separate test, called NAME.some_behaviour and run as `NAME
# some_behaviour`: the library's memory is permanent, so every test gets a fresh process and its own
# time limit. A file without such lines is one test, called NAME and run without arguments.
#
#   LIBS     what to test; nearbuf_static by default, whose internals can be linked (nearbuf, the shared
#            library, exports only the public functions).
#   TIMEOUT  300 seconds by default, for tests that take a few on an idle machine: it must end a test
#            that hangs, not one that is slow. Sanitized and emulated builds get four times as long.
#   ROWS     for rows of a table that expand to TEST(...): the pattern that such lines begin with, and
#            the resulting name, with \\1 for the first group of the pattern.
#
# Exit status 0 is passed, 77 skipped (and must be listed in tests/expected-skips.txt), others
# failed.
function(nearbuf_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LIBS;LABELS;ROWS")
  if(NOT arg_LIBS)
    set(arg_LIBS nearbuf_static)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(NEARBUF_SANITIZE OR CMAKE_CROSSCOMPILING_EMULATOR)
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 4")
  endif()

  add_executable(test_${name} ${arg_UNPARSED_ARGUMENTS})
  nearbuf_target(test_${name})
  if(CMAKE_SIZEOF_VOID_P EQUAL 4)
    # Tests that are skipped in 32-bit builds contain 64-bit addresses.
    target_compile_options(test_${name} PRIVATE -Wno-overflow)
  endif()
  target_link_libraries(test_${name} PRIVATE nearbuf_test_support ${arg_LIBS})
  set_target_properties(test_${name} PROPERTIES
    OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)

  list(GET arg_UNPARSED_ARGUMENTS 0 file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(STRINGS ${file} cases REGEX "^TEST\\([A-Za-z0-9_]+\\)")
  list(TRANSFORM cases REPLACE "^TEST\\(([A-Za-z0-9_]+)\\).*" "\\1")
  if(arg_ROWS)
    list(GET arg_ROWS 0 pattern)
    list(GET arg_ROWS 1 case_name)
    file(STRINGS ${file} rows REGEX "${pattern}")
    list(TRANSFORM rows REPLACE "${pattern}.*" "${case_name}")
    list(APPEND cases ${rows})
  endif()

  set(tests)
  foreach(case IN LISTS cases)
    add_test(NAME ${name}.${case} COMMAND test_${name} ${case})
    list(APPEND tests ${name}.${case})
  endforeach()
  if(NOT tests)
    add_test(NAME ${name} COMMAND test_${name})
    set(tests ${name})
  endif()
  set_tests_properties(${tests} PROPERTIES
    SKIP_RETURN_CODE 77 TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()
