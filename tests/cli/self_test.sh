#!/bin/sh
# The self-test prints what it checked, and whether the library can share.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

cat >"$work/expected" <<'END'
ok     the header and the library have the same version: 0x010000
ok     bytes lie within reach of a function
ok     code written for its address runs
ok     data lie below 2 GiB, on a cache line of their own
ok     an alignment to 4096 bytes is kept
ok     the rest of a buffer serves the next request
ok     a held buffer is not handed out again
ok     bytes in a buffer can be replaced
ok     private memory is allocated and freed
ok     invalid requests are refused
ok     the listed buffers and the totals agree: N buffers
ok     the locator can be found
END
run self-test
expect_status 0
sed -i 's/: [0-9]* buffers/: N buffers/' "$work/out"
expect_output "$work/expected"
