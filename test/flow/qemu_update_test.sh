#!/bin/bash
# A new firmware image over the old one: the stamp stays byte for byte, and the device proves the
# same identity under either, with noise on its line before.
set -euo pipefail
# shellcheck source=test/flow/qemu_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/qemu_lib.sh"

flash=$scratch/locked.bin

ask() {
    local name=$1
    shift
    timeout 60 /usr/bin/python3 -B "$root/test/interop/independent_smp.py" \
        "$(readlink "$scratch/$name.tty")" "$@"
}

version() {
    sed -n 's/^devstamp: qemu-riscv32 \([^,]*\),.*/\1/p' "$scratch/$1.log"
}

# runs NAME FIRMWARE: the board starts with it, names its stamp and proves it; then it stops.
runs() {
    check "$1: the board starts" board_start "$1" -f "$firmware/$2.elf" "$flash"
    check "$1: it names its stamp" grep -q 'stamp QB-0001, locked' "$scratch/$1.log"
    head -c 3000 /dev/urandom > "$scratch/$1.tty"
    check_status "$1: it proves who it is" 0 ask "$1" prove --trust "$scratch/trust.pem"
    check "$1: by its serial" grep -q QB-0001 "$scratch/out"
    cp "$scratch/out" "$scratch/$1.proof"
    board_stop "$1"
    check "$1: the stamp is byte for byte what it was" same_partition "$flash" "$scratch/before"
}

check "a stamp" /usr/bin/python3 -B "$root/test/flow/qemu_image.py" make "$scratch"
cp "$flash" "$scratch/before"
check_status "the images differ" 1 cmp "$firmware/qemu_riscv32.elf" "$firmware/qemu_riscv32_next.elf"

runs old qemu_riscv32
# the first boot burnt what the lock of a stamp from a desk asks for
cp "$flash" "$scratch/burnt"
runs next qemu_riscv32_next
check "next: it is another firmware" test "$(version old)+next" = "$(version next)"
runs back qemu_riscv32
check "back: it is the old firmware" test "$(version old)" = "$(version back)"
check "and so is all of the flash" cmp "$flash" "$scratch/burnt"
for name in next back; do
    check "$name: and told the same identity" cmp "$scratch/old.proof" "$scratch/$name.proof"
done

finish
