#!/bin/sh
# A moved installation runs the demo with its own plug-in, and has the manual page.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

cmake --install "$1" --prefix "$work/installed" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
mv "$work/installed" "$work/moved"
NEARBUF=$work/moved/bin/nearbuf
find "$work/moved" -name nearbuf-demo-plugin.so | grep -q . || fail 'the plug-in is not installed'
[ -f "$work/moved/share/man/man1/nearbuf.1" ] || fail 'the manual page is not installed'
run demo
expect_status 0
tail -n 1 "$work/out" >"$work/last"
[ "$(cat "$work/last")" = 'All of this was verified.' ] || fail 'the demo did not end well'

# Without its plug-in the demo must not succeed.
find "$work/moved" -name nearbuf-demo-plugin.so -delete
run demo
expect_status 1
grep -q 'FAILED: The plug-in can be loaded:' "$work/out" || fail 'the missing plug-in is not named'
expect_error 'nearbuf: not every check passed'
