#!/bin/bash
# `stamp claim` against simulated devices: who has the label gets in, nobody else, and the proof of
# possession goes to no device but the label's.
set -euo pipefail
# shellcheck source=test/flow/live_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

# claim PORT LABEL-FILE...
claim() {
    local port=$1 labels=() file
    shift
    for file in "$@"; do
        labels+=(--label "@$scratch/$file")
    done
    timeout 120 "$stamp" claim --port "$scratch/$port.tty" --timeout 1500 "${labels[@]}"
}

ask() {
    timeout 120 "${python[@]}" "$root/test/interop/independent_smp.py" "$(readlink "$scratch/$1.tty")" "${@:2}"
}

workspace ours
workspace theirs
for name in ours theirs; do
    barcode $name.bin STAMP: > $name.label
    barcode $name.bin DPP: > $name.dpp
done
sed -n 's/.*;P:\(.*\);;/\1/p' ours.label > pop
pop=$(cat pop)
other_pop=$(sed -n 's/.*;P:\(.*\);;/\1/p' theirs.label)
sed "s/;P:.*/;P:$other_pop;;/" ours.label > wrong.label
printf '{"ver":"v1","name":"PROV_1","pop":"%s","transport":"ble"}\n' "$pop" > ours.esp
cp ours.bin dev.bin
agent dev dev.bin

check_status "a label must be given" 2 "$stamp" claim --port "$scratch/dev.tty"
check_status "a label without the proof of possession" 1 claim dev ours.dpp
says "no proof of possession"
check_status "a label without a key" 1 claim dev ours.esp
says "no provisioning key"
check_status "a label that is none" 1 claim dev pop
check_status "codes of two labels" 3 claim dev ours.label theirs.dpp

proxy line dev --seen seen.log
check_status "another device's label is refused" 3 claim line theirs.label
says "the proof of possession was not sent"
sed "s/S:[^;]*;/S:$(sed 's/.*STAMP:S:\([^;]*\);.*/\1/' ours.label);/" theirs.label > disguised.label
check_status "also where its serial number is this device's" 3 claim line disguised.label
says "another provisioning key"
check "it was asked for its key" test "$(seen seen.log 03)" = 1
check "and was told no proof" test "$(seen seen.log 04)" = 0
stop line

for what in e k s; do
    proxy line dev --rule "tamper-$what" --seen seen.log
    check_status "a changed '$what' of the device's answer is refused" 3 claim line ours.label
    check "before the proof is sent" test "$(seen seen.log 04)" = 0
    stop line
done
proxy line dev --rule tamper-possess
check_status "a changed proof is refused" 3 claim line ours.label
stop line
stop dev
check "nothing so far counted as a try" cmp ours.bin dev.bin

agent dev dev.bin
for try in 1 2 3; do
    check_status "wrong proof $try is refused" 3 claim dev wrong.label
    says "refused the proof of possession"
    stop dev
    agent dev dev.bin
done
check_status "then, also after a restart, it slows down" 4 claim dev ours.label
says "slowing down"
says "run the same command again in 1 s"
sleep 1.1
check_status "another wrong one" 3 claim dev wrong.label
check_status "waits longer" 4 claim dev ours.label
says "run the same command again in 2 s"
sleep 2.1
proxy line dev --seen first.log
check_status "the right proof is taken" 0 claim line ours.label
says "claimed: Lantern"
stop line
proxy line dev --rule replay --replay first.log --seen seen.log
check_status "a recorded answer is refused" 3 claim line ours.label
says "signature is wrong"
check "and told no proof" test "$(seen seen.log 04)" = 0
stop line
stop dev
check_status "it is on record" 0 "$stamp" show dev.bin
says "claimed"
check_status "and the stamp is as authentic as before" 0 "$stamp" verify -C ours dev.bin

agent dev dev.bin
check_status "the device says so after a restart" 0 ask dev info
says '"claimed": true'
check_status "two codes that make one label" 0 claim dev ours.dpp ours.esp
input=$scratch/ours.label check_status "a label on standard input" 0 \
    "$stamp" claim --port "$scratch/dev.tty" --label -
for rule in pass lose damage double noise late; do
    proxy line dev --rule $rule
    check_status "a line with rule '$rule'" 0 claim line ours.label
    stop line
done
stop dev

cp ours.bin dev2.bin
agent dev dev2.bin
hash=$(sed 's/.*;H:\([0-9a-f]*\);.*/\1/' ours.label)
check_status "an app that shares no code claims it" 0 ask dev claim --hash "$hash" --pop-file pop
printf '%s' "$other_pop" > other-pop
check_status "but not with a wrong proof" 3 ask dev claim --hash "$hash" --pop-file other-pop
stop dev

other_device other ours.bin
check_status "a device that shares no code is claimed" 0 claim other ours.label
check "and was told the proof" grep -q "^told $pop" other.log
stop other
for fault in provisioning swap serial; do
    other_device other ours.bin --fault $fault
    check_status "an impostor with fault '$fault' is refused" 3 claim other ours.label
    check "and told nothing" test "$(grep -c told other.log)" = 0
    stop other
done
other_device other ours.bin --fault seal
check_status "an answer under a wrong key is no claim" 3 claim other ours.label
stop other
other_device other ours.bin --fault mute
check_status "a silent port is named" 1 claim other ours.label
says "no answer from a device on port '$scratch/other.tty'"
stop other

head -c 24576 /dev/zero | tr '\0' '\377' > blank.bin
agent blank blank.bin
check_status "a device without a stamp" 1 claim blank ours.label
says "has no stamp"
stop blank

"${python[@]}" "$root/test/interop/independent_make.py" foreign > /dev/null
chmod 600 foreign/root.key
"${python[@]}" - > point << 'END'
import json
from cryptography.hazmat.primitives import serialization as s
entry = next(e for e in json.load(open("foreign/manifest.json")) if e["name"] == "full")
key = s.load_pem_public_key(entry["json"]["provisioning_key"]["public_key"].encode())
print(key.public_bytes(s.Encoding.X962, s.PublicFormat.UncompressedPoint).hex())
END
printf 'correct-horse-7' > foreign.pop
agent sealed foreign/full-encrypted.bin --root-key foreign/root.key
check_status "a stamp encrypted at rest is claimed" 0 \
    ask sealed claim --point "$(cat point)" --pop-file foreign.pop
stop sealed
check "and its flash holds no part of the proof" \
    "${python[@]}" -c 'import sys
data = open("foreign/full-encrypted.bin", "rb").read()
pop = open("foreign.pop", "rb").read()
sys.exit(any(pop[i:i + 8] in data for i in range(len(pop) - 7)))'

check "no output of all this holds a proof of possession" \
    sh -c "! grep -qe '$pop' -e '$other_pop' every-output"

finish
