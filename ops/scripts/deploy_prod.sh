#!/usr/bin/env bash
# Brings one commit of main to production, by a person's hand, and takes it back when it does not prove itself.
#
#   sudo ops/scripts/deploy_prod.sh COMMIT      COMMIT is the one that passed CI; anything else is refused
#   sudo ops/scripts/deploy_prod.sh --check COMMIT     the pre-flight alone, changes nothing
#   sudo ops/scripts/deploy_prod.sh --verify           the verification gate alone
#   sudo ops/scripts/deploy_prod.sh --rollback         back to the last release that was good
#   --with-migrations   the release changes the database's schema: it can't be taken back by code alone
#
# It disarms first and ends DISARMED, whatever happens: arming is another act of a person.
# Exit codes: 0 released, 1 failed and rolled back, 2 failed and NOT rolled back, 4 refused before anything was changed.
set -euo pipefail

root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)"
env_file="${TITAN_ENV_FILE:-$root/compose/.env.prod}"
state="${TITAN_STATE_DIR:-$root/state}"
ledger="$state/releases.tsv"
good="$state/last_known_good"
docker="${TITAN_DOCKER:-docker}"
settle_s="${TITAN_SETTLE_S:-30}"
verify_s="${TITAN_VERIFY_S:-240}"
watch_s="${TITAN_WATCH_S:-300}"
pause_s="${TITAN_PAUSE_S:-5}"
owner="${TITAN_ENV_OWNER:-0}"
max_errors="${TITAN_MAX_ERRORS:-20}"
containers=(titan-core titan-brain titan-execution titan-scavenger titan-nats titan-postgres titan-redis titan-traefik)

say() { printf '%s deploy: %s\n' "$(date -u +%H:%M:%S)" "$*"; }
refuse() { printf 'deploy: refused: %s\n' "$*" >&2; exit 4; }
compose() { TITAN_ENV_FILE="$env_file" TITAN_TAG="$1" "$root/ops/scripts/compose.sh" "${@:2}"; }
titan() { "$docker" exec titan-core titan "$@"; }
running() { [[ "$("$docker" inspect -f '{{.State.Running}}' "$1" 2>/dev/null)" == true ]]; }
value_of() { sed -n "s/^$1=//p" "$env_file" | tail -n 1; }
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\)\"\{0,1\}.*/\1/p" | tail -n 1; }

record() { # what happened, to a file that is only ever appended to
    mkdir -p "$state"
    printf '%s\t%s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" "${SUDO_USER:-$(id -un)}" "$3" >> "$ledger"
}

check_secrets() {
    [[ -f "$env_file" ]] || refuse "$env_file is absent; ops/scripts/make_env.sh writes one"
    local mode name value
    mode="$(stat -c '%a %u' "$env_file")"
    [[ "$mode" == "600 $owner" ]] || refuse "$env_file has mode and owner '$mode', it must be '600 $owner' (chmod 600, chown root)"
    while IFS='=' read -r name _; do
        value="$(value_of "$name")"
        case "$name" in
            HMAC_SECRET_NEXT | HMAC_KEY_ID_NEXT | TITAN_TRACES_URL) ;;
            *) [[ -n "$value" ]] || refuse "$name is empty or absent in $env_file" ;;
        esac
        case "${value,,}" in
            *__change_me__* | password | admin | changeme | mock | secret) refuse "$name in $env_file still has a placeholder" ;;
        esac
        # The bus reads these as bare words: one that begins with a digit would be taken for a number.
        if [[ "$name" == NATS_*_PASSWORD && ! "$value" =~ ^[A-Za-z][A-Za-z0-9]{15,}$ ]]; then
            refuse "$name in $env_file must begin with a letter and have at least 16 letters and digits"
        fi
    done < <(grep -E '^[A-Z_]+=' "$root/ops/compose/env.prod.example")
}

check_tree() { # $1 the commit
    local branch
    branch="$(git -C "$root" rev-parse --abbrev-ref HEAD)"
    [[ "$branch" == main ]] || refuse "this checkout is on '$branch'; only main reaches production"
    [[ -z "$(git -C "$root" status --porcelain --untracked-files=no)" ]] || refuse "the checkout has changes of its own: git status"
    git -C "$root" fetch -q origin main || refuse "origin can't be asked for main"
    local head
    head="$(git -C "$root" rev-parse origin/main)"
    [[ "$1" =~ ^[0-9a-f]{40}$ ]] || refuse "'$1' is not a full commit of 40 digits; copy it from the CI run"
    [[ "$head" == "$1" ]] || refuse "main is at $head, the commit that passed CI is $1: wait for CI of the newer one"
}

check_machine() {
    local used
    used="$(df --output=pcent "$root" | tail -n 1 | tr -dc 0-9)"
    ((used <= ${TITAN_MAX_DISK_PCT:-80})) || refuse "the disk is ${used} % full; 20 % must be free"
    compose "$1" config -q || refuse "docker-compose.prod.yml does not resolve with $env_file"
}

check_migrations() { # $1 the commit, $2 whether they are accepted
    [[ -f "$good" ]] || return 0
    local changed
    changed="$(git -C "$root" diff --name-only "$(cat "$good")" "$1" -- ops/migrations)"
    [[ -z "$changed" || "$2" == yes ]] || refuse "the release changes the database's schema ($changed): add --with-migrations"
}

disarm() { # lowering risk is always possible; a Titan that does not run has nothing to disarm
    if ! running titan-core; then
        say "titan-core does not run: nothing to disarm"
        return 0
    fi
    titan disarm "$1" > /dev/null || true
    [[ "$(titan status --json | field trading_state)" =~ ^(DISARMED|HALTED)$ ]]
}

release() { # $1 the commit: code, images, containers
    git -C "$root" checkout -q main && git -C "$root" reset -q --hard "$1" || return 1
    compose "$1" pull -q --ignore-buildable && compose "$1" build -q && compose "$1" up -d --remove-orphans
}

healthy_once() {
    local name brain execution
    for name in "${containers[@]}"; do
        running "$name" || { echo "$name does not run"; return 1; }
    done
    brain="$("$docker" exec titan-brain curl -fsS http://localhost:3100/health)" || { echo "brain is not healthy"; return 1; }
    execution="$("$docker" exec titan-execution curl -fsS http://localhost:3002/health)" || { echo "execution is not healthy"; return 1; }
    "$docker" exec titan-nats wget -q -O /dev/null http://localhost:8222/healthz || { echo "nats is not healthy"; return 1; }
    "$docker" exec titan-postgres pg_isready -q || { echo "postgres is not ready"; return 1; }
    local hash
    hash="$(field policy_hash <<< "$brain")"
    [[ -n "$hash" && "$hash" == "$(field policy_hash <<< "$execution")" ]] || { echo "brain and execution hold different risk policies"; return 1; }
}

calm_once() {
    local errors
    errors="$(compose "$1" logs --no-color --since 1m titan-core titan-brain titan-execution titan-scavenger 2> /dev/null | grep -ciE '"level": *"(error|critical)"|panic' || true)"
    ((errors <= max_errors)) || { echo "$errors errors in a minute, at most $max_errors are usual"; return 1; }
    [[ "$(titan status --json | field trading_state)" =~ ^(DISARMED|HALTED)$ ]] || { echo "it is not disarmed"; return 1; }
}

verify() { # $1 the tag: good within verify_s, then good all the time until watch_s are over
    local began=$SECONDS why=""
    sleep "$settle_s"
    until why="$(healthy_once)"; do
        ((SECONDS - began < verify_s)) || { say "not healthy: $why"; return 1; }
        sleep "$pause_s"
    done
    say "healthy after $((SECONDS - began)) s; comparing the books with the venue"
    local truth
    truth="$(titan reconcile --json | tail -n 1)" || { say "the books could not be compared"; return 1; }
    [[ "$(field differences <<< "$truth")" == 0 ]] || { say "the books differ from the venue: $truth"; return 1; }
    while ((SECONDS - began < watch_s)); do
        why="$(healthy_once)" || { say "no longer healthy: $why"; return 1; }
        why="$(calm_once "$1")" || { say "$why"; return 1; }
        sleep "$pause_s"
    done
    why="$(healthy_once)" || { say "no longer healthy: $why"; return 1; }
    why="$(calm_once "$1")" || { say "$why"; return 1; }
}

roll_back() { # $1 why
    if [[ ! -f "$good" ]]; then
        record rollback none "no good release is known: $1"
        say "there is no earlier good release: the containers stay as they are, disarmed"
        return 2
    fi
    local before
    before="$(cat "$good")"
    say "rolling back to $before: $1"
    disarm "rollback: $1" || true
    if release "$before" && verify "$before"; then
        record rollback "$before" "$1"
        say "$before runs again, DISARMED; arm it by hand: docker exec titan-core titan arm \"reason\""
        return 1
    fi
    record rollback-failed "$before" "$1"
    say "THE ROLLBACK FAILED. Titan is disarmed. Go on with docs/operations/runbooks/rollback.md"
    return 2
}

main() {
    local mode=deploy migrations=no commit=""
    while (($#)); do
        case "$1" in
            --check | --verify | --rollback) mode="${1#--}" ;;
            --with-migrations) migrations=yes ;;
            -*) refuse "unknown option $1; known: --check --verify --rollback --with-migrations" ;;
            *) [[ -z "$commit" ]] || refuse "one commit, not also $1"; commit="$1" ;;
        esac
        shift
    done
    mkdir -p "$state"
    exec 9> "$state/deploy.lock"
    flock -n 9 || refuse "another deployment runs"
    case "$mode" in
        verify) verify "$(cat "$good" 2> /dev/null || echo local)"; return ;;
        rollback)
            local code=0
            roll_back "asked by ${SUDO_USER:-$(id -un)}" || code=$?
            # Back on the last good release is what was asked for.
            ((code == 1)) && return 0
            return "$code"
            ;;
    esac
    [[ -n "$commit" ]] || refuse "name the commit that passed CI: deploy_prod.sh COMMIT"
    check_secrets
    check_tree "$commit"
    check_migrations "$commit" "$migrations"
    check_machine "$commit"
    say "pre-flight passed for $commit"
    [[ "$mode" == deploy ]] || return 0
    disarm "deploy $commit" || refuse "Titan could not be disarmed: nothing was changed"
    if running titan-core; then
        titan backup pre_deploy > /dev/null || refuse "the backup before the deployment failed; Titan stays disarmed, nothing was changed"
    fi
    record begin "$commit" "migrations=$migrations"
    if release "$commit" && verify "$commit"; then
        printf '%s\n' "$commit" > "$good.new" && mv "$good.new" "$good"
        record good "$commit" "$("$docker" inspect -f '{{.Image}}' titan-core 2> /dev/null || echo '-')"
        say "$commit runs, DISARMED; arm it by hand: docker exec titan-core titan arm \"Post-Deploy Arm\""
        return 0
    fi
    record bad "$commit" "verification failed"
    disarm "deployment of $commit failed" || true
    if [[ "$migrations" == yes ]]; then
        say "the release changed the database: earlier code will not start on it. Go on with docs/operations/runbooks/rollback.md"
        return 2
    fi
    roll_back "verification of $commit failed"
}

main "$@"
