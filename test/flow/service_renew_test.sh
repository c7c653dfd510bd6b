#!/bin/bash
# What a running service had no file for when it started is there once the file is: the log's key, made where the root is, and
# the reception of a factory's exports, made with its first station. Only who reads it starts anew.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

check "a workspace" "$stamp" init ws --company Acme --product Sensor
check "a stamp" "$stamp" -C ws make
serial=$("$stamp" -C ws registry list --csv | sed -n '2s/,.*//p')
check "keys for programs" sh -c "'$stamp' -C ws apikey add --role auditor -o auditor.key && '$stamp' -C ws apikey add --role factory -o factory.key"
mv ws/keys/root.key root.key # the root is elsewhere
check "the service starts" serve ws --admin localhost:0
pids=$(pgrep -P "$(cat ws-serve.pid)" | wc -l)

# get PATH: its answer in `answer`, the status in `out`
get() { curl -sS --cacert ws/root.pem -H "Authorization: Bearer $(cat auditor.key)" -o answer -w '%{http_code}' "https://$at/api/v1/$1" > out; }
# renewed WHICH FILE: the service's log says so
renewed() { grep -q "\"renewed\".*\"which\":\"$1\",\"file\":\"$2\"" ws.serve; }
# asked PATH STATUS: that is what comes (who starts anew says 503)
asked() { get "$1" && [ "$(cat out)" = "$2" ]; }

soon "no receipt without a log key" asked "devices/$serial/receipt" 404
cp root.key ws/keys/root.key
check "the log gets its key" "$stamp" -C ws log head -o head
rm ws/keys/root.key
soon "who grows the log reads it" renewed log log.pem
soon "  and who answers for it" renewed reader log.pem
soon "a receipt" asked "devices/$serial/receipt" 200
check "  is one" test -s answer
size() { get log/head && sed -n 's/.*"size":\([0-9]*\).*/\1/p' answer; }
was=$(size)
check "another stamp" "$stamp" -C ws make
grown() { [ "$(size)" -gt "$was" ]; }
soon "  is soon under a head that the service signs" grown

# ---- a station ----
send() {
    curl -sS --cacert ws/root.pem -H "Authorization: Bearer $(cat factory.key)" -H "Content-Type: application/octet-stream" \
        --data-binary @head -o answer -w '%{http_code}' "https://$at/api/v1/bundles" > out
}
check "an export" send
check "  cannot be opened: no station is enrolled" grep -q "no station is enrolled yet: stamp station enrol" answer
for cn in ca box journal; do
    openssl ecparam -name prime256v1 -genkey -noout -out "$cn.key"
    openssl req -new -key "$cn.key" -subj "/CN=line 3 $cn" >> csr
done
cp root.key ws/keys/root.key
check "a station is enrolled" "$stamp" -C ws station enrol csr -o line-3.pem --name line-3
rm ws/keys/root.key
soon "the factory reads its reception key" renewed factory home.pem
answered() { send && ! grep -q "^503" out; }
soon "  and answers" answered
check "an export can be opened from now on; this is none" sh -c "cat out answer; ! grep -q 'no station is enrolled' answer && ! grep -q ^5 out"
check "nothing else was started anew" test "$(grep -c '"renewed"' ws.serve)" = 3
check "  and nothing died" sh -c "! grep -q '"restarted"' ws.serve"
check "  all are there" test "$(pgrep -P "$(cat ws-serve.pid)" | wc -l)" = "$pids"
check "a graceful stop" serve_stop ws
finish
