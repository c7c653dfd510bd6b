#!/bin/bash
# The processes of the service are killed at random while devices enrol: each is started again, clients are told to ask
# again, and every certificate that was told is on the books, no number twice.
#
# STAMP_KILLS: how many (default: 40)
# usage: service_kill_test.sh BUILD [postgres]     with postgres: through test/pg_server.sh; its server is killed too
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
kills=${STAMP_KILLS:-40}
clients=("${python[@]}" "$root/test/flow/service_load.py")

if [ "${2:-}" = postgres ]; then
    check "a workspace with its books in PostgreSQL" "$stamp" init ws --company Acme --product Sensor --registry "$STAMP_TEST_PG"
else
    check "a workspace" "$stamp" init ws --company Acme --product Sensor
fi
# Many at once, so that much is under way when a process dies. `registry show` lists the newest 4,096 keys of a device:
# more kills, and so more certificates, need more devices
count=$((40 + kills / 100))
check "$count stamps" "$stamp" -C ws make -n "$count"
devices=()
i=0
for serial in $("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p'); do
    device ws "$serial" "d$i"
    devices+=("d$i")
    i=$((i + 1))
done
check "the service starts" serve ws --fronts 2 --per-hour 1000000 --rate 100000000
parent=$(cat ws-serve.pid)

"${clients[@]}" load "$scratch/end" "${at##*:}" ws/root.pem told "${devices[@]}" > load.out 2>&1 &
load_pid=$!

# kill_one: one of the parent's processes, or a connection of PostgreSQL, which then restarts all of its own. Those that are looked
# for in the end come first: chance alone leaves one of them out now and then.
named=(front books signer)
kill_one() {
    local all
    mapfile -t all < <(pgrep -P "$parent")
    if [ "$killed" -lt "${#named[@]}" ]; then
        mapfile -t all < <(pgrep -P "$parent" -f -- "--as ${named[$killed]}")
    elif [ -n "${STAMP_TEST_PG_PID:-}" ] && [ $((RANDOM % 8)) = 0 ]; then
        mapfile -t all < <(pgrep -P "$STAMP_TEST_PG_PID" -f 'stamp postgres')
    fi
    kill_any "${all[@]}"
}

killed=0
while [ "$killed" -lt "$kills" ] && kill -0 "$load_pid" 2> /dev/null && kill -0 "$parent" 2> /dev/null; do
    sleep "0.$((RANDOM % 3 + 1))"
    kill_one && killed=$((killed + 1))
done
sleep 2
touch end
check "the load ends without an answer that it did not expect" wait "$load_pid"
cat load.out
check "$kills were killed" test "$killed" = "$kills"
for role in "${named[@]}"; do
    check "  '$role' among them, and each came again" grep -q "\"restarted\",\"which\":\"$role\"" ws.serve
done
printf 'restarted: %s\n' "$(grep -o '"which":"[a-z]*"' ws.serve | sort | uniq -c | tr -s ' \n' ' ')"
check "a graceful stop" serve_stop ws
check_status "every certificate that was told is on the books, once" 0 "${clients[@]}" check "$stamp" ws told
cat out
finish
