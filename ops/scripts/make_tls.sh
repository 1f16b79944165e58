#!/usr/bin/env bash
# Makes the certificates of the bus: an authority of Titan's own, one certificate for the server, one for Titan's side of it.
#   sudo ops/scripts/make_tls.sh [FOLDER]      FOLDER is compose/tls; nats/ and titan/ in it go to their containers
# Run again, it makes new certificates with the same authority (they end after 400 days); containers take them when recreated.
# On paper nats/ serves for both sides: TITAN_NATS_TLS_CA, TITAN_NATS_TLS_CERT and TITAN_NATS_TLS_KEY name its three files.
set -euo pipefail
root="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)"
folder="${1:-$root/compose/tls}"
names="DNS:titan-nats,DNS:localhost,IP:127.0.0.1"
umask 077
mkdir -p "$folder"
cd "$folder"
if [[ ! -e authority.key ]]; then
    openssl ecparam -name prime256v1 -genkey -noout -out authority.key
    openssl req -x509 -new -key authority.key -days 3650 -subj "/CN=Titan bus" -out authority.pem
fi
make() { # $1 folder, $2 what it may be used for, $3 its names
    mkdir -p "$1"
    openssl ecparam -name prime256v1 -genkey -noout -out "$1/key.new"
    openssl req -new -key "$1/key.new" -subj "/CN=$1" -out "$1/request"
    openssl x509 -req -in "$1/request" -CA authority.pem -CAkey authority.key -CAcreateserial -days 400 -out "$1/cert.new" \
        -extfile <(printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$2" "$3") 2> /dev/null
    cp authority.pem "$1/ca.pem"
    mv "$1/key.new" "$1/key.pem"
    mv "$1/cert.new" "$1/cert.pem"
    rm "$1/request"
    # Both containers run as this user; the authority's own key stays with root and goes to none.
    if [[ "$(id -u)" == 0 ]]; then chown -R 1001:1001 "$1"; fi
}
make nats serverAuth,clientAuth "$names"
make titan clientAuth DNS:titan
echo "make_tls.sh: $folder/nats and $folder/titan, valid until $(date -u -d '+400 days' +%Y-%m-%d)"
