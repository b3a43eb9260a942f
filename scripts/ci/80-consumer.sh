#!/usr/bin/env bash
# An installed copy serves programs through CMake and through pkg-config, shared and static.
exec tests/consumer/run.sh
