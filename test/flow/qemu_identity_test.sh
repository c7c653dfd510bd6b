#!/bin/bash
# The identity on the emulated board, told by independent peers: stamps written by one program and
# questions asked by another, both from SPEC.md alone. Plain, locked, and encrypted at rest.
set -euo pipefail
# shellcheck source=test/flow/qemu_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/qemu_lib.sh"

ask() {
    local name=$1
    shift
    timeout 60 /usr/bin/python3 -B "$root/test/interop/independent_smp.py" \
        "$(readlink "$scratch/$name.tty")" "$@"
}

claim() {
    ask "$1" claim --point "$(cat "$scratch/point")" --pop-file "$scratch/$2"
}

start() {
    local name=$1
    shift
    board_start "$name" -f "$firmware/qemu_riscv32.elf" "$@"
}

image() {
    /usr/bin/python3 -B "$root/test/flow/qemu_image.py" "$@"
}

# same_birth FILE FILE
same_birth() {
    cmp -n 262144 "$1" "$2"
}

check "stamps from another writer" image make "$scratch"
for kind in plain locked encrypted; do
    cp "$scratch/$kind.bin" "$scratch/$kind.before"
done

check "plain: the board starts" start plain "$scratch/plain.bin"
check "plain: it names its stamp" grep -q 'stamp QB-0001' "$scratch/plain.log"
check_status "plain: it proves who it is" 0 ask plain prove --trust "$scratch/trust.pem"
check_status "plain: not under another root" 3 ask plain prove --trust "$scratch/other.pem"
check_status "plain: a wrong proof of possession is refused" 3 claim plain wrong-pop
board_stop plain
check "plain: birth is untouched" same_birth "$scratch/plain.bin" "$scratch/plain.before"
check_status "plain: the wrong try is on record in flash" 1 \
    cmp "$scratch/plain.bin" "$scratch/plain.before"

check "locked: the board starts" start locked "$scratch/locked.bin"
check "locked: it says so" grep -q 'stamp QB-0001, locked' "$scratch/locked.log"
check_status "locked: it proves who it is" 0 ask locked prove --trust "$scratch/trust.pem"
check_status "locked: the right proof of possession claims it" 0 claim locked pop
board_stop locked
check "locked: it starts again" start again "$scratch/locked.bin"
check_status "locked: it answers" 0 ask again info
check "locked: it is still claimed" grep -q '"claimed": true' "$scratch/out"
board_stop again
check "locked: birth is untouched" same_birth "$scratch/locked.bin" "$scratch/locked.before"

check "encrypted: the board starts with its root key" start encrypted \
    -k "$scratch/root.key" "$scratch/encrypted.bin"
check "encrypted: it says so" grep -q 'stamp QB-0001, locked, encrypted at rest' \
    "$scratch/encrypted.log"
check_status "encrypted: it proves who it is" 0 ask encrypted prove --trust "$scratch/trust.pem"
check_status "encrypted: it is claimed" 0 claim encrypted pop
board_stop encrypted
check "encrypted: flash holds no part of a secret" \
    image search "$scratch/encrypted.bin" "$scratch/secrets"
check_status "encrypted: which the search finds in plain flash" 1 \
    image search "$scratch/plain.bin" "$scratch/secrets"
check "encrypted: nothing the board ever said holds one" \
    image search "$scratch/encrypted.log" "$scratch/secrets"
cp "$scratch/encrypted.bin" "$scratch/encrypted.before"

check "another root key: the board starts" start stranger \
    -k "$scratch/other.key" "$scratch/encrypted.bin"
check_status "another root key: it proves nothing" 1 ask stranger prove --trust \
    "$scratch/trust.pem"
board_stop stranger
check "no root key: the board starts" start bare "$scratch/encrypted.bin"
check_status "no root key: it proves nothing" 1 ask bare prove --trust "$scratch/trust.pem"
board_stop bare
check "and neither has changed the flash" cmp "$scratch/encrypted.bin" "$scratch/encrypted.before"
check "back with its root key: it starts" start back -k "$scratch/root.key" \
    "$scratch/encrypted.bin"
check_status "back with its root key: it proves who it is" 0 ask back prove --trust \
    "$scratch/trust.pem"
board_stop back

finish
