#!/bin/bash
# A TLS client whose key is its stamp's, against `openssl s_server`: in with our root, not with
# another; and it talks to no server that its trust bundle does not know.
set -euo pipefail
# shellcheck source=test/flow/live_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

# server_cert NAME CA KEY HOST
server_cert() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
    printf 'subjectAltName=DNS:%s\n' "$4" > "$1.ext"
    openssl req -new -key "$1.key" -subj "/CN=$4" |
        openssl x509 -req -CA "$2" -CAkey "$3" -days 2 -extfile "$1.ext" -out "$1.pem" 2> /dev/null
}

# server NAME CERT CLIENT-CA: on a port that is free; its log is NAME.server. It takes nobody
# without a certificate from CLIENT-CA.
server() {
    local i
    openssl s_server -accept 127.0.0.1:0 -tls1_2 -cert "$2.pem" -key "$2.key" -CAfile "$3" \
        -Verify 3 -verify_return_error -rev > "$scratch/$1.server" 2>&1 < /dev/null &
    printf '%s\n' "$!" > "$scratch/$1.pid"
    for i in $(seq 200); do
        port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$scratch/$1.server")
        [ -z "$port" ] || return 0
        sleep 0.05
    done
    printf 'the server did not start (%s)\n' "$i" >&2
    return 1
}

# tls FLASH [OPTION...]
tls() {
    local flash=$1
    shift
    chmod 600 "$flash"
    timeout 60 "$build/stamp-tls-client" --flash-file "$flash" --connect "localhost:$port" "$@"
}

workspace ours
workspace theirs
serial=$("$stamp" show --json ours.bin | "${python[@]}" -c 'import json,sys; print(json.load(sys.stdin)["serial"])')
server_cert mine ours/root.pem ours/keys/root.key localhost
server_cert foreign theirs/root.pem theirs/keys/root.key localhost
server_cert elsewhere ours/root.pem ours/keys/root.key elsewhere.example

server one mine ours/root.pem
check_status "a server of our root takes the stamp" 0 tls ours.bin
says "device $serial"
says "handshake done: TLSv1.2"
says "pmats a morf olleh"
check "it saw the device's serial number" grep -q "serialNumber = $serial" one.server
check "and verified its certificate" grep -q 'Verification: OK' one.server
check_status "a server that requires our root refuses a stamp of another" 3 \
    tls theirs.bin --ca ours/root.pem
says "the server refused"
check "and says why" grep -q 'unable to get local issuer certificate' one.server
check_status "a device trusts no server outside its trust bundle" 3 tls theirs.bin
says "the server is not trusted"
stop one

server two foreign ours/root.pem
check_status "a server of another root is refused" 3 tls ours.bin
says "the server is not trusted"
check_status "unless a file says to trust it" 0 tls ours.bin --ca theirs/root.pem
says "handshake done"
stop two

server three elsewhere ours/root.pem
check_status "a server of another name is refused" 3 tls ours.bin
says "the server is not trusted"
check_status "unless the name is the one asked for" 0 tls ours.bin --name elsewhere.example
stop three

cp ours.bin forged.bin
"${python[@]}" - forged.bin << 'END'
# Another anchor in the bundle, with every CRC made right again: only the owner's signature tells.
import struct, sys, zlib
data = bytearray(open(sys.argv[1], "rb").read())
body_len = struct.unpack_from("<I", data, 12)[0]
bundle = data.index(bytes.fromhex("8443a10126a0"), 128)
data[bundle + 60] ^= 1
struct.pack_into("<I", data, 40, zlib.crc32(data[128:128 + body_len]))
struct.pack_into("<I", data, 60, zlib.crc32(data[0:60]))
open(sys.argv[1], "wb").write(data)
END
server four mine ours/root.pem
check_status "a trust bundle that its owner did not sign is not believed" 1 tls forged.bin
says "trust bundle is not its owner's"

"${python[@]}" "$root/test/interop/independent_make.py" foreign > /dev/null
chmod 600 foreign/root.key
stop four
server five mine foreign/trust.pem
check_status "a stamp of another writer, encrypted at rest" 0 \
    tls foreign/full-encrypted.bin --root-key foreign/root.key --ca ours/root.pem
check_status "the operational identity" 0 \
    tls foreign/operational-identity.bin --newest --ca ours/root.pem
stop five

port=1
check_status "nobody listens" 1 tls ours.bin
head -c 24576 /dev/zero | tr '\0' '\377' > blank.bin
check_status "no stamp" 1 tls blank.bin
says "no stamp"
check_status "no arguments" 2 "$build/stamp-tls-client"

finish
