#!/bin/sh
# Runs a Windows program under Wine in the chroot that scripts/setup.sh wine makes.
#
#   scripts/wine.sh PROGRAM [argument...]
#
# A program that crashes under Wine may exit with 0, and one that Wine cannot start prints nothing: so
# nothing printed is a failure, and a test (a program in a folder tests/) must end with its verdict.
set -u
root=${NEARBUF_WINE_ROOT:-/var/cache/nearbuf/wine}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# shellcheck disable=SC2016 # the inner shell expands it
chroot "$root" env HOME=/root WINEDEBUG=-all WINEDLLOVERRIDES=winedbg.exe=d \
  NEARBUF_DIRECTORY="$PWD" WINEPATH="Z:$(dirname "$(realpath "$1")")/.." sh -c 'cd "$NEARBUF_DIRECTORY" && exec wine "$@"' wine "$@" \
  >"$output" 2>&1 </dev/null
status=$?
tr -d '\r' <"$output"
[ "$status" -eq 0 ] || exit "$status"
if ! [ -s "$output" ]; then
  echo "wine.sh: $1 printed nothing" >&2
  exit 99
fi
case $1 in
  */tests/*)
    tail -n 1 "$output" | grep -q '^passed: ' || {
      echo "wine.sh: $1 did not say that it passed" >&2
      exit 99
    }
    ;;
esac
