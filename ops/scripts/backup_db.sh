#!/usr/bin/env bash
# Backs up ledger and journal: backup_db.sh [LABEL] [options of `titan backup`]. Exit code and output are the command's.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
titan=.venv/bin/titan
[ -x "$titan" ] || titan=titan
exec "$titan" backup "$@"
