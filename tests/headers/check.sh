#!/usr/bin/env bash
# Compiles each public header alone, and its initialisers, as C17 and as C++17: with gcc, with
# clang, and with clang in Microsoft's mode. Microsoft's own headers are not available here; the
# public headers need only those that come with every compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
flags=(-Iinclude -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror -fsyntax-only)

check_msvc() { # TEXT
  local processor
  for processor in x86_64 i686 aarch64; do
    local msvc=(clang --driver-mode=cl "--target=$processor-pc-windows-msvc" /Zs /W4 /WX /Iinclude
      -Wpedantic -Xclang -ffreestanding '/D__attribute__(list)=Microsoft_knows_none')
    "${msvc[@]}" /std:c17 /TC - <<<"$1"
    "${msvc[@]}" /std:c++17 /permissive- /TP - <<<"$1"
  done
}

check() { # WHAT TEXT
  local compiler
  for compiler in gcc clang; do
    echo "$compiler: $1 as C17 and C++17"
    $compiler -std=c17 -Wstrict-prototypes "${flags[@]}" -x c - <<<"$2"
    $compiler -std=c++17 "${flags[@]}" -x c++ - <<<"$2"
  done
  echo "clang as MSVC: $1 as C17 and C++17, for 64 bits, 32 bits and ARM64"
  check_msvc "$2"
}

for header in include/nearbuf/*.h; do
  check "${header#include/}" "#include <${header#include/}>"
done

# A macro is compiled only where it is used.
check NEARBUF_REQUEST_INIT '#include <nearbuf/nearbuf.h>
extern const nearbuf_request request;
const nearbuf_request request = NEARBUF_REQUEST_INIT;'
check NEARBUF_PROCESS_REQUEST_INIT '#include <nearbuf/process.h>
extern const nearbuf_process_request request;
const nearbuf_process_request request = NEARBUF_PROCESS_REQUEST_INIT;'
