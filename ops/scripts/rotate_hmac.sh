#!/usr/bin/env bash
# Changes the key that signs every message of the bus, with two live keys, so that nothing under way is lost:
#
#   sudo ops/scripts/rotate_hmac.sh begin    a fresh key signs; the old one still verifies what waits in the streams
#   sudo ops/scripts/rotate_hmac.sh end      the old key is forgotten: at the earliest five minutes later, within a day
#
# Each step disarms, restarts every Titan container at once (one key file for all, so no two services ever disagree), verifies,
# and ends DISARMED. Exit codes: 0 done, 1 failed and the earlier keys are back, 4 refused before anything was changed.
set -euo pipefail

root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)"
# shellcheck source=ops/scripts/secrets_lib.sh
source "$root/ops/scripts/secrets_lib.sh"
tolerance_s="${TITAN_HMAC_TOLERANCE_S:-300}"

begin() {
    [[ -z "$(value_of HMAC_SECRET_NEXT)" ]] || refuse "a rotation is under way: end it first"
    local old_id new_id
    old_id="$(value_of HMAC_KEY_ID)"
    new_id="k$(date -u +%Y%m%d%H%M%S)"
    disarm "rotation of the signing key"
    change HMAC_SECRET "$(fresh)" HMAC_KEY_ID "$new_id" HMAC_SECRET_NEXT "$(value_of HMAC_SECRET)" HMAC_KEY_ID_NEXT "${old_id:-default}"
    restart_or_restore
    say "$new_id signs, ${old_id:-default} still verifies. End it after $((tolerance_s / 60)) minutes, within a day: rotate_hmac.sh end"
}

end() {
    [[ -n "$(value_of HMAC_SECRET_NEXT)" ]] || refuse "no rotation is under way"
    local since
    since=$(($(date +%s) - $(stat -c %Y "$env_file")))
    ((since >= tolerance_s)) || refuse "the new key signs since $since s; wait until $tolerance_s s are over, messages under way still carry the old one"
    local waiting
    waiting="$(titan status --json | tail -n 1 | sed -n 's/.*"backlog": *{\([^}]*\)}.*/\1/p' | grep -o ': *[1-9][0-9]*' || true)"
    [[ -z "$waiting" ]] || refuse "messages still wait in the streams: titan status shows the backlog"
    disarm "end of the rotation of the signing key"
    change HMAC_SECRET_NEXT "" HMAC_KEY_ID_NEXT ""
    restart_or_restore
    say "only $(value_of HMAC_KEY_ID) is live"
}

case "${1:-}" in
    begin | end) prepare && "$1" ;;
    *) refuse "say begin or end" ;;
esac
say "Titan is DISARMED; arm it by hand: docker exec titan-core titan arm \"reason\""
