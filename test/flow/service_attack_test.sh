#!/bin/bash
# Clients that behave badly: malformed requests without end, slow ones, and those that break HTTP and TLS. The service
# answers each, or hangs up; it lives, and serves others meanwhile.
#
# STAMP_MALFORMED: how many requests (default: 3000)
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

check "a workspace" "$stamp" init ws --company Acme --product Sensor
check "two stamps" "$stamp" -C ws make -n 2
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
device ws "${serials[0]}" d0
device ws "${serials[1]}" d1
check "the service starts" serve ws --admin 127.0.0.1:0
admin=$(sed -n 's/.*"admin":"\([^"]*\)".*/\1/p' ws.serve)
front=$(pgrep -P "$(cat ws-serve.pid)" -f -- '--as front')
memory() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$front/status"; }

check_status "requests that are none, and connections that break" 0 "${python[@]}" "$root/test/flow/service_attack.py" \
    "$at" ws/root.pem d0 "${STAMP_MALFORMED:-3000}"
says "and then a good one: 200"
cat out
check "nothing died of it" sh -c "! grep -q restarted ws.serve"
check "the front keeps no memory of them" test "$(memory)" -lt 60000

# --- TLS ---
check "no renegotiation" sh -c "(printf 'R\n'; sleep 1) | openssl s_client -connect $at -tls1_2 -CAfile ws/root.pem 2>&1 |
    grep -q -e 'no renegotiation'"
check "no cipher without forward secrecy" sh -c "! openssl s_client -connect $at -tls1_2 -cipher AES128-GCM-SHA256 < /dev/null"
check "no CBC" sh -c "! openssl s_client -connect $at -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA < /dev/null"

# --- slow ones, a few hundred of each kind; a device is served meanwhile ---
for kind in '-H' '-B' '-X'; do
    slowhttptest -c 300 "$kind" -i 2 -r 150 -l 6 -p 3 -u "https://$at/.well-known/est/simpleenroll" > slow.out 2>&1 &
    slow=$!
    sleep 3
    check "slow connections ($kind)" test "$(curl -sS "$admin/metrics" | sed -n 's/^devstamp_connections //p')" -gt 100
    check_status "  and a device is served" 0 timeout 5 "$client" --ca ws/root.pem --cert d1/cert.pem --key d1/key.pem \
        --new-key n.key --out n.pem "$at"
    says "STATUS 200"
    wait $slow
done
check "nothing died of it" sh -c "! grep -q restarted ws.serve"
check "a graceful stop" serve_stop ws
finish
