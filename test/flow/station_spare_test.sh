#!/bin/bash
# A work order shared between a station and a spare one with a token of its own: the first token dies in the
# middle, the spare takes over what is left and what was begun, and the books know what became of each.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
P11_FAULT_MODULE=$(find /usr/lib -name libsofthsm2.so | head -n 1)
export P11_FAULT_MODULE P11_FAULT=$scratch/fault
STAMP_TEST_MODULE=$build/test/libp11_fault.so
: > fault
source "$root/test/flow/station_lib.sh"
softhsm=$P11_FAULT_MODULE

headquarters && token line-1 && token line-2 && station site line-1 && station spare line-2 || exit 1
create=("$stamp" -C hq order create --product Sensor --not-after 2037-01-31 --station site.pem)

check_status "a share that leaves nothing" 2 "${create[@]}" --count 3 --spare spare.pem --spare-count 3 -o order
says "--spare-count is less than --count"
check_status "a spare without a share" 2 "${create[@]}" --count 3 --spare spare.pem -o order
check_status "a station that is its own spare" 1 "${create[@]}" --count 3 --spare site.pem --spare-count 1 -o order
says "'site.pem' is the same station: a spare has a token of its own"
: > order.spare
check_status "the spare's file is there already" 1 "${create[@]}" --count 3 --spare spare.pem --spare-count 1 -o order
says "'order.spare' is there already"
says "nothing was changed"
rm order.spare
check "  and there is no order" test ! -e order
check_status "an order of five, three of them the spare's" 0 "${create[@]}" --count 5 --spare spare.pem \
    --spare-count 3 -o order
says "2 units"
says "3 units"
says "order.spare"
spare_first=$(sed -n '3s/\.\..*//p' out)
check "the blocks are disjoint" test "$(grep -c '\.\.' out)" = 2 -a -z "$(sed -n 's/,.*//p' out | tr '.' '\n' |
    grep . | sort | uniq -d)"

unit one --chip-id aa01
unit two --chip-id aa02
check_status "the station strikes one" 0 strike site order one
check_status "its order is not the spare's" 3 strike spare order two
says "order 'order' is not for this station, or damaged: this key does not open it"

# The second one is signed for, and the station is killed before it hears of it.
for at in $(seq 24 2 120); do
    { "${preload[@]}" STAMP_KILL_AT="$at" timeout 60 "$stamp" station run site --order order \
        --port "$(readlink two.tty)" --once --pin-file pin > killed.out 2>&1; } 2> /dev/null
    [ "$(last_kind site)" -lt 5 ] || break
done
check "a unit was signed for and not written" test "$(last_kind site)" = 5
printf 'gone\n' > fault
check_status "the token is gone for good" 1 strike site order two
: > fault
check_status "the spare takes over, also what was begun" 0 strike spare order.spare two
says "1 done now; of 3: 1 done"
second=$(serial_of two)
check "  with the first serial of its own block" test "$second" = "$spare_first"

stop one
stop two
unit three --chip-id aa03
check_status "and goes on" 0 strike spare order.spare three
stop three

check_status "the spare's journal goes home first" 0 export_of spare bundle-2
check_status "  and is taken in" 0 "$stamp" -C hq reconcile bundle-2
says "expected 3; made 2"
check_status "then the first one's" 0 export_of site bundle-1
check_status "  and is taken in" 0 "$stamp" -C hq reconcile bundle-1
says "expected 2; made 1, written and not proven 0, signed and not known to be written 0, begun without a certificate 0, begun here and made elsewhere 1"
says "0 problems"
check_status "the chip is the spare's device on the books" 0 "$stamp" -C hq registry show "$second"
says "state                struck"
check_status "what the first station signed for it is revoked" 0 "$stamp" -C hq registry list --state revoked
check "  and the books say why" sh -c "'$stamp' -C hq registry show \"\$(sed -n '2s/ .*//p' out)\" | \
    grep -q 'its chip was struck as $second'"
check_status "again, and nothing changes" 0 "$stamp" -C hq reconcile bundle-1 bundle-2
says "0 units booked; 0 problems"
finish
