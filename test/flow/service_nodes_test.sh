#!/bin/bash
# Two nodes of the service on one PostgreSQL, under load, while processes of both and connections of the database are
# killed: nothing that was told is lost, rows, log and certificates agree, and heads that were kept on the way are of
# one log. A device goes from node to node as it likes; a request for a state is the same at both.
#
# STAMP_KILLS: how many (default: 40)
# usage: service_nodes_test.sh BUILD postgres     through test/pg_server.sh
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
kills=${STAMP_KILLS:-40}
clients=("${python[@]}" "$root/test/flow/service_load.py")

check "a workspace with its books in PostgreSQL" "$stamp" init ws --company Acme --product Sensor --registry "$STAMP_TEST_PG"
count=$((24 + kills / 100))
check "$count stamps" "$stamp" -C ws make -n "$count"
check "the log has a key" "$stamp" -C ws log head
cp -r ws node2
i=0
for serial in $("$stamp" -C ws registry list --csv -n 9999 | sed -n '2,$s/,.*//p'); do
    device ws "$serial" "d$i"
    i=$((i + 1))
done
first=$serial
for name in ws node2; do
    check "node '$name' starts" serve "$name" --fronts 2 --per-hour 1000000 --rate 100000000
    printf '%s\n' "${at##*:}" > "$name.port"
done
half=$((count / 2))
mapfile -t one < <(seq -f 'd%g' 0 $((half - 1)))
mapfile -t two < <(seq -f 'd%g' "$half" $((count - 1)))
# each half of the devices at a node of its own, then the other way round
"${clients[@]}" load "$scratch/end" "$(cat ws.port)" ws/root.pem told-1 "${one[@]}" > load-1.out 2>&1 &
load_1=$!
"${clients[@]}" load "$scratch/end" "$(cat node2.port)" ws/root.pem told-2 "${two[@]}" > load-2.out 2>&1 &
load_2=$!

# kill_one: one of a node's processes, or a connection of PostgreSQL, which then restarts all of its own.
kill_one() {
    local all parent
    parent=$(cat "$([ $((RANDOM % 2)) = 0 ] && echo ws || echo node2)-serve.pid")
    mapfile -t all < <(pgrep -P "$parent")
    if [ $((RANDOM % 8)) = 0 ]; then
        mapfile -t all < <(pgrep -P "$STAMP_TEST_PG_PID" -f 'stamp postgres')
    fi
    kill_any "${all[@]}"
}

killed=0
heads=0
while [ "$killed" -lt "$kills" ] && kill -0 "$load_1" 2> /dev/null && kill -0 "$load_2" 2> /dev/null; do
    sleep "0.$((RANDOM % 3 + 1))"
    kill_one && killed=$((killed + 1))
    if [ $((killed % 10)) = 0 ] && [ "$heads" -lt 60 ] && "$stamp" -C ws log head -o "head-$heads" > /dev/null 2>&1; then
        heads=$((heads + 1))
    fi
done
sleep 2
touch end
check "the load at one node ends without an answer that it did not expect" wait "$load_1"
check "  and at the other" wait "$load_2"
cat load-1.out load-2.out
check "$kills were killed" test "$killed" = "$kills"
check "heads were kept on the way" test "$heads" -gt 0
rm end
( sleep 2; touch end ) &
check "devices go to the other node" "${clients[@]}" load "$scratch/end" "$(cat node2.port)" ws/root.pem told-1 "${one[@]}"

# ---- a rolling restart: one node is there while the other is not ----
for name in ws node2; do
    check "node '$name' stops" serve_stop "$name"
    other=$([ "$name" = ws ] && echo node2 || echo ws)
    rm -f end
    ( sleep 1; touch end ) &
    check "  the other one goes on" "${clients[@]}" load "$scratch/end" "$(cat "$other.port")" ws/root.pem told-1 d0 d1 d2
    check "  and it comes back" serve "$name" --fronts 2 --per-hour 1000000 --rate 100000000
    printf '%s\n' "${at##*:}" > "$name.port"
done

# ---- the same asked of both nodes is done once ----
check "a key for a program" "$stamp" -C ws apikey add --role admin -o admin.key
for name in ws node2; do
    check "a state, at '$name'" "$stamp" registry set "$first" --state struck --server "https://localhost:$(cat "$name.port")" \
        --trust ws/root.pem --api-key-file admin.key
done
check "  is on the books once" sh -c "test \"\$('$stamp' -C ws registry show $first --json | grep -o '\"state\":\"struck\",\"at\"' | wc -l)\" = 1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=line" -days 3650 -keyout s.key -out s.pem \
    -addext keyUsage=critical,keyAgreement 2> /dev/null
for name in ws node2; do
    mkdir -p "$name/stations" && cp s.pem "$name/stations"
done
station=$(openssl x509 -in s.pem -outform DER | sha256sum | cut -d' ' -f1)
# order NODE COUNT OUT: a batch by the name "of-both"; its status is in OUT's last line
order() {
    curl -sS --cacert ws/root.pem -H "Authorization: Bearer $(cat admin.key)" -H "Content-Type: application/json" \
        -H "Idempotency-Key: of-both" -d "{\"product\":\"Sensor\",\"count\":$2,\"stations\":[\"$station\"]}" \
        -w '\n%{http_code}\n' "https://localhost:$(cat "$1.port")/api/v1/batches" > "$3"
}
for _ in $(seq 100); do
    order ws 300 one.out &
    order node2 300 two.out
    wait $!
    # it is made at one of them, which the other one says
    ! cat one.out two.out | grep -qx 201 || break
    sleep 0.2
done
made=$(grep -qx 201 one.out && echo ws || echo node2)
other=$([ "$made" = ws ] && echo node2 || echo ws)
order "$made" 300 made.out
order "$other" 300 other.out
cat made.out other.out
check "a batch that both are asked for is made by one" grep -qx 201 made.out
check "  the other one says so" grep -q "its file is with another node" other.out
check "  and that it is to be asked again" grep -qx 503 other.out
check "  there is one of it" test "$("$stamp" -C ws batch list --json | grep -o '"count": *300' | wc -l)" = 1
number=$(sed -n 's/.*"batch":\([0-9]*\).*/\1/p' made.out)
check "  it knows how far it is" sh -c "'$stamp' batch show $number --server https://localhost:$(cat "$other.port") --trust ws/root.pem --api-key-file admin.key |
    grep -q made"
check "  but has no file of it" test "$(curl -sS --cacert ws/root.pem -H "Authorization: Bearer $(cat admin.key)" -o none -w '%{http_code}' \
    "https://localhost:$(cat "$other.port")/api/v1/batches/$number/file")" = 503
check "  which is where it was made" curl -sSf --cacert ws/root.pem -H "Authorization: Bearer $(cat admin.key)" -o b.batch \
    "https://localhost:$(cat "$made.port")/api/v1/batches/$number/file"
check "  and a batch" "$stamp" batch show b.batch --trust ws/root.pem
order "$other" 301 wrong.out
check "  something else by its name is refused at both" grep -qx 409 wrong.out
order "$made" 301 wrong.out
check "  and there" grep -qx 409 wrong.out
for name in ws node2; do
    check "a graceful stop" serve_stop "$name"
done
cat told-1 told-2 > told
check_status "every certificate that was told is on the books, once" 0 "${clients[@]}" check "$stamp" ws told
cat out
check_status "rows, log and certificates agree" 0 "$stamp" -C ws registry check
cat out
kept=()
for i in $(seq 0 $((heads - 1))); do
    kept+=(--head "head-$i")
done
check_status "the $heads heads that were kept are of one log" 0 "$stamp" -C ws log verify "${kept[@]}"
cat out
finish
