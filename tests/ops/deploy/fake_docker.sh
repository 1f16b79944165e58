#!/bin/sh
# Stands in for the container engine: answers what the test wrote into the folder $FAKE_DOCKER, and writes down what it was asked.
# Files there: calls (written), tag (what runs), state (trading state), and broken-TAG with a word for the way that release is
# broken: dead, sick, policy, books, errors, armed, build, late.
set -eu
cd "$FAKE_DOCKER"
read_file() { if [ -f "$1" ]; then cat "$1"; else printf '%s' "${2:-}"; fi; }
tag="$(read_file tag)"
broken="$(read_file "broken-$tag")"
printf '%s %s\n' "${TITAN_TAG:--}" "$*" >> calls
hash=aaaaaaaa

compose() {
    case " $* " in
        *" build "*) if [ "$(read_file "broken-$TITAN_TAG")" = build ]; then exit 1; fi ;;
        *" up "*)
            printf '%s' "$TITAN_TAG" > tag
            # Live mode always boots DISARMED.
            if [ "$(read_file "broken-$TITAN_TAG")" = armed ]; then printf ACTIVE > state; else printf DISARMED > state; fi
            ;;
        *" logs "*) if [ "$broken" = errors ]; then for _ in 1 2 3 4 5 6 7; do printf '{"level": "error"}\n'; done; fi ;;
    esac
}

inside() { # container command...
    container="$1"
    shift
    case "$*" in
        "titan status"*) printf '{"trading_state": "%s", "backlog": {%s}}\n' "$(read_file state DISARMED)" "$(read_file backlog)" ;;
        *psql*) cat >> sql ;;
        "titan disarm"*) if [ "$broken" != armed ] && [ "$(read_file stuck)" != yes ]; then printf DISARMED > state; fi ;;
        "titan reconcile"*) if [ "$broken" = books ]; then echo '{"differences": 2}'; else echo '{"differences": 0}'; fi ;;
        "titan backup"*) if [ "$(read_file backup)" = fails ]; then exit 1; fi ;;
        curl*)
            if [ "$broken" = sick ]; then exit 22; fi
            if [ "$broken" = late ]; then
                printf . >> looks
                if [ "$(wc -c < looks)" -gt 2 ]; then exit 22; fi
            fi
            if [ "$broken" = policy ] && [ "$container" = titan-execution ]; then hash=bbbbbbbb; fi
            printf '{"status": "healthy", "policy_hash": "%s"}\n' "$hash"
            ;;
    esac
}

case "$1" in
    compose) compose "$@" ;;
    exec)
        shift
        if [ "$1" = -i ]; then shift; fi
        inside "$@"
        ;;
    inspect)
        if [ "$3" = '{{.Image}}' ]; then echo sha256:feed
        elif [ -z "$tag" ] || { [ "$broken" = dead ] && [ "$4" = titan-execution ]; }; then echo false
        else echo true; fi
        ;;
    *) exit 1 ;;
esac
