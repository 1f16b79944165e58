#!/usr/bin/env bash
# Runs a titan command where Titan is: in the core's container (beside it when it is stopped), else in the checkout.
#   in_core.sh backup nightly --verify
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
running=absent
if command -v docker >/dev/null; then
    running=$(docker inspect --format '{{.State.Running}}' titan-core 2>/dev/null || echo absent)
fi
case $running in
true) exec docker exec titan-core titan "$@" ;;
false) exec ops/scripts/compose.sh run --rm --no-deps titan-core "$@" ;;
esac
titan=.venv/bin/titan
[ -x "$titan" ] || titan=titan
exec "$titan" "$@"
