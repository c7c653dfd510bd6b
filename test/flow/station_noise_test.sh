#!/bin/bash
# A line between station and unit that loses, damages and doubles frames, and on which others talk: each
# unit comes to its end with one identity, and station, units and books agree. Then somebody who sits on
# the line hands in one unit's request for a certificate as another's: nothing comes of it.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"

headquarters && token line-1 && station site line-1 || exit 1
order order 10 site || exit 1
made=0

# done_over WHAT UNIT: it is struck over this line. A lost frame costs it a second.
done_over() {
    check_status "$1" 0 timeout 280 "$stamp" station run site --order order --unit-s 240 --once \
        --port "$(readlink "$2.tty")" --pin-file pin
    made=$((made + 1))
    says "1 done now; of 10: $made done"
}

for rule in lose damage double noise late; do
    unit "$rule" --chip-id "c0ffee$(printf '%s' "$rule" | xxd -p)"
    proxy "$rule-line" "$rule" --rule "$rule" --every 11
    done_over "a line with the rule '$rule'" "$rule-line"
    stop "$rule-line"
    check_status "  and the unit proves itself, locked" 0 "$stamp" prove --port "$(readlink "$rule.tty")" \
        --trust hq/root.pem
    says "locked"
    stop "$rule"
done

# One unit's request for a certificate, recorded, in the place of another's; then the line is honest.
unit first --chip-id aa01
proxy first-line first --seen first.log
done_over "a unit whose request is recorded" first-line
first_serial=$(sed -n 's/.*: \(.*\) done$/\1/p' out)
stop first-line
stop first
unit second --chip-id aa02
proxy second-line second --rule replay-request --replay first.log
done_over "another one hands it in, and then its own" second-line
says "failed, tried again: the unit's request for a certificate is refused: it does not answer this challenge"
stop second-line
check_status "  and the unit has its own identity" 0 "$stamp" prove --port "$(readlink second.tty)" \
    --trust hq/root.pem
stop second

# The certificates of the first one, in the place of another's: not for its key, not for its claims.
unit third --chip-id aa03
proxy third-line third --rule replay-certificates --replay first.log
done_over "another unit's certificates are refused, and its own are not" third-line
says "failed, tried again"
stop third-line
check_status "  and the unit has its own identity" 0 "$stamp" prove --port "$(readlink third.tty)" --trust hq/root.pem
check "  not the first one's" sh -c "! grep -q '^$first_serial' out"
stop third

# The owner's bundle with another recipient for proofs than the owner signed.
unit fourth --chip-id aa04
proxy fourth-line fourth --rule tamper-bundle
done_over "a changed bundle is refused, and the owner's is not" fourth-line
says "failed, tried again: the device on"
says "refused: not authentic"
stop fourth-line
stop fourth

check_status "the journal goes home" 0 export_of site bundle
check_status "and agrees with the books" 0 "$stamp" -C hq reconcile bundle
says "made $made, written and not proven 0, signed and not known to be written 0"
says "$made units booked; 0 problems"
finish
