#!/bin/bash
# `stamp prove` against a simulated device and against one that shares no code with ours: what is
# authentic, what is not, and a serial line at its worst.
set -euo pipefail
# shellcheck source=test/flow/live_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

prove() {
    local port=$1
    shift
    timeout 120 "$stamp" prove --port "$scratch/$port.tty" --timeout 700 "$@"
}

ask() {
    timeout 120 "${python[@]}" "$root/test/interop/independent_smp.py" "$(readlink "$scratch/$1.tty")" "${@:2}"
}

workspace ours
workspace theirs
serial=$("$stamp" show --json ours.bin | "${python[@]}" -c 'import json,sys; print(json.load(sys.stdin)["serial"])')
cp ours.bin dev.bin
agent dev dev.bin

check_status "a device of the workspace is proven" 0 prove dev -C ours
says "$serial	proven: Lantern, Flow ours, development"
check_status "with a file of certificates to trust" 0 prove dev --trust ours/root.pem
check_status "its newest identity is the birth identity" 0 prove dev -C ours --newest
check_status "another workspace does not trust it" 3 prove dev -C theirs
says "is not authentic"
check_status "whom to trust must be known" 2 prove dev
check_status "a port must be given" 2 "$stamp" prove -C ours
check_status "a second program of its own: the port is in use" 4 \
    flock "$scratch/dev.tty" "$stamp" prove -C ours --port "$scratch/dev.tty"
check_status "a client that shares no code proves it too" 0 ask dev prove --trust ours/root.pem
check_status "and not under another root" 3 ask dev prove --trust theirs/root.pem
for rule in pass lose damage double noise late; do
    proxy line dev --rule $rule
    check_status "a line with rule '$rule'" 0 prove line -C ours
    stop line
done
stop dev

check "reading the identity changed nothing in flash" cmp ours.bin dev.bin

head -c 32 /dev/urandom > root.key
chmod 600 root.key
"${python[@]}" "$root/test/interop/independent_make.py" foreign > /dev/null
sealed() {
    agent sealed foreign/full-encrypted.bin --root-key "$1"
}
chmod 600 foreign/root.key
sealed foreign/root.key
check_status "a device with its stamp encrypted at rest is proven" 0 \
    prove sealed --trust foreign/trust.pem
says "encrypted at rest"
stop sealed
sealed root.key
check_status "the same flash in another chip proves nothing" 1 \
    prove sealed --trust foreign/trust.pem
says "damaged, or not made for it"
stop sealed

# Stamps with something wrong in them; the device does not know better, we must.
"${python[@]}" - > wrong.list << 'END'
import json
for e in json.load(open("foreign/manifest.json")):
    # what only the image's reader can see: private halves, and banks that a device passes over
    if e["expect"] == 3 and not e["crypt"] and not e["name"].startswith("bank-") \
            and not e["name"].startswith(("provisioning-", "value-provisioning-", "value-scalar-")):
        print(e["file"])
END
check "there are wrong stamps to try" test "$(wc -l < wrong.list)" -ge 25
while read -r file; do
    agent wrong "foreign/$file"
    check_status "$file is not authentic" 3 prove wrong --trust foreign/trust.pem
    stop wrong
done < wrong.list

agent rotated foreign/operational-identity.bin
check_status "an operational identity is proven" 0 prove rotated --trust foreign/trust.pem --newest
cp out newest
check_status "and the birth identity beside it" 0 prove rotated --trust foreign/trust.pem
check "they are not the same certificate" test \
    "$(grep sha256 newest)" != "$(grep sha256 out)"
stop rotated

other_device other foreign/full.bin
check_status "a device that shares no code with ours is proven" 0 \
    prove other --trust foreign/trust.pem
stop other
for fault in prove serial; do
    other_device other foreign/full.bin --fault $fault
    check_status "fault '$fault' is noticed" 3 prove other --trust foreign/trust.pem
    stop other
done
for fault in crc mute; do
    other_device other foreign/full.bin --fault $fault
    check_status "fault '$fault' is no answer" 1 prove other --trust foreign/trust.pem
    says "no answer from a device on port '$scratch/other.tty'"
    says "see that it is the right port"
    stop other
done

head -c 24576 /dev/zero | tr '\0' '\377' > blank.bin
agent blank blank.bin
check_status "a device without a stamp" 1 prove blank -C ours
says "has no stamp"
says "stamp flash"
stop blank
check "it changed nothing in flash" cmp -s blank.bin <(head -c 24576 /dev/zero | tr '\0' '\377')

cp ours.bin torn.bin
printf '\0' | dd of=torn.bin bs=1 seek=300 conv=notrunc status=none
agent torn torn.bin
check_status "a device with a damaged stamp" 1 prove torn -C ours
says "damaged"
stop torn

check_status "a port that is not there" 1 "$stamp" prove -C ours --port /dev/no-such-port
says "/dev/no-such-port"
check_status "a port that is no port" 1 "$stamp" prove -C ours --port ours.bin
says "is not a serial port"
check_status "a trust file that is not there" 1 prove nothing --trust no-such.pem
check_status "a trust file without certificates" 1 prove nothing --trust ours/devstamp.yaml

finish
