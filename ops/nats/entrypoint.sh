#!/bin/sh
# Gives the `nats` command of this container the login that reads streams and no message, then becomes the server.
set -eu
umask 077
context="${XDG_CONFIG_HOME:-/tmp/config}/nats/context"
mkdir -p "$context"
tls=""
if [ -f /etc/titan-tls/cert.pem ]; then # ops/compose/tls.yml
    tls=',"ca":"/etc/titan-tls/ca.pem","cert":"/etc/titan-tls/cert.pem","key":"/etc/titan-tls/key.pem","tls_first":true'
fi
printf '{"url":"nats://127.0.0.1:4222","user":"monitor","password":"%s","inbox_prefix":"_INBOX.monitor"%s}\n' \
    "${NATS_MONITOR_PASSWORD:?NATS_MONITOR_PASSWORD is not set}" "$tls" > "$context/titan.json"
printf 'titan' > "$context/../context.txt"
exec "$@"
