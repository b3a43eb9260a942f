#!/bin/sh
# Makes sure that what the build needs is there.
#
#   scripts/setup.sh build   a compiler, make or ninja, and CMake
#   scripts/setup.sh ci      also all that .ci/run uses (Debian only)
#
# On Debian as root what is missing is installed; elsewhere it is named, and the status is 1.
set -eu

build_packages='cmake gcc libc6-dev make'
ci_packages="$build_packages g++ clang libclang-rt-14-dev clang-format clang-tidy cppcheck binutils
  pkg-config libzydis-dev python3 shellcheck spin strace util-linux"

can_apt() {
  [ -f /etc/debian_version ] && [ "$(id -u)" = 0 ]
}

install() {
  echo "setup: installing $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  apt-get -qq -y install --no-install-recommends "$@" >/dev/null
}

missing_packages() {
  for package in "$@"; do
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
      ii*) ;;
      *) echo "$package" ;;
    esac
  done
}

has() {
  command -v "$1" >/dev/null
}

cmake_is_recent() {
  has cmake || return 1
  version=$(cmake --version | sed -n '1s/^cmake version //p')
  major=${version%%.*}
  rest=${version#*.}
  [ "$major" -gt 3 ] || { [ "$major" -eq 3 ] && [ "${rest%%.*}" -ge 20 ]; }
}

missing_tools() {
  cmake_is_recent || echo 'CMake 3.20 or later'
  compiler=${CC:-$(command -v cc || command -v gcc || command -v clang || echo cc)}
  # Debian's gcc comes without the headers.
  # shellcheck disable=SC2086 # CC may contain flags
  echo '#include <stdlib.h>' | $compiler -E -x c - >/dev/null 2>&1 ||
    echo "a C compiler with the C library's headers (tried: $compiler)"
  has make || has ninja || echo 'make or ninja'
}

case ${1-} in
  build)
    missing=$(missing_tools)
    if [ -n "$missing" ] && can_apt; then
      # shellcheck disable=SC2086 # one word per package
      install $build_packages
      missing=$(missing_tools)
    fi
    if [ -n "$missing" ]; then
      echo "nearbuf cannot be built here, because this is missing:" >&2
      echo "$missing" | sed 's/^/  /' >&2
      exit 1
    fi
    ;;
  ci)
    if ! has dpkg-query; then
      echo "scripts/setup.sh ci knows Debian's packages only; it would want: $ci_packages" >&2
      exit 1
    fi
    # shellcheck disable=SC2086
    missing=$(missing_packages $ci_packages)
    if [ -n "$missing" ]; then
      if ! can_apt; then
        echo "Not root. Packages to be installed: $(echo "$missing" | tr '\n' ' ')" >&2
        exit 1
      fi
      # shellcheck disable=SC2086
      install $missing
    fi
    ;;
  *)
    echo "usage: scripts/setup.sh build|ci" >&2
    exit 2
    ;;
esac
