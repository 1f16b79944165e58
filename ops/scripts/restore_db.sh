#!/usr/bin/env bash
# Brings the ledger back: restore_db.sh TIMESTAMP | latest | --latest | --list [options of `titan restore`].
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
titan=.venv/bin/titan
[ -x "$titan" ] || titan=titan
if [ "${1:-}" = latest ]; then
    set -- --latest "${@:2}"
fi
exec "$titan" restore "$@"
