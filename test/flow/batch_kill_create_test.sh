#!/bin/bash
# `stamp batch create` is killed at moments spread over its whole run, and run again: no serial is lost,
# doubled or skipped, the books and the file agree, and no secret is left in the clear anywhere.
#
# usage: batch_kill_create_test.sh BUILD [postgres]
# STAMP_KILLS: how many moments (default: 12)
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
station line
headquarters

create() {
    printf '%s\n' "$stamp" -C hq batch create --product Sensor --count "$2" --station line.pem -o "$1"
}

small=300
mapfile -t command < <(create first.batch $small)
check_status "calls are counted" 0 "${preload[@]}" STAMP_KILL_COUNT=count "${command[@]}"
check "there are enough of them" test "$(cat count)" -ge 20
batches=(first.batch)

# Each call that changes something on a disk: before the books, reserved, first records, commit, finish.
for at in $(moments "$(cat count)" "$kills"); do
    mapfile -t command < <(create "at-$at.batch" $small)
    killed "$at" "${command[@]}" || check "killed at call $at" false
    if [ ! -e "at-$at.batch" ]; then
        killed "$((at / 2 + 3))" "${command[@]}" || check "killed again" false
    fi
    if [ -e "at-$at.batch" ]; then # perhaps the books do not know yet that it is finished
        "${command[@]}" > /dev/null 2>&1 || true
    else
        check_status "call $at: it goes on" 0 "${command[@]}"
    fi
    batches+=("at-$at.batch")
done

# In the middle of a long run, between and in commits of runs of devices.
large=${STAMP_KILL_LARGE:-20000}
for i in $(seq "$((kills / 6))"); do
    mapfile -t command < <(create "long-$i.batch" "$large")
    for _ in 1 2; do
        { timeout -s KILL "$(awk -v i="$i" -v k="$kills" 'BEGIN { print 0.3 + 1.2 * i / k }')" \
            "${command[@]}" > /dev/null 2>&1; } 2> /dev/null
    done
    if [ ! -e "long-$i.batch" ]; then
        check_status "long run $i: it goes on" 0 "${command[@]}"
    else
        "${command[@]}" > /dev/null 2>&1 || true
    fi
    batches+=("long-$i.batch")
done

want=$((small * ($(printf '%s\n' "${batches[@]}" | grep -c -v long)) + large * (kills / 6)))
mapfile -t files < <(every_file)
check_status "every stamp is whole, on the books, and nowhere in the clear" 0 \
    "$build/test/batch_check" hq line.key "${batches[@]}" -- "${files[@]}"
says "$want"
check "there is nothing half-done" test -z "$(find . -name '*.part' -o -name '*.tmp')"
for id in $("$stamp" -C hq batch list | awk 'NR > 1 { print $1 }'); do
    check_status "batch $id balances" 0 "$stamp" -C hq batch balance "$id"
done
# No serial was reserved for nothing: the counter stands behind the last of them.
mapfile -t command < <(create after.batch 1)
check_status "one more" 0 "${command[@]}"
check_status "and what it is" 0 "$stamp" -C hq batch show after.batch
check "its serial is the next" grep -q -- "$(printf -- '-%09d' $((want + 1)))" "$scratch/out"
[ "$failures" = 0 ]
