#!/bin/bash
# A new firmware image over the old one: the stamp stays byte for byte, and the device proves the
# same identity, as often as it is started.
set -euo pipefail
# shellcheck source=test/flow/qemu_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/qemu_lib.sh"

flash=$scratch/flash.bin

in_workspace() {
    (cd "$scratch/desk" && "$build/stamp" "$@")
}

prove() {
    in_workspace prove --port "$scratch/$1.tty"
}

version() {
    sed -n 's/^devstamp: qemu-riscv32 \([^,]*\),.*/\1/p' "$scratch/$1.log"
}

check "a workspace" "$build/stamp" init "$scratch/desk" --company Acme --product Widget
in_workspace make > "$scratch/made"
serial=$(cut -f 1 "$scratch/made")
check "a stamp with a serial" test -n "$serial"
check "flashed" in_workspace flash "$serial" --board qemu-riscv32 --flash-file "$flash"
cp "$flash" "$scratch/flashed"

check "the board starts" board_start old -f "$firmware/qemu_riscv32.elf" "$flash"
check "and names its stamp" grep -qF "stamp $serial" "$scratch/old.log"
check_status "it proves who it is" 0 prove old
check "by its serial" grep -qF "$serial" "$scratch/out"
head -c 3000 /dev/urandom > "$scratch/old.tty"
check_status "noise on the line does not confuse it for long" 0 prove old
board_stop old
check "the stamp is byte for byte what was flashed" same_partition "$flash" "$scratch/flashed"

check "the next firmware starts on the same flash" board_start next \
    -f "$firmware/qemu_riscv32_next.elf" "$flash"
check "it is another firmware" test "$(version old)" != "$(version next)"
check "with the same stamp" grep -qF "stamp $serial" "$scratch/next.log"
check_status "it proves who it is" 0 prove next
check "by the same serial" grep -qF "$serial" "$scratch/out"
board_stop next
check "the whole flash is byte for byte what was flashed" cmp "$flash" "$scratch/flashed"

check "the old firmware starts again" board_start back -f "$firmware/qemu_riscv32.elf" "$flash"
check_status "and proves the same" 0 prove back
board_stop back
check "the stamp is still what was flashed" same_partition "$flash" "$scratch/flashed"

finish
