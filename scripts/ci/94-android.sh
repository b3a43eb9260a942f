#!/usr/bin/env bash
# Compiles the library for Android, without warnings. Android's own headers are not available, so
# musl's are used; nothing is linked or run (docs/porting.md).
set -euo pipefail
cd "$(dirname "$0")/../.."

zig=$(scripts/setup.sh zig)
headers=${zig%/*}/lib/libc/include

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Functions that musl has and Android does not.
cat >"$work/rules.h" <<'END'
#include <pthread.h>
#include <sys/mman.h>
#pragma GCC poison pthread_cancel pthread_setcancelstate pthread_setcanceltype pthread_testcancel
#pragma GCC poison shm_open shm_unlink
END

# The processor has two names in Zig: that of the compiler and that of the kernel's headers.
compile() { # TARGET MUSL KERNEL
  local source
  for source in src/{api,base,core}/*.c src/os/*.c src/os/{linux,posix}/*.c src/remote/*.c src/remote/linux/*.c; do
    "$zig" cc -target "$1" -c -o "$work/object" -std=c17 -D_GNU_SOURCE -D_LARGEFILE64_SOURCE \
      -I include -I src -isystem "$headers/$2" -isystem "$headers/generic-musl" \
      -isystem "$headers/$3" -isystem "$headers/any-linux-any" -include "$work/rules.h" \
      -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror "$source"
  done
}

compile aarch64-linux-android aarch64-linux-musl aarch64-linux-any
compile arm-linux-androideabi arm-linux-musl arm-linux-any
compile x86_64-linux-android x86_64-linux-musl x86-linux-any
