#!/usr/bin/env bash
# Builds the library for every system it supports and runs the tests where this machine can run
# them.
#
#   scripts/matrix.sh                all targets, two side by side
#   scripts/matrix.sh NAME...        these targets
#   scripts/matrix.sh --list         the names, one a line
#
# The table at the end says for each target: its compiler, whether it was built without warnings,
# and how many tests passed, failed and were skipped; "-" where the programs cannot run here. A skip
# that tests/expected-skips.txt does not list is a failure. Logs are in build/matrix/. The status is
# 0 only if everything was built and nothing failed. With MATRIX_UNTIL, in seconds since the epoch,
# a target that would begin later is left out; its row says so.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=(linux-x86_64-gcc linux-x86_64-clang linux-i686 windows-x86_64 windows-x86 windows-x86-laa
  linux-aarch64 linux-aarch64-16k linux-aarch64-64k linux-armhf linux-riscv64 linux-s390x
  linux-ppc64el linux-musl macos-aarch64 macos-x86_64 freebsd-x86_64 windows-aarch64)

at_once=2
build=build/matrix
toolchains=$PWD/cmake/toolchains

# ---- Targets -------------------------------------------------------------------------------------

# Each is built in one or more variants: variant NAME COMPILER [argument of CMake...].

gnu() { # NAME TRIPLE EMULATOR
  variant "$1" "$2-gcc" -D "CMAKE_TOOLCHAIN_FILE=$toolchains/gnu-linux.cmake" -D "TRIPLE=$2" \
    -D "EMULATOR=$3"
}

# With pages larger than the machine's, qemu omits mappings from its memory map.
gnu_with_pages() { # NAME TRIPLE QEMU BYTES
  gnu "$1" "$2" "env;NEARBUF_TEST_MAP_HAS_HOLES=1;$3;-p;$4;-L;/usr/$2"
}

mingw() { # NAME TRIPLE [argument of CMake...]
  variant "$1" "$2-gcc" -D "CMAKE_TOOLCHAIN_FILE=$toolchains/mingw.cmake" -D "TRIPLE=$2" \
    -D "EMULATOR=$PWD/scripts/wine.sh" -D NEARBUF_BUILD_BENCH=ON "${@:3}"
}

musl() { # NAME [argument of CMake...]
  local headers=$PWD/$build/kernel-headers folder
  mkdir -p "$headers"
  for folder in linux asm-generic; do
    ln -sfn "/usr/include/$folder" "$headers/$folder"
  done
  ln -sfn /usr/include/x86_64-linux-gnu/asm "$headers/asm"
  variant "$1" musl-gcc -D CMAKE_C_COMPILER=musl-gcc -D "CMAKE_C_FLAGS=-idirafter $headers" "${@:2}"
}

linked() { # NAME ZIG_TARGET [argument of CMake...]
  variant "$1" "zig cc" -D "CMAKE_TOOLCHAIN_FILE=$toolchains/zig.cmake" \
    -D "ZIG=$(scripts/setup.sh zig)" -D "ZIG_TARGET=$2" "${@:3}"
}

run_variants() {
  case $1 in
    linux-x86_64-gcc) variant "$1" gcc -D CMAKE_C_COMPILER=gcc ;;
    linux-x86_64-clang) variant "$1" clang -D CMAKE_C_COMPILER=clang ;;
    linux-i686) gnu "$1" i686-linux-gnu "" ;;
    linux-aarch64) gnu "$1" aarch64-linux-gnu "qemu-aarch64;-L;/usr/aarch64-linux-gnu" ;;
    linux-aarch64-16k) gnu_with_pages "$1" aarch64-linux-gnu qemu-aarch64 16384 ;;
    linux-aarch64-64k) gnu_with_pages "$1" aarch64-linux-gnu qemu-aarch64 65536 ;;
    linux-armhf) gnu "$1" arm-linux-gnueabihf "qemu-arm;-L;/usr/arm-linux-gnueabihf" ;;
    linux-riscv64) gnu "$1" riscv64-linux-gnu "qemu-riscv64;-L;/usr/riscv64-linux-gnu" ;;
    linux-s390x) gnu "$1" s390x-linux-gnu "qemu-s390x;-L;/usr/s390x-linux-gnu" ;;
    linux-ppc64el)
      gnu "$1" powerpc64le-linux-gnu "qemu-ppc64le;-L;/usr/powerpc64le-linux-gnu"
      gnu_with_pages "$1-16k" powerpc64le-linux-gnu qemu-ppc64le 16384
      gnu_with_pages "$1-64k" powerpc64le-linux-gnu qemu-ppc64le 65536
      ;;
    linux-musl)
      musl "$1"
      musl "$1-static" -D CMAKE_EXE_LINKER_FLAGS=-static -D NEARBUF_BUILD_EXAMPLES=OFF
      ;;
    windows-x86_64) mingw "$1" x86_64-w64-mingw32 ;;
    windows-x86) mingw "$1" i686-w64-mingw32 ;;
    windows-x86-laa)
      mingw "$1" i686-w64-mingw32 -D CMAKE_EXE_LINKER_FLAGS=-Wl,--large-address-aware
      ;;
    windows-aarch64) linked "$1" aarch64-windows-gnu ;;
    macos-aarch64) linked "$1" aarch64-macos.11.0 ;;
    macos-x86_64) linked "$1" x86_64-macos.11.0 ;;
    freebsd-x86_64) linked "$1" x86_64-freebsd ;;
    *)
      echo "matrix: there is no target $1; --list names them" >&2
      return 2
      ;;
  esac
}

can_run() {
  case $1 in
    macos-* | freebsd-* | windows-aarch64) return 1 ;;
  esac
}

# ---- Building and testing ------------------------------------------------------------------------

# The sum over the variants of one target.
compiler=
built=yes
passed=0
failed=0
skipped=0

count() { # PATTERN LOG
  grep -c "$1" "$2" || true
}

# A test that fails on this machine has failed. qemu and Wine sometimes break guarantees to programs
# with threads, so there a failed test is run a second time; the log shows both runs.
second_try=(--repeat until-pass:2)

run_tests() { # NAME
  local without='interop_(reference|rust|client|bindings)' # need the network and Rust
  local labels=none environment=() repeat=()
  case $1 in
    # Programs that load no modules, and in which getenv is not in a library.
    linux-musl-static)
      without+='|interop_(dropin|dotnet.an_item_of_the_drop_in)'
      without+='|cli.(demo|install|list|many|namespace|watch|show|map|json|foreign|usage|long_names|refused|hostile_chain)'
      labels=process
      ;;
    linux-x86_64-* | linux-musl) ;;
    windows-*) without=none repeat=("${second_try[@]}") ;;
    linux-i686) without+='|process_remote' ;; # only a 64-bit program can trace
    # qemu 7.2 forks unsafely once a program has had threads, and its memory map merges adjacent
    # mappings that differ.
    *)
      labels='process|fault'
      environment=(NEARBUF_TEST_ROUNDS=5000)
      repeat=("${second_try[@]}")
      ;;
  esac
  # These lay out pages of 4 KiB.
  [[ $1 != *-16k && $1 != *-64k ]] || without+='|interop_|long_names|high_addresses|fuzz_attach'
  env "${environment[@]}" ctest --test-dir "$build/$1" --output-on-failure -j "$at_once" \
    --exclude-regex "^($without)" --label-exclude "$labels" "${repeat[@]}"
}

variant() { # NAME COMPILER [argument of CMake...]
  local name=$1 log=$build/$1.log
  compiler=$2
  shift 2
  # Logs start empty; existing builds are used again.
  if ! cmake -G Ninja -S . -B "$build/$name" -D CMAKE_BUILD_TYPE=Release -D NEARBUF_WERROR=ON \
    -D NEARBUF_BUILD_BENCH=OFF "$@" >"$log" 2>&1 ||
    ! cmake --build "$build/$name" --parallel "$at_once" >>"$log" 2>&1; then
    built=NO
    return 1
  fi
  can_run "$name" || return 0
  run_tests "$name" >"$build/$name-test.log" 2>&1 || true
  cat "$build/$name-test.log" >>"$log"
  local of_this
  of_this=$(sed -n '/^The following tests FAILED/,$p' "$build/$name-test.log" |
    grep -c '^[[:space:]]*[0-9]* - ' || true)
  passed=$((passed + $(count '   Passed  ' "$build/$name-test.log")))
  skipped=$((skipped + $(count '\*\*\*Skipped' "$build/$name-test.log")))
  if ! scripts/check-skips.sh "$build/$name-test.log" "$name" >>"$log" 2>&1 ||
    ! grep -q '100% tests passed' "$build/$name-test.log"; then
    [ "$of_this" -gt 0 ] || of_this=1
  fi
  failed=$((failed + of_this))
}

row() {
  printf '%-20s %-26s %-6s %7s %7s %7s\n' "$@"
}

run_one() { # NAME
  local target=$1 status=0
  if ((EPOCHSECONDS > ${MATRIX_UNTIL:-EPOCHSECONDS})); then
    row "$target" - 'left out' - - - >"$build/$target.row"
    cat "$build/$target.row"
    return
  fi
  run_variants "$target" || status=$?
  [ "$status" -ne 2 ] || exit 2
  if can_run "$target"; then
    row "$target" "$compiler" "$built" "$passed" "$failed" "$skipped" >"$build/$target.row"
  else
    row "$target" "$compiler" "$built" - - - >"$build/$target.row"
  fi
  cat "$build/$target.row"
  if [ "$built" != yes ] || [ "$failed" -ne 0 ]; then
    grep -hA 20 'error:\|\*\*\*[A-Z]' "$build/$target"*.log | head -n 200 || true
    echo "matrix: $target failed, see $build/$target*.log" >&2
    exit 1
  fi
}

set_up() { # NAME...
  scripts/setup.sh cross
  local name
  for name in "$@"; do
    case $name in
      windows-x86*) scripts/setup.sh wine ;;
      macos-* | freebsd-* | windows-aarch64) scripts/setup.sh zig >/dev/null ;;
    esac
  done
}

# Called by make, the inner builds would otherwise try to join the outer one's job server.
unset MAKEFLAGS MFLAGS MAKELEVEL

case ${1-} in
  --list)
    printf '%s\n' "${targets[@]}"
    exit
    ;;
  --one)
    run_one "$2"
    exit
    ;;
esac

[ $# -gt 0 ] || set -- "${targets[@]}"
mkdir -p "$build"
set_up "$@"
status=0
for name in "$@"; do
  rm -f "$build/$name.row"
done
printf '%s\n' "$@" | xargs -P "$at_once" -I{} "$0" --one {} || status=1

echo
row target compiler built passed failed skipped
for name in "$@"; do
  cat "$build/$name.row" 2>/dev/null || row "$name" - NO - - -
done
exit $status
