#!/usr/bin/env bash
# Backs up ledger and journal: backup_db.sh [LABEL] [options of `titan backup`]. Exit code and output are the command's.
set -euo pipefail
exec "$(dirname "$(readlink -f "$0")")/in_core.sh" backup "$@"
