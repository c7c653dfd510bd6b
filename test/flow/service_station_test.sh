#!/bin/bash
# A station that is on line: the same flow and the same journal, and the service signs instead of the token.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
source "$root/test/flow/station_lib.sh"

headquarters || exit 1
token line-1 || exit 1
check "a station" station site line-1
check "an order" order order 4 site
check "the service starts" serve hq
url=https://$at

# --- two units ---
unit one && unit two
check_status "two units are struck at once" 0 strike site order one two -- --server "$url"
says "2 done now; of 4: 2 done, 0 failed, 0 scrapped, 0 in doubt, 2 remaining"
first=$(serial_of one)
second=$(serial_of two)
check_status "the books have the first one already" 0 "$stamp" -C hq registry show "$first"
says "issued"
check "  and so says the log" grep -q "\"born\",\"device\":\"$first\",\"by\":\"station " hq.serve
"$stamp" -C hq registry export | sed -n "s/^$first,.*,//p" | base64 -d | openssl x509 -inform DER > first.pem
check "its certificate is the sub-CA's" openssl verify -CAfile hq/root.pem -untrusted hq/sub-ca.pem first.pem
check "  and no station CA is in it" sh -c \
    "openssl x509 -in first.pem -noout -issuer | grep -v -i station"
check_status "it proves itself" 0 "$stamp" prove --port "$(readlink one.tty)" --trust hq/root.pem
says "$first"
stop one
stop two

# --- away in the middle ---
unit three
kill -STOP "$(cat hq-serve.pid)" # so that it is not started again
pkill -KILL -P "$(cat hq-serve.pid)" -f -- '--as signer'
strike site order three -- --server "$url" > three.out 2>&1 &
striking=$!
for _ in $(seq 200); do
    ! grep -q 'the line stands' three.out || break
    sleep 0.1
done
check "without a signer the line stands" grep -q 'the line stands' three.out
kill -CONT "$(cat hq-serve.pid)"
check "and goes on with it" wait $striking
check "  which it says" grep -q 'the service is back: the line goes on' three.out
check "  with one unit more" grep -q 'of 4: 3 done' three.out
third=$(serial_of three)
stop three

# --- another signer, another station, another order ---
unit four
check_status "no service at this address" 1 timeout 60 "$stamp" station run site --order order \
    --port "$(readlink four.tty)" --once --pin-file pin --server https://localhost:1
says "cannot ask 'https://localhost:1'"
says "no unit was touched"
check_status "no https" 1 strike site order four -- --server http://localhost:1
says "is no https URL"
check "another headquarters" "$stamp" init other --company Acme --product Sensor
check "  and its service" serve other
check_status "is not believed" 1 strike site order four -- --server "https://$at"
says "cannot ask"
check "  stops" serve_stop other
check_status "headquarters closes the order" 0 "$stamp" -C hq order close order
check_status "a unit of a closed order" 1 strike site order four -- --server "$url"
says "this work order is not open"
check_status "  and with the token it does not go on" 1 strike site order four
says "was begun with another signer"
says "go on with --server"
check "the refusal is on the log" grep -q '"refusal":"order"' hq.serve
stop four

# --- requests of nobody, and of somebody else ---
check "another key's signature" "${python[@]}" "$root/test/flow/service_unit.py" "$url" hq/root.pem
check "a key for a program" "$stamp" -C hq apikey add --role auditor -o auditor.key
for list in stations orders products batches; do
    check_status "$list over the API" 0 curl -sS --cacert hq/root.pem -H "Authorization: Bearer $(cat auditor.key)" "$url/api/v1/$list?$([ $list = orders ] && echo limit=1)"
done
for list in stations orders; do
    curl -sS --cacert hq/root.pem -H "Authorization: Bearer $(cat auditor.key)" "$url/api/v1/$list" > "$list.json"
done
check "  name the station" "${python[@]}" -c 'import json
station = json.load(open("stations.json"))["stations"][0]
orders = json.load(open("orders.json"))["orders"]
assert station["name"] == "site" and len(station["station"]) == 64, station
assert orders and all(o["station_id"] == station["station"] and o["station"] == "site" and len(o["id"]) == 32 for o in orders), orders'
check "the service stops" serve_stop hq

# --- the journal goes home ---
check_status "the journal goes home" 0 export_of site bundle
check_status "and agrees with the books" 0 "$stamp" -C hq reconcile bundle
says "0 problems"
for serial in "$first" "$second" "$third"; do
    check_status "  $serial is struck" 0 "$stamp" -C hq registry show "$serial"
    says "struck"
done
finish
