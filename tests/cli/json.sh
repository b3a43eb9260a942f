#!/bin/sh
# The output of --json conforms to docs/nearbuf.schema.json, and has the values of the process.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"
command -v python3 >/dev/null || skip 'python3 is not installed'
here=${0%/*}
schema=$here/../../docs/nearbuf.schema.json

run_json() { # ARGUMENT...
  run "$@" --json
  skip_if_unsupported
  expect_status 0
  python3 "$here/check_json.py" "$schema" "$work/out" || fail "$ran: not by the schema"
  grep -q "^  \"command\": \"$1\"" "$work/out" || fail "$ran: another command's document"
}

has() { # LINE: whether a line of the document is that
  grep -Eq "^ *$1,?\$" "$work/out" || fail "$ran: no line like: $1
$(cat "$work/out")"
}

start_holder
run_json list
has '"used_bytes": 124'
has '"state": "live"'
run_json show "$holder"
has '"name": "cli_holder"'
has '"address": "0x10000"'
has '"is_taken": true'
has '"protection": "rwxp"'
has "\"near\": \"$libc\""
run_json map "$holder"
has '"kind": "buffers"'
run_json map "$holder" --near getenv
has '"reach_max": "0x[0-9a-f]+"'
printf 'abc' >"$work/bytes"
run_json put "$holder" --range 0x20000 0x7fffffff "$work/bytes"
has '"size_bytes": 3'
run_json dump "$holder" 0x10000 4
has '"bytes": "01000000"'
run_json alloc "$holder" --near getenv 1
memory=$(sed -n 's/.*"address": "\(.*\)".*/\1/p' "$work/out")
size=$(sed -n 's/.*"size_bytes": \(.*\)/\1/p' "$work/out")
run_json free "$holder" "$memory" "$size"
run_json watch "$holder" --count 2 --interval 10
has '"grown_bytes": 0'
kill -KILL "$holder"
wait "$holder" || true
run_json clean

# The checker itself can fail.
echo '{"command": "free", "process": 1, "address": "12", "size_bytes": 1}' >"$work/wrong"
if python3 "$here/check_json.py" "$schema" "$work/wrong" 2>/dev/null; then
  fail 'a wrong address passes'
fi
