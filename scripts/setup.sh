#!/bin/sh
# Installs what the build needs.
#
#   scripts/setup.sh build   a compiler, make or ninja, and CMake
#   scripts/setup.sh ci      also all that .ci/run uses (Debian only)
#   scripts/setup.sh cross   the cross-compilers and emulators of scripts/matrix.sh (Debian only)
#   scripts/setup.sh wine    Wine for 64 and 32 bits, from a later Debian, for scripts/wine.sh (Debian only)
#   scripts/setup.sh mutants what scripts/mutants.sh uses (Debian only)
#   scripts/setup.sh fresh SUITE   a fresh Debian of that suite, for scripts/fresh.sh; prints where it is
#   scripts/setup.sh zig     Zig, the cross-compiler for macOS and FreeBSD; prints where it is
#
# On Debian as root missing packages are installed; elsewhere they are listed, and the status is 1.
set -eu
cd "$(dirname "$0")/.."

build_packages='cmake gcc libc6-dev make'
ci_packages="$build_packages g++ clang libclang-rt-14-dev clang-format clang-tidy cppcheck binutils gdb
  btrfs-progs debootstrap e2fsprogs gcc-i686-linux-gnu libc6-dev-i386-cross mount ninja-build pkg-config
  libzydis-dev llvm-16-runtime python3 redis-tools shellcheck spin strace util-linux valgrind xfsprogs"

cross_packages="$build_packages clang ninja-build debootstrap musl-tools linux-libc-dev
  gcc-mingw-w64-x86-64 gcc-mingw-w64-i686 lld llvm qemu-user libc6-i386
  gcc-i686-linux-gnu libc6-dev-i386-cross gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  gcc-arm-linux-gnueabihf libc6-dev-armhf-cross gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
  gcc-s390x-linux-gnu libc6-dev-s390x-cross gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross"
mutants_packages="$build_packages clang git ninja-build python3 python3-clang-14 util-linux"
zig_version=0.17.1
cache=/var/cache/nearbuf

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
  # Debian's gcc package does not include the headers.
  # shellcheck disable=SC2086 # CC may contain flags
  echo '#include <stdlib.h>' | $compiler -E -x c - >/dev/null 2>&1 ||
    echo "a C compiler with the C library's headers (tried: $compiler)"
  has make || has ninja || echo 'make or ninja'
}

# Installs packages, on Debian and as root; elsewhere lists them.
want_packages() {
  if ! has dpkg-query; then
    echo "setup: these are names of Debian's packages: $*" >&2
    exit 1
  fi
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if ! can_apt; then
    echo "Not root. Packages to be installed: $(echo "$missing" | tr '\n' ' ')" >&2
    exit 1
  fi
  # shellcheck disable=SC2086
  install $missing
}

# The package archive that apt is set up with.
mirror() {
  # shellcheck disable=SC2016 # apt expands it
  found=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Codename: bookworm' | head -n 1)
  echo "${found:-http://deb.debian.org/debian}"
}

# A Debian as its installer leaves it, and make. It appears when it is complete; the name is the
# key. Its users work on a copy.
set_up_fresh() {
  want_packages debootstrap util-linux >&2
  root=$cache/fresh-$1-make
  mkdir -p "$cache"
  exec 9>"$root.lock"
  flock 9
  if [ ! -d "$root" ]; then
    echo "setup: a fresh Debian, into $root" >&2
    rm -rf --one-file-system "$root.new"
    debootstrap --variant=minbase --include=make "$1" "$root.new" "$(mirror)" >"$root.log" 2>&1 </dev/null 9>&- || {
      tail -n 20 "$root.log" >&2
      echo "setup: no fresh Debian could be made; see $root.log" >&2
      return 1
    }
    rm -rf "$root.new"/var/cache/apt/archives/*.deb
    mv "$root.new" "$root"
  fi
  echo "$root"
}

# 32-bit Wine cannot be installed beside the host's packages, and Debian 13 has the better one: so
# it gets a separate tree, of which scripts/wine.sh uses parts. It appears when it is complete; the
# name is the key. Mounts are made in a private namespace and end with it.
set_up_wine() {
  want_packages debootstrap util-linux
  root=${NEARBUF_WINE_ROOT:-$cache/wine-trixie}
  mkdir -p "${root%/*}"
  exec 9>"$root.lock"
  flock 9
  [ ! -d "$root" ] || return 0
  echo "setup: Wine, into $root"
  rm -rf --one-file-system "$root.new"
  # shellcheck disable=SC2016 # the inner shells expand it
  unshare --mount sh -euc '
    debootstrap --variant=minbase trixie "$1" "$2"
    mount --bind /proc "$1/proc"
    mount --bind /dev "$1/dev"
    export DEBIAN_FRONTEND=noninteractive
    chroot "$1" sh -euc "dpkg --add-architecture i386
      apt-get -qq update
      apt-get -qq -y install --no-install-recommends wine wine64 wine32:i386
      apt-get clean
      export WINEPREFIX=/prefix WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml=
      wineboot --init
      wineserver --wait"
  ' sh "$root.new" "$(mirror)" >"$root.log" 2>&1 </dev/null 9>&- || {
    tail -n 20 "$root.log" >&2
    echo "setup: Wine could not be set up; see $root.log" >&2
    return 1
  }
  mv "$root.new" "$root"
}

# Rust's libraries for Windows, for the tests with the Rust implementation; without them those are
# skipped.
set_up_rust_for_windows() {
  if has rustup && ! rustup target add x86_64-pc-windows-gnu i686-pc-windows-gnu >/dev/null 2>&1; then
    echo "setup: rustup cannot install Rust's libraries for Windows" >&2
  fi
}

set_up_zig() {
  if ! python3 -m ziglang version >/dev/null 2>&1 &&
    ! PYTHONPATH=$cache/zig python3 -m ziglang version >/dev/null 2>&1; then
    want_packages python3-pip >&2
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --target "$cache/zig" "ziglang==$zig_version" >&2
  fi
  PYTHONPATH=$cache/zig python3 -c 'import ziglang, os; print(os.path.dirname(ziglang.__file__) + "/zig")'
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
    # shellcheck disable=SC2086
    want_packages $ci_packages
    ;;
  cross)
    # shellcheck disable=SC2086
    want_packages $cross_packages
    ;;
  mutants)
    # shellcheck disable=SC2086
    want_packages $mutants_packages
    ;;
  wine)
    set_up_wine
    set_up_rust_for_windows
    ;;
  fresh)
    set_up_fresh "$2"
    ;;
  zig)
    set_up_zig
    ;;
  *)
    echo "usage: scripts/setup.sh build|ci|cross|mutants|wine|zig" >&2
    exit 2
    ;;
esac
