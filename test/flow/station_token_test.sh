#!/bin/bash
# A token that lets the line down: pulled in the middle of a signature, slow, locked, with one try left,
# full, with a key that wants its PIN each time, with no signature left. The line stands and says so,
# goes on when the token is back, and loses no unit; no try of a PIN is spent for nothing.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
P11_FAULT_MODULE=$(find /usr/lib -name libsofthsm2.so | head -n 1)
export P11_FAULT_MODULE P11_FAULT=$scratch/fault P11_FAULT_LOG=$scratch/calls
STAMP_TEST_MODULE=$build/test/libp11_fault.so
: > fault
source "$root/test/flow/station_lib.sh"

# faults LINE...: what goes wrong from now on.
faults() {
    printf '%s\n' "$@" > fault.new && mv fault.new fault
}

# calls NAME: how many of them there were since the last `: > calls`.
calls() {
    grep -cx "C_$1" calls
}

# running ORDER UNIT: the line in the background, what it says in line.out.
running() {
    "$stamp" station run site --order "$1" --port "$2.tty" --once --pin-file pin > line.out 2>&1 &
    line=$!
}

# typed COMMAND...: on a terminal of its own, where the PIN is typed once it is asked for.
typed() {
    "${python[@]}" -c '
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said = typed = b""
while True:
    try:
        more = os.read(fd, 4096)
    except OSError:
        break
    said += more
    if said.count(b"PIN of") > len(typed):
        typed += b"x"
        os.write(fd, sys.argv[1].encode() + b"\n")
    if not more:
        break
sys.stdout.write(said.decode().replace("\r\n", "\n"))
print("asked %d times" % len(typed))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$pin" "$@"
}

# until_says TEXT FILE
until_says() {
    local i
    for i in $(seq 200); do
        grep -qF -- "$1" "$2" && return 0
        sleep 0.05
    done
    printf 'not said within 10 s (%s): %s\n' "$i" "$1"
    cat "$2"
    return 1
}

# goes_on WHAT UNIT: the line ends well, and the unit is done and proves itself.
goes_on() {
    local status=0
    wait "$line" || status=$?
    check "$1" test "$status" = 0
    [ "$status" = 0 ] || cat line.out
    check_status "  its unit proves itself, locked" 0 "$stamp" prove --port "$2.tty" --trust hq/root.pem
    says "locked"
    stop "$2"
}

headquarters && token line-1 || exit 1

# Keys that were not made in the token, or may leave it.
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out outside.key 2> /dev/null
softhsm=$P11_FAULT_MODULE
tool=(pkcs11-tool --module "$softhsm" --token-label line-1 --login --pin "$pin")
"${tool[@]}" --write-object outside.key --type privkey --label "devstamp ca" --usage-sign > tool.out 2>&1
check_status "a key that was brought into the token" 3 "$stamp" station init site --token "$(uri line-1)" --pin-file pin
says "it was not made in the token"
"${tool[@]}" --delete-object --type privkey --label "devstamp ca" > tool.out 2>&1
"${tool[@]}" --keypairgen --key-type EC:prime256v1 --label "devstamp ca" --usage-sign --extractable > tool.out 2>&1
check_status "a key that may leave it" 3 "$stamp" station init site --token "$(uri line-1)" --pin-file pin
says "it can be taken out"
for type in privkey pubkey; do
    "${tool[@]}" --delete-object --type "$type" --label "devstamp ca" > tool.out 2>&1
done
rm -rf site
check_status "a limit, which this token does not know" 1 "$stamp" station init site --token "$(uri line-1)" \
    --use-limit 5 --pin-file pin
says "does not know a limit of uses"
rm -rf site

# Where the PIN comes from.
cp pin open-pin && chmod 644 open-pin
check_status "a PIN that others can read" 1 "$stamp" station init site --token "$(uri line-1)" --pin-file open-pin
says "open-pin"
check_status "a PIN in the URI" 1 "$stamp" station init site --token "$(uri line-1)&pin-value=$pin" --pin-file pin
says "holds a PIN"
rm -rf site
check_status "a PIN from a file descriptor" 0 "$stamp" station init site --token "$(uri line-1)" --pin-fd 3 3< pin
check_status "a PIN that is typed" 0 typed "$stamp" station init site --token "$(uri line-1)"
says "key ca: found in the token"
check "  is not shown" sh -c "! grep -q $pin out"
"$stamp" -C hq station enrol site/station.csr -o site.pem > enrol.out && "$stamp" station init site --cert site.pem \
    > init.out 2>&1 || exit 1
order order 8 site || exit 1

# Pulled, before and in the middle of a signature.
unit zero
check_status "the line asks for the PIN once" 0 typed "$stamp" station run site --order order --port zero.tty --once
says "asked 1 times"
says "1 done now"
stop zero
unit null
check_status "and reads it once from a file descriptor" 0 "$stamp" station run site --order order --port null.tty --once \
    --pin-fd 3 3< pin
stop null
unit one
faults "gone-at Sign 1"
running order one
check "the token is pulled in the middle of a signature: the line stands" until_says "the line stands" line.out
check "  and says which token, and why" grep -q "'line-1'.*not there any more" line.out
faults
goes_on "it is back: the line goes on" one
check "  and says so" grep -q "the token is back: the line goes on" line.out
unit two
faults "gone-at CreateObject 1"
running order two
check "the token is pulled while it counts: the line stands" until_says "the line stands" line.out
faults
goes_on "it goes on" two

# Another one in its place.
unit three
faults "gone-at Sign 1"
running order three
check "pulled again" until_says "the line stands" line.out
kill -TERM "$line"
wait "$line"
check "stopped while it waits: the unit is not done" grep -q '0 done now' line.out
faults
check_status "run again, it is" 0 strike site order three
says "1 done now; of 8: 5 done, 0 failed, 0 scrapped, 0 in doubt, 3 remaining"
stop three

# Slow, and full.
unit four
faults "sign-ms 700"
running order four
goes_on "a slow token: no more than time is lost" four
unit five
faults "fail CreateObject 1 31"
running order five
goes_on "a token that is full for once" five
check "  said so" grep -q "it is full" line.out

# Locked, or one try left: nothing is tried.
unit six
for flag in pin-locked final-try; do
    : > calls
    faults "$flag"
    check_status "$flag: the line does not begin" 3 strike site order six
    says "$([ "$flag" = final-try ] && echo 'one more wrong PIN locks token' || echo 'is locked')"
    check "  no PIN was tried" test "$(calls Login)" = 0
done
faults
printf '00000000\n' > wrong
: > calls
check_status "a wrong PIN" 3 "$stamp" station run site --order order --port six.tty --once --pin-file wrong
says "the PIN of token 'line-1' is wrong"
check "  was tried once" test "$(calls Login)" = 1
: > calls
faults "gone-at Sign 1" "pin-locked"
running order six
check "locked and pulled while the line runs: it does not begin" sh -c "! wait $line 2> /dev/null"
wait "$line"
faults "gone-at Sign 1"
running order six
until_says "the line stands" line.out
: > calls
faults "pin-locked"
sleep 1.2
check "back, and locked: the line stands, no PIN is tried" test "$(calls Login)" = 0
faults
goes_on "unlocked: it goes on" six
check_status "all of the order" 0 "$stamp" station status site
says "order of 8: 8 done, 0 failed, 0 scrapped, 0 in doubt, 0 remaining"
check_status "the journal goes home" 0 export_of site bundle
check_status "  and agrees" 0 "$stamp" -C hq reconcile bundle
says "8 units booked; 0 problems"

# Pulled while the journal's head is signed: sixteen units make a checkpoint.
order sixteen 17 site || exit 1
group=()
for i in $(seq 16); do
    unit "many$i"
    group+=("many$i")
done
faults "fail Sign 17 30"
check_status "pulled while a checkpoint is made: all units are done" 0 strike site sixteen "${group[@]}"
says "no checkpoint now"
says "16 done now"
for i in "${group[@]}"; do
    stop "$i"
done
faults
unit last
check_status "the next run finds nothing wrong with the journal" 0 strike site sixteen last
says "1 done now"
stop last
check_status "  nor does headquarters" 0 export_of site bundle-16
check_status "  that takes it in" 0 "$stamp" -C hq reconcile bundle-16
says "17 units booked; 0 problems"

# A key that wants its PIN before each signature.
order always 1 site || exit 1
faults "always-authenticate devstamp ca"
: > calls
unit seven
check_status "a key that wants its PIN each time" 0 strike site always seven
says "1 done now"
check "  got it" test "$(calls LoginContext)" = 1
stop seven

# One that makes so many signatures and no more.
faults limit
token line-2 || exit 1
mv site site-1
check_status "a key with a limit of signatures" 0 "$stamp" station init site --token "$(uri line-2)" --use-limit 2 \
    --pin-file pin
says "key ca: made in the token"
"$stamp" -C hq station enrol site/station.csr -o limited.pem > enrol.out &&
    "$stamp" station init site --cert limited.pem > init.out 2>&1
order limited 9 limited || exit 1
unit eight
check_status "it signed its own request, and signs once more" 0 strike site limited eight
says "1 done now"
stop eight
unit nine
check_status "then nothing is made any more" 1 strike site limited nine
says "has made all signatures that it may"
stop nine
finish
