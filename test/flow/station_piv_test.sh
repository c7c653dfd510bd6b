#!/bin/bash
# A YubiKey, or another PIV, as a station's token: keys that its own tool made in its slots, the PIN before each
# signature of the CA's, a key for agreement that signs nothing, and no count of the units. The owner allows that
# with the order, or not; what a count would prevent is found by reconcile.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
P11_FAULT_MODULE=$(find /usr/lib -name libsofthsm2.so | head -n 1)
export P11_FAULT_MODULE P11_FAULT=$scratch/fault P11_FAULT_LOG=$scratch/calls
STAMP_TEST_MODULE=$build/test/libp11_fault.so
printf 'piv\nalways-authenticate SIGN key\n' > fault
source "$root/test/flow/station_lib.sh"
softhsm=$P11_FAULT_MODULE

# slot ID LABEL USAGE: what `ykman piv keys generate` does to a slot, with OpenSC's name for it.
slot() {
    pkcs11-tool --module "$softhsm" --token-label yubikey --login --pin "$pin" --keypairgen \
        --key-type EC:prime256v1 --id "$1" --label "$2" "--usage-$3" > tool.out 2>&1
}

headquarters && token yubikey && slot 02 "SIGN key" sign && slot 01 "PIV AUTH key" sign || exit 1
init=("$stamp" station init site --token "$(uri yubikey)" --pin-file pin)

check_status "a token that makes no data objects is no station's" 1 "${init[@]}"
says "keep a count (a private data object)"
says "docs/tokens.md"
check_status "but as a PIV, once its slots have keys" 1 "${init[@]}" --piv
says "token 'yubikey'"
says "make it in slot 9d: ykman piv keys generate --algorithm ECCP256 9d key.pem"
check "  and nothing is left of it" test ! -e site
slot 03 "KEY MAN key" derive || exit 1
check_status "a name for its keys, which have none" 2 "${init[@]}" --piv --suffix b
check_status "a PIV" 0 "${init[@]}" --piv
says "key box: found in the token"
says "this token keeps no count of the units"
check_status "run again it finds the same" 0 "${init[@]}" --piv
check_status "it does not become another" 1 "${init[@]}"
says "is a station with another token or other keys"

check_status "headquarters certifies it, the box by its CA's word" 0 \
    "$stamp" -C hq station enrol site/station.csr -o site.pem --name site
check "  and the certificate says what it cannot do" sh -c \
    "openssl x509 -in site.pem -noout -subject -nameopt utf8 | grep -q 'Station CA uncounted'"
awk '/BEGIN/ { n++ } n != 2' site/station.csr > two.csr
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key \
    -subj "/CN=devstamp uncounted station box" -out other.csr 2> /dev/null
awk 'FNR == 1 { f++ } f == 1 && /BEGIN/ { n++ } f == 1 && n < 2' site/station.csr > forged.csr
sed '1,/END/!d' other.csr > box.csr
openssl req -in box.csr -outform DER -out box.der
"${python[@]}" -c 'import sys
der = bytearray(open("box.der", "rb").read()); der[-1] ^= 1; open("box.der", "wb").write(der)'
openssl req -inform DER -in box.der >> forged.csr
awk '/BEGIN/ { n++ } n == 3' site/station.csr >> forged.csr
check_status "a box that neither it nor the CA signed for" 3 "$stamp" -C hq station enrol forged.csr -o forged.pem
says "request 2 is not signed by its own key"
"$stamp" station init site --cert site.pem > init.out 2> err || exit 1

create=("$stamp" -C hq order create --product Sensor --count 4 --station site.pem --not-after 2037-01-31)
check_status "an order that does not allow it" 1 "${create[@]}" -o order
says "'site.pem' is of a station whose token keeps no count of the units it began"
says "--uncounted"
says "nothing was changed"
check_status "one that does" 0 "${create[@]}" -o order --uncounted

: > calls
unit one --chip-id aa01
check_status "the line strikes under it" 0 strike site order one
says "1 done now; of 4: 1 done"
check "  with the PIN before each signature of the CA's" grep -qx C_LoginContext calls
check_status "  the unit proves itself, locked" 0 "$stamp" prove --port "$(readlink one.tty)" --trust hq/root.pem
says "locked"
stop one

# A directory that says that it needs no count, of a token that has one.
sed 's/"piv": true/"piv": false/' site/station.json > station.json && cp site/station.json kept.json
mv station.json site/station.json
unit two --chip-id aa02
check_status "a directory that says otherwise than its certificate" 3 strike site order two
says "is not what its certificate says"
mv kept.json site/station.json
sed -i 's/id:03/id:04/' site/station.json
check_status "or that has other slots" 1 strike site order two
says "'site/station.json' is not what devstamp wrote"
sed -i 's/id:04/id:03/' site/station.json

# What a count would prevent: both go on from here.
cp -a site copy
check_status "the station goes on" 0 strike site order two
unit three --chip-id aa03
check_status "a copy of its directory, too" 0 strike copy order three
"$stamp" station export site -o one.bundle --pin-file pin > /dev/null 2> err &&
    "$stamp" station export copy -o two.bundle --pin-file pin > /dev/null 2> err || exit 1
check_status "headquarters takes in the one" 0 "$stamp" -C hq reconcile one.bundle
check_status "  and names the fork with the other" 3 "$stamp" -C hq reconcile two.bundle
says "the journal was copied and both went on"
says "is refused: the books have another key in its place"
check_status "the unit of the one is authentic, and on the books" 0 "$stamp" prove \
    --port "$(readlink two.tty)" --trust hq/root.pem
stop two
stop three

finish
