#!/usr/bin/env bash
# Writes compose/.env.prod from the example with a fresh secret for every placeholder that a machine may choose.
# Venue keys and names stay for a person. Never overwrites: make_env.sh [FILE]
set -euo pipefail
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)"
target="${1:-$root/compose/.env.prod}"
if [[ -e "$target" ]]; then
    echo "make_env.sh: $target exists; it is never overwritten" >&2
    exit 4
fi
umask 077
mkdir -p "$(dirname "$target")"
while IFS= read -r line; do
    case "$line" in
        BYBIT_*=__CHANGE_ME__) printf '%s\n' "$line" ;;
        # A letter first: the bus would take a word that begins with a digit for a number.
        *=__CHANGE_ME__) printf '%s=k%s\n' "${line%%=*}" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" ;;
        *) printf '%s\n' "$line" ;;
    esac
done < "$root/ops/compose/env.prod.example" > "$target.new"
mv "$target.new" "$target"
left="$(sed -n 's/=__CHANGE_ME__$//p' "$target" | tr '\n' ' ')"
echo "$target: mode 0600. Fill in: ${left}DOMAIN_NAME ACME_EMAIL TITAN_LIVE_CONFIRM"
