#!/usr/bin/env bash
exec shellcheck .ci/run scripts/*.sh scripts/ci/*.sh tests/*/*.sh
