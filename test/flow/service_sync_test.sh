#!/bin/bash
# A station that sends its journal to headquarters by itself: while the line runs, over a network that goes away and comes back.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
source "$root/test/flow/station_lib.sh"

headquarters || exit 1
token line-1 || exit 1
check "a station" station site line-1
check "an order" order order 4 site
for role in station factory auditor device; do
    check "a key for '$role'" "$stamp" -C hq apikey add --role "$role" "$role" -o "$role.key"
done
check "the service starts" serve hq
port=${at##*:}
to=(--server "https://$at" --api-key-file station.key)

# there: entries of the station's journal that headquarters has
there() {
    curl -sS --cacert hq/root.pem -H "Authorization: Bearer $(cat auditor.key)" "https://$at/api/v1/journals" |
        sed -n 's/.*"entries":\([0-9]*\).*/\1/p'
}

has() { [ "$(there)" -ge "$1" ]; }

check_status "nothing to send yet" 1 "$stamp" station export site "${to[@]}" --pin-file pin
says "there is no journal"
"$stamp" station export site "${to[@]}" --every 1 --pin-file pin > sync.out 2> sync.err &
sync=$!
soon "what sends by itself waits for a journal" grep -q "there is no journal" sync.err

# ---- while the line runs ----
unit one && unit two && unit three
"$stamp" station run site --order order --port "$(readlink one.tty)" --port "$(readlink two.tty)" --pin-file pin > line.out 2>&1 &
line=$!
soon "two units are done" sh -c "grep -cE ': SN-.* done' line.out | grep -qx 2"
soon "and are with headquarters, while the line runs" sh -c "$(declare -f there); at=$at; test \$(there) -ge 15"
check "  the line runs" kill -0 $line
check_status "a file is written meanwhile, too" 0 export_of site meanwhile
check "  and is one" "$stamp" -C hq reconcile meanwhile
check_status "how the shift stands" 0 "$stamp" station status site
says "order of 4: 2 done"

# ---- the network goes away ----
check "the service stops" serve_stop hq
soon "it says so" sh -c "grep -A1 'cannot ask' sync.err | grep -q 'what is new waits in the journal'"
kill $line && wait $line
check_status "a unit is struck meanwhile" 0 strike site order three
said=$(grep -c "cannot ask" sync.err)
sleep 2.5
check "  it does not say so again and again" test "$(grep -c "cannot ask" sync.err)" = "$said"
check_status "who sends once is told" 1 "$stamp" station export site "${to[@]}" --pin-file pin
says "cannot ask"
says "what was sent before stays there"
check "the service is back" serve_at hq "$port"
check_status "how many entries there are" 0 "$stamp" station status site --json
entries=$(sed -n 's/.*"entries": \([0-9]*\).*/\1/p' out)
soon "what happened meanwhile is with headquarters" has "${entries:-1000}"
once() { [ "$(awk '/entries$/ { n += $2 } END { print n }' sync.out)" = "$(there)" ]; }
soon "  each entry was sent once" once
kill $sync
check_status "it ends when it is told to" 0 wait $sync
check_status "books of it" 0 "$stamp" -C hq reconcile --server "https://$at" --api-key-file factory.key
says "made 3"
says "0 problems"

# ---- once ----
check_status "nothing is new" 0 "$stamp" station export site "${to[@]}"
says ": 0 entries"
check_status "all of it again" 0 "$stamp" station export site "${to[@]}" --from 1 --pin-file pin
says ": $(there) entries"
check_status "beyond its end" 1 "$stamp" station export site "${to[@]}" --from 1000 --pin-file pin
says "the journal has "
check_status "a role that may not" 3 "$stamp" station export site --server "https://$at" --api-key-file device.key --pin-file pin
says "the role of this API key may not do that"
check_status "  ends what sends by itself, too" 3 "$stamp" station export site --server "https://$at" --api-key-file device.key --every 1 --pin-file pin
check "another service" "$stamp" init other --company Acme --product Sensor
here=$at
check "  starts" serve other
check_status "  is not believed" 1 "$stamp" station export site --server "https://$at" --api-key-file station.key --pin-file pin
check "  stops" serve_stop other
at=$here
for wrong in "-o file" "--every 0" "--every 5 --pin-fd 3" "--every 5 --from 2"; do
    # shellcheck disable=SC2086 # words
    check_status "station export --server $wrong" 2 "$stamp" station export site "${to[@]}" $wrong
done
check_status "--every without a service" 2 "$stamp" station export site --every 5

# ---- much of it ----
for _ in $(seq 200); do
    cat meanwhile
done > much
check "a long file of parts" test "$(wc -c < much)" -gt 1000000
check_status "  in pieces" 0 "$stamp" -C hq reconcile much --server "https://$at" --api-key-file factory.key
says "200 parts taken in: 0 new entries"
cat much garbage > damaged 2> /dev/null || { cat much; printf 'no part'; } > damaged
check_status "  whose end is damaged" 3 "$stamp" -C hq reconcile damaged --server "https://$at" --api-key-file factory.key
says "damaged, from byte "
says "200 parts taken in"
check_status "who has asked for nothing yet cannot send so much" 22 curl -sS --fail --cacert hq/root.pem -H "Authorization: Bearer $(cat device.key)" \
    -H "Content-Type: application/octet-stream" --data-binary @much "https://$at/api/v1/bundles"
says "413"

# ---- a journal that was put back ----
cp site/journal.db kept.db
unit four
check_status "one more unit" 0 strike site order four
check_status "goes home" 0 "$stamp" station export site "${to[@]}" --pin-file pin
cp kept.db site/journal.db
rm -f site/journal.db-*
check_status "a journal that was put back" 1 "$stamp" station export site "${to[@]}" --pin-file pin
says "it was put back, or is a copy"
check "a graceful stop" serve_stop hq
check "no key is told" sh -c "! grep -qF -f station.key sync.out sync.err hq.serve hq.out"
finish
