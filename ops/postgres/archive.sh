#!/bin/sh
# Keeps one finished segment of the log: archive.sh PATH NAME, as the server's archive_command asks, in its data directory.
# A copy that stands is only ever found equal (the server asks again when it died before it noted the success), never replaced.
# One folder a cluster, by the number in the first field of its control file: a new cluster counts its segments from one again.
set -eu
folder="${TITAN_ARCHIVE:-/archive}/$(od -An -tu8 -N8 global/pg_control | tr -d ' ')"
[ -d "$folder" ] || mkdir -m 2770 "$folder"
target="$folder/$2.gz"
if [ -f "$target" ]; then
    gzip -dc "$target" | cmp -s - "$1"
    exit
fi
gzip -1nc "$1" > "$target.tmp"
# The core reads it for a restore, and removes it when no base backup needs it any more.
chmod 0640 "$target.tmp"
sync "$target.tmp"
mv "$target.tmp" "$target"
