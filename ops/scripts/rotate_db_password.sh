#!/usr/bin/env bash
# Changes the password of the ledger's role: in the database first (by standard input: no argument, no history shows it), then in
# compose/.env.prod, then for every client at once. Takes it back when Titan does not come up with it.
#
#   sudo ops/scripts/rotate_db_password.sh
#
# Ends DISARMED. Exit codes: 0 done, 1 failed and the earlier password is back, 4 refused before anything was changed.
set -euo pipefail

root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)"
# shellcheck source=ops/scripts/secrets_lib.sh
source "$root/ops/scripts/secrets_lib.sh"

set_password() { # $1 the password
    printf "ALTER ROLE titan PASSWORD '%s';\n" "$1" \
        | "$docker" exec -i titan-postgres psql -q -v ON_ERROR_STOP=1 -U titan -d titan_brain > /dev/null
}

[[ $# == 0 ]] || refuse "it takes no arguments"
prepare
old="$(value_of TITAN_DB_PASSWORD)"
new="$(fresh)"
disarm "rotation of the database's password"
set_password "$new" || refuse "the database did not take a new password; Titan stays disarmed, nothing else was changed"
change TITAN_DB_PASSWORD "$new"
undo() { set_password "$old"; }
restart_or_restore
say "the ledger's clients use the new password"
say "Titan is DISARMED; arm it by hand: docker exec titan-core titan arm \"reason\""
