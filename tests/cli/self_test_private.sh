#!/bin/sh
# Where no file may be written the locator is private, which is printed and is not a failure.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

(ulimit -f 0 && exec "$NEARBUF" self-test) 2>&1 | cat >"$work/out"
grep -q "^ok     the locator can be found: to this process only; the system's code is [0-9]*\$" \
  "$work/out" || fail "where files are forbidden it says: $(tail -n 1 "$work/out")"
