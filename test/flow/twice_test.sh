#!/bin/bash
# Several `stamp make` at once, and some of them killed: nothing is given out twice, nothing that
# was told is lost.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

"$stamp" init desk > /dev/null
"$stamp" -C desk make -n 1000 > a 2> a.err &
first=$!
"$stamp" -C desk make -n 1000 > b 2> b.err
status=$?
check "one makes 1000" test $status = 0
wait $first
check "the other makes 1000" test $? = 0
check "both say nothing else" test ! -s a.err -a ! -s b.err

cat > distinct.py << 'END'
"""Serials, keys and certificate serials of all stamps that were told of, and what the books say."""
import sqlite3, struct, sys
import cbor2
from cryptography import x509

least, *told = sys.argv[1:]
lines = [line.rstrip("\n").split("\t") for name in told for line in open(name)]
serials, keys, scalars, numbers, proofs = set(), set(), set(), set(), set()
for serial, path in lines:
    image = open(path, "rb").read()
    body = cbor2.loads(image[128:128 + struct.unpack("<I", image[12:16])[0]])
    leaf = x509.load_der_x509_certificate(body[49][0])
    assert body[1] == serial, path
    serials.add(serial)
    scalars.add(body[48][2])
    scalars.add(body[33][1])
    keys.add(leaf.public_key().public_numbers())
    numbers.add(leaf.serial_number)
    proofs.add(body[32][1])
counts = [len(lines), len(serials), len(keys), len(numbers), len(proofs), len(scalars) // 2]
print("stamps, serials, keys, certificate serials, proofs, scalars / 2:", *counts)
assert len(set(counts)) == 1 and counts[0] >= int(least), counts
made = {row[0] for row in sqlite3.connect("desk/registry.db").execute(
    "SELECT serial FROM device WHERE state = 1")}
assert serials <= made, "told but not booked"
END
check "2000 distinct serials, keys, certificate serials" "${python[@]}" distinct.py 2000 a b
check "  that the books have" test "$(find desk/stamps -name '*.bin' | wc -l)" = 2000
check_status "  and all are authentic" 0 sh -c "'$stamp' -C desk verify desk/stamps/*.bin > verified"

# kill -9 at some moment of some runs: told is durable, booked, and whole.
for i in $(seq 8); do
    stdbuf -oL "$stamp" -C desk make -n 3000 > "k$i" &
    pid=$!
    sleep "0.$((i * 7 + 10))"
    kill -9 $pid
    wait $pid 2> /dev/null
    # a line that was cut off in the middle was not told
    sed -i '/\.bin$/!d' "k$i"
done
check "what was told before kill -9 is there" "${python[@]}" distinct.py 2000 a b k*
check_status "the next one makes" 0 "$stamp" -C desk make -n 5
check "  and clears away what the killed ones could not" \
    test -z "$(find desk/stamps -name '.*.tmp')"
finish
