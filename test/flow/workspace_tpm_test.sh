#!/bin/bash
# The keys of a production workspace in a TPM 2.0: tpm2-pkcs11 before a simulated one. They only sign, so a
# TPM can hold them; a station's token does more, and a TPM that is asked to be one says what it lacks.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
umask 077
pin=48151623
printf '%s\n' "$pin" > pin
printf '11111111\n' > wrong
printf 'correct horse battery staple\n' > phrase
module=$(find /usr/lib -name 'libtpm2_pkcs11.so.1' | head -n 1)
port=$("${python[@]}" -c 'import socket
for _ in range(100):
    a, b = socket.socket(), socket.socket()
    a.bind(("127.0.0.1", 0))
    try:
        b.bind(("127.0.0.1", a.getsockname()[1] + 1))
    except OSError:
        continue
    print(a.getsockname()[1])
    break')
mkdir state store
swtpm socket --tpm2 --tpmstate "dir=$scratch/state" --server "type=tcp,port=$port,bindaddr=127.0.0.1" \
    --ctrl "type=tcp,port=$((port + 1)),bindaddr=127.0.0.1" --flags not-need-init,startup-clear --daemon \
    --pid "file=$scratch/swtpm.pid" || exit 1
# A TPM has room for three keys at a time: a resource manager swaps them, as /dev/tpmrm0 does in Linux.
dbus-daemon --session --fork --print-address=3 --print-pid=4 3> bus 4> bus.pid || exit 1
DBUS_SESSION_BUS_ADDRESS=$(cat bus)
export DBUS_SESSION_BUS_ADDRESS
tpm2-abrmd --session --allow-root --tcti "swtpm:host=127.0.0.1,port=$port" > abrmd.log 2>&1 &
echo $! > abrmd.pid
export TPM2_PKCS11_STORE=$scratch/store TPM2_PKCS11_TCTI=tabrmd:bus_type=session
export TPM2_PKCS11_LOG_LEVEL=0 TSS2_LOG=all+none
for _ in $(seq 100); do
    ! dbus-send --session --dest=org.freedesktop.DBus --print-reply / org.freedesktop.DBus.ListNames 2>&1 |
        grep -q com.intel.tss2.Tabrmd || break
    sleep 0.1
done

# hq VERB...: with the passphrase of what is in files, and the PIN.
hq() { "$stamp" -C hq --pin-file pin "$@" --passphrase-fd 3 3< phrase; }

# keys: of the TPM, a line each.
keys() { pkcs11-tool --module "$module" --token-label vault --login --pin "$pin" -O --type privkey 2> /dev/null; }

pkcs11-tool --module "$module" --slot-index 0 --init-token --label vault --so-pin 87654321 > token.log 2>&1 &&
    pkcs11-tool --module "$module" --token-label vault --init-pin --so-pin 87654321 --pin "$pin" >> token.log 2>&1 || {
    cat token.log
    exit 1
}
uri="pkcs11:token=vault;object=sensor?module-path=$module"
input=phrase check_status "a wrong PIN" 1 "$stamp" --pin-file wrong init hq --company Acme --product Sensor \
    --production --keys "$uri" --passphrase-fd 0
says "PIN"
check "  leaves nothing behind" test ! -e hq
input=phrase check_status "keys are made in the TPM" 0 "$stamp" --pin-file pin init hq --company Acme \
    --product Sensor --production --keys "$uri" --passphrase-fd 0
check "no private key is in a file" test -z "$(find hq -name '*.key')"
check "three are in the TPM" test "$(keys | grep -c '^Private Key Object')" = 3
check "  and never come out" test "$(keys | grep -c 'never extractable, local')" = 3

check_status "a stamp, signed in the TPM" 0 hq make --serial SN-1 -o one.bin
check_status "  is authentic" 0 "$stamp" verify one.bin --trust hq/root.pem
check_status "no PIN, no stamp" 1 "$stamp" -C hq --pin-file wrong make --serial SN-2 -o two.bin --passphrase-fd 3 \
    3< phrase
check "  and none is there" test ! -e two.bin
for r in ca box journal; do
    openssl ecparam -name prime256v1 -genkey -noout -out "$r.key"
    openssl req -new -key "$r.key" -subj "/CN=line 3 $r" >> csr
done
check_status "a station is enrolled by the root in the TPM" 0 hq station enrol csr -o cert.pem
check "  openssl follows it" openssl verify -CAfile hq/root.pem cert.pem
check_status "an order is signed by the owner key in the TPM" 0 hq order create --product Sensor --count 5 \
    --station cert.pem --not-after 2035-01-01 -o a.order

check_status "a station wants more than a TPM has" 1 "$stamp" station init line --pin-file pin \
    --token "pkcs11:token=vault?module-path=$module"
says "has no key agreement (CKM_ECDH1_DERIVE): orders cannot be sealed to it"
says "docs/tokens.md"
check "  and leaves no key in it" test "$(keys | grep -c '^Private Key Object')" = 3
check "  nor a station" test ! -e line
finish
