#!/usr/bin/env bash
# Back to the last release that was good: ends DISARMED. The same as deploy_prod.sh --rollback.
set -euo pipefail
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/deploy_prod.sh" --rollback
