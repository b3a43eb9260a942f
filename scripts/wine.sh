#!/bin/sh
# Runs a Windows program under the Wine that `scripts/setup.sh wine` installs.
#
#   scripts/wine.sh PROGRAM [argument...]
#
# The program sees this machine, every file under its own path, but for /usr and /etc, which are
# those of the later Debian that Wine came with. Mounts are private and end with the program; Wine's
# server ends three seconds after its last program.
#
# A program that crashes under Wine may exit with 0, and one that Wine cannot start prints nothing:
# so no output is a failure, and a test (a program in a folder `tests`) must end with its result.
set -u
root=${NEARBUF_WINE_ROOT:-/var/cache/nearbuf/wine-trixie}
program=$1
folder=$(dirname "$(realpath "$program")")
printed=$(mktemp -d)
trap 'rm -rf "$printed"' EXIT

# Into files, not into pipes: the server inherits them, and the caller must not wait for it.
export WINEPREFIX="${WINEPREFIX:-$root/prefix}" WINEDEBUG=-all WINEDLLOVERRIDES='winedbg.exe,mscoree,mshtml=d'
export XDG_RUNTIME_DIR="$WINEPREFIX" # or its drivers complain
export WINEPATH="Z:$folder;Z:${folder%/*}" # here, and one up, are the DLLs
# shellcheck disable=SC2016 # the inner shell expands it
unshare --mount sh -c 'mount --bind "$0/etc" /etc && mount --bind "$0/usr" /usr && exec wine "$@"' \
  "$root" "$@" >"$printed/output" 2>"$printed/errors" </dev/null
status=$?
tr -d '\r' <"$printed/errors" >&2
tr -d '\r' <"$printed/output"
[ "$status" -eq 0 ] || exit "$status"
if ! [ -s "$printed/output" ]; then
  echo "wine.sh: $program printed nothing" >&2
  exit 99
fi
if [ "${folder##*/}" = tests ] && ! tail -n 1 "$printed/output" | grep -q '^passed: '; then
  echo "wine.sh: $program did not say that it passed" >&2
  exit 99
fi
