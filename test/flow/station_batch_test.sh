#!/bin/bash
# Company B's line: stamps of a batch file go to units over their line, sealed to each, or onto their flash by
# another program; what was cut short gets the same stamp again, and the books of the batch file tell all.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"

# unit NAME [OPTION...]: a blank device, encrypted at rest, with fuses.
unit() {
    local name=$1
    shift
    start "$name" "$build/stamp-agent" --flash-file "$name.flash" --fuses "$name.fuses" --root-key "$name.root" \
        --link "$scratch/$name.link" --chip-id "$(printf '%s' "$name" | xxd -p)" "$@"
}

# strike UNIT... [-- OPTION...]
strike() {
    local ports=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        ports+=(--port "$(readlink "$1.tty")")
        shift
    done
    [ $# = 0 ] || shift
    timeout 100 "$stamp" station run --batch "${batch:-a.batch}" --key "${key:-line.key}" --once "${ports[@]}" "$@"
}

# proves UNIT: its serial; it is locked.
proves() {
    "$stamp" prove --port "$(readlink "$1.tty")" --trust hq/root.pem > proof && grep -q locked proof &&
        head -n 1 proof | cut -f1
}

station line
station other
headquarters
"$stamp" -C hq batch create --product Sensor --count 24 --station line.pem -o a.batch > create.out 2>&1 || exit 1

unit u1
unit u2
check_status "whom to trust is asked once" 1 strike u1 -- -C "$scratch"
says "nobody to trust"
key=other.key check_status "a batch of another station" 3 strike u1 -- --trust hq/root.pem
says "no unit was touched"
check_status "a lock that there is not" 2 strike u1 -- --lock never
check_status "an order and a batch" 2 strike u1 -- --order order
says "give --order, or --batch"
proxy wire u1 --seen wire.log
check_status "two units at once" 0 strike wire u2 -- --trust hq/root.pem
says "the line is up; of 24: 0 struck, 0 scrapped, 0 in doubt, 24 remaining"
says "2 done now; of 24: 2 struck, 0 scrapped, 0 in doubt, 22 remaining"
first=$(proves wire)
check "the unit proves itself, locked" test -n "$first"
check "and the other one, with another serial" test "$(proves u2)" != "$first" -a -n "$(proves u2)"
check "its fuses are burnt" test "$(xxd -p u1.fuses)" = 07
check_status "again, and nothing is struck" 0 strike wire u2
says "0 done now; of 24: 2 struck"
stop wire
stop u1
check "no secret on the wire, or in the flash" "$build/test/station_secrets" u1.flash u1.root wire.log a.batch.books

# A stamp that is not of this batch; a chip that lost its stamp.
"$stamp" -C hq make --serial OWN-1 -o own.flash > make.out || exit 1
start own "$build/stamp-agent" --flash-file own.flash --fuses own.fuses --link "$scratch/own.link" --chip-id dd01
check_status "a unit with a stamp from the desk" 1 strike own
says "the unit has a stamp already, 'OWN-1', that this batch did not give it"
stop own
unit u3
check_status "a unit" 0 strike u3
stop u3
rm u3.flash u3.fuses
unit u3
check_status "a chip that lost its stamp gets no other one" 1 strike u3
says "chip '7533' was reported with"
stop u3

# The station is killed at calls spread over a strike: the same unit gets the same stamp.
unit k0
"${preload[@]}" STAMP_KILL_COUNT="$scratch/count" "$stamp" station run --batch a.batch --key line.key --once \
    --port "$(readlink k0.tty)" > run.out 2>&1
stop k0
failed=0
kills_here=0
for at in $(moments "$(cat count)" "${STAMP_KILLS:-8}"); do
    kills_here=$((kills_here + 1))
    unit "k$kills_here"
    killed "$at" "$stamp" station run --batch a.batch --key line.key --once --port "$(readlink "k$kills_here.tty")"
    strike "k$kills_here" > run.out 2>&1 || { failed=$((failed + 1)) && cat run.out; }
    proves "k$kills_here" >> serials || failed=$((failed + 1))
    stop "k$kills_here"
done
check "after each of $kills_here kills the unit is brought to its end" test "$failed" = 0
check "no serial twice" test -z "$(sort serials | uniq -d)"
check_status "and no stamp is in doubt" 0 "$stamp" batch show a.batch
says "0 in doubt, $((4 + kills_here)) struck"

# A line that loses and damages frames.
for rule in lose damage double; do
    unit "$rule"
    proxy "$rule-line" "$rule" --rule "$rule" --every 9
    check_status "a line with the rule '$rule'" 0 strike "$rule-line"
    stop "$rule-line"
    stop "$rule"
done

layout=(--birth-size 8192 --bank-size 4096 --erase-size 4096 --program-size 4)
# Another program flashes; the port is its own meanwhile.
start plain "$build/stamp-agent" --flash-file plain.flash --fuses plain.fuses --link "$scratch/plain.link" --chip-id ee01 \
    "${layout[@]}"
check_status "flashed by another program, not locked yet" 0 strike plain -- --lock later \
    --exec 'test -c {port} && dd if={image} of=plain.flash conv=notrunc bs=4096 status=none'
says "1 done now"
check_status "  it proves itself" 0 "$stamp" prove --port "$(readlink plain.tty)" --trust hq/root.pem
check_status "  and is locked later" 0 "$stamp" lock --port "$(readlink plain.tty)" --trust hq/root.pem
stop plain
start bad "$build/stamp-agent" --flash-file bad.flash --fuses bad.fuses --link "$scratch/bad.link" --chip-id ee02 \
    "${layout[@]}"
check_status "a program that fails" 1 strike bad -- --exec 'false {image}'
says "the command that flashes ended with status 1"
check_status "  leaves the stamp in doubt" 0 "$stamp" batch show a.batch
says "1 in doubt"
check_status "  and the unit gets it next time" 0 strike bad
check_status "  so that none is" 0 "$stamp" batch show a.batch
says "0 in doubt"
stop bad

# Until the file is used up.
remaining=$("$stamp" batch show a.batch | sed -n 's/.* \([0-9]*\) unused.*/\1/p')
for i in $(seq "$remaining"); do
    unit "r$i"
    strike "r$i" > run.out 2>&1 || cat run.out
    stop "r$i"
done
unit last
check_status "nothing is left" 5 strike last
says "no stamp is left"
stop last
check_status "the results go home" 0 "$stamp" batch close a.batch --key line.key -o results
check_status "  and agree with the books" 0 "$stamp" -C hq batch import results
stop u2
finish
