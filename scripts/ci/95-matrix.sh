#!/usr/bin/env bash
# Other processors and another C library, as far as that is quick: make matrix runs all targets.
exec scripts/matrix.sh linux-i686 linux-aarch64 linux-musl
