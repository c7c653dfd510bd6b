#!/bin/bash
# Books as a version of devstamp leaves them, for flow/migrate: made once, with the `stamp` of that version, when the
# registry's schema is to change.
#
# usage: make.sh STAMP VERSION BUILD     writes version-VERSION-sqlite.sql, -postgres.sql and .csv beside this script
#        BUILD has est_client
set -euo pipefail
stamp=$(realpath "$1")
version=$2
build=$(realpath "$3")
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
root=$here/../..
python=(/usr/bin/python3 -B)

if [ -z "${STAMP_MIGRATE:-}" ]; then
    STAMP_MIGRATE=sqlite "$0" "$@"
    STAMP_MIGRATE=postgres "$root/test/pg_server.sh" "$0" "$@"
    exit
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
umask 077 # keys; what is for others says so

has() { "$stamp" --help | grep -q "^  $1 "; }
can() { "$stamp" "$1" --help | grep -q "stamp $1 $2\b"; }

books=()
[ "$STAMP_MIGRATE" = sqlite ] || books=(--registry "$STAMP_TEST_PG")
"$stamp" init ws --company Acme --product Sensor "${books[@]}" > /dev/null
sed -i 's/{year}{week}-//' ws/devstamp.yaml # the same serials in whatever week
"$stamp" -C ws make -n 4 > /dev/null

if has batch; then # a batch whose stamps were used, and one that is sealed still
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=line" -days 3650 -keyout line.key \
        -out line.pem -addext keyUsage=critical,keyAgreement 2> /dev/null
    "$stamp" -C ws batch create --product Sensor --count 5 --station line.pem -o batch > /dev/null 2>&1
    mapfile -t handed < <("$stamp" batch next batch --key line.key --trust ws/root.pem -n 3 -o . | cut -f1)
    "$stamp" batch report batch --unit "${handed[0]}" --result struck --chip AA00 --who Ann --where "Line 3" > /dev/null
    "$stamp" batch report batch --unit "${handed[1]}" --result scrapped --reason cracked > /dev/null
    "$stamp" batch close batch -o results > /dev/null 2>&1
    "$stamp" -C ws batch import results > /dev/null
    "$stamp" -C ws batch create --product Sensor --count 3 --station line.pem -o batch-2 --note "week 48" > /dev/null 2>&1
fi
if has order; then # a station with an order that is open and one that is closed
    for cn in ca box journal; do
        openssl ecparam -name prime256v1 -genkey -noout -out "$cn.key"
        openssl req -new -key "$cn.key" -subj "/CN=line 3 $cn" >> csr
    done
    "$stamp" -C ws station enrol csr -o line-3.pem --name line-3 > /dev/null
    for n in 1 2; do
        "$stamp" -C ws order create --product Sensor --count 4 --station line-3.pem --not-after 2037-01-31 -o "order-$n" > /dev/null
    done
    "$stamp" -C ws order close order-2 > /dev/null
    "$stamp" -C ws registry set "$("$stamp" -C ws registry list --csv | sed -n '3s/,.*//p')" --state struck --reason "by hand" > /dev/null
fi
if has serve; then # an operational key that is used, and one that waits
    export DEVSTAMP_PIN_FILE=
    "$stamp" serve ws --listen localhost:0 > serve.out 2> serve.log &
    serving=$!
    for _ in $(seq 100); do
        at=$(sed -n 's/.*"listening","url":"https:\/\/\([^"]*\)".*/\1/p' serve.log | tail -n 1)
        [ -z "$at" ] || break
        sleep 0.1
    done
    at=localhost:${at##*:}
    first=$("$stamp" -C ws registry list --csv | sed -n '2s/,.*//p')
    "${python[@]}" "$root/test/flow/service_device.py" "ws/stamps/$first.bin" device
    enrol() { "$build/test/est_client" --ca ws/root.pem --cert "$1" --key "$2" --new-key "$3.key" --out "$3.pem" "$at" > /dev/null; }
    enrol device/cert.pem device/key.pem one
    enrol one.pem one.key two
    enrol two.pem two.key three
    kill "$serving"
    wait "$serving"
fi
if has revoke; then
    fourth=$("$stamp" -C ws registry list --csv | sed -n '5s/,.*//p')
    "$stamp" -C ws revoke "$fourth" --reason keyCompromise > /dev/null
    "$stamp" -C ws token add "$("$stamp" -C ws registry list --csv | sed -n '4s/,.*//p')" --hours 8784 > /dev/null
fi
! has apikey || "$stamp" -C ws apikey add --role auditor --expires 2099-12-31 audit > /dev/null

umask 022
"$stamp" -C ws registry export | sed 's/,[^,]*$//' > "$here/version-$version-$STAMP_MIGRATE.csv" # less the certificate
if [ "$STAMP_MIGRATE" = sqlite ]; then
    "${python[@]}" -c 'import sqlite3, sys
c = sqlite3.connect("ws/registry.db")
print("PRAGMA application_id = %d; PRAGMA user_version = %d;" % tuple(c.execute("PRAGMA " + p).fetchone()[0] for p in
      ("application_id", "user_version")))
print("\n".join(c.iterdump()))' > "$here/version-$version-sqlite.sql"
else
    pg_dump --inserts --no-owner --no-privileges "$STAMP_TEST_PG" | grep -v -e '^--' -e '^$' -e '^SET ' -e 'set_config' -e '^.\(un\)*restrict ' \
        > "$here/version-$version-postgres.sql"
fi
