#!/bin/sh
# own_tmp.sh PROGRAM [ARGUMENT...]
#
# Runs the program with an empty /tmp, in the mount namespace of the caller. What of /tmp holds this
# project stays visible.
set -eu
folder=
case $0 in
/tmp/*)
  folder=${0#/tmp/}
  folder=/tmp/${folder%%/*}
  exec 8<"$folder"
  ;;
esac
mount -t tmpfs none /tmp
if [ -n "$folder" ]; then
  mkdir "$folder"
  mount -c --bind /proc/self/fd/8 "$folder"
  exec 8<&-
fi
exec "$@"
