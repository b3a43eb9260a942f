#!/usr/bin/env bash
# What the README says, on systems that were just installed: Debian 12 and 13, root and an ordinary user, a
# plain chroot, a hardened build, make and Ninja.
exec scripts/fresh.sh
