# shellcheck shell=bash
# What the scripts that change secrets share. They set `root` and source this.
: "${root:?set root before sourcing}"
env_file="${TITAN_ENV_FILE:-$root/compose/.env.prod}"
docker="${TITAN_DOCKER:-docker}"
owner="${TITAN_ENV_OWNER:-0}"
within_s="${TITAN_VERIFY_S:-240}"
pause_s="${TITAN_PAUSE_S:-5}"
kept=""

say() { printf '%s secrets: %s\n' "$(date -u +%H:%M:%S)" "$*"; }
refuse() { printf 'secrets: refused: %s\n' "$*" >&2; exit 4; }
value_of() { sed -n "s/^$1=//p" "$env_file" | tail -n 1; }
titan() { "$docker" exec titan-core titan "$@"; }
fresh() { printf 'k%s' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"; }
undo() { :; }

prepare() { # alone, with secrets that only their owner can read, and the containers of the release that runs
    mkdir -p "$root/state"
    exec 9> "$root/state/deploy.lock"
    flock -n 9 || refuse "a deployment or another rotation runs"
    [[ "$(stat -c '%a %u' "$env_file" 2> /dev/null)" == "600 $owner" ]] || refuse "$env_file must have mode 600 and owner $owner"
    tag="$(cat "$root/state/last_known_good" 2> /dev/null || value_of TITAN_TAG)"
}

disarm() {
    titan disarm "$1" > /dev/null || true
    [[ "$(titan status --json | sed -n 's/.*"trading_state": *"\([A-Z]*\)".*/\1/p' | tail -n 1)" =~ ^(DISARMED|HALTED)$ ]] \
        || refuse "Titan could not be disarmed: nothing was changed"
}

change() { # NAME VALUE pairs, in one step; the file before it is kept until the end
    kept="$(mktemp "$env_file.before.XXXXXX")"
    cp -p "$env_file" "$kept"
    local draft
    draft="$(mktemp "$env_file.new.XXXXXX")"
    cat "$env_file" > "$draft"
    while (($#)); do
        sed -i "/^$1=/d" "$draft"
        printf '%s=%s\n' "$1" "$2" >> "$draft"
        shift 2
    done
    chmod 600 "$draft"
    chown --reference="$env_file" "$draft"
    mv "$draft" "$env_file"
}

recreate() {
    TITAN_ENV_FILE="$env_file" TITAN_TAG="$tag" "$root/ops/scripts/compose.sh" up -d --force-recreate --no-deps \
        titan-core titan-brain titan-execution titan-scavenger
}

healthy() {
    local began=$SECONDS
    until "$docker" exec titan-brain curl -fsS http://localhost:3100/health > /dev/null \
        && "$docker" exec titan-execution curl -fsS http://localhost:3002/health > /dev/null; do
        ((SECONDS - began < within_s)) || return 1
        sleep "$pause_s"
    done
}

restart_or_restore() { # all at once with the changed file, or back to the one before
    if recreate && healthy; then
        rm -f "$kept"
        return 0
    fi
    say "Titan did not come up: the earlier secrets are put back"
    mv "$kept" "$env_file"
    undo
    if ! { recreate && healthy; }; then
        say "AND IT DOES NOT COME UP WITH THEM EITHER. Titan trades nothing; look at its logs"
    fi
    exit 1
}
