#!/bin/bash
# Proofs of possession in escrow: only where the profile says so, sealed to the owner, for stamps made one
# by one and in batches.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
station line
station owner
headquarters

# pop_of IMAGE: the proof in it.
pop_of() {
    "$stamp" show "$1" --secrets | sed -n 's/^proof of possession  //p'
}

check_status "without it" 0 "$stamp" -C hq make --serial PLAIN-1 -o plain.bin
check_status "nothing is kept" 1 "$stamp" -C hq registry pop PLAIN-1 --key owner.key
says "no proof of possession of 'PLAIN-1' is kept in escrow"

cp owner.pem hq/owner-pop.pem
sed -i 's/^  # escrow: owner-pop.pem/  escrow: owner-pop.pem/' hq/devstamp.yaml
check_status "one by one" 0 "$stamp" -C hq make --serial KEPT-1 -o kept.bin
check_status "the owner opens it" 0 "$stamp" -C hq registry pop KEPT-1 --key owner.key
check "  and it is the one" test "$(cat "$scratch/out")" = "$(pop_of kept.bin)"
check_status "nobody else does" 3 "$stamp" -C hq registry pop KEPT-1 --key line.key
says "this key does not open it"

check_status "a batch" 0 "$stamp" -C hq batch create --product Sensor --count 30 --station line.pem -o a.batch
check_status "at the station" 0 "$stamp" batch next a.batch --key line.key --trust hq/root.pem -o unit.bin
serial=$(cut -f1 "$scratch/out")
check_status "the owner opens that, too" 0 "$stamp" -C hq registry pop "$serial" --key owner.key
check "  and it is the one" test "$(cat "$scratch/out")" = "$(pop_of unit.bin)"
mkdir books && cp hq/registry.db* a.batch books
check_status "no proof is in the clear" 0 "$build/test/batch_check" hq line.key a.batch -- books

openssl pkcs8 -topk8 -in owner.key -out locked.key -passout pass:sesame
chmod 600 locked.key
printf 'sesame\n' > phrase
input=phrase check_status "with a passphrase" 0 "$stamp" -C hq registry pop KEPT-1 --key locked.key --passphrase-fd 0
check "  the same" test "$(cat "$scratch/out")" = "$(pop_of kept.bin)"

openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out hq/owner-pop.pem -subj /CN=rsa 2> /dev/null
check_status "a certificate that nothing can be sealed to" 1 "$stamp" -C hq make --serial NEVER-1
says "proofs cannot be sealed to"
says "no stamp was made"
[ "$failures" = 0 ]
