#!/usr/bin/env bash
# Runs the commands of the README on Debian systems that were just installed, and nothing else. As
# root.
#
#   scripts/fresh.sh [debian-12 | debian-13]...   both, if none is named
#
# Each situation occurs once, so that few runs cover all of them:
#
#   debian-12, root   a clone in /root, which is closed to others; make; /tmp/.reloaded is another user's, 0755
#   debian-12, user   an id without a name; blanks in the path; /tmp/.reloaded is another user's, 0700
#   debian-13, root   a plain chroot, without a mount at /; Ninja; a hardened build, warnings are errors
#   debian-13, user   the same chroot, where an ordinary user can mount nothing; a source tree that is read-only
#
# No test may fail, and the skips are those that tests/expected-skips.txt lists for the place. All
# of it happens in a copy of a cached system and in namespaces of its own: nothing stays mounted or
# running.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=/var/cache/nearbuf
user=1000
hardened='-D_FORTIFY_SOURCE=3 -fstack-protector-strong -fcf-protection -Werror'
results=$PWD/build/fresh

# ---- Inside: process ids and mounts of its own ---------------------------------------------------

# Runs a command in the system: inside USER FOLDER COMMAND [NAME=VALUE...]
inside() {
  local who=$1 folder=$2 command=$3
  shift 3
  # shellcheck disable=SC2016 # the inner shell expands it
  enter setpriv --reuid "$who" --regid "$who" --clear-groups env -i \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" \
    sh -c 'cd "$1" && eval "$2"' sh "$folder" "$command" </dev/null
}

# Debian 13 is entered as a plain chroot, Debian 12 as its own machine: only there may ordinary
# users create user namespaces.
enter() { # COMMAND...
  if [[ $place == debian-13 ]]; then
    chroot "$root" "$@"
  else
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --mount --propagation private sh -euc '
      cd "$1"
      shift
      pivot_root . .
      umount -l .
      cd /
      exec "$@"' sh "$root" "$@"
  fi
}

clone() { # FOLDER USER
  mkdir -p "$root$1"
  tar -c --exclude=./build --exclude=./.git . | tar -x --no-same-owner -C "$root$1"
  chown -R "$2:$2" "$root$1"
}

# Another user has created the shared directory.
leave_foreign_directory() { # MODE
  rm -rf "$root/tmp/.reloaded"
  mkdir "$root/tmp/.reloaded"
  mkdir "$root/tmp/.reloaded/memory.buffers"
  chmod "$1" "$root/tmp/.reloaded" "$root/tmp/.reloaded/memory.buffers"
  chown -R 1001:1001 "$root/tmp/.reloaded"
}

# Both commands of the README. Warnings fail, too.
both_commands() { # RUN USER FOLDER [NAME=VALUE...]
  local run=$1 log=$results/$1.log
  shift
  echo "-- $run: make demo, make test"
  if ! inside "$1" "$2" 'make demo && make test' "${@:3}" >"$log" 2>&1; then
    grep -n -e 'failed: ' -e '\*\*\*' -e '(Failed)' -e '(Timeout)' -e 'rror:' "$log" | tail -n 40 >&2
    tail -n 15 "$log" >&2
    echo "fresh: $run failed; see $log" >&2
    return 1
  fi
  if grep -E -i -A 3 '(CMake .*)?warning( \(dev\))?[: ]' "$log"; then
    echo "fresh: $run: there are warnings; see $log" >&2
    return 1
  fi
  grep 'tests passed' "$log"
  scripts/check-skips.sh "$log" "$run" | tail -n 1
}

install_and_look() { # FOLDER [NAME=VALUE...]
  echo "-- make install in $1"
  inside 0 "$1" 'make install PREFIX=/opt/nearbuf && /opt/nearbuf/bin/nearbuf self-test &&
    test -e /opt/nearbuf/lib/libnearbuf.so' "${@:2}" >"$results/install.log" 2>&1 || {
    tail -n 30 "$results/install.log" >&2
    return 1
  }
}

run_debian_12() {
  clone /root/nearbuf 0
  chmod 700 "$root/root"
  leave_foreign_directory 0755
  install_and_look /root/nearbuf HOME=/root
  both_commands debian-12-root 0 /root/nearbuf HOME=/root || failed=1
  clone '/home/some user/near buf' "$user"
  leave_foreign_directory 0700
  both_commands debian-12-user "$user" '/home/some user/near buf' HOME=/nonexistent || failed=1
}

run_debian_13() {
  inside 0 / 'apt-get -qq update && apt-get -qq -y install --no-install-recommends ninja-build' \
    DEBIAN_FRONTEND=noninteractive >"$results/ninja.log" 2>&1
  clone /srv/nearbuf 0
  install_and_look /srv/nearbuf "CFLAGS=$hardened"
  both_commands debian-13-root 0 /srv/nearbuf "CFLAGS=$hardened" || failed=1
  rm -rf "$root/srv/nearbuf/build"
  mkdir -p "$root/home/user"
  chown "$user:$user" "$root/home/user"
  echo '-- a source tree that is read-only'
  inside "$user" /home/user 'cmake -S /srv/nearbuf -B build && cmake --build build -j2 --target nearbuf_installable' \
    >"$results/read-only.log" 2>&1 || {
    tail -n 30 "$results/read-only.log" >&2
    return 1
  }
  clone /home/user/nearbuf "$user"
  both_commands debian-13-user "$user" /home/user/nearbuf || failed=1
}

if [[ ${1-} == --inside ]]; then
  place=$2 root=$3
  if [[ $place == debian-12 ]]; then
    mount --bind "$root" "$root" # what becomes / must be a mount point
  fi
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  failed=0
  case $place in
    debian-12) run_debian_12 ;;
    debian-13) run_debian_13 ;;
  esac
  exit $failed
fi

# ---- Outside -------------------------------------------------------------------------------------

declare -A suites=([debian-12]=bookworm [debian-13]=trixie)
[[ $# -gt 0 ]] || set -- debian-12 debian-13
mkdir -p "$results"
status=0
for place in "$@"; do
  if [[ ! -v suites[$place] ]]; then
    echo "fresh: no such place: $place; there are: ${!suites[*]}" >&2
    exit 2
  fi
  made=$(scripts/setup.sh fresh "${suites[$place]}")
  work=$(mktemp -d "$cache/fresh.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  chmod 755 "$work"
  cp -a "$made" "$work/root"
  cp /etc/resolv.conf "$work/root/etc/resolv.conf"
  unshare --mount --propagation private --pid --fork --kill-child \
    "$PWD/scripts/fresh.sh" --inside "$place" "$work/root" || status=1
  rm -rf --one-file-system "$work"
done
exit $status
