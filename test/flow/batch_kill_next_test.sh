#!/bin/bash
# `stamp batch next` is killed at calls spread over its whole run: no stamp is handed out twice, the
# books balance, and no secret is left but in the images.
#
# STAMP_KILLS: how many moments, in each of two phases (default: 12)
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
umask 077
images=("${python[@]}" "$root/test/flow/batch_images.py")
kills=${STAMP_KILLS:-12}
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0

next=("$stamp" batch next batch --key station-0.key --trust root.pem -n 3 -o images)
preload=(env "LD_PRELOAD=$build/test/libkill_at.so")

# moments COUNT: $kills numbers spread over 1..COUNT.
moments() {
    awk -v n="$1" -v k="$kills" 'BEGIN { for (i = 0; i < k; i++) print 1 + int(i * n / k) }' | sort -n
}

# killed AT: the run is killed at this call, or ends before it.
killed() {
    local status=0
    # The shell tells of each one that is killed.
    { "${preload[@]}" STAMP_KILL_AT="$1" "${next[@]}" >> out 2>> err; } 2> /dev/null || status=$?
    [ "$status" = 137 ] || [ "$status" = 0 ]
}

# balance: what is handed out and what is not make up the file; every image is whole and on the books.
balance() {
    local line
    line=$("$stamp" batch close batch -o "results-$RANDOM$RANDOM" 2> /dev/null | head -n 1)
    [[ $line =~ ^([0-9]+)\ stamps:\ 0\ struck,\ 0\ scrapped,\ ([0-9]+)\ in\ doubt,\ ([0-9]+)\ returned$ ]] ||
        return 1
    [ "${BASH_REMATCH[1]}" = "$((BASH_REMATCH[2] + BASH_REMATCH[3]))" ] || return 1
    [ "$("${images[@]}" images stamps images)" -le "${BASH_REMATCH[2]}" ]
}

# Books that are there already.
"$build/test/batchfile_make" on "$((3 * kills + 30))" && cd on && mkdir images || exit 1
check_status "books are made" 0 "${next[@]}"
check_status "calls are counted" 0 "${preload[@]}" STAMP_KILL_COUNT=count "${next[@]}"
check "there are enough of them" test "$(cat count)" -ge 12
: > out
for at in $(moments "$(cat count)"); do
    killed "$at" || check "killed at call $at" false
done
check_status "it goes on" 0 "${next[@]}"
cat "$scratch/out" >> out
check "no stamp twice" test -z "$(cut -f1 out | sort | uniq -d)"
check "no file of work is left" test -z "$(find images -name '*.tmp')"
check "no secret is left" "${images[@]}" secrets stamps batch batch.books*
check "the books balance" balance

# The books are made, too.
cd "$scratch" && "$build/test/batchfile_make" begin 6 && cd begin && mkdir images || exit 1
check_status "calls are counted" 0 "${preload[@]}" STAMP_KILL_COUNT=count "${next[@]}"
for at in $(moments "$(cat count)"); do
    rm -rf images batch.books* out results-*
    mkdir images
    killed "$at" || check "killed at call $at" false
    check_status "after call $at: it goes on" 0 "${next[@]}"
    cat "$scratch/out" >> out
    check "  no stamp twice" test -z "$(cut -f1 out | sort | uniq -d)"
    check "  no secret is left" "${images[@]}" secrets stamps batch batch.books*
    check "  the books balance" balance
done
[ "$failures" = 0 ]
