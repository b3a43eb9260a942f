#!/usr/bin/env bash
# Every source is formatted; `make format` does it.
exec scripts/format.sh --check
