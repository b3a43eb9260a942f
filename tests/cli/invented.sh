#!/bin/sh
# What each command prints about invented processes (invented.c), to the letter, on both outputs:
# invented.txt and invented.pictures.txt.
#
#   tests/cli/invented.sh PROGRAM            compares
#   tests/cli/invented.sh PROGRAM --update   writes them anew; look at what has changed
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

here=$(cd "${0%/*}" && pwd)
NEARBUF=$1
said=$work/said

# ARGUMENT...: runs it, and writes down what it said.
say() {
  echo "${INVENTED_FAILURE:+[$INVENTED_FAILURE] }\$ nearbuf $*"
  run "$@"
  cat "$work/out"
  sed 's/^/! /' "$work/err"
  [ "$status" = 0 ] || echo "exit status $status"
  echo
}

# "CALL STATUS CODE TIMES" ARGUMENT...: the same where a call fails.
fail_at() {
  export INVENTED_FAILURE="$1"
  shift
  say "$@"
  unset INVENTED_FAILURE
}

# ARGUMENT...: with both outputs in one file, in the order in which they are written.
say_together() {
  echo "[together] \$ nearbuf $*"
  "$NEARBUF" "$@" 2>&1 | cat
  echo
}

# ARGUMENT...: on a terminal with colours, with \033 as ESC.
say_in_colour() {
  export INVENTED_COLOURS=yes
  say "$@" | sed "s/$(printf '\033')/<ESC>/g"
  unset INVENTED_COLOURS
}

# ARGUMENT...: without each block of memory that it wants, until it wants no more; the errors alone.
lack() {
  echo "[lack of memory] \$ nearbuf $*"
  block=1
  status=1
  while [ "$status" != 0 ]; do
    export INVENTED_LACK=$block
    run "$@"
    sed "s/^/! $block: /" "$work/err"
    block=$((block + 1))
    [ "$block" -lt 100 ] || fail "it does not do with 100 blocks of memory: $*"
  done
  unset INVENTED_LACK
  echo
}

make_inputs() {
  printf 'five.' >bytes
  head -c 100000 /dev/zero >many
  : >none
  head -c 33554432 /dev/zero >most
  head -c 33554433 /dev/zero >./more
}

all() {
  say
  say --help
  say show --help
  say demo --help
  say list
  say list --json
  (export INVENTED_FILES=yes && say list)
  for id in 7 9 10 11 8 6 13; do
    say show "$id"
    say show "$id" --json
  done
  say show 0
  say show 7x
  say show 0x7
  say show 0X7
  say show 0x
  say show ' 7'
  say show +7
  say show ''
  say show 9223372036854775807
  say show 9223372036854775808
  say show 18446744073709551616
  say show 7 -x
  say show 7 --
  say map 7
  say map 7 --json
  say map 9
  say map 7 --near 0x401000
  say map 7 --near program+0x1000 --json
  say map 7 --near library.so
  say map 7 --near library
  say map 7 --near 0x18010
  say map 9 --near 0x401000
  say map 7 --near 0x401000 --svg picture.svg
  say map 7 --svg whole.svg
  say map 9 --near 0x4000000 --svg strange.svg
  say map 7 --near library.so --svg first.svg
  say map 7 --near 0x7f000001ffff --svg last.svg
  say map 13 --near 0x1000 --svg wide.svg
  say map 13 --json
  say map 7 --svg no/such/picture
  say map 7 --svg /dev/full
  say map 10 --svg /dev/full
  say map 13 --near --json
  say_in_colour map 7 --near 0x401000
  say dump 7 0x404000
  say dump 7 0x404ff3 40
  say dump 7 program+0x4001 17 --json
  say dump 7 0x10000 60
  say dump 9 0x10001 20 --json
  say dump 7 0x10009 1
  say dump 7 0x1fff0 16
  say dump 7 0x1fffe 5
  say dump 7 0x404000 1
  say dump 7 0x404000 0
  say dump 7 0x404000 1048576
  say dump 7 0x404000 1048577
  say dump 7 0x900000
  say dump 7 nowhere
  say put 7 --near program bytes
  say put 7 --near 0x7f0000010000 bytes --json
  say put 7 --range 0x10000 0x1ffff --align 64 bytes
  say put 7 --range 0 4096 many
  say put 9 --near 0x401000 bytes
  say put 7 --range 1 2 none
  say put 7 --range 1 2 .
  say put 7 --range 1 2 - <bytes
  say put 7 --range 1 2 most
  say put 7 --range 1 2 more
  say put 7 --range 1 2 missing
  say put 7 --range 1 x bytes
  say put 7 --range x 2 bytes
  say put 7 --align x --near 1 bytes
  say put 7 --near nowhere bytes
  say put 7 bytes
  say put 7 --near 1 --range 1 2 bytes
  say put 7 --range 1 bytes
  say alloc 7 --range 0x1000 0x2000 5000
  say alloc 7 --near 0x401000 --align 65536 5000 --json
  say alloc 7 --near 0x401000 many
  say free 7 0x50000 8192
  say free 7 0x50000 8192 --json
  say free 7 x 8192
  say free 7 0x50000 x
  say clean
  say clean --json
  say watch 11
  say watch 11 --interval 2500 --count 3
  say watch 11 --json --count 2
  say watch 7 --count 1
  say watch 11 --count 0
  say watch 11 --count x
  say watch 11 --interval 0
  say watch 11 --interval 4294967295 --count 2
  say_together watch 11 --count 2
  say_together dump 7 0x404ff3 40
  say_in_colour watch 11 --count 1
  say watch 11 --interval 4294967296
  say watch 12
  fail_at 'open DENIED 13 1' show 7
  fail_at 'describe DENIED 13 1' show 7
  fail_at 'describe SYSTEM_ERROR 5 1' show 7
  fail_at 'describe DENIED 13 1' list
  fail_at 'visit_all SYSTEM_ERROR 5 1' list
  fail_at 'visit_all SYSTEM_ERROR 5 1' list --json
  fail_at 'visit_map UNSUPPORTED 0 1' show 7
  fail_at 'visit_map UNSUPPORTED 0 9' map 7
  fail_at 'visit_map UNSUPPORTED 0 9' map 13
  fail_at 'visit_map SYSTEM_ERROR 0 9' map 13
  fail_at 'visit_map UNSUPPORTED 0 9' put 7 --near program bytes
  fail_at 'visit_map DENIED 13 1' map 7
  fail_at 'visit_map DENIED 13 1' dump 7 0x404000
  fail_at 'visit_map DENIED 13 1' put 7 --near 0x401000 bytes
  fail_at 'next_locator SYSTEM_ERROR 5 1' watch 11 --count 1
  fail_at 'next_locator DENIED 13 1' show 9
  fail_at 'check NOT_FOUND 3 9' show 7
  fail_at 'check NOT_FOUND 3 9' map 10 --near nowhere
  fail_at 'read DENIED 13 1' dump 7 0x404000
  fail_at 'read DENIED 13 1' map 7 --near nowhere
  fail_at 'get BUSY 0 3' put 7 --range 1 2 bytes
  fail_at 'get BUSY 0 99' put 7 --range 1 2 bytes
  fail_at 'get NO_ROOM 0 1' put 7 --range 1 2 bytes
  fail_at 'append NOT_FOUND 3 1' put 7 --range 1 2 bytes
  fail_at 'release SYSTEM_ERROR 5 1' put 7 --range 1 2 bytes
  fail_at 'allocate BUSY 0 2' alloc 7 --range 1 2 100
  fail_at 'allocate OUT_OF_MEMORY 12 1' alloc 7 --range 1 2 100
  fail_at 'allocate BUSY 0 99' alloc 7 --range 1 2 100
  fail_at 'free BUSY 0 2' free 7 0x50000 4096
  fail_at 'free BUSY 0 99' free 7 0x50000 4096
  fail_at 'free NOT_FOUND 0 1' free 7 0x50000 4096
  fail_at 'free NOT_FOUND 0 1, check NOT_FOUND 0 1' free 7 0x50000 4096
  fail_at 'free UNSUPPORTED 0 1' free 7 0x50000 4096
  fail_at 'free NOT_MAPPED 0 1' free 7 0x50000 4096
  fail_at 'free DENIED 1 1' free 7 0x50000 4096 --json
  fail_at 'get DENIED 1 1' put 9 --range 1 2 bytes
  fail_at 'get DENIED 1 1' put 11 --range 1 2 bytes
  fail_at 'visit_files DENIED 13 1' clean
  fail_at 'visit_files SYSTEM_ERROR 5 1' clean --json
  fail_at 'remove_file BUSY 0 1' clean
  fail_at 'remove_file DENIED 13 1' clean --json
  lack show 7
  lack map 7
  lack map 7 --near program --json
  lack dump 7 0x404000 --json
  lack put 7 --near program many
  lack watch 11 --count 2
}

cd "$work"
make_inputs
all >"$said"
for picture in picture whole strange first last wide; do
  echo "== $picture.svg, without its style" >>pictures
  sed '/<style>/,/<\/style>/d' "$picture.svg" >>pictures
done
if [ "${2-}" = --update ]; then
  cp "$said" "$here/invented.txt"
  cp pictures "$here/invented.pictures.txt"
fi
diff -u "$here/invented.txt" "$said" >&2 || fail 'it says something else'
diff -u "$here/invented.pictures.txt" pictures >&2 || fail 'it draws something else'
