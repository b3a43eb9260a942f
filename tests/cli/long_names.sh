#!/bin/sh
# Mapped files with paths of every length do no harm to the commands that show them.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

mkdir "$work/long"
mkfifo "$work/until" "$work/says"
"${HOSTILE:?}" names "$work/long" <"$work/until" >"$work/says" &
target=$!
exec 9>"$work/until"
read -r answer <"$work/says"
[ "$answer" = ready ] || fail "the process does not start: $answer"

run map "$target"
expect_status 0
[ "$(grep -c '  file       f*$' "$work/out")" -ge 10 ] || fail "map: $(cat "$work/out")"
run map "$target" --json
expect_status 0
run list
expect_status 0

# With a locator, so that the other commands inspect it as well.
echo bytes >"$work/bytes"
run put "$target" --near getenv "$work/bytes"
skip_if_unsupported
expect_status 0
for command in list "show $target" "map $target --near getenv" "map $target --svg $work/map.svg"; do
  # shellcheck disable=SC2086 # several words
  run $command
  expect_status 0
done
exec 9>&-
wait "$target" || fail "the process ended with status $?"
