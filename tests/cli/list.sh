#!/bin/sh
# list shows the processes with buffers and the files of dead ones; clean removes those, and no
# others.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

run list
expect_status 0
expect_output - <<'END'
 PROCESS  NAME             OWNER       LOC BUFFERS        USED          OF  DIALECT
END
run clean
expect_status 0
expect_output - <<'END'
0 removed, 0 kept
END

start_holder
run list
expect_status 0
tr -s ' ' <"$work/out" | sed "s/^ *$holder/HOLDER/" >"$work/words"
mv "$work/words" "$work/out"
user=$(id -un 2>/dev/null) || user=$(id -u) # not every id has a name
expect_output - <<END
 PROCESS NAME OWNER LOC BUFFERS USED OF DIALECT
HOLDER cli_holder $user 1 2 124 bytes 128 KiB written
END

run clean
expect_status 0
expect_output - <<'END'
0 removed, 1 kept
END

kill -KILL "$holder"
wait "$holder" || true
run list
expect_status 0
sed -i "s/^ *$holder /HOLDER /" "$work/out"
expect_output - <<'END'
 PROCESS  NAME             OWNER       LOC BUFFERS        USED          OF  DIALECT
HOLDER  (dead: its file is stale)
1 file of dead processes; `nearbuf clean` removes them.
END
run clean
expect_status 0
expect_output - <<END
removed: Reloaded.Memory.Buffers.MemoryBuffer, PID $holder
1 removed, 0 kept
END
run clean
expect_output - <<'END'
0 removed, 0 kept
END
