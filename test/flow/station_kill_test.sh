#!/bin/bash
# `stamp station run` is killed at calls spread over the strike of a unit, and run again: each unit is
# brought to its end with one identity, and journal, token and devices agree.
#
# STAMP_KILLS: how many moments (default: 30)
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"
kills=${STAMP_KILLS:-30}

# moments COUNT: $kills numbers spread over 1..COUNT.
moments() {
    awk -v n="$1" -v k="$kills" 'BEGIN { for (i = 0; i < k; i++) print 1 + int(i * n / k) }' | sort -n
}

run() {
    timeout 60 "$stamp" station run site --order order --port "$(readlink unit.tty)" --once --pin-file pin
}

# killed AT: the run is killed at this call, or ends before it.
killed() {
    local status=0
    { "${preload[@]}" STAMP_KILL_AT="$1" timeout 60 "$stamp" station run site --order order \
        --port "$(readlink unit.tty)" --once --pin-file pin > killed.out 2>&1; } 2> /dev/null || status=$?
    [ "$status" = 137 ] || [ "$status" = 0 ]
}

# another: a new blank unit.
another() {
    stop unit
    rm -f unit.flash unit.fuses
    n=$((n + 1))
    unit unit --chip-id "$(printf '%08x' "$n")"
}

headquarters && token line-1 && station site line-1 || exit 1
sed -i 's/{counter:6}/{counter:8}/' hq/devstamp.yaml
check_status "an order" 0 order order "$((kills + 2))" site
n=0
unit unit --chip-id 00000000
check_status "calls are counted" 0 "${preload[@]}" STAMP_KILL_COUNT="$scratch/count" "$stamp" station run site \
    --order order --port "$(readlink unit.tty)" --once --pin-file pin
calls=$(cat count)
check "there are enough of them" test "$calls" -ge 60
failed=0
for at in $(moments "$calls"); do
    another
    killed "$at" || { failed=$((failed + 1)) && cat killed.out; }
    last_kind site >> phases
    run > run.out 2>&1 || { failed=$((failed + 1)) && printf 'after a kill at call %s\n' "$at" && cat run.out; }
    # what it was signed is what it shows
    "$stamp" prove --port "$(readlink unit.tty)" --trust hq/root.pem > proof 2>&1 && grep -q locked proof || {
        failed=$((failed + 1)) && printf 'killed at call %s: not proven\n' "$at" && cat proof run.out
    }
    cut -f1 proof | head -n 1 >> serials
done
stop unit
check "after each of $kills kills the unit is brought to its end" test "$failed" = 0
names=(- open order begin intent certificate struck pop locked "done" failed scrapped rework pause resume checkpoint)
printf 'the last entry when the station was killed:'
sort -n phases | uniq -c | while read -r n kind; do printf ' %s %s,' "${names[kind]}" "$n"; done | sed 's/,$/\n/'
if [ "$kills" -ge 60 ]; then # enough to hit each phase
    for kind in 1 3 4 5 6 7 8 9; do
        check "killed behind an entry '${names[kind]}'" grep -qx "$kind" phases
    done
fi
check "no serial twice" test -z "$(sort serials | uniq -d)"
check_status "the journal knows all of them" 0 "$stamp" station status site
says "order of $((kills + 2)): $((kills + 1)) done, 0 failed, 0 scrapped, 0 in doubt, 1 remaining"
check_status "it goes home" 0 export_of site bundle
check_status "and agrees with the books" 0 "$stamp" -C hq reconcile bundle
says "made $((kills + 1)), written and not proven 0, signed and not known to be written 0"
finish
