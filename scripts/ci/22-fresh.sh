#!/usr/bin/env bash
# The commands of the README, on systems that were just installed: Debian 12 and 13, root and an
# ordinary user, a plain chroot, a hardened build, make and Ninja.
exec scripts/fresh.sh
