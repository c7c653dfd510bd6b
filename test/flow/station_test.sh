#!/bin/bash
# Company A's line, from the order to the books: units make their own keys, a token signs, the units
# are locked, the journal goes home, and nobody saw a secret.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"

headquarters || exit 1
token line-1 || exit 1
check_status "a station makes its keys in the token" 0 "$stamp" station init site --token "$(uri line-1)" \
    --pin-file pin
says "key ca: made in the token"
says "BEGIN CERTIFICATE REQUEST"
check_status "once more, and finds them" 0 "$stamp" station init site --token "$(uri line-1)" --pin-file pin
says "key ca: found in the token"
check_status "no order before it is enrolled" 1 "$stamp" station run site --order none --port none \
    --pin-file pin
says "is not enrolled"
check "the requests are sound" openssl req -in site/station.csr -verify -noout
check_status "headquarters certifies it" 0 "$stamp" -C hq station enrol site/station.csr -o site.pem
check "its CA may certify devices only" sh -c \
    'openssl x509 -in site.pem -noout -text | grep -q "CA:TRUE, pathlen:0"'
check "openssl follows it to the root" openssl verify -CAfile hq/root.pem site.pem
check_status "the station takes that in" 0 "$stamp" station init site --cert site.pem
says "enrolled for development; owner $(owner)"

check_status "an order for another product" 1 "$stamp" -C hq order create --product Other --count 3 \
    --station site.pem --not-after 2037-01-31
says "this workspace makes 'Sensor'"
check_status "an order" 0 "$stamp" -C hq order create --product Sensor --count 4 --station site.pem \
    --not-after 2037-01-31 -o order
says "4 units"
check "the profile in it is sealed" sh -c '! grep -q company order'

# Two units at once; every byte on the wire of one of them is kept.
unit one && unit two
proxy wire one --seen wire.log
check_status "two units are struck at once" 0 strike site order wire two -- --who Ann
says "2 done now; of 4: 2 done, 0 failed, 0 scrapped, 0 in doubt, 2 remaining"
first=$(serial_of wire)
check_status "the unit proves itself, locked" 0 "$stamp" prove --port "$(readlink wire.tty)" --trust hq/root.pem
says "locked"
check_status "it is not struck twice" 0 strike site order wire
says "0 done now; of 4: 2 done"
check_status "how the shift stands" 0 "$stamp" station status site
says "order of 4: 2 done, 0 failed, 0 scrapped, 0 in doubt, 2 remaining"
stop wire
stop one
stop two
check "its fuses are burnt" test "$(xxd -p one.fuses)" = 07
mapfile -t kept < <(find site tokens -type f)
check "no secret on the wire, in a file of the station, or in flash" keeps_secrets one \
    "${kept[@]}" wire.log one.log every-output
check "nor of the other one" keeps_secrets two "${kept[@]}" wire.log

check_status "the journal goes home" 0 export_of site bundle
check_status "and is taken in" 0 "$stamp" -C hq reconcile bundle
says "expected 4; made 2"
says "2 units booked; 0 problems"
check_status "as often as wanted" 0 "$stamp" -C hq reconcile bundle bundle
says "0 units booked; 0 problems"
check "  how far it was is anchored in the log" sh -c "'$stamp' -C hq log head > /dev/null &&
    test \"\$('$stamp' -C hq log list --limit 100000 | grep -c 'anchor name journal of station')\" -gt 0"
check_status "  with which the books agree" 0 "$stamp" -C hq registry check
check_status "the books have the unit" 0 "$stamp" -C hq registry show "$first"
says "state                struck"
check_status "headquarters opens the proof that the device sealed" 0 "$stamp" -C hq registry pop "$first" \
    --key hq/keys/home.key
pop=$(cat out)
check "it is the device's" sh -c "'$stamp' show --json --secrets --root-key one.root one.flash |
    grep -q '\"proof_of_possession\": \"$pop\"'"

# Scrap, and rework with two people.
second=$("$stamp" show --json --root-key two.root two.flash | sed -n 's/^  "serial": "\(.*\)",$/\1/p')
check_status "rework wants a second operator" 1 "$stamp" station rework site --order order --serial "$second" \
    --reason "wrong label" --who Ann --confirm Ann --pin-file pin
says "a second operator must confirm"
check_status "with one it is done" 0 "$stamp" station rework site --order order --serial "$second" \
    --reason "wrong label" --who Ann --confirm Bob --pin-file pin
rm two.flash two.fuses # made blank
unit two
check_status "its chip is struck again" 0 strike site order two
says "1 done now; of 4: 2 done, 0 failed, 1 scrapped"
check "with a new serial" test "$(serial_of two)" != "$second"
stop two
check_status "that goes home, too" 0 export_of site bundle-2
check_status "and is taken in" 0 "$stamp" -C hq reconcile bundle-2
check_status "the old certificate is revoked" 0 "$stamp" -C hq registry show "$second"
says "state                revoked"
check_status "a closed order" 0 "$stamp" -C hq order close order-1
says "closed"
unit three
check_status "the station cannot know that" 0 strike site order three
third=$(serial_of three)
stop three
check_status "its journal" 0 export_of site bundle-3
check_status "but nothing new is admitted" 3 "$stamp" -C hq reconcile bundle-3
says "the order is closed"
check_status "so the unit is on no books" 1 "$stamp" -C hq registry show "$third"

# Lock at a later stage.
check_status "an order that locks later, with proofs shown" 0 order later 2 site --lock later --pop shown
cat > label.sh << 'X'
#!/bin/sh
cat > "label-$1.json"
X
chmod 700 label.sh
mkdir other && cp -r site other-site && rm -f other-site/journal.db*
unit four
printf '#!/bin/sh\nexit 1\n' > no-paper.sh
chmod 700 no-paper.sh
check_status "a label that is not printed" 1 strike other-site later four -- --label "$scratch/no-paper.sh"
says "was not printed"
check_status "the unit is struck and stays open" 0 strike other-site later four -- --label "$scratch/label.sh"
fourth=$(serial_of four)
check "its label was printed" grep -q "STAMP:S:$fourth" "label-$fourth.json"
check_status "it is not locked" 0 "$stamp" prove --port "$(readlink four.tty)" --trust hq/root.pem
check "  and does not say so" sh -c '! grep -q locked out'
check_status "on the books" 0 export_of other-site bundle-4
check_status "  it is struck" 3 "$stamp" -C hq reconcile bundle-4
check_status "  and cannot be shipped" 1 "$stamp" -C hq registry set "$fourth" --state shipped
says "not locked yet"
check_status "locked at its own stage" 0 "$stamp" lock --port "$(readlink four.tty)" --trust hq/root.pem --book -C hq
says "$fourth locked"
check_status "  and shipped" 0 "$stamp" -C hq registry set "$fourth" --state shipped

# The factory was told that unit's proof: the first owner's claim makes it void.
mapfile -t codes < <("${python[@]}" -c 'import json, sys
for b in json.load(open(sys.argv[1]))["barcodes"]:
    if b["payload"].startswith("STAMP:"):
        print(b["payload"])' "label-$fourth.json")
printf '%s\n' "${codes[0]}" > label.txt
check_status "its label claims it with a new one only" 1 "$stamp" claim --port "$(readlink four.tty)" --label @label.txt
says "the factory was told the proof of possession of '$fourth'"
says "the device is not claimed, and its label holds"
check_status "the new label is kept, and it is claimed" 0 "$stamp" claim --port "$(readlink four.tty)" \
    --label @label.txt --new-label new-label.txt
says "the old label is void; the new one is in 'new-label.txt'"
check "  by its owner alone" test "$(stat -c %a new-label.txt)" = 600
check_status "the old label is void" 3 "$stamp" claim --port "$(readlink four.tty)" --label @label.txt
check_status "the new one is not" 0 "$stamp" claim --port "$(readlink four.tty)" --label @new-label.txt
stop four
finish
