#!/usr/bin/env bash
# Brings the ledger back: restore_db.sh TIMESTAMP | latest | --latest | --list [options of `titan restore`].
set -euo pipefail
if [ "${1:-}" = latest ]; then
    set -- --latest "${@:2}"
fi
exec "$(dirname "$(readlink -f "$0")")/in_core.sh" restore "$@"
