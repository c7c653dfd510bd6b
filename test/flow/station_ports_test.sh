#!/bin/bash
# A line with several ports, some of whose units hang, talk nonsense, have no number or are pulled: each
# holds up its own port only, and the operator reads which one, what happened and what to do.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"
odd=("${python[@]}" "$root/test/flow/station_unit.py")

# until_said COUNT TEXT FILE: the text is there so often.
until_said() {
    local i
    for i in $(seq 400); do
        [ "$(grep -cE -- "$2" "$3")" -ge "$1" ] && return 0
        sleep 0.05
    done
    printf 'not said %s times within 20 s (%s): %s\n' "$1" "$i" "$2"
    cat "$3"
    return 1
}

headquarters && token line-1 && station site line-1 || exit 1
order order 12 site || exit 1
for name in one two three; do
    unit "$name"
done
unit four
start hangs "${odd[@]}" hangs "$(readlink four.tty)" 14
start silent "${odd[@]}" silent
start garbage "${odd[@]}" garbage
start trickle "${odd[@]}" trickle
start nameless "${odd[@]}" nameless
ports=()
for name in hangs silent garbage trickle nameless one two three; do
    ports+=(--port "$(readlink "$name.tty")")
done
"$stamp" station run site --order order "${ports[@]}" --unit-s 4 --who Ann --pin-file pin > line.out 2>&1 &
line=$!
check "good units are struck beside bad ones" until_said 3 ": SN-.* done" line.out
check "one without a number is named" until_said 1 "the unit's chip has no number" line.out
check "one that hangs in the middle is named" until_said 1 "$(readlink hangs.tty): SN-" line.out
check "  with what happened" grep -qE "$(readlink hangs.tty): SN-[^ ]* failed.*no answer" line.out
check_status "the shift can be looked at while the line runs" 0 "$stamp" station status site
says "3 done"
says "$(readlink silent.tty): waiting"
check_status "  as JSON, too" 0 "$stamp" station status site --json
says '"done": 3'

# Another unit comes to a port that had one: the terminal goes, and is there again.
link=$scratch/five.port
start five "$build/stamp-agent" --flash-file five.flash --fuses five.fuses --root-key five.root --link "$link" \
    --owner-hash "$(owner)"
kill -TERM "$line" && wait "$line"
check "the line ends when it is told to, with units that hang" grep -q "3 done now" line.out
"$stamp" station run site --order order --ports-from "$scratch/*.port" --pin-file pin > later.out 2>&1 &
line=$!
check "a rule finds a port" until_said 1 ": SN-.* done" later.out
stop five
start six "$build/stamp-agent" --flash-file six.flash --fuses six.fuses --root-key six.root --link "$link" \
    --owner-hash "$(owner)"
check "another unit on the same port is struck" until_said 2 ": SN-.* done" later.out
start seven "$build/stamp-agent" --flash-file seven.flash --fuses seven.fuses --root-key seven.root \
    --link "$scratch/seven.port" --owner-hash "$(owner)"
check "a port that comes later is taken in" until_said 3 ": SN-.* done" later.out
check "  and said" grep -q "seven.port.*new port" later.out

# The operator gives a unit up while the line runs.
serial=$(sed -n 's/.*: \(SN-[^ ]*\) failed.*/\1/p' line.out | head -n 1)
check_status "scrap beside a running line" 0 "$stamp" station scrap site --order order --serial "$serial" \
    --reason "does not answer" --who Ann --pin-file pin
check_status "  is in the journal" 0 "$stamp" station status site
says "1 scrapped"
kill -TERM "$line" && wait "$line"
check "the line ends" grep -q "3 done now; of 12: 6 done" later.out
finish
