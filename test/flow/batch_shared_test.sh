#!/bin/bash
# One batch made by several programs at once, as on several machines, and PostgreSQL going away meanwhile.
#
# usage: test/pg_server.sh batch_shared_test.sh BUILD postgres
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
station line
headquarters
create=("$stamp" -C hq batch create --product Sensor --station line.pem)

shared() {
    local i pids=()
    for i in 1 2 3; do
        "${create[@]}" --count 33000 --id week-48 --threads 1 -o "part-$i.batch" > "part-$i.out" 2>&1 &
        pids+=($!)
    done
    for i in 1 2 3; do
        status=0
        wait "${pids[i - 1]}" || status=$?
        check "machine $i has a part, or found none left" test "$status" = 0 -o "$status" = 5
    done
    mapfile -t parts < <(ls part-*.batch)
    check "more than one has" test "${#parts[@]}" -ge 2
    check_status "together they are the batch" 0 "$build/test/batch_check" hq line.key "${parts[@]}"
    says 33000
    check_status "the books balance" 0 "$stamp" -C hq batch balance week-48
    says "issued 33000 ="
    check_status "late for that" 5 "${create[@]}" --count 33000 --id week-48 -o late.batch
    says "others have it"
    check "no file" test ! -e late.batch -a ! -e late.batch.part
    check_status "another count" 1 "${create[@]}" --count 50000 --id week-48 -o other.batch
}

server() {
    local bin as=()
    bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 | sort -V | tail -n 1)
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    (cd / && "${as[@]}" "$bin/pg_ctl" -D "$STAMP_TEST_PG_DATA" -s -w -l "${STAMP_TEST_PG_DATA%/data}/server.log" \
        "$@")
}

gone() {
    "${create[@]}" --count 20000 -o gone.batch > gone.out 2>&1 &
    pid=$!
    until [ "$("$stamp" -C hq batch list --json 2> /dev/null | grep -c '"batch":2')" = 1 ]; do
        kill -0 "$pid" || break
    done
    sleep 0.3
    check "the database goes away" server stop -m immediate
    status=0
    wait "$pid" || status=$?
    check "it is told" test "$status" = 1 -o "$status" = 4
    check "  and how to go on" grep -E "command again" gone.out
    check_status "while it is away" 1 "${create[@]}" --count 20000 -o gone.batch
    check "it is back" server start -o "-c listen_addresses= -c unix_socket_directories=${STAMP_TEST_PG_DATA%/data}"
    check_status "it goes on" 0 "${create[@]}" --count 20000 -o gone.batch
    check_status "all is there" 0 "$build/test/batch_check" hq line.key gone.batch
    says 20000
}

shared
gone
[ "$failures" = 0 ]
