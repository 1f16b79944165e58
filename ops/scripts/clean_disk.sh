#!/usr/bin/env bash
# Frees what the container engine keeps for nobody: images without a container, and the build cache. Never a volume.
# Refuses while a container with data is down: to the engine, what it holds would look unused.
#   sudo ops/scripts/clean_disk.sh
set -euo pipefail
docker="${TITAN_DOCKER:-docker}"
down="$("$docker" ps --all --filter label=titan.stateful=true --format '{{.Names}} {{.State}}' | awk '$2 != "running" {print $1}')"
if [[ -n "$down" ]]; then
    printf 'clean_disk.sh: refused: %s\n' "$(tr '\n' ' ' <<< "$down")not running; start what holds data first" >&2
    exit 4
fi
"$docker" image prune --force
"$docker" builder prune --force
df -h /
