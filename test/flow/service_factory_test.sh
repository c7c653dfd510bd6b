#!/bin/bash
# Headquarters over the network: work orders, the journals of stations, and what is made of them, by a service that has the books.
#
# With "postgres" the books are there.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
source "$root/test/flow/station_lib.sh"

books=()
[ "${2:-}" != postgres ] || books=(--registry "$STAMP_TEST_PG")
check "headquarters" "$stamp" init hq --company Acme --product Sensor "${books[@]}"
token line-1 || exit 1
token line-1b || exit 1
check "a station" station site line-1
check "its spare" station spare line-1b
for role in admin factory auditor station device; do
    check "a key for '$role'" "$stamp" -C hq apikey add --role "$role" "$role" -o "$role.key"
done
check "the service starts" serve hq
online=(--server "https://$at" --api-key-file factory.key)

# same WHAT COMMAND...: says over the network what it says with the books at hand
same() {
    local what=$1
    shift
    "$stamp" -C hq "$@" > local.out 2> local.err
    printf '%s\n' $? >> local.out
    "$stamp" -C hq "$@" "${online[@]}" > online.out 2> online.err
    printf '%s\n' $? >> online.out
    check "$what" cmp local.out online.out
    check "  and as an error" cmp local.err online.err
}

# ---- orders ----
new=(order create --product Sensor --station site.pem --not-after 2037-01-31)
check_status "an order over the network" 0 "$stamp" -C hq "${new[@]}" --count 4 -o order --note "week 48" "${online[@]}"
says "4 units"
cp out order.out
check "is signed here, and on the books there" sh -c "'$stamp' -C hq batch show 1 > show.out; grep -q 'week 48' show.out"
check "  by the name of the key" grep -q 'API key factory' show.out
check_status "one with a spare" 0 "$stamp" -C hq "${new[@]}" --count 3 --spare spare.pem --spare-count 1 -o two "${online[@]}"
check "  are two orders" test "$("$stamp" -C hq order list | grep -c Sensor)" = 3
check_status "for a station of no books" 1 "$stamp" -C hq order create --product Sensor --station hq/root.pem --count 1 \
    --not-after 2037-01-31 -o none "${online[@]}"
check_status "of a role that may not" 3 "$stamp" -C hq "${new[@]}" --count 3 -o none --server "https://$at" --api-key-file auditor.key
says "the role of this API key may not do that"
says "nothing was changed"
check_status "a file that is there" 1 "$stamp" -C hq "${new[@]}" --count 3 -o order "${online[@]}"
says "'order' is there already"
check "  no order is booked for these" test "$("$stamp" -C hq order list | grep -c Sensor)" = 3
check "  and no file is made" test ! -e none
same "all orders" order list
same "  as JSON" order list --json
same "one of them" order show order
same "  as JSON" order show 1 --json
same "all batches" batch list
same "  as JSON" batch list --json
same "one of them" batch show 1
same "  as JSON" batch show 1 --json
same "its balance" batch balance 1
same "  as JSON" batch balance 1 --json

for what in "order show 99" "batch show 99" "order close 99"; do
    # shellcheck disable=SC2086 # words
    check_status "none: $what" 1 "$stamp" $what "${online[@]}" --trust hq/root.pem
    says "99"
done

# post PATH NAME BODY KEY [OPTION...]: body, and the status on a line of its own
post() {
    local path=$1 name=$2 body=$3 key=$4
    shift 4
    curl -sS --cacert hq/root.pem -H "Authorization: Bearer $(cat "$key.key")" -H "Content-Type: application/json" \
        -H "Idempotency-Key: $name" --data "$body" -w '\n%{http_code}\n' "$@" "https://$at/api/v1/$path"
}
one="{\"product\":\"Sensor\",\"count\":2,\"station\":\"$(openssl x509 -in site.pem -outform DER | sha256sum | cut -d' ' -f1)\",\"not_after\":2100000000}"
post orders of-a-program "$one" admin > first.out
check "a program has one booked" grep -qx 201 first.out
post orders of-a-program "$one" admin > again.out
check "  asked again, it is the same" cmp first.out again.out
post orders of-a-program "${one/2,/3,}" admin > other.out
check "  another one of that name is refused" grep -qx 409 other.out
post orders of-a-program "$one" factory > mine.out
check "  names are each key's own" sh -c "grep -qx 201 mine.out && ! cmp -s first.out mine.out"
check "the factory dies" pkill -9 -P "$(cat hq-serve.pid)" -f -- '--as factory'
for _ in $(seq 100); do
    post orders of-a-program "$one" admin --max-time 10 > again.out
    ! grep -qx 503 again.out || { sleep 0.1; continue; }
    break
done
check "  the next one knows the name" cmp first.out again.out
check "  5 orders are on the books" test "$("$stamp" -C hq order list | grep -c Sensor)" = 5

# ---- units, and what the station has of them ----
unit one && unit two
check_status "two units are struck" 0 strike site order one two
came_back=(--device "$(readlink one.tty)" --device "$(readlink two.tty)")
check_status "the station exports" 0 export_of site export
check_status "another role's export" 3 "$stamp" -C hq reconcile export --server "https://$at" --api-key-file device.key
says "the role of this API key may not do that"
printf 'no export of any station' > garbage
check_status "what is no export" 3 "$stamp" -C hq reconcile garbage "${online[@]}"
says "garbage, part 1: "
says "0 parts taken in"
check_status "what is not there" 1 "$stamp" -C hq reconcile nowhere "${online[@]}"
says "cannot read 'nowhere'"
check_status "an export over the network" 0 "$stamp" -C hq reconcile export "${online[@]}"
says "expected 4; made 2"
says "2 units booked"
check "  the units are on the books" test "$("$stamp" -C hq registry list --state struck --csv | grep -c SN-)" = 2
same "  once more" reconcile export
same "  without an export" reconcile
same "  as JSON" reconcile --json
check_status "  how it stands" 0 "$stamp" -C hq order show order "${online[@]}"
check "a key for support" "$stamp" -C hq apikey add --role support -o support.key
online[3]=support.key
same "the proof that a unit sealed itself" registry pop "$(serial_of one)" --key hq/keys/home.key
online[3]=factory.key
check "  is one" grep -q '^[0-9A-Za-z]' online.out
same "units that came back" reconcile "${came_back[@]}"
same "  as JSON" reconcile --json "${came_back[@]}"
check_status "  agree with the books" 0 "$stamp" -C hq reconcile "${came_back[@]}" "${online[@]}"
says "on $(readlink one.tty) agrees with the books: struck"
check "one of them is scrapped" "$stamp" -C hq registry set "$(serial_of one)" --state scrapped --reason "so they said" "${online[@]}"
same "  and came back all the same" reconcile "${came_back[@]}"
check_status "  which is told" 3 "$stamp" -C hq reconcile "${came_back[@]}" "${online[@]}"
says "it is in use, and the books have it as scrapped"
check_status "another role's device" 3 "$stamp" -C hq reconcile "${came_back[@]}" --server "https://$at" --api-key-file device.key
says "the role of this API key may not do that"
stop one
stop two
check_status "a device that does not answer" 1 "$stamp" -C hq reconcile --device "$scratch/none" "${online[@]}"
says "cannot open"
check "the service says so" grep -q '"event":"reconciled","booked":"2"' hq.serve

# ---- results of a batch ----
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=line" -days 3650 -keyout s.key -out s.pem \
    -addext keyUsage=critical,keyAgreement 2> /dev/null
check "a batch" "$stamp" -C hq batch create --product Sensor --count 6 --station s.pem -o b.batch
mapfile -t handed < <("$stamp" batch next b.batch --key s.key --trust hq/root.pem -n 3 -o . | cut -f1)
"$stamp" batch report b.batch --unit "${handed[0]}" --result struck --chip AA00 > /dev/null
"$stamp" batch report b.batch --unit "${handed[1]}" --result scrapped --reason cracked > /dev/null
check "its results" "$stamp" batch close b.batch -o results
check_status "by a role that may not" 3 "$stamp" -C hq batch import results --server "https://$at" --api-key-file auditor.key
says "nothing of 'results' was booked"
check_status "are booked over the network, by a station" 0 "$stamp" -C hq batch import results --server "https://$at" --api-key-file station.key
says "1 struck, 1 scrapped, 3 returned, 1 in doubt; 5 booked now"
same "again" batch import results
check "what is none" sh -c "head -c 3000 /dev/urandom > none; ! '$stamp' -C hq batch import none ${online[*]} 2> none.err"
check "  is named" grep -q "nothing of 'none' was booked" none.err
check_status "one that is not there" 1 "$stamp" -C hq batch import nowhere "${online[@]}"
says "cannot read 'nowhere'"
check "another batch" "$stamp" -C hq batch create --product Sensor --count 3 --station s.pem -o c.batch
mapfile -t handed < <("$stamp" batch next c.batch --key s.key --trust hq/root.pem -n 2 -o . | cut -f1)
"$stamp" batch report c.batch --unit "${handed[0]}" --result struck --chip AA00 > /dev/null # a chip that another one has
"$stamp" batch report c.batch --unit "${handed[1]}" --result struck --chip AA02 > /dev/null
check "its results" "$stamp" batch close c.batch -o results-2
same "what contradicts the books is named" batch import results-2
check "  and nothing is booked" sh -c "'$stamp' -C hq registry show ${handed[1]} | grep -q issued"
check_status "a station does not judge it" 3 "$stamp" -C hq batch import results-2 --quarantine --server "https://$at" --api-key-file station.key
check_status "set aside" 0 "$stamp" -C hq batch import results-2 --quarantine "${online[@]}"
says "1 conflicts, 2 serials revoked"
check "  the rest is booked" sh -c "'$stamp' -C hq registry show ${handed[1]} | grep -q struck"

# ---- closing ----
check_status "an order is closed over the network" 0 "$stamp" -C hq order close order "${online[@]}"
check_status "  again" 0 "$stamp" -C hq order close order "${online[@]}"
check "  is closed" sh -c "'$stamp' -C hq order show order | grep -q closed"
check "  by the name of the key, once" test "$(grep -c '"event":"order-closed".*"by":"factory"' hq.serve)" = 1
check_status "a role that may not" 3 "$stamp" -C hq order close two --server "https://$at" --api-key-file station.key
check "the books and the log agree" "$stamp" -C hq registry check
check "a graceful stop" serve_stop hq
for role in admin factory auditor station device; do
    check "no key is in the log" sh -c "! grep -qF -f $role.key hq.serve hq.out"
done
finish
