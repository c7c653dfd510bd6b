#!/bin/bash
# A station loses its journal: headquarters makes it anew from what was exported and from a unit that came
# back, gives up what nothing is known of, and the line goes on. Units that come back are compared with the
# books, also those that nobody knows.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"

# returned UNIT... [-- OPTION...]: units that came back, beside the books.
returned() {
    local ports=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        ports+=(--device "$(readlink "$1.tty")")
        shift
    done
    [ $# = 0 ] || shift
    "$stamp" -C "${books:-hq}" reconcile "$@" "${ports[@]}"
}

headquarters && token line-1 && station site line-1 || exit 1
check_status "an order" 0 order order 6 site --lock later
for i in 1 2 3 4; do unit "u$i" --chip-id "aa0$i"; done
check_status "a unit, and its journal goes home" 0 strike site order u1
export_of site bundle-1 > export.out
check_status "  where it is taken in" 0 "$stamp" -C hq reconcile bundle-1
name=$(sed -n 's/^order .*, station \([0-9a-f]*\):.*/\1/p' out)
check_status "another one" 0 strike site order u2
check_status "and a third" 0 strike site order u3
check_status "a unit that came back agrees with the books" 0 returned u1
says "device $(serial_of u1) on $(readlink u1.tty) agrees with the books: struck, chip aa01"
check_status "one whose journal did not come home does not" 3 returned u2
says "device $(serial_of u2) on $(readlink u2.tty): it is on no books: by its certificate it is unit"
says "no journal that came home tells of it"
check_status "a port where nothing answers" 1 "$stamp" -C hq reconcile --device "$scratch/none"
says "none"

# The journal is lost.
cp site/journal.db* .
rm -f site/journal.db*
check_status "nothing is made without it" 1 strike site order u4
says "the token has counted 3 units of this order and the journal knows 0"
check_status "a station that nobody knows" 1 "$stamp" -C hq reconcile --rebuild 0123456789abcdef -o new.db
says "nothing of a station '0123456789abcdef' is here"
check_status "an order that is not" 1 "$stamp" -C hq reconcile --rebuild "$name" --counted 77=3 -o new.db
check "  leaves no file" test ! -e new.db
check_status "more than the order has" 1 "$stamp" -C hq reconcile --rebuild "$name" --counted 1=7 -o new.db
says "has less than 7 units"
check "  leaves no file" test ! -e new.db
check_status "from the exports, and the unit that came back" 0 "$stamp" -C hq reconcile --rebuild "$name" -o short.db
says "1 units that came back, 0 given up"
says "with --counted"
cp short.db site/journal.db
check_status "the token counted one more" 1 strike site order u4
says "counted 3 units of this order and the journal knows 2"
rm -f site/journal.db*
check_status "with what it counted" 0 "$stamp" -C hq reconcile --rebuild "$name" --counted order=3 -o new.db
says "1 units that came back, 1 given up"
check_status "nothing is overwritten" 1 "$stamp" -C hq reconcile --rebuild "$name" --counted order=3 -o new.db
says "'new.db' is there already"

cp new.db site/journal.db
check_status "the line goes on with it" 0 strike site order u4
says "1 done now; of 6: 3 done, 0 failed, 1 scrapped, 0 in doubt, 2 remaining"
check_status "a unit that is done is not struck twice" 0 strike site order u2
says "0 done now; of 6: 3 done"
check_status "one that was given up is not taken for blank" 1 strike site order u3
says "the unit has a stamp already that this order did not give it"
check_status "all of it goes home" 0 export_of site bundle-2
check_status "  and agrees" 0 returned u1 u2 u4 -- bundle-2
says "expected 6; made 3, written and not proven 0, signed and not known to be written 0, begun without a certificate 0, begun here and made elsewhere 0, scrapped 1, not begun 2; too many 0, refused 0"
says "device $(serial_of u2) on $(readlink u2.tty) agrees with the books: struck, chip aa02"
says "0 problems"
check_status "what was given up stays off the books" 3 returned u3
says "it is on no books: by its certificate it is unit"

# For programs.
check_status "as JSON" 3 returned u1 u3 -- --json
check "  it is all there" "${python[@]}" -c 'import json
d = json.load(open("out"))
o, = d["orders"]
assert (o["expected"], o["made"], o["scrapped"], o["not_begun"], o["moved"]) == (6, 3, 1, 2, 0), o
p, = d["problems"]
assert p["what"] == "strange" and "no books" in p["text"], p
assert len(d["devices"]) == 1 and "agrees" in d["devices"][0], d'

# What does not agree.
"$stamp" -C hq registry set "$(serial_of u4)" --state scrapped --reason "fell" > set.out || exit 1
check_status "a unit in use that was scrapped" 3 returned u4
says "it is in use, and the books have it as scrapped"
"$stamp" init theirs --company Other --product Sensor > /dev/null
books=theirs check_status "another owner's device" 3 returned u1
says "not authentic"
stop u1
unit u1 --chip-id bb01
check_status "a stamp that moved to another chip" 3 returned u1
says "it runs on chip bb01, and the books have aa01"
check_status "the old journal behind the new one is a fork" 3 bash -c "cp '$scratch'/journal.db* site/ &&
    sleep 1 && '$stamp' station export site -o bundle-3 --pin-file pin > /dev/null && '$stamp' -C hq reconcile bundle-3"
says "there are two entries"
finish
