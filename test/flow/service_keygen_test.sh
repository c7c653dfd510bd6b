#!/bin/bash
# Keys that the service makes for devices (EST serverkeygen): sealed to the device, and in the clear only
# where that was allowed by name.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

check "a workspace" "$stamp" init ws --company Acme --product Sensor
check "two stamps" "$stamp" -C ws make -n 2
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
for i in 0 1; do
    device ws "${serials[$i]}" "d$i"
done
# keygen DIR OUT OPTION...
keygen() {
    "${python[@]}" "$root/test/flow/service_keygen.py" "$est" ws/root.pem "$1" ws/sub-ca.pem "${@:2}"
}

check "the service starts" serve ws
check_status "a device has its key made" 0 keygen d0 k0
says "STATUS 200"
says "a key that was sealed"
check "  certified by the sub-CA" openssl verify -CAfile ws/root.pem -untrusted ws/sub-ca.pem k0.pem
check_status "named by the other hash" 0 keygen d0 k1 --id own256 --op Sensor/serverkeygen
says "a key that was sealed"
check "  another key each time" sh -c "! cmp -s k0.key k1.key"
mkdir o1 && cp k1.pem o1/cert.pem && cp k1.key o1/key.pem
check_status "with it, it gets the next one" 0 keygen o1 k2
says "STATUS 200"
check_status "another product's label" 0 keygen d0 x --op Lamp/serverkeygen
says "this product is not served here"
for id in none other shared; do
    check_status "who does not name its key: $id" 0 keygen d1 x --id $id
    says "STATUS 400"
    says "no private key goes out unprotected"
done
check "nothing was certified for it" sh -c "! '$stamp' -C ws registry show ${serials[1]} | grep -q operational"
check "the refusals are on the log" grep -q '"refusal":"protection"' ws.serve

# --- the maker dies ---
kill -9 "$(pgrep -P "$(cat ws-serve.pid)" -f -- '--as maker')"
for _ in $(seq 50); do
    keygen d1 k3 > out 2>&1
    ! grep -q 'STATUS 200' out || break
    sleep 0.1
done
check "the maker dies, and is there again" grep -q 'a key that was sealed' out
check "  with a certificate of its own, on the books" "${python[@]}" -c 'import sqlite3, sys
sys.exit(sqlite3.connect("ws/registry.db").execute(
    "SELECT count(*) FROM issued WHERE kind = 4 AND certificate IS NOT NULL").fetchone() != (2,))'
check "the service stops" serve_stop ws

# --- in the clear, by name ---
check "a service that may send keys in the clear" serve ws --plain-keys Sensor
check_status "under that name" 0 keygen d1 k4 --id none --op Sensor/serverkeygen
says "a key in the clear"
check_status "without the name it may not" 0 keygen d1 x --id none
says "no private key goes out unprotected"
check_status "who wants it sealed gets it sealed" 0 keygen d1 k5 --op Sensor/serverkeygen
says "a key that was sealed"
check "the service stops" serve_stop ws
for key in k0 k3 k4; do
    check "no key is in a file of the service" sh -c "! grep -rqF \"\$(sed -n 3p $key.key)\" ws ws.serve"
done
finish
