#!/bin/sh
# The demo prints exactly this text, except for addresses and distances.
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

run demo
expect_status 0
unloaded='unloaded'
if grep -q ld-musl "$NEARBUF"; then
  unloaded='closed, and stays loaded' # musl unloads nothing
fi
sed -E 's/process [0-9]+/process PID/; s/0x[0-9a-f]+/ADDRESS/g
  s/[0-9.]+ [KMGT]iB (above|below)/DISTANCE/; s/in \/[^ ]*\.$/in LIBRARY./
  s/jump \(.*\) to/jump to/; s/first [45] bytes/first bytes/; s/stub of [0-9]+/stub of N/
  s/[0-9]+ bytes? used/N bytes used/; s/^   [0-9]+ KiB were allocated/   SIZE were allocated/
  s/buffers of [0-9]+ KiB/buffers of SIZE/' "$work/out" >"$work/words"
mv "$work/words" "$work/out"
expect_output - <<END
nearbuf 1.0.0 in process PID

1. A function of the C library is detoured
   getenv is at ADDRESS, in LIBRARY.
   A stub of N bytes lies at ADDRESS, DISTANCE it.
   Its first bytes became a jump to the stub; called, it returned
   "this comes from the detour".
   Those bytes were restored, and it returns what it did before.

2. Getting a buffer again
   A thread that gets a buffer a second time gets the one it had:
   the stub's, at ADDRESS, with room left.

3. A plug-in shares the buffer
   A plug-in with its own copy of the library was loaded: its nearbuf_place is at
   ADDRESS, this program's at ADDRESS.
   It found the locator at ADDRESS and, in it, the stub's buffer at ADDRESS.
   It placed 22 bytes in the room that was left, right at the stub's end.
   It was $unloaded; what it placed stays.

4. Data below 2 GiB
   8 bytes of data lie at ADDRESS, where 32-bit addresses reach them.

5. Private memory
   SIZE were allocated at ADDRESS, DISTANCE getenv, and written.
   They were freed: nothing is mapped there now.

6. Totals
   2 buffers of SIZE in all, N bytes used; 1 locator of 4 KiB.
   Other processes can find them.

All of this was verified.
END
