#!/bin/bash
# Books that earlier versions left (test/migrate) are brought up to this one: nothing of them is lost, what this version adds
# is there, and they go on.
#
# With "postgres" the books are there.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
kind=${2:-sqlite}
from=$root/test/migrate

# load SQL: into the workspace's registry, instead of what is there
load() {
    if [ "$kind" = sqlite ]; then
        rm -f ws/registry.db*
        "${python[@]}" -c 'import sqlite3, sys
c = sqlite3.connect("ws/registry.db")
c.executescript(open(sys.argv[1], encoding="utf-8").read())' "$1"
    else
        psql -q -v ON_ERROR_STOP=1 -d "$STAMP_TEST_PG" -c 'SET client_min_messages = warning; DROP SCHEMA IF EXISTS devstamp CASCADE' -f "$1" > /dev/null
    fi
}

books=()
[ "$kind" != postgres ] || books=(--registry "$STAMP_TEST_PG")
check "a workspace" "$stamp" init ws --company Acme --product Sensor "${books[@]}"
sed -i 's/{year}{week}-//' ws/devstamp.yaml
for file in "$from"/version-*-"$kind".sql; do
    version=${file##*version-}
    version=${version%-*}
    check "version $version" load "$file"
    "$stamp" -C ws registry export 2> export.err | sed 's/,[^,]*$//' > now.csv
    check "  nothing is lost" diff now.csv "$from/version-$version-$kind.csv"
    check_status "  rows, certificates and the log agree" 0 "$stamp" -C ws registry check
    says ": all agree"
    mapfile -t serials < <(sed '1d;s/,.*//' now.csv)
    if [ "$version" -ge 3 ]; then
        check_status "  the batch that was used" 0 "$stamp" -C ws batch balance 2
        says "issued 5 = struck 1 + scrapped 1 + returned 2 + revoked 0 + outstanding 1"
        check "  and the one that is sealed" sh -c "'$stamp' -C ws batch show 3 > show.out && grep -q 'week 48' show.out"
    fi
    if [ "$version" -ge 4 ]; then
        "$stamp" -C ws order list --json > orders.json
        check "  an order is open and one closed" test "$(grep -o '"state": *"[a-z]*"' orders.json | sort | tr -d ' \n')" = '"state":"closed""state":"open"'
        check "  of station line-3" grep -q '"station": *"line-3"' orders.json
    fi
    if [ "$version" -ge 5 ]; then
        "$stamp" -C ws registry show "${serials[0]}" --json > device.json
        check "  three operational keys" test "$("${python[@]}" -c 'import json
print(*(k["state"] for k in json.load(open("device.json"))["operational"]))')" = "retired confirmed pending"
    fi
    if [ "$version" -ge 6 ]; then
        check "  a device is revoked" sh -c "'$stamp' -C ws registry list --state revoked --csv | grep -q '^${serials[3]},'"
        check "  a token waits" sh -c "'$stamp' -C ws token list | grep -q '${serials[2]}'"
    fi
    [ "$version" -lt 8 ] || check "  an API key is known" sh -c "'$stamp' -C ws apikey list | grep -q audit"
    # from version 9 on there is a log already, whose key stayed with the workspace of then
    [ "$version" -ge 9 ] || check_status "  its log has a head" 0 "$stamp" -C ws log head -o "head-$version"
    check_status "  they go on" 0 "$stamp" -C ws make -n 2
    check_status "  and agree" 0 "$stamp" -C ws registry check
    [ "$version" -ge 9 ] || check_status "  with the head before, too" 0 "$stamp" -C ws log verify --head "head-$version"
    check "  the next ones have the next serials" test "$("$stamp" -C ws registry export | cut -d, -f1 | sort | uniq -d | wc -l)" = 0
    check "  backed up" "$stamp" -C ws registry backup -o "backup-$version"
    rm -rf ws/keys/log.key ws/log.pem; rm -f ws/stamps/*
done
finish
