#!/bin/bash
# stamp flash: what is written, what is left alone, what is refused.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

board=(--board qemu-riscv32 --flash-file)
partition=$((3 * 262144))

"$stamp" init desk > /dev/null
cd desk || exit 1
one=$("$stamp" make | cut -f 1)
two=$("$stamp" make | cut -f 1)

check_status "flash a new board" 0 "$stamp" flash "$one" "${board[@]}" f.bin
says "$one is on qemu-riscv32"
check "  32 MiB, mode 0600" test "$(stat -c '%s %a' f.bin)" = "33554432 600"
check_status "  it is authentic there" 0 "$stamp" verify --offset 0 f.bin
check "  the rest is erased" test "$(tail -c +$((partition + 1)) f.bin | tr -d '\377' | wc -c)" = 0
check_status "flash it again" 0 "$stamp" flash "stamps/$one.bin" "${board[@]}" f.bin
says "$one is already on qemu-riscv32"

# Only the partition changes.
head -c $((33554432 - partition)) /dev/urandom > other
(head -c $partition /dev/zero | tr '\0' '\377' && cat other) > g.bin
check_status "flash a board with firmware" 0 "$stamp" flash "$one" "${board[@]}" g.bin
check "  what is not the partition is as it was" cmp other <(tail -c +$((partition + 1)) g.bin)

# Another stamp is there.
sha256sum f.bin > sum
check_status "flash over another stamp" 1 "$stamp" flash "$two" "${board[@]}" f.bin
says "the board has another stamp"
says "the flash was not changed"
says "--replace"
check "  changes nothing" sha256sum --quiet -c sum
check_status "flash --replace" 0 "$stamp" flash "$two" "${board[@]}" f.bin --replace
check_status "  it is the other one" 0 "$stamp" show --offset 0 f.bin
says "$two"
printf LOCK | dd of=f.bin bs=1 seek=64 conv=notrunc 2> /dev/null
check_status "  locked, it is authentic" 0 "$stamp" verify --offset 0 f.bin
check_status "flash it again, locked" 0 "$stamp" flash "$two" "${board[@]}" f.bin
says "already"
sha256sum f.bin > sum
check_status "flash over a locked stamp" 1 "$stamp" flash "$one" "${board[@]}" f.bin --replace
says "the board's stamp is locked"
check "  changes nothing" sha256sum --quiet -c sum
cp g.bin newer.bin
"${python[@]}" - newer.bin << 'END'
import struct, sys, zlib
with open(sys.argv[1], "r+b") as file:
    head = bytearray(file.read(60))
    head[4] = 9
    file.seek(0)
    file.write(bytes(head) + struct.pack("<I", zlib.crc32(head)))
END
check_status "flash over a newer format" 1 "$stamp" flash "$one" "${board[@]}" newer.bin --replace
says "newer format"
cp g.bin torn.bin
printf x | dd of=torn.bin bs=1 seek=300 conv=notrunc 2> /dev/null
check_status "flash over a torn stamp" 0 "$stamp" flash "$two" "${board[@]}" torn.bin
check_status "  is authentic" 0 "$stamp" verify --offset 0 torn.bin

# What is no board.
head -c 4096 /dev/zero > small.bin
check_status "a flash file of another size" 1 "$stamp" flash "$one" "${board[@]}" small.bin
says "33554432 bytes"
check "  is left alone" cmp -n 4096 small.bin /dev/zero
check_status "an unknown board" 2 "$stamp" flash "$one" --board nrf --flash-file f.bin
says "there is no board 'nrf'"
check_status "a board without file" 2 "$stamp" flash "$one" --board qemu-riscv32
check_status "a board and a command" 2 "$stamp" flash "$one" "${board[@]}" f.bin --exec true
check_status "neither" 2 "$stamp" flash "$one"
"${python[@]}" -c '
import fcntl, sys, time
file = open("g.bin", "r+b")
fcntl.lockf(file, fcntl.LOCK_SH, 1, 100)
print("locked", flush=True)
time.sleep(30)' > locked &
locker=$!
until grep -q locked locked; do sleep 0.02; done
check_status "a running board" 4 "$stamp" flash "$two" "${board[@]}" g.bin --replace
says "a running board uses 'g.bin'"
kill $locker

# Encryption at rest under the device's root key.
(umask 077 && head -c 32 /dev/urandom > root.key)
check_status "flash encrypted" 0 "$stamp" flash "$one" "${board[@]}" c.bin --root-key root.key
check_status "  needs the key" 1 "$stamp" verify --offset 0 c.bin
says "--root-key"
check_status "  and is authentic with it" 0 "$stamp" verify --offset 0 c.bin --root-key root.key
check "  no secret is in the clear" "${python[@]}" - "$stamp" "$one" c.bin << 'END'
import base64, json, subprocess, sys
stamp, serial, flash = sys.argv[1:]
shown = json.loads(subprocess.run([stamp, "show", "--json", "--secrets", serial], check=True,
                                  capture_output=True).stdout)
image = open("stamps/%s.bin" % serial, "rb").read()
at = image.index(bytes([0x18, 48, 0x83, 1, 0, 0x58, 32])) + 7
pem = shown["provisioning_key"]["private_key"]
der = base64.b64decode("".join(pem.splitlines()[1:-1]))
secrets = [image[at:at + 32], shown["proof_of_possession"].encode(), der[36:68]]
data = open(flash, "rb").read(3 * 262144)
for secret in secrets:
    assert secret[:32] in image
    for i in range(len(secret) - 7):
        assert secret[i:i + 8] not in data
END
chmod 644 root.key
check_status "a root key that others read" 1 "$stamp" flash "$one" "${board[@]}" d.bin --root-key root.key
check "  makes no flash file" test ! -e d.bin

# Somebody else's tool.
export TMPDIR="$scratch/it's a \"place\" \$HOME"
unset XDG_RUNTIME_DIR
mkdir "$TMPDIR"
check_status "--exec" 0 "$stamp" flash "$one" --exec \
    'stat -c %a {image}; cp {image} got.bin; echo at {offset} of {size}'
says 600
says "at 0x0 of 0x4000"
check "  got the image" cmp got.bin "stamps/$one.bin"
check "  which is gone" test -z "$(ls "$TMPDIR")"
check_status "--exec that fails" 1 "$stamp" flash "$one" --exec 'test -s {image} && exit 7'
says "status 7"
check "  leaves no image" test -z "$(ls "$TMPDIR")"
check_status "--exec that is killed" 1 "$stamp" flash "$one" --exec ': {image}; kill -9 $$'
says "status 137"
check "  leaves no image" test -z "$(ls "$TMPDIR")"
check_status "--exec without image" 1 "$stamp" flash "$one" --exec 'echo {offset}'
says "no {image}"
check_status "--exec --offset" 0 "$stamp" flash "stamps/$one.bin" --offset 0x10000 --exec \
    'echo {offset} {image}'
says 0x10000
"$stamp" flash "$one" --exec 'echo {image} > running; exec sleep 60' &
pid=$!
until [ -s running ]; do sleep 0.02; done
check "  the image is there while it runs" test -s "$(cat running)"
kill -INT $pid
wait $pid
check "interrupted, it leaves no image" test -z "$(ls "$TMPDIR")"
finish
