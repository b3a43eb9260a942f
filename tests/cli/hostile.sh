#!/bin/sh
# A process that truncates the file of its locator all the time does not crash the inspector.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"
command -v python3 >/dev/null || skip 'python3 is not installed'

mkfifo "$work/go" "$work/says"
python3 -c '
import os, sys
print("ready", flush=True)
sys.stdin.readline()
path = "/tmp/.reloaded/memory.buffers/Reloaded.Memory.Buffers.MemoryBuffer, PID %d" % os.getpid()
file = os.open(path, os.O_RDWR)
image = os.pread(file, 4096, 0)
while True:
    os.ftruncate(file, 0)
    os.pwrite(file, image, 0)
    for i in range(2000): pass
' <"$work/go" >"$work/says" &
target=$!
exec 9>"$work/go"
read -r answer <"$work/says"
[ "$answer" = ready ] || fail 'the process does not start'
echo bytes >"$work/bytes"
run put "$target" --near getenv "$work/bytes"
skip_if_unsupported
expect_status 0
echo go >&9

survive() { # ARGUMENT...
  run "$@"
  case $status in
    0) answered=$((answered + 1)) ;;
    1 | 3 | 4) [ -s "$work/err" ] || fail "$ran fails without a word" ;;
    *) fail "$ran: exit status $status" ;;
  esac
}

i=0
answered=0
while [ $i -lt 150 ]; do
  survive put "$target" --near getenv "$work/bytes"
  survive show "$target"
  i=$((i + 1))
done
kill -0 "$target" || fail 'the process died of it'
kill -KILL "$target"
echo "$answered of 300 succeeded all the same"
