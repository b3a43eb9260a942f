#!/bin/sh
# A long chain and a long memory map are read once; invisible characters do not reach the output; an
# endless chain is cut off; and a process that changes its data at random crashes nothing.
# shellcheck disable=SC2034 # cli.sh reads it
wants_own_place=yes
# shellcheck source=tests/cli/cli.sh
. "${0%/*}/cli.sh"

mkfifo "$work/until" "$work/says"
echo bytes >"$work/bytes"

start() { # MODE NUMBER: starts the process, gives it a locator, and lets it show what it has
  "${HOSTILE:?}" "$@" <"$work/until" >"$work/says" &
  target=$!
  exec 9>"$work/until" 8<"$work/says"
  read -r answer <&8
  [ "$answer" = ready ] || fail "the process does not start: $answer"
  run put "$target" --near getenv "$work/bytes"
  skip_if_unsupported
  expect_status 0
  echo go >&9
  read -r answer <&8
  [ "$answer" = shown ] || fail "the process shows nothing: $answer"
}

end() {
  exec 9>&- 8<&-
  kill -KILL "$target"
  wait "$target" || true
}

start chain 500
for command in list 'list --json' "show $target" "show $target --json" "map $target"; do
  # shellcheck disable=SC2086 # several words
  run $command
  expect_status 0
  if grep -q "$(printf '\342\200')" "$work/out"; then
    fail "$ran shows invisible characters"
  fi
done
run list
grep -q "^ *$target  a???txt.exe???  .* 501 " "$work/out" || fail "list: $(cat "$work/out")"
if command -v strace >/dev/null; then
  # The first locator, the map, and the names of locators: not once for each.
  ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
    strace -f -e trace=openat -o "$work/trace" "$NEARBUF" show "$target" >"$work/out" || fail 'show fails'
  grep -q '^501 buffers ' "$work/out" || fail "show: $(tail -n 1 "$work/out")"
  [ "$(grep -c '"maps"' "$work/trace")" -le 8 ] || fail "the map is read $(grep -c '"maps"' "$work/trace") times"
fi
end

start chain 5000
run list
expect_status 0
grep -q "^ *$target  .* 4096 .* DAMAGED: the chain is longer than that of any program" "$work/out" ||
  fail "list: $(cat "$work/out")"
run put "$target" --range 0x10000000 0x1fffffff "$work/bytes"
expect_status 1
end

start mutate 40
i=0
answered=0
while [ $i -lt 6 ]; do
  for command in list "show $target" "show $target --json" "map $target" "put $target --near getenv $work/bytes"; do
    # shellcheck disable=SC2086 # several words
    run $command
    case $status in
      0) answered=$((answered + 1)) ;;
      1 | 3 | 4) [ -s "$work/err" ] || fail "$ran fails without a word" ;;
      *) fail "$ran: exit status $status" ;;
    esac
    if grep -Eq 'Sanitizer|runtime error' "$work/err"; then
      fail "$ran: a fault"
    fi
  done
  if ! kill -0 "$target" 2>/dev/null; then # bytes went where its own locator said
    end 2>/dev/null
    start mutate 40
  fi
  i=$((i + 1))
done
end
echo "$answered of 30 succeeded all the same"
