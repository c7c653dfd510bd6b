#!/bin/bash
# What goes wrong behind the service: writes that the books refuse, a full disk, a clock that jumps. Clients are told to
# ask again, and then get one certificate, which is on the books.
#
# usage: service_fault_test.sh BUILD [postgres]     with postgres: through test/pg_server.sh
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

if [ "${2:-}" = postgres ]; then
    check "a workspace with its books in PostgreSQL" "$stamp" init ws --company Acme --product Sensor --registry "$STAMP_TEST_PG"
    sql() { psql -q -v ON_ERROR_STOP=1 "$STAMP_TEST_PG" -c "SET search_path TO devstamp; $1" -A -t; }
    fail_at() {
        sql "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
             CREATE TRIGGER refuse BEFORE $1 FOR EACH ROW EXECUTE FUNCTION refuse()"
    }
    mend() { sql "DROP FUNCTION refuse CASCADE" 2> /dev/null; }
else
    check "a workspace" "$stamp" init ws --company Acme --product Sensor
    sql() {
        "${python[@]}" -c 'import sqlite3, sys
with sqlite3.connect("ws/registry.db", timeout=10) as db:
    for row in db.execute(sys.argv[1]):
        print(*row)' "$1"
    }
    fail_at() { sql "CREATE TRIGGER refuse BEFORE $1 BEGIN SELECT RAISE(ABORT, 'no'); END"; }
    mend() { sql "DROP TRIGGER refuse"; }
fi
check "three stamps" "$stamp" -C ws make -n 3
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
for i in 0 1 2; do
    device ws "${serials[$i]}" "d$i"
done
check "the service starts" serve ws

# again DIR NEW: asked until the books answer
again() {
    local i
    for i in $(seq 40); do
        enrol "$1" "$2" > out 2>&1
        ! grep -q 'STATUS 200' out || return 0
        sleep 0.1
    done
    return 1
}
# on_books NEW: the certificate in NEW.pem is the one row of its key
on_books() {
    local number
    number=$(openssl x509 -in "$1.pem" -noout -serial | cut -d = -f 2)
    "$stamp" -C ws registry show "$2" | grep -qi "certificate $number"
}

# --- a statement that fails: the first of a request's, and the last ---
n=0
for where in 'INSERT ON operational' 'UPDATE ON operational' 'INSERT ON claim_certificate'; do
    check "the books refuse: $where" fail_at "$where"
    check_status "  the device is told to ask again" 0 enrol d0 "n$n"
    says "STATUS 503"
    says "Retry-After"
    check "  and others, too" sh -c "$(declare -f enrol); client=$client at=$at; enrol d1 m$n | grep -q 'STATUS 503'"
    check "  once they do not" mend
    check "  it gets a certificate" again d0 "n$n"
    check "  which is on the books" on_books "n$n" "${serials[0]}"
    check_status "  and which it gets again" 0 enrol d0 "n$n"
    check "  as the same one" on_books "n$n" "${serials[0]}"
    n=$((n + 1))
done
check "no number twice" test -z "$(sql "SELECT serial FROM operational GROUP BY serial HAVING count(*) > 1")"
check "no certificate was told and forgotten" test "$(sql "SELECT count(*) FROM operational WHERE state = 0")" = 0

# --- a full disk ---
if [ "${2:-}" != postgres ]; then
    books=$(pgrep -P "$(cat ws-serve.pid)" -f -- '--as books')
    check "no byte more on the disk" prlimit --pid "$books" --fsize=1:
    check_status "  the device is told to ask again" 0 enrol d1 full
    says "STATUS 503"
    check "  the service lives, and says why" grep -q '"books-failed"' ws.serve
    check "room again" prlimit --pid "$books" --fsize=unlimited:
    check "  a certificate" again d1 full
    check "  which is on the books" on_books full "${serials[1]}"
fi
check "the service stops" serve_stop ws

# --- too many of all devices ---
check "a service that signs one certificate a minute" serve ws --rate 1
for n in 1 2 3; do
    enrol "d$((n % 2 + 1))" "rate$n" > "rate$n.out" 2>&1
done
check "three in a minute are too many" grep -q 'STATUS 503' rate1.out rate2.out rate3.out
check "  not all of them" grep -q 'STATUS 200' rate1.out rate2.out rate3.out
check "  and an alarm is on the log" grep -q '"alarm".*--rate' ws.serve
check "the service stops" serve_stop ws

# --- a clock that jumps ---
faketime=$(find /usr/lib -name libfaketime.so.1 | head -n 1)
check "libfaketime is here" test -n "$faketime"
serve_when() {
    LD_PRELOAD=$faketime FAKETIME=$1 serve ws --days 60
}
date_of() { date -d "$(openssl x509 -in "$1.pem" -noout "-$2" | cut -d = -f 2)" +%s; }
now=$(date +%s)
check "the service 100 days from now" serve_when +100d
# its own certificate begins then; whoever asks has to live there, too
enrol() {
    local dir=$1 new=$2
    shift 2
    LD_PRELOAD=$faketime FAKETIME=${clock:-+0d} "$client" --ca ws/root.pem --cert "$dir/cert.pem" --key "$dir/key.pem" \
        --new-key "$new.key" --out "$new.pem" "$@" "$at"
}
mkdir o0 && cp n2.pem o0/cert.pem && cp n2.key o0/key.pem
clock=+100d
check_status "an operational certificate that has ended" 0 enrol o0 x --like n2.pem --op simplereenroll
says "has expired"
check_status "the device comes back with its birth key" 0 enrol d2 far
says "STATUS 200"
check "  and gets one that begins then" test "$(($(date_of far startdate) - now))" -gt 8600000
check "the service stops" serve_stop ws
clock=+0d
check "the service today" serve_when +0d
check_status "the same key again" 0 enrol d2 far
says "STATUS 200"
check "  gets one that is valid today" test "$(date_of far startdate)" -le "$(date +%s)"
check "  which is on the books" on_books far "${serials[2]}"
check "the service stops" serve_stop ws
finish
