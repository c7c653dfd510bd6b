#!/bin/bash
# `stamp batch import` is killed at moments spread over its whole run, and run again: results are on the
# books whole or not at all.
#
# usage: batch_kill_import_test.sh BUILD [postgres]
# STAMP_KILLS: how many moments (default: 12)
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
station line
headquarters

# results NAME: a batch of 300 and what became of it; $batch is its number.
results() {
    mkdir "$1" && "$stamp" -C hq batch create --product Sensor --count 300 --station line.pem \
        -o "$1/batch" > made 2> /dev/null || exit 1
    batch=$(cut -f1 made)
    mkdir "$1/images"
    (
        cd "$1" || exit 1
        "$stamp" batch next batch --key ../line.key --trust ../hq/root.pem -n 12 -o images | cut -f1 > serials
        for i in 1 2 3 4 5 6; do
            "$stamp" batch report batch --unit "$(sed -n "${i}p" serials)" --result struck --chip "$1-$i"
        done
        "$stamp" batch report batch --unit "$(sed -n 7p serials)" --result scrapped --reason bent
        "$stamp" batch close batch -o results
    ) > /dev/null 2>&1 || exit 1
}

before="issued 300 = struck 0 + scrapped 0 + returned 0 + revoked 0 + outstanding 300"
after="issued 300 = struck 6 + scrapped 1 + returned 288 + revoked 0 + outstanding 5"

# whole: nothing of the results is booked, or all.
whole() {
    local line
    line=$("$stamp" -C hq batch balance "$batch") && { [ "$line" = "$before" ] || [ "$line" = "$after" ]; }
}

results first
check_status "calls are counted" 0 "${preload[@]}" STAMP_KILL_COUNT=count "$stamp" -C hq batch import first/results
check "there are enough of them" test "$(cat count)" -ge "$([ "$backend" = postgres ] && echo 1 || echo 5)"
for at in $(moments "$(cat count)" "$kills"); do
    results "at-$at"
    killed "$at" "$stamp" -C hq batch import "at-$at/results" || check "killed at call $at" false
    check "killed at call $at: all or nothing" whole
    check_status "it goes on" 0 "$stamp" -C hq batch import "at-$at/results"
    check_status "and balances" 0 "$stamp" -C hq batch balance "$batch"
    says "$after"
    check_status "and is closed" 0 "$stamp" -C hq batch show "$batch"
    says "state     closed"
    check_status "with its history" 0 "$stamp" -C hq registry show "$(sed -n 1p "at-$at/serials")"
    check "  once struck" test "$(grep -c 'history.* struck' "$scratch/out")" = 1
done

# By time, too: PostgreSQL's work is not in our calls.
for i in $(seq "$kills"); do
    results "time-$i"
    { timeout -s KILL "$(awk -v i="$i" -v k="$kills" 'BEGIN { print 0.004 + 0.06 * i / k }')" \
        "$stamp" -C hq batch import "time-$i/results" > /dev/null 2>&1; } 2> /dev/null
    check "killed after a time: all or nothing" whole
    check_status "it goes on" 0 "$stamp" -C hq batch import "time-$i/results"
    check_status "and balances" 0 "$stamp" -C hq batch balance "$batch"
    says "$after"
done
[ "$failures" = 0 ]
