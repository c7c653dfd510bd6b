#!/bin/bash
# At the desk: init, make, show, verify, as a user runs them.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

check_status "init" 0 "$stamp" init desk --company "Example GmbH" --product "Weather Sensor"
check_status "init again" 1 "$stamp" init desk
says "there is a workspace in 'desk' already"
says "nothing was made"
cd desk || exit 1

# SERIAL<TAB>FILE, and the file is private.
check_status "make" 0 "$stamp" make
check "  prints one line" test "$(wc -l < "$scratch/out")" = 1
serial=$(cut -f 1 "$scratch/out")
file=$(cut -f 2 "$scratch/out")
check "  with the serial's file" test "$file" = "stamps/$serial.bin"
check "  of mode 0600" test "$(stat -c %a "$file")" = 600
check_status "make three" 0 "$stamp" make -n 3
check "  prints three lines" test "$(wc -l < "$scratch/out")" = 3
check_status "make a serial" 0 "$stamp" make --serial X-1/7 -o one.bin
check "  says its file" test "$(cat "$scratch/out")" = "X-1/7	one.bin"
check_status "make it again" 1 "$stamp" make --serial X-1/7 -o two.bin
says "serial 'X-1/7' is on the books already"
says "no stamp was made"
check "  and there is no file" test ! -e two.bin
check_status "make over a file" 1 "$stamp" make -o one.bin
says "'one.bin' exists already"
check "  from below" "$stamp" -C .. --help
mkdir -p deep/er
check_status "make from below" 0 env -C deep/er "$stamp" make
check "  says the way" grep -q "	../../stamps/" "$scratch/out"
check_status "make into a directory" 0 "$stamp" make -n 2 -o many
check "  has the two" test "$(find many -name '*.bin' -perm 600 | wc -l)" = 2
for format in partition ihex pem; do
    check_status "make --format $format" 0 "$stamp" make --format $format
    made=$(cut -f 2 "$scratch/out")
    check_status "  verify it" 0 "$stamp" verify "$made"
    check_status "  show it" 0 "$stamp" show "$made"
done
check "no temporary file is left" test -z "$(find . -name '*.tmp' -o -name '.devstamp*')"

# show: just the keys of the contract; secrets only when asked for.
keys='barcodes bound certificates company device_key fields hardware_revision made_at model product
proof_of_possession provisioning_key purpose serial trust_anchors'
shown() {
    "$stamp" show "$@" --json
}
value() {
    "${python[@]}" -c "import json, sys; j = json.load(sys.stdin); print($1)"
}
check "show: the keys" test "$(shown "$serial" | value '" ".join(sorted(j))')" = \
    "$(printf '%s' "$keys" | tr '\n' ' ')"
check "  of the device key" test \
    "$(shown "$serial" | value '" ".join(sorted(j["device_key"]))')" = "algorithm public_key"
check "  of the provisioning key" test \
    "$(shown "$serial" | value '" ".join(sorted(j["provisioning_key"]))')" = \
    "algorithm kind private_key public_key"
check "  of a barcode" test \
    "$(shown "$serial" | value '" ".join(sorted(j["barcodes"][0]))')" = "payload symbology"
check "  the serial" test "$(shown "$serial" | value 'j["serial"]')" = "$serial"
check "  the time" test "$(shown "$serial" | value 'j["made_at"][-1] + j["made_at"][10]')" = ZT
check "  bound" test "$(shown "$serial" | value 'j["bound"]')" = True
check "  leaf and sub-CA" test "$(shown "$serial" | value 'len(j["certificates"])')" = 2
check "  the root as anchor" test "$(shown "$serial" | value 'j["trust_anchors"][0]')" = \
    "$(cat root.pem)"
check "  no secret" test \
    "$(shown "$serial" | value 'j["proof_of_possession"], j["provisioning_key"]["private_key"]')" \
    = "None None"
check "  no secret payload" test \
    "$(shown "$serial" | value 'sum(b["payload"] is None for b in j["barcodes"])')" = 1
check "  a proof, when asked" test \
    "$(shown --secrets "$serial" | value 'len(j["proof_of_possession"])')" = 12
check "  a private key, when asked" test \
    "$(shown --secrets "$serial" | value 'j["provisioning_key"]["private_key"][:10]')" = \
    "-----BEGIN"
check_status "show, for people" 0 "$stamp" show "$serial"
says "Weather Sensor"
says "(secret)"
pop=$(shown --secrets "$serial" | value 'j["proof_of_possession"]')
check "  hides the proof" test -z "$(grep -F "$pop" "$scratch/out")"
check_status "show --secrets" 0 "$stamp" show --secrets "$serial"
says "$pop"

# verify: trust is the workspace's, or --trust, and never what is inside.
cp "$file" good.bin
check_status "verify" 0 "$stamp" verify good.bin many/*
"$stamp" init ../other > /dev/null
check_status "verify elsewhere" 3 "$stamp" -C ../other verify good.bin
says "not authentic"
check_status "verify --trust root" 0 env -C / "$stamp" verify "$PWD/good.bin" --trust "$PWD/root.pem"
check_status "verify --trust sub-CA" 0 "$stamp" verify good.bin --trust sub-ca.pem
check_status "verify --trust other" 3 "$stamp" verify good.bin --trust ../other/root.pem
check_status "verify without trust" 2 env -C / "$stamp" verify "$PWD/good.bin"
says "--trust"
head -c 3000 good.bin > cut.bin
check_status "verify what is cut" 1 "$stamp" verify cut.bin
says "cut short"
check_status "verify good and cut" 1 "$stamp" verify good.bin cut.bin
check_status "verify good, cut, strange" 3 "$stamp" verify good.bin cut.bin --trust ../other/root.pem
(head -c 5000 /dev/zero && cat good.bin && head -c 100 /dev/zero) > dump.bin
check_status "verify a dump" 0 "$stamp" verify --offset 5000 dump.bin
check_status "  at the wrong place" 1 "$stamp" verify --offset 4999 dump.bin

# The command line itself.
check_status "--version" 0 "$stamp" --version
check_status "no verb" 2 "$stamp"
check_status "unknown verb" 2 "$stamp" mak
check_status "unknown option" 2 "$stamp" --verbose
for verb in init make show verify label flash prove claim; do
    check_status "$verb --help" 0 "$stamp" $verb --help
    says "usage: stamp $verb"
    says "--help"
    check_status "$verb --unknown" 2 "$stamp" $verb --unknown
    says "stamp $verb --help"
done
check_status "make too many things" 2 "$stamp" make X
check_status "make none" 2 "$stamp" make -n 0
check_status "make -n what" 2 "$stamp" make -n 3x
check_status "make of no format" 2 "$stamp" make --format elf
check_status "make one serial twice" 2 "$stamp" make -n 2 --serial X
check_status "show nothing" 2 "$stamp" show
check_status "verify nothing" 2 "$stamp" verify
check_status "output that cannot be written" 1 sh -c "'$stamp' show '$serial' > /dev/full"
finish
