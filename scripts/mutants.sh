#!/bin/sh
# Changes the product in one place at a time and sees whether a test notices (docs/testing.md).
# Debian on x86-64, as root: a mutant runs in namespaces of its own. Results are kept in
# build/mutants/, so that an interrupted run continues where it stopped.
#
#   scripts/mutants.sh [option...]   --help lists them
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh mutants
# Debian's Python, which has the bindings of Debian's libclang, whatever is first in PATH.
PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 scripts/mutants "$@"
