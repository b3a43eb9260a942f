#!/bin/sh
# If the shared directory belongs to another user, inaccessible as the Rust implementation creates
# it or readable as the .NET one does, every command still works for an ordinary user: demo,
# self-test, put, list, show, clean.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"
[ "$(id -u)" = 0 ] || skip 'needs two users'
setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$NEARBUF" 2>/dev/null ||
  skip 'this place does not allow other users, or they cannot reach the program'

as_user() {
  ran="nearbuf $*"
  status=0
  setpriv --reuid 65534 --regid 65534 --clear-groups "$NEARBUF" "$@" \
    >"$work/out" 2>"$work/err" || status=$?
}

chmod 755 "$work"
printf hello >"$work/bytes"
for mode in 700 755; do
  rm -rf /tmp/.reloaded /tmp/.reloaded.65534
  mkdir -m "$mode" /tmp/.reloaded
  case $(uname -m) in
  x86_64 | i686 | aarch64)
    as_user demo
    expect_status 0
    as_user self-test
    expect_status 0
    ;;
  esac
  # exec: the program is inspected, not a shell; and it sleeps, so its libraries are loaded.
  (exec setpriv --reuid 65534 --regid 65534 --clear-groups sleep 1000) &
  target=$!
  is_asleep() {
    [ "$(cat "/proc/$target/comm")" = sleep ] && grep -q '^State:.S' "/proc/$target/status"
  }
  wait_until 'the program' is_asleep
  as_user put "$target" --near getenv "$work/bytes"
  skip_if_unsupported
  expect_status 0
  as_user list
  expect_status 0
  grep -q "^ *$target  sleep" "$work/out" || fail "list: $(cat "$work/out")"
  as_user show "$target"
  expect_status 0
  grep -q "  file      /tmp/\.reloaded\.65534/Reloaded.*, PID $target\$" "$work/out" ||
    fail "show: $(cat "$work/out")"
  kill -9 "$target"
  wait "$target" 2>/dev/null || true
  as_user clean
  expect_status 0
  grep -q "^removed: Reloaded.*, PID $target\$" "$work/out" || fail "clean: $(cat "$work/out")"
  [ -z "$(ls /tmp/.reloaded)" ] || fail 'a file was created in the directory of another user'
done
