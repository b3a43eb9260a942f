#!/bin/sh
# The self-test names what it checked, and says where the library cannot share.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

cat >"$work/expected" <<'END'
ok     the header and the library are of one version: 0x010000
ok     bytes lie within reach of a function
ok     code that was written for its place runs
ok     data lie below 2 GiB, on a cache line of their own
ok     an alignment to 4096 bytes is kept
ok     what one leaves of a buffer is there for the next
ok     a buffer that is held is given to nobody else
ok     bytes in a buffer can be replaced
ok     private memory is taken and given back
ok     requests that cannot work are refused
ok     buffers are told one by one and in sum: N buffers
ok     the locator can be found
END
run self-test
expect_status 0
sed -i 's/: [0-9]* buffers/: N buffers/' "$work/out"
expect_output "$work/expected"
