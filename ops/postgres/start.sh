#!/bin/sh
# Before the image's own start: the archive's volume belongs to the server, and to the group that Titan's containers run in.
set -eu
chown postgres:1001 /archive
chmod 2770 /archive
exec docker-entrypoint.sh postgres "$@"
