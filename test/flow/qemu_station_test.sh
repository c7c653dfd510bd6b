#!/bin/bash
# Company A's line with the emulated board: it makes its own keys, a token signs, it is locked, restarts
# and proves itself. Its private keys are read out of its memory meanwhile, and are nowhere else.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"

# board NAME CHIP: with a root key of its own, knowing the owner.
board() {
    local name=$1 chip=$2
    [ -e "$name.root" ] || head -c 32 /dev/urandom > "$name.root"
    timeout 100 "$root/scripts/run-qemu" --background --firmware "$build/firmware/qemu_riscv32.elf" \
        --pid-file "$scratch/$name.pid" --tty "$scratch/$name.tty" --log "$scratch/$name.log" \
        --root-key "$name.root" --chip-id "$chip" --owner-hash "$(owner)" --monitor "$scratch/$name.monitor" \
        "$name.flash" > "$name.boot"
}

# off SIGNAL NAME
off() {
    local pid
    pid=$(cat "$scratch/$2.pid")
    rm "$scratch/$2.pid"
    kill "-$1" "$pid"
    while readlink -q "/proc/$pid/exe" > /dev/null; do
        sleep 0.02
    done
}

headquarters && token line-1 && station site line-1 || exit 1
order order 3 site || exit 1
check "a blank board" board one 0102030405060708
check "  waits" grep -q 'no stamp; waiting' one.boot
proxy wire one --seen wire.log

mkdir ram
"${python[@]}" "$root/test/flow/qemu_memory.py" one.monitor ram > memory.log 2>&1 &
reader=$!
wait_line memory.log > /dev/null
check_status "it is struck, locked, restarted and proven" 0 strike site order wire -- --who Ann
says "1 done now; of 3: 1 done, 0 failed, 0 scrapped, 0 in doubt, 2 remaining"
kill "$reader" && wait "$reader"
serial=$(serial_of wire)
check_status "it is not struck twice" 0 strike site order wire
says "0 done now; of 3: 1 done"
stop wire
off TERM one

head -c 786432 one.flash > one.partition
check_status "its private keys were in its memory" 1 "$build/test/station_secrets" one.partition one.root ram/*
says "a part of the device key"
says "a part of the provisioning key"
rm -r ram
mapfile -t files < <(find site tokens hq -type f)
check "and are nowhere else: wire, station, token, raw flash" "$build/test/station_secrets" one.partition one.root \
    one.flash wire.log one.log every-output "${files[@]}"
check "what the lock burns is burnt" test "$(xxd -p -s 786432 -l 4 one.flash)$(xxd -p -s 786496 -l 4 one.flash)$(xxd -p \
    -s 786560 -l 4 one.flash)" = 000000000000000000000000

check "the board boots again" board one 0102030405060708
check "  as what it is" grep -q "stamp $serial, locked, encrypted at rest" one.boot
check_status "and proves it, locked" 0 "$stamp" prove --port one.tty --trust hq/root.pem
says "locked"
off TERM one

# A board with another owner pinned takes nothing.
board two 1112131415161718 && off TERM two
timeout 100 "$root/scripts/run-qemu" --background --firmware "$build/firmware/qemu_riscv32.elf" --pid-file two.pid \
    --tty two.tty --root-key two.root --chip-id 1112131415161718 --owner-hash "$(printf '00%.0s' $(seq 31))01" \
    two.flash > two.boot
check_status "a board of another owner" 1 strike site order two
says "not authentic"
off TERM two
check "  is as it was" cmp -n 786432 two.flash <(head -c 786432 /dev/zero | tr '\0' '\377')

# Power is cut at moments spread over the strike; afterwards the unit is what one strike makes of it.
kills=${STAMP_KILLS:-4}
for i in $(seq "$kills"); do
    rm -f cut.flash
    board cut "21222324252627$(printf '%02x' "$i")" || exit 1
    [ "$i" = 1 ] && order cuts "$((kills + 1))" site
    strike site cuts cut > cut.out 2>&1 &
    run=$!
    sleep "$(awk -v i="$i" -v k="$kills" 'BEGIN { print 0.2 + 2.4 * i / k }')"
    off KILL cut
    wait "$run"
    board cut "21222324252627$(printf '%02x' "$i")" || exit 1
    check_status "power cut $i of $kills: the strike goes on" 0 strike site cuts cut
    check_status "  to one that proves itself, locked" 0 "$stamp" prove --port cut.tty --trust hq/root.pem
    says "locked"
    cut -f1 out | head -n 1 >> serials
    off TERM cut
done
check "no serial twice" test -z "$(sort serials | uniq -d)"
check_status "the journal knows all of them" 0 "$stamp" station status site
says "order of $((kills + 1)): $kills done, 0 failed, 0 scrapped, 0 in doubt, 1 remaining"
check_status "it goes home" 0 export_of site bundle
check_status "and agrees with the orders" 0 "$stamp" -C hq reconcile bundle
says "0 problems"
finish
