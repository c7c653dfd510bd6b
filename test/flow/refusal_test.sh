#!/bin/bash
# Bad input: each refused with a reason, nothing half-written, the books right.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

books() { # books: how many stamps are made, void, reserved
    "${python[@]}" -c '
import sqlite3, sys
rows = dict(sqlite3.connect(sys.argv[1]).execute("SELECT state, count(*) FROM device GROUP BY state"))
print(rows.get(1, 0), rows.get(8, 0), rows.get(0, 0))' "$1/registry.db"
}

# leftover DIR: files that nobody asked for
leftover() {
    find "$1" -name '*.tmp' -o -name '.devstamp*'
}

check_status "make without a workspace" 1 "$stamp" make
says "there is no workspace"
says "try:"
check_status "make where there is none" 1 "$stamp" make -C nowhere
says "there is no workspace in 'nowhere'"
check_status "show without a workspace" 1 "$stamp" show SN-1
says "no workspace to look up a serial"

"$stamp" init desk > /dev/null
check_status "show a wrong serial" 1 "$stamp" -C desk show SN-999999
says "serial 'SN-999999' is not on the books"
check_status "flash a wrong serial" 1 "$stamp" -C desk flash SN-999999 --board qemu-riscv32 \
    --flash-file f.bin
says "nothing was flashed"
check "  and there is no flash file" test ! -e f.bin
check_status "show a file that is not there" 1 "$stamp" show ./nothing.bin
check_status "make a serial that is none" 1 "$stamp" -C desk make --serial "a b"
check_status "make a serial that is too long" 1 "$stamp" -C desk make --serial \
    "$(printf '%065d' 1)"

# The profile: file, line, column; nothing is made.
cp desk/devstamp.yaml good.yaml
bad_profile() { # bad_profile WHAT SED-SCRIPT TEXT
    sed "$2" good.yaml > desk/devstamp.yaml
    check_status "profile: $1" 1 "$stamp" -C desk make
    check "  with its place" grep -qE 'devstamp\.yaml:[0-9]+:[0-9]+: ' "$scratch/out"
    says "$3"
}
bad_profile "unknown key" 's/^serial:/colour: red\nserial:/' colour
bad_profile "wrong type" 's/length: 12/length: [12]/' length
bad_profile "impossible value" 's/erase_size: 4KiB/erase_size: 3000/' erase_size
bad_profile "not unique" 's/pattern: .*/pattern: "SN-{year}"/' pattern
check "no stamp came of it" test "$(books desk)" = "0 0 0"
sed 's/birth_size: 8KiB/birth_size: 1KiB/; s/bank_size: 4KiB/bank_size: 1KiB/; s/erase_size: 4KiB/erase_size: 1KiB/' \
    good.yaml > desk/devstamp.yaml
check_status "partition too small" 1 "$stamp" -C desk make
says "the birth region has 1024"
check "  its serial is void, no file is left" test "$(books desk) $(ls desk/stamps)" = "0 1 0 "
cp good.yaml desk/devstamp.yaml

# Images.
made=$("$stamp" -C desk make | cut -f 2)
check_status "show what is cut" 1 "$stamp" show <(head -c 4000 "$made")
says "cut short"
"${python[@]}" - "$made" newer.bin << 'END'
import struct, sys, zlib
image = bytearray(open(sys.argv[1], "rb").read())
image[4] = 2
image[60:64] = struct.pack("<I", zlib.crc32(image[:60]))
open(sys.argv[2], "wb").write(image)
END
check_status "show a newer format" 1 "$stamp" show newer.bin
says "format version 2"
says "use a newer devstamp"
check_status "verify a newer format" 1 "$stamp" verify newer.bin --trust desk/root.pem
check_status "flash a newer format" 1 "$stamp" flash newer.bin --board qemu-riscv32 --flash-file f.bin
check "  and there is no flash file" test ! -e f.bin
head -c 16384 /dev/zero | tr '\0' '\377' > blank.bin
check_status "show erased flash" 1 "$stamp" show blank.bin
says "no stamp in it"
check_status "show an empty file" 1 "$stamp" show /dev/null
check_status "show a directory" 1 "$stamp" show ./desk
check_status "trust nothing" 1 "$stamp" verify "$made" --trust /dev/null
says "holds no certificate"

# A full disk: the file system of its own is small; without the right to mount, so is the limit of
# a file's size, which the kernel refuses the same way.
before=$(books desk)
check_status "disk full in one file" 1 sh -c "ulimit -f 8; '$stamp' -C desk make"
says "no stamp was made"
check "  no file is left" test -z "$(leftover desk)"
check "  and the serial is not made" test "$(books desk | cut -d ' ' -f 1)" = "${before%% *}"
full_disk() {
    mkdir small
    trap 'umount -l small' EXIT
    mount -t tmpfs -o size=6m,mode=0700 tmpfs small || return 1
    "$stamp" init small/desk > /dev/null
    "$stamp" -C small/desk make > /dev/null
    was=$(books small/desk)
    dd if=/dev/zero of=small/ballast bs=4096 count=$(($(stat -f -c %a small) - 250)) 2> /dev/null
    "$stamp" -C small/desk make -n 200 > out 2>&1 && return 1
    cat out
    grep -q "No space left" out && grep -q "no stamp was made" out || return 1
    [ -z "$(leftover small/desk)" ] || return 1
    [ "$(find small/desk/stamps -type f | wc -l)" = 1 ] || return 1
    [ "$(books small/desk | cut -d ' ' -f 1)" = "${was%% *}" ] || return 1
    rm small/ballast
    # what was reserved is not used again, and all goes on
    next=$("$stamp" -C small/desk make | cut -f 1) || return 1
    printf 'next is %s\n' "$next"
    [ "$(printf '%s' "$next" | tr -dc 0-9 | tail -c 6)" -ge 200 ] || return 1
    dd if=/dev/zero of=small/ballast bs=4096 2> /dev/null
    "$stamp" init small/more > out 2>&1 && return 1
    cat out
    grep -q "nothing was" out && [ ! -e small/more ]
}
export -f full_disk books leftover
export stamp scratch
# Where the root is no mount point (a chroot) nothing can be said of propagation.
alone=(unshare --mount)
[ "$(id -u)" = 0 ] || alone+=(--map-root-user)
"${alone[@]}" true 2> /dev/null || alone+=(--propagation unchanged)
check "disk full" "${alone[@]}" bash -c "python=(${python[*]}); full_disk"

# One purpose for ever.
printf 'open sesame\n' > pass
chmod 600 pass
check_status "production without a passphrase" 1 setsid "$stamp" init factory --production
check "  makes nothing" test ! -e factory
check_status "production" 0 sh -c "'$stamp' init factory --production --passphrase-fd 3 3< pass"
check "  seals its keys" test "$(grep -l 'ENCRYPTED PRIVATE KEY' factory/keys/* | wc -l)" = 3
check_status "  does not make without it" 1 setsid "$stamp" -C factory make
check_status "  nor with a wrong one" 1 sh -c "echo no | '$stamp' -C factory make --passphrase-fd 0"
says "the passphrase is wrong"
check_status "  makes with it" 0 sh -c "'$stamp' -C factory make --passphrase-fd 3 3< pass"
real=$(cut -f 2 "$scratch/out")
check_status "  and verifies" 0 "$stamp" -C factory verify "$real"
says production
check_status "production at the desk" 3 "$stamp" -C desk verify "$real"
check_status "development in production" 3 "$stamp" -C factory verify "$made"
cat desk/root.pem factory/root.pem > both.pem
check_status "trust in both" 1 "$stamp" verify "$real" --trust both.pem
says "do not mix"
cp -r desk mixed && cp factory/root.pem factory/sub-ca.pem mixed/
check_status "a desk with production's certificates" 1 "$stamp" -C mixed make
says "not of this workspace's purpose"
rm -r mixed && cp -r desk mixed && cp desk/registry.db mixed/ && cp factory/trust-bundle mixed/
check_status "a desk with production's bundle" 1 "$stamp" -C mixed make
rm -r mixed && cp -r factory mixed && cp desk/keys/sub-ca.key mixed/keys/
check_status "production with a desk's key" 1 sh -c "'$stamp' -C mixed make --passphrase-fd 3 3< pass"
chmod 644 desk/keys/sub-ca.key
check_status "a key that others read" 1 "$stamp" -C desk make
says "chmod 600"
finish
