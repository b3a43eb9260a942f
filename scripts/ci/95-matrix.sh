#!/usr/bin/env bash
# Other systems and processors, as far as that is quick: make matrix runs all of them.
exec scripts/matrix.sh linux-i686 linux-aarch64 linux-s390x linux-musl windows-x86_64 windows-x86-laa
