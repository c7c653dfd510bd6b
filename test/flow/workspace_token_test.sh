#!/bin/bash
# A production workspace whose owner key, root and sub-CA are in tokens: SoftHSM2 here.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
umask 077
pin=48151623
export SOFTHSM2_CONF=$scratch/softhsm2.conf
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$scratch" \
    > softhsm2.conf
for label in vault desk; do
    softhsm2-util --init-token --free --label "$label" --pin "$pin" --so-pin 87654321 > /dev/null || exit 1
done
module=$(find /usr/lib -name libsofthsm2.so | head -n 1)
printf '%s\n' "$pin" > pin
printf '11111111\n' > wrong
printf 'correct horse battery staple\n' > phrase

# hq VERB...: with the passphrase of what is in files, and the PIN.
hq() { "$stamp" -C hq --pin-file pin "$@" --passphrase-fd 3 3< phrase; }

input=phrase check_status "keys are made in a token" 0 "$stamp" --pin-file pin init hq --company Acme \
    --product Sensor --production --keys "pkcs11:token=vault;object=sensor" --passphrase-fd 0
check "no private key is in a file" test -z "$(find hq -name '*.key')"
check "the three are named" test "$(cat hq/keys/*.uri | wc -c)" -gt 60
for key in owner root sub-ca; do
    check "  $key never comes out" grep -q 'Access:.*sensitive, always sensitive, never extractable, local' \
        <(pkcs11-tool --module "$module" --token-label vault --login --pin "$pin" -O --type privkey \
        --label "sensor $key" 2> /dev/null)
done
input=phrase check_status "names that are taken" 1 "$stamp" --pin-file pin init second --production \
    --keys "pkcs11:token=vault;object=sensor" --passphrase-fd 0
says "has a key named 'sensor owner' already"
check "  leave nothing behind" test ! -e second
input=phrase check_status "a wrong PIN" 1 "$stamp" --pin-file wrong init second --production \
    --keys "pkcs11:token=desk" --passphrase-fd 0
says "PIN"
check "  leaves nothing behind" test ! -e second

check_status "a stamp, signed in the token" 0 hq make --serial SN-1 -o one.bin
check_status "  is authentic" 0 "$stamp" verify one.bin --trust hq/root.pem
check_status "no PIN, no stamp" 1 "$stamp" -C hq --pin-file wrong make --serial SN-2 -o two.bin --passphrase-fd 3 \
    3< phrase
check "  and none is there" test ! -e two.bin
for r in ca box journal; do
    openssl ecparam -name prime256v1 -genkey -noout -out "$r.key"
    openssl req -new -key "$r.key" -subj "/CN=line 3 $r" >> csr
done
check_status "a station is enrolled by the root in the token" 0 hq station enrol csr -o cert.pem
check_status "an order is signed by the owner key in the token" 0 hq order create --product Sensor --count 5 \
    --station cert.pem --not-after 2035-01-01 -o a.order
"${python[@]}" "$root/test/interop/independent_order.py" envelope a.order > envelope
openssl cms -decrypt -inform DER -binary -in envelope -inkey box.key -out key
check "  and is the owner's" "${python[@]}" "$root/test/interop/independent_order.py" open a.order key \
    "$(awk '/BEGIN DEVSTAMP/ { i = 1; next } /END DEVSTAMP/ { i = 0 } i' cert.pem | base64 -d | "${python[@]}" -c 'import cbor2, hashlib, sys
def points(v):
    for x in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else []):
        yield from points(x)
        if isinstance(x, bytes) and len(x) == 65: yield x
        if isinstance(x, bytes) and len(x) > 65:
            try: yield from points(cbor2.loads(x))
            except Exception: pass
print(hashlib.sha256(next(points(cbor2.loads(sys.stdin.buffer.read())))).hexdigest())')"
openssl x509 -in cert.pem -out ca.pem
awk '/-----BEGIN/ { i++ } i == 2' cert.pem > box.pem
check_status "a batch, signed in the token by several threads" 0 hq batch create --product Sensor --count 40 \
    --station box.pem -o x.batch --threads 2

# the root alone moves to another token
pkcs11-tool --module "$module" --token-label desk --login --pin "$pin" --keypairgen --key-type EC:prime256v1 \
    --label other --usage-sign > /dev/null 2>&1
printf 'pkcs11:token=desk;object=other\n' > hq/keys/root.uri
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
for r in ca box journal; do openssl req -new -key "$r.key" -subj "/CN=line 4 $r"; done > csr2
check_status "a key that is not the root's" 3 hq station enrol csr2 -o no.pem
says "is not the key of this workspace"
printf 'keys/root.key\n' > hq/keys/root.uri
check_status "no URI" 1 hq station enrol csr2 -o no.pem
says "holds no pkcs11: URI"
check "the PIN is told nowhere" test -z "$(grep -rlaF "$pin" . --exclude=pin --exclude-dir=tokens)"
finish
