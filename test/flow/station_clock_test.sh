#!/bin/bash
# The clock of a station that nobody vouches for: before the journal's last entry, the order or the station's
# own certificate, beyond the order, and set while the line runs. In doubt the line stops, with a message,
# and what was begun goes on when the clock is right.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"
faketime=$(find /usr/lib -name libfaketime.so.1 | head -n 1)
check "libfaketime is here" test -n "$faketime"
export FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1

# at OFFSET COMMAND...: with a clock that is off by so much.
at() {
    local offset=$1 site=$2 order=$3
    env LD_PRELOAD="$faketime" FAKETIME="$offset" timeout 60 "$stamp" station run "$site" --order "$order" \
        --port none --pin-file pin
}

# line ORDER UNIT OFFSET: in the background, with the clock that the file `clock` says: this, first.
line() {
    printf '%s\n' "$3" > clock
    : > line.out # now: an earlier one's lines are not this one's
    env LD_PRELOAD="$faketime" FAKETIME_TIMESTAMP_FILE="$scratch/clock" timeout 60 "$stamp" station run site \
        --order "$1" --port "$scratch/$2.link" --pin-file pin > line.out 2>&1 &
    line_pid=$!
    for _ in $(seq 100); do
        ! grep -q "the line is up" line.out || return 0
        sleep 0.05
    done
    return 1
}

# ended: the line's output is in `out`, its exit status is the result.
ended() {
    local status=0
    wait "$line_pid" || status=$?
    cat line.out
    return "$status"
}

headquarters && token line-1 && station site line-1 || exit 1
order order 9 site --not-before "$(date -u -d '-20 days' +%F)" || exit 1
unit one
check_status "a unit is struck" 0 strike site order one
stop one

check_status "a clock before the last entry" 1 at -1h site order
says "the clock is in doubt"
says "before the last entry of the journal"
says "try: set the clock right"
mkdir fresh && cp -r site fresh/site && rm -f fresh/site/journal.db*
order second 2 site --not-before "$(date -u -d '-20 days' +%F)" || exit 1
check_status "a clock before the station's own certificate" 1 at -10d fresh/site second
says "before the station's own certificate"
check_status "a clock before the order" 1 at -40d fresh/site second
says "the order does not hold yet, or the clock is wrong"
check_status "a clock beyond the order" 1 at +15y fresh/site second
says "the order holds no longer, or the clock is wrong"

# Set while the line runs.
for jump in +1h -1h; do
    rm -f two.flash two.fuses
    check "a line runs" line order two +0
    printf '%s\n' "$jump" > clock
    unit two --chip-id 02020202
    check_status "it stops where the clock is set by $jump" 1 ended
    says "the line stops: the clock is in doubt: it is"
    stop two
done
unit two --chip-id 02020202
check_status "with the clock right it goes on" 0 strike site order two
stop two
check_status "the journal is whole" 0 "$stamp" station status site
says "order of 9: 2 done, 0 failed"

# An order that ends while the line runs: not a clock in doubt.
order short 3 site --not-after "$(date -u -d '+60 seconds' +%FT%TZ)" || exit 1
rm -f two.flash two.fuses
check "a line runs" line short three +0
printf '+70\n' > clock
unit three
check_status "it stops where the order ends" 1 ended
says "the line stops: the order holds no longer, or the clock is wrong"
stop three

# Certificates begin before the clock, by the order's policy, and not before the CA.
order back 2 site --backdate 3600 || exit 1
unit four --chip-id 04040404
check_status "a unit whose certificate is backdated" 0 strike site back four
check "it begins with its CA, not before" "${python[@]}" - "$root/test/interop" site.pem \
    "$(readlink four.tty)" << 'X'
import sys
sys.path.insert(0, sys.argv[1])
from cryptography import x509
from independent_smp import Port, item
from strict_cbor import decode
with open(sys.argv[2], "rb") as f:
    ca = x509.load_pem_x509_certificate(f.read())
leaf = x509.load_der_x509_certificate(decode(item(Port(sys.argv[3]), 49))[0])
assert leaf.issuer == ca.subject
assert leaf.not_valid_before == ca.not_valid_before, (leaf.not_valid_before, ca.not_valid_before)
X
stop four
finish
