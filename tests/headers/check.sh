#!/usr/bin/env bash
# Compiles each public header alone, with gcc and clang, as C17 and as C++17.
set -euo pipefail
cd "$(dirname "$0")/../.."

flags=(-Iinclude -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror -fsyntax-only)
for header in include/nearbuf/*.h; do
  name=${header#include/}
  for compiler in gcc clang; do
    echo "$compiler: $name as C17 and C++17"
    echo "#include <$name>" | $compiler -std=c17 -Wstrict-prototypes "${flags[@]}" -x c -
    echo "#include <$name>" | $compiler -std=c++17 "${flags[@]}" -x c++ -
  done
done

# A macro is compiled only where it is used.
use='#include <nearbuf/nearbuf.h>
extern const nearbuf_request request;
const nearbuf_request request = NEARBUF_REQUEST_INIT;'
for compiler in gcc clang; do
  echo "$compiler: NEARBUF_REQUEST_INIT as C17 and C++17"
  $compiler -std=c17 "${flags[@]}" -x c - <<<"$use"
  $compiler -std=c++17 "${flags[@]}" -x c++ - <<<"$use"
done

use='#include <nearbuf/process.h>
extern const nearbuf_process_request request;
const nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;'
for compiler in gcc clang; do
  echo "$compiler: NEARBUF_PROCESS_REQUEST_INIT as C17 and C++17"
  $compiler -std=c17 "${flags[@]}" -x c - <<<"$use"
  $compiler -std=c++17 "${flags[@]}" -x c++ - <<<"$use"
done
