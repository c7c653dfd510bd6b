#!/bin/bash
# The processes of the running service: what each has in its hands, and that each is in its sandbox; the authority's key
# in a token, which is pulled under load.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
umask 077
pin=48151623
export SOFTHSM2_CONF=$scratch/softhsm2.conf
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$scratch" > softhsm2.conf
softhsm2-util --init-token --free --label vault --pin "$pin" --so-pin 87654321 > /dev/null || exit 1
printf '%s\n' "$pin" > pin

# process WORKSPACE ROLE: its id.
process() {
    pgrep -P "$(cat "$1-serve.pid")" -f -- "--as $2"
}

# status WORKSPACE ROLE FIELD: of /proc/ID/status.
status() {
    awk -v f="$3:" '$1 == f { print $2 }' "/proc/$(process "$1" "$2")/status"
}

# holds WORKSPACE ROLE: what its descriptors are.
holds() {
    local pid
    pid=$(process "$1" "$2")
    readlink "/proc/$pid"/fd/* | sort -u
}

check "a workspace" "$stamp" init files --company Acme --product Sensor
check "its service" serve files 77< /dev/zero
for role in front books signer maker batches status log reader factory; do
    check "$role: seccomp filters" test "$(status files "$role" Seccomp)" = 2
    check "  and no new privileges" test "$(status files "$role" NoNewPrivs)" = 1
    check "  nothing of who started it" test -z "$(holds files "$role" | grep /dev/zero)"
done
if [ "$(id -u)" = 0 ]; then
    check "the front is not root" test "$(status files front Uid)" != 0
    check "  nor is the maker" test "$(status files maker Uid)" != 0
fi
check "the books have the registry" sh -c "$(declare -f holds process); holds files books | grep -q registry.db"
for role in front signer maker; do
    check "  the $role has not, nor any other file" test -z "$(holds files "$role" | grep "^/" | grep -v -e /dev/null \
        -e "^$scratch/files\.\(serve\|out\)" -e '(deleted)' -e '^/dev/pts' | grep -vxF "$(readlink "/proc/$$"/fd/{0,1,2})")"
done
check "a graceful stop" serve_stop files

# --- a token ---
check "a workspace with its keys in a token" "$stamp" --pin-file pin init ws --company Acme --product Sensor \
    --keys "pkcs11:token=vault;object=sensor"
check "two stamps" "$stamp" -C ws --pin-file pin make -n 2
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
device ws "${serials[0]}" d0
device ws "${serials[1]}" d1
export DEVSTAMP_PIN_FILE=$scratch/pin
check "its service" serve ws --per-hour 1000
check "its signer is in its sandbox, too" test "$(status ws signer Seccomp)" = 2
check_status "a certificate, signed in the token" 0 enrol d0 n0
says "STATUS 200"
check "  of the sub-CA" openssl verify -CAfile ws/root.pem -untrusted ws/sub-ca.pem n0.pem

# Pulled: SoftHSM's token is its folder.
mv tokens pulled && mkdir tokens
kill -9 "$(process ws signer)"
check_status "the token is pulled: what was certified already is there" 0 enrol d0 n0
says "STATUS 200"
check_status "  a new key is told to ask again" 0 timeout 30 "$client" --ca ws/root.pem --cert d1/cert.pem \
    --key d1/key.pem --new-key n1.key "$at"
says "STATUS 202"
says "Retry-After"
rmdir tokens && mv pulled tokens
for _ in $(seq 60); do
    enrol d1 n1 > again
    ! grep -q "STATUS 200" again || break
    sleep 0.5
done
check "  and gets its certificate once the token is back" grep -q "STATUS 200" again
check "a graceful stop" serve_stop ws
finish
