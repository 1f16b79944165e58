#!/usr/bin/env bash
# docker compose with the production file and secrets, from any directory: ops/scripts/compose.sh [-f MORE.yml] up -d
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
env_file="${TITAN_ENV_FILE:-$root/compose/.env.prod}"
if [[ ! -r "$env_file" ]]; then
    echo "compose.sh: $env_file can't be read: it belongs to root (mode 0600), so use sudo; or name another in TITAN_ENV_FILE" >&2
    exit 4
fi
cd "$root"
# Word splitting is wanted: the command may be two words.
# shellcheck disable=SC2086
exec ${TITAN_COMPOSE:-docker compose} --env-file "$env_file" -f docker-compose.prod.yml "$@"
