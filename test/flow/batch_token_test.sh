#!/bin/bash
# A station whose key sits in a token: SoftHSM2 here, found through p11-kit.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
pin=48151623
export SOFTHSM2_CONF=$scratch/softhsm2.conf
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$scratch" \
    > softhsm2.conf
module=$(find /usr/lib -name libsofthsm2.so | head -n 1)
tool=(pkcs11-tool --module "$module" --token-label line-3 --login --pin "$pin")

softhsm2-util --init-token --free --label line-3 --pin "$pin" --so-pin 87654321 > /dev/null || exit 1
"${tool[@]}" --keypairgen --key-type EC:prime256v1 --label station --id 01 --usage-derive > /dev/null || exit 1
"${tool[@]}" --keypairgen --key-type EC:prime256v1 --label other --id 02 --usage-derive > /dev/null || exit 1
"${tool[@]}" --read-object --type pubkey --id 01 -o pub.der > /dev/null || exit 1
# A certificate for a key that only agrees on keys is signed by another one.
openssl pkey -pubin -inform DER -in pub.der -out pub.pem
openssl ecparam -name prime256v1 -genkey -noout -out signer.key
openssl req -new -key signer.key -subj /CN=line-3 -out station.csr
printf 'keyUsage=critical,keyAgreement\n' > usage
openssl x509 -req -in station.csr -force_pubkey pub.pem -signkey signer.key -extfile usage -days 30 \
    -out station.pem 2> /dev/null
printf '%s\n' "$pin" > pin
printf '11111111\n' > wrong
headquarters
check_status "a batch for the token" 0 "$stamp" -C hq batch create --product Sensor --count 9 \
    --station station.pem -o a.batch

next=("$stamp" batch next a.batch --trust hq/root.pem)
uri="pkcs11:token=line-3;object=station"
check_status "the token opens it" 0 "${next[@]}" --key "$uri" --pin-file pin
says "SN-"
input=pin check_status "its PIN from a descriptor" 0 "${next[@]}" --key "pkcs11:token=line-3;id=%01" --pin-fd 0
check_status "its PIN named in the URI" 0 "${next[@]}" --key "$uri?pin-source=file:$scratch/pin"
check_status "the module named, too" 0 "${next[@]}" --key "$uri?module-path=$module" --pin-file pin
check_status "onto a board" 0 "$stamp" flash --batch a.batch --key "$uri" --pin-file pin \
    --board qemu-riscv32 --flash-file flash.bin
says "is on qemu-riscv32"

check_status "another key of the token" 3 "${next[@]}" --key "pkcs11:token=line-3;object=other" --pin-file pin
says "this key does not open 'a.batch'"
check_status "a wrong PIN" 1 "${next[@]}" --key "$uri" --pin-file wrong
says "the PIN of token 'line-3' is wrong"
check_status "a PIN in the URI" 1 "${next[@]}" --key "$uri?pin-value=$pin"
says "the URI holds a PIN"
chmod 644 pin
check_status "a PIN that others can read" 1 "${next[@]}" --key "$uri" --pin-file pin
chmod 600 pin
check_status "no such token" 1 "${next[@]}" --key "pkcs11:token=line-4;object=station" --pin-file pin
says "there is no such token"
check_status "no such key" 1 "${next[@]}" --key "pkcs11:token=line-3;object=none" --pin-file pin
says "has no such private key"
check_status "two keys" 1 "${next[@]}" --key "pkcs11:token=line-3" --pin-file pin
says "more than one key"
check_status "no URI" 1 "${next[@]}" --key "pkcs11:token" --pin-file pin
check_status "no such module" 1 "${next[@]}" --key "$uri?module-path=/no/module.so" --pin-file pin
says "cannot be loaded"
check_status "what was refused took nothing" 0 "$stamp" batch show a.batch
says "4 unused, 4 in doubt, 1 struck"
check_status "the books need no token" 0 "$stamp" batch close a.batch -o results
check_status "home" 0 "$stamp" -C hq batch import results
check "no PIN is told" test "$(grep -c "$pin" "$scratch/every-output")" = 0
[ "$failures" = 0 ]
