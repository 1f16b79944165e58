#!/usr/bin/env bash
# Ends an emergency's first minutes: closes everything, shows that nothing is open, and keeps what was seen.
#   ops/scripts/incident.sh "reason"
# Writes incident-YYYYMMDD-HHMMSS.txt (mode 0600) into the directory it is started in. Exit code 1: positions are still open.
set -uo pipefail
[[ $# == 1 && -n "$1" ]] || { echo 'incident.sh: say why: incident.sh "reason"' >&2; exit 4; }
titan="${TITAN_DO:-$(dirname "$(readlink -f "$0")")/in_core.sh}"
umask 077
file="incident-$(date -u +%Y%m%d-%H%M%S).txt"
see() { # a command and what it said, whatever its end
    printf '\n== titan %s\n' "$*" >> "$file"
    "$titan" "$@" >> "$file" 2>&1 || printf '(exit code %s)\n' "$?" >> "$file"
}
printf '%s %s\n' "$(date -u +%FT%TZ)" "$1" > "$file"
see flatten "$1"
see disarm "$1"
see positions --json
open="$("$titan" positions --json 2> /dev/null | tail -n 1 | grep -c '"symbol"' || true)"
see equity --json
see trades --limit 100 --json
see status --json
see logs -n 1000
echo "$file: $([[ "$open" == 0 ]] && echo 'nothing is open' || echo 'POSITIONS ARE STILL OPEN')"
[[ "$open" == 0 ]]
