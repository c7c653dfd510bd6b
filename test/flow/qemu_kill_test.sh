#!/bin/bash
# The board stops dead (kill -9 of the machine) at random moments while claims rewrite its banks.
# At each next boot it has its stamp, whole, and takes claims again; at the end it proves who it is.
set -euo pipefail
# shellcheck source=test/flow/qemu_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/qemu_lib.sh"

rounds=8
flash=$scratch/encrypted.bin

ask() {
    timeout --foreground 60 /usr/bin/python3 -B "$root/test/interop/independent_smp.py" \
        "$(readlink "$scratch/board.tty")" "$@"
}

start() {
    board_start board -k "$scratch/root.key" -f "$firmware/qemu_riscv32.elf" "$flash"
}

# Claims without end, from one connection after the other.
claim_on() {
    while ask claim --point "$(cat "$scratch/point")" --pop-file "$scratch/pop"; do
        :
    done
}

# The claims so far are at least so many; 30 s at most.
claimed() {
    for _ in $(seq 300); do
        [ "$(grep -c QB-0001 "$scratch/claims")" -lt "$1" ] || return 0
        sleep 0.1
    done
    return 1
}

check "a stamp" /usr/bin/python3 -B "$root/test/flow/qemu_image.py" make "$scratch"
cp "$flash" "$scratch/before"
for round in $(seq $rounds); do
    check "round $round: the board starts" start
    check "round $round: with its stamp" grep -q 'stamp QB-0001, locked' "$scratch/board.log"
    set -m # in a process group of its own, to end all of it
    claim_on >> "$scratch/claims" 2>&1 &
    claims=$!
    set +m
    # Once one claim got through, however slow the machine is; a claim takes 0.2 s or more.
    check "round $round: a claim" claimed "$round"
    sleep "0.$(printf %03d $((RANDOM % 1000)))"
    board_kill board
    kill -- "-$claims" 2> /dev/null || true
    wait "$claims" 2> /dev/null || true
done
check "at last: the board starts" start
check_status "at last: it proves who it is" 0 ask prove --trust "$scratch/trust.pem"
board_stop board
check "birth is untouched" cmp -n 262144 "$flash" "$scratch/before"
check_status "and they did write flash" 1 cmp "$flash" "$scratch/before"

finish
