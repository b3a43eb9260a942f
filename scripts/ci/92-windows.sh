#!/usr/bin/env bash
# Windows programs for 64 and 32 bits, with and without the large-address flag, under Wine.
exec scripts/matrix.sh windows-x86_64 windows-x86 windows-x86-laa
