#!/bin/bash
# The whole way with our own commands on the emulated board: make, flash, boot, prove, claim; in plain
# flash and encrypted at rest.
set -euo pipefail
# shellcheck source=test/flow/live_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

# The private keys and the proof of possession of a plain stamp, in hex, one a line.
secrets() {
    PYTHONPATH=$root/test/interop "${python[@]}" -c '
import sys
from independent import Stamp
items = Stamp(open(sys.argv[1], "rb").read(), None).items
for secret in (items[48][1][2], items[33][1][1], items[32][1][1].encode()):
    print(secret.hex())' "$1"
}

search() {
    "${python[@]}" "$root/test/flow/qemu_image.py" search "$@"
}

prove() {
    "$stamp" prove -C ours --port "$scratch/$1.tty"
}

claim() {
    "$stamp" claim --port "$scratch/$1.tty" --label "@$scratch/$2"
}

workspace ours
workspace theirs
serial=LIVE-ours-1
barcode ours.bin STAMP: > ours.label
barcode theirs.bin STAMP: > theirs.label
secrets ours.bin > secrets.hex
head -c 32 /dev/urandom > root.key
chmod 600 root.key

check_status "flash, plain" 0 "$stamp" flash -C ours "$serial" --board qemu-riscv32 \
    --flash-file plain.flash
check_status "flash, encrypted at rest" 0 "$stamp" flash -C ours "$serial" --board qemu-riscv32 \
    --flash-file sealed.flash --root-key root.key

for kind in plain sealed; do
    options=()
    [ $kind = plain ] || options=(--root-key "$scratch/root.key")
    check "$kind: the board boots" boot $kind $kind.flash "${options[@]}"
    check "$kind: and names its stamp" grep -q "stamp $serial" $kind.log
    check_status "$kind: it proves who it is" 0 prove $kind
    says "$serial	proven: Lantern, Flow ours"
    check_status "$kind: not to who trusts another root" 3 \
        "$stamp" prove -C theirs --port $kind.tty
    check_status "$kind: another label does not claim it" 3 claim $kind theirs.label
    check_status "$kind: its own does" 0 claim $kind ours.label
    halt $kind
    check "$kind: it boots again" boot $kind $kind.flash "${options[@]}"
    check_status "$kind: it proves who it is, and that it is claimed" 0 prove $kind
    says ", claimed"
    halt $kind
done

check_status "the proof is in plain flash, so the search works" 1 search plain.flash secrets.hex
check "encrypted, no 8 bytes of a secret are" search sealed.flash secrets.hex
check "nor in what the boards said" sh -c "! grep -aq '$(sed 's/.*;P:\(.*\);;/\1/' ours.label)' *.log"

check "the sealed flash in a board with no key boots" boot stranger sealed.flash
check_status "and proves nothing" 1 prove stranger
says "damaged, or not made for it"
halt stranger

check "a board without a stamp boots" boot blank blank.flash
check_status "and says so" 1 prove blank
says "has no stamp"
halt blank
check_status "a stamp is put on it" 0 "$stamp" flash -C ours "$serial" --board qemu-riscv32 \
    --flash-file blank.flash
check "it boots" boot blank blank.flash
check_status "and proves who it is" 0 prove blank
halt blank

finish
