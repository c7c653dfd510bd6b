#!/bin/bash
# `stamp rotate`: a live board's operational identity is renewed through the service, by a registrar; on the emulated
# board, encrypted at rest and plain, and cut off at random moments; and what is refused.
#
# STAMP_CUTS: how many times the power of a board is cut (default: 6)
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
cuts=${STAMP_CUTS:-6}

# rotate NAME [OPTION...]: of workspace ws.
rotate() {
    local name=$1
    shift
    timeout 120 "$stamp" rotate -C ws --port "$scratch/$name.tty" --server "https://$at" --registrar desk.pem "$@"
}

# keys SERIAL STATE: how many operational keys of a device are in a state.
keys() {
    "$stamp" -C ws registry show "$1" | grep -c "^operational key .* $2 until"
}

check "a workspace" "$stamp" init ws --company Acme --product Lantern
check "two stamps" "$stamp" -C ws make -n 2
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
head -c 32 /dev/urandom > root.key
chmod 600 root.key
check "one on a board, encrypted at rest" "$stamp" flash -C ws "${serials[0]}" --board qemu-riscv32 \
    --flash-file board.flash --root-key root.key
check "one on another board" "$stamp" flash -C ws "${serials[1]}" --board qemu-riscv32 --flash-file plain.flash
check_status "a registrar" 0 "$stamp" -C ws registrar add desk -o desk.pem
check "  with a key that is nobody else's" test "$(stat -c %a desk.pem)" = 600
check "  certified by the sub-CA" openssl verify -purpose sslclient -CAfile ws/root.pem -untrusted ws/sub-ca.pem desk.pem
check_status "a registrar's file is not written over" 1 "$stamp" -C ws registrar add desk -o desk.pem
says "'desk.pem' is there already"
check "the service starts" serve ws --per-hour 1000
mine=$at

check "the board boots" boot board board.flash --root-key root.key
cp board.flash before.flash
check_status "its identity is renewed" 0 rotate board
says "${serials[0]}	renewed: bank"
check "  the books: pending" test "$(keys "${serials[0]}" pending)" = 1
check_status "  it proves itself with it" 0 "$stamp" prove -C ws --port board.tty --newest
operational=$(sed -n 's/.*certificate sha256 //p' out)
check "  which is the certificate on the books" test "$operational" = "$("$stamp" -C ws registry show "${serials[0]}" --json |
    "${python[@]}" -c 'import base64, hashlib, json, sys
print(hashlib.sha256(base64.b64decode(json.load(sys.stdin)["operational"][-1]["certificate"])).hexdigest())')"
check_status "  its birth identity is what it was" 0 "$stamp" prove -C ws --port board.tty
check "  and untouched in flash" cmp -n 262144 board.flash before.flash
check_status "a second time" 0 rotate board
check "  the books: the first one was in use" test "$(keys "${serials[0]}" confirmed)" = 1
check "  the second waits for its first use" test "$(keys "${serials[0]}" pending)" = 1

# --- what is refused ---
check_status "another workspace's registrar" 0 "$stamp" init other --company Acme --product Lantern
check_status "" 0 "$stamp" -C other registrar add desk -o other.pem
check_status "  is none here" 3 "$stamp" rotate -C ws --port board.tty --server "https://$at" --registrar other.pem
says "this certificate may not do that"
says "the device has the identity that it had"
device ws "${serials[1]}" d1
cat d1/cert.pem d1/key.pem > d1.pem
check_status "a device is no registrar for another" 3 "$stamp" rotate -C ws --port board.tty --server "https://$at" \
    --registrar d1.pem
check_status "a device that is not of whom we trust" 3 "$stamp" rotate --trust other/root.pem --port board.tty \
    --server "https://$at" --registrar desk.pem
check "another workspace's service" serve other
check_status "a server that is not of whom we trust" 1 "$stamp" rotate -C ws --port board.tty --server "https://$at" \
    --registrar desk.pem
says "certificate"
check "  is stopped" serve_stop other
at=$mine
check_status "no server there" 1 "$stamp" rotate -C ws --port board.tty --server https://localhost:1 --registrar desk.pem
says "cannot ask 'https://localhost:1'"
check_status "no https" 1 "$stamp" rotate -C ws --port board.tty --server http://localhost --registrar desk.pem
says "is no https URL"
check_status "nobody's file" 1 "$stamp" rotate -C ws --port board.tty --server "https://$at" --registrar nothing.pem
check_status "the key that waited all the time is forgotten" 0 "$stamp" rotate -C ws --port board.tty --drop
check_status "the device has the identity that it had" 0 "$stamp" prove -C ws --port board.tty --newest
check "the service is stopped" serve_stop ws
check_status "and does not answer" 1 rotate board --patience 1
check "the service starts again" serve ws --per-hour 1000
check_status "the board goes on with the key that it made" 0 rotate board
halt board

# --- power is cut ---
check "the other board boots" boot plain plain.flash
lost=0
for i in $(seq "$cuts"); do
    # 0 to 1.6 s: a rotation takes one or so.
    rotate plain > rotate.log 2>&1 &
    sleep "$((RANDOM % 2)).$(printf %03d $((RANDOM % 600)))"
    halt plain KILL
    wait $!
    boot plain plain.flash > boot.log 2>&1 || { lost=$((lost + 1)) && cat boot.log; }
    "$stamp" prove -C ws --port plain.tty --newest > proof.log 2>&1 || { lost=$((lost + 1)) && cat proof.log; }
    "$stamp" prove -C ws --port plain.tty > proof.log 2>&1 || { lost=$((lost + 1)) && cat proof.log; }
done
check "after each of $cuts cuts it has the identity that it had or the new one, and proves it" test "$lost" = 0
check_status "and can be renewed" 0 rotate plain
check_status "  again" 0 rotate plain
check "  of all that were asked for, one is confirmed" test "$(keys "${serials[1]}" confirmed)" = 1
halt plain
check "no private key was on the wire" sh -c "! grep -a 'PRIVATE' board.log plain.log"
check "a graceful stop" serve_stop ws
finish
