#!/usr/bin/env bash
# The demo exits with 0 only if everything it claims was checked.
exec make demo
