#!/bin/bash
# The line: the next stamp of a batch goes on a unit, the unit proves itself, the books say so. What fails
# on the way leaves the stamp in doubt, and says what to do.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
station line
headquarters
"$stamp" -C hq batch create --product Sensor --count 8 --station line.pem -o a.batch > /dev/null 2>&1 || exit 1

# A fixture: puts the image into a unit's flash and resets it. It comes up after a while.
cat > fixture << 'END'
#!/bin/bash
set -u
cd "$2" || exit 1
[ ! -e unit.pid ] || kill "$(cat unit.pid)" 2> /dev/null
rm -f unit.tty
cp "$1" unit.flash && chmod 600 unit.flash
(sleep 0.5 && exec "$3" --flash-file unit.flash --link unit.tty > unit.log 2>&1) &
echo $! > unit.pid
END
chmod +x fixture
flash=("$stamp" flash --batch a.batch --key line.key --trust hq/root.pem)
unit="$scratch/fixture {image} $scratch $build/stamp-agent"

shows() {
    check_status "the books" 0 "$stamp" batch show a.batch
    says "$1"
}

check_status "flashed and proven" 0 "${flash[@]}" --exec "$unit" --port unit.tty --chip C0FFEE-1
says "SN-"
says "and proves itself"
shows "7 unused, 0 in doubt, 1 struck"
first=$(awk '/proves itself/ { print $1 }' every-output | head -n 1)

check_status "a fixture that fails" 1 "${flash[@]}" --exec "false {image}" --port unit.tty
says "the command ended with status 1"
says "was handed out and is in doubt"
says "stamp flash --again"
doubt=$(sed -n 's/.* --unit \([^ ]*\) .*/\1/p' "$scratch/out" | tail -n 1)
shows "6 unused, 1 in doubt, 1 struck"
check_status "not the same by itself" 0 "${flash[@]}" --exec "$unit" --port unit.tty
check "  but the next one" test "$(awk '{ print $1 }' "$scratch/out")" != "$doubt"
check_status "the one in doubt, when asked" 0 "${flash[@]}" --exec "$unit" --port unit.tty --again "$doubt"
says "$doubt is on the device and proves itself"
check_status "only what is in doubt" 1 "${flash[@]}" --exec "$unit" --again "$first"
says "'$first' is not in doubt"

check_status "a port that never comes" 1 "${flash[@]}" --exec "true {image}" --port nowhere.tty --wait 1
says "is in doubt"
check_status "a unit that is another one" 3 "${flash[@]}" --exec "true {image}" --port unit.tty --wait 1
says "the unit proves itself as '$doubt', not as"
shows "3 unused, 2 in doubt, 3 struck"

check_status "without a port it is taken on trust" 0 "${flash[@]}" --board qemu-riscv32 --flash-file board.bin
says "is on qemu-riscv32"
check_status "a board that has another stamp" 1 "${flash[@]}" --board qemu-riscv32 --flash-file board.bin
says "the flash was not changed"
says "is in doubt"
check_status "the last one" 0 "${flash[@]}" --board qemu-riscv32 --flash-file last.bin
check_status "none left" 5 "${flash[@]}" --board qemu-riscv32 --flash-file more.bin
check "  and no flash" test ! -e more.bin
check_status "no key" 2 "$stamp" flash --batch a.batch --board qemu-riscv32 --flash-file x.bin
check_status "a file as well" 2 "${flash[@]}" x.bin --board qemu-riscv32 --flash-file x.bin
[ "$failures" = 0 ]
