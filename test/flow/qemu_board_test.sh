#!/bin/bash
# The emulated board itself: its drivers, what it refuses, and what survives a restart.
set -euo pipefail
# shellcheck source=test/flow/qemu_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/qemu_lib.sh"

flash=$scratch/flash.bin
sector=262144

# words_burnt FILE: a digit for each word of the lock, 0 where it is burnt.
words_burnt() {
    local word
    for word in 0 1 2; do
        [ "$(xxd -p -s $((partition + 64 * word)) -l 4 "$1")" = 00000000 ] && printf 0 || printf 1
    done
}

# What qemu_selftest.c expects as the root key.
printf 'ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`' > "$scratch/key"

# selftest WORD LEAST-CHECKS OPTION...: runs a part of the self-test on the board.
selftest() {
    local word=$1 least=$2
    shift 2
    board -f "$firmware/qemu_selftest.elf" --test-word "$word" -l "$scratch/selftest.log" "$@" \
        "$flash" > "$scratch/selftest.out" 2>&1 || {
        cat "$scratch/selftest.log" "$scratch/selftest.out"
        return 1
    }
    [ "$(grep -c '^ok ' "$scratch/selftest.log")" -ge "$least" ]
}

check "an erased flash file is made where there is none, and the drivers work on it" \
    selftest 1 45 --root-key "$scratch/key"
check "flash behind the stamp partition is untouched" \
    erased "$flash" $((partition + sector)) $((33554432 - partition - sector))
check "but for the words that the lock burns" test "$(words_burnt "$flash")" = 000
cp "$flash" "$scratch/before"
check "after a restart the flash holds what was written, and locks again" selftest 2 9
check "a flash that refuses changes is an error, not a success" selftest 3 4 --read-only
rm "$flash"
check "the same with virtio 1.x devices" selftest 1 45 --modern --root-key "$scratch/key"
check "and the same bytes come out" same_partition "$flash" "$scratch/before"

check_status "a fault of the firmware ends the board with an error" 1 \
    board -f "$firmware/qemu_selftest.elf" --test-word 4 "$flash"
check "and says where" grep -q 'fault, mcause 0x00000002 at 0x8' "$scratch/out"
check_status "so does a stack that overflows" 1 \
    board -f "$firmware/qemu_selftest.elf" --test-word 5 "$flash"
check "before it reaches other data" grep -q 'fault, mcause 0x00000007 at 0x8' "$scratch/out"

rm "$flash"
check_status "a board without entropy does not start" 1 board_refused --no-entropy \
    -f "$firmware/qemu_riscv32.elf" "$flash"
check "and says why" grep -q 'no entropy device (virtio-rng): no crypto and no keys' \
    "$scratch/out"
check "and has left its flash alone" cmp "$flash" "$scratch/erased"

check_status "a root key that is not 32 bytes is refused" 1 \
    board_refused -k /dev/null -f "$firmware/qemu_riscv32.elf" "$flash"
check_status "a flash file of another size is refused" 1 \
    board_refused -f "$firmware/qemu_riscv32.elf" "$scratch/key"
check_status "no flash file is a usage error" 2 board
check_status "an unknown option is a usage error" 2 board --no-such-option "$flash"

check "without a stamp the board comes up" board_start one -f "$firmware/qemu_riscv32.elf" "$flash"
check "says so and waits" grep -q '^devstamp: qemu-riscv32 .*, no stamp; waiting' \
    "$scratch/one.log"
check "its console is a terminal" test -c "$scratch/one.tty"
check_status "a second board on the same flash file is refused" 1 \
    board_refused -f "$firmware/qemu_riscv32.elf" "$flash"
check "by name" grep -q "another board runs on '$flash'" "$scratch/out"
board_stop one
check "it has changed nothing in flash" cmp "$flash" "$scratch/erased"

check "the console can be a socket" board_start two -f "$firmware/qemu_riscv32.elf" \
    --socket "$scratch/console" "$flash"
check "which is there" test -S "$scratch/console"
board_stop two

# The birth header's first bytes, torn.
printf '\0\1\2\3' | dd of="$flash" bs=1 conv=notrunc status=none
check "with a damaged stamp the board comes up" board_start three \
    -f "$firmware/qemu_riscv32.elf" "$flash"
check "and says so" grep -q 'stamp damaged' "$scratch/three.log"
board_stop three

finish
