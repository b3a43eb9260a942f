# shellcheck shell=sh
# What the tests of the inspector share; sourced by them. $NEARBUF is the program.
#
# With wants_own_place=yes set before, the test gets its own process ids, /proc and /tmp; all
# processes that it starts end with it.
#
#   run ARGUMENT...      runs it; then $status, and the files $work/out and $work/err
#   expect_status N      checks its exit status
#   expect_output FILE   its exact output ("-": from the standard input)
#   bits                 prints 64 or 32: the address bits of the holder and of the program
#   skip_if_unsupported  ends the test if the command changes a process and this system does not support that
#   fail, skip MESSAGE   end the test
set -eu

if [ "${wants_own_place-no}" = yes ] && [ -z "${NEARBUF_OWN_PLACE-}" ]; then
  export NEARBUF_OWN_PLACE=yes
  exec "${OWN_PLACE:?}" sh "$0" "$@"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "$0: $*" >&2
  [ ! -s "$work/err" ] || sed 's/^/stderr: /' "$work/err" >&2
  exit 1
}

skip() {
  echo "$*"
  exit 77
}

run() {
  ran="nearbuf $*"
  status=0
  "$NEARBUF" "$@" >"$work/out" 2>"$work/err" || status=$?
}

# Waits until a condition holds: wait_until WHAT COMMAND [argument...]
wait_until() {
  awaited=$1
  shift
  tries=0
  until "$@" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || fail "$awaited is waited for in vain"
    sleep 0.1
  done
}

bits() {
  echo $((32 * $(od -An -tu1 -j4 -N1 "${HOLDER:?}"))) # the class in an ELF file: 1 or 2
}

skip_if_unsupported() {
  if grep -q ': not supported on this system$' "$work/err"; then
    skip 'processes cannot be changed by this program on this system'
  fi
}

expect_status() {
  [ "$status" = "$1" ] || fail "$ran: exit status $status, not $1"
}

expect_output() {
  diff -u "$1" "$work/out" >"$work/diff" || fail "$ran: another output:
$(cat "$work/diff")"
}

expect_error() {
  [ "$(cat "$work/err")" = "$1" ] || fail "$ran: its error output is not: $1"
}

# Starts the process to inspect, which holds $holds buffers more, and sets $holder to its id and
# $libc to the file that getenv is in.
start_holder() {
  mkfifo "$work/until" "$work/says"
  "${HOLDER:?}" "${holds-0}" <"$work/until" >"$work/says" &
  holder=$!
  exec 9>"$work/until"
  read -r answer <"$work/says"
  [ "$answer" = ready ] || fail 'the holder does not start'
  # shellcheck disable=SC2034 # the tests read it
  libc=$(sed -n 's|.*/\(libc\.so[.0-9]*\)$|\1|p' "/proc/$holder/maps" | head -n 1)
}

# Replaces what differs from run to run in $work/out by words.
normalise() {
  sed -E "s/(process|PID) $holder\\b/\\1 HOLDER/g; s/0x[0-9a-f]{5,16} */ADDRESS /g
    s/[0-9.]+ [KMGT]iB (above|below)/DISTANCE/" "$work/out" | sed -E 's/ +$//' >"$work/words"
  mv "$work/words" "$work/out"
}
