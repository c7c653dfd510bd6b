#!/bin/bash
# The books as a user asks them, in a file and in PostgreSQL.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
unset DEVSTAMP_REGISTRY

cat > exported.py << 'END'
"""What the books export as JSON and as CSV is the same, and is what the images hold."""
import base64, csv, hashlib, json, struct, sys
import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import serialization

rows = json.load(open(sys.argv[1]))
lines = list(csv.DictReader(open(sys.argv[2], newline="")))
assert len(rows) == len(lines) == int(sys.argv[3]), (len(rows), len(lines))
for row, line in zip(rows, lines):
    assert {k: "" if v is None else str(v) for k, v in row.items()} == line, (row, line)
    if row["state"] != "issued":
        continue
    image = open("desk/" + row["file"], "rb").read()
    body = cbor2.loads(image[128:128 + struct.unpack("<I", image[12:16])[0]])
    der = base64.b64decode(row["certificate"])
    leaf = x509.load_der_x509_certificate(der)
    point = leaf.public_key().public_bytes(serialization.Encoding.X962,
                                           serialization.PublicFormat.UncompressedPoint)
    assert body[49][0] == der and body[1] == row["serial"]
    assert hashlib.sha256(point).hexdigest() == row["fingerprint"]
    assert f"{leaf.serial_number:032x}" == row["certificate_serial"]
END

in_a_file() {
    check "a desk" "$stamp" init desk --product 'Sensor, "outdoor"'
    check "makes 30 stamps" "$stamp" -C desk make -n 30
    touch there.bin
    check_status "and one that fails" 1 "$stamp" -C desk make --serial HAND-1 -o there.bin

    # Pages.
    check_status "the first page" 0 "$stamp" -C desk registry list --limit 10
    says "There may be more: --after"
    after=$(sed -n 's/.*--after //p' out)
    check "  has ten" test "$(grep -c ' issued ' out)" = 10
    check_status "the page behind it" 0 "$stamp" -C desk registry list --limit 10 --after "$after"
    check "  has ten others" test "$(grep -c ' issued ' out)" = 10 -a -z "$(grep "^$after " out)"
    check_status "a page that holds all" 0 "$stamp" -C desk registry list --limit 100
    check "  says of no more" test -z "$(grep "more" out)"
    check_status "none is struck" 0 "$stamp" -C desk registry list --state struck --json
    says '[]'
    check_status "none since 2100" 0 "$stamp" -C desk registry list --since 2100-01-01 --csv
    check "  but a line of names" test "$(wc -l < out)" = 1
    check_status "all since 2020" 0 "$stamp" -C desk registry list --since 2020-01-01T00:00:00Z
    check "  are 31 with the one that failed" test "$(wc -l < out)" = 32
    check_status "of another product" 0 "$stamp" -C desk registry list --product Sensor --csv
    check "  there is none" test "$(wc -l < out)" = 1

    # One.
    serial=$("$stamp" -C desk registry list --csv | sed -n '2s/,.*//p')
    key=$("$stamp" -C desk registry list --json | sed -n 's/.*"fingerprint":"\([0-9a-f]*\)".*/\1/p' | head -n 1)
    check_status "one by serial" 0 "$stamp" -C desk registry show "$serial"
    says "issued    by "
    check_status "the same by key" 0 "$stamp" -C desk registry show "$key" --json
    says "\"serial\":\"$serial\""
    says '"history":['
    check_status "what failed" 0 "$stamp" -C desk registry show HAND-1
    says "scrapped"

    # All.
    "$stamp" -C desk registry export --json > all.json
    "$stamp" -C desk registry export > all.csv
    check "the export is what the images hold" "${python[@]}" exported.py all.json all.csv 31
    check_status "a full disk" 1 sh -c "'$stamp' -C desk registry export > /dev/full"
    says "cannot write the output"

    # Refusals.
    check_status "no serial" 1 "$stamp" -C desk registry show nobody
    says "serial 'nobody' is not on the books"
    check_status "no state" 2 "$stamp" -C desk registry list --state lost
    check_status "no time" 2 "$stamp" -C desk registry list --since yesterday
    check_status "no verb" 2 "$stamp" -C desk registry
    check_status "no batch" 1 "$stamp" -C desk registry list --batch none
    says "there is no batch 'none'"
    check_status "books elsewhere" 1 "$stamp" registry --registry nowhere.db list
    says "cannot open 'nowhere.db'"
    check_status "a workspace's books by their file" 0 "$stamp" registry --registry desk/registry.db list
    chmod 400 desk/registry.db
    [ "$(id -u)" = 0 ] || check_status "books that cannot be written" 1 "$stamp" -C desk registry list
    chmod 600 desk/registry.db
}

# PostgreSQL: two desks on one database.
in_postgres() {
    local url=$STAMP_TEST_PG pid
    check_status "a password in the URL" 1 "$stamp" init bad --registry "postgres://u:secret@localhost/x"
    says "holds a password"
    check "  nothing is there" test ! -e bad
    check_status "what is no URL" 1 "$stamp" init bad --registry books.db
    check "a desk with its books in PostgreSQL" "$stamp" init east --product Sensor --registry "$url"
    check "  has no file of them" test ! -e east/registry.db -a "$(cat east/registry.url)" = "$url"
    check "another one shares them" "$stamp" --registry "$url" init west --product Gateway
    check "  said in front of the verb" test "$(cat west/registry.url)" = "$url"
    check_status "  but not one for production" 1 \
        sh -c "'$stamp' init third --production --passphrase-fd 3 --registry '$url' 3< pass"
    says "the other purpose"
    "$stamp" -C east make -n 200 > east.out 2> east.err &
    pid=$!
    check "both make stamps at once" sh -c "'$stamp' -C west make -n 200 > west.out"
    wait $pid
    check "  and neither fails" test $? = 0
    check "  400 serials are distinct" test "$(cut -f 1 east.out west.out | sort -u | wc -l)" = 400
    check_status "each sees all of them" 0 "$stamp" -C west registry list --limit 1000 --state issued --csv
    check "  400" test "$(wc -l < out)" = 401
    check_status "by product" 0 "$stamp" --registry "$url" registry list --limit 1000 --product Gateway --csv
    check "  200" test "$(wc -l < out)" = 201
    check_status "one by serial" 0 "$stamp" registry show --registry "$url" "$(sed -n 1p west.out | cut -f 1)"
    says "Gateway"
    "$stamp" -C east make -n 3000 > cut.out 2> out &
    pid=$!
    sleep 0.2
    kill -QUIT "$STAMP_TEST_PG_PID"
    wait $pid
    check "a server that goes away is an error" test $? = 1
    says "the registry"
    says "try: "
    check "  what was told is there" sh -c "cut -f 2 cut.out | xargs -r ls"
}

printf 'open sesame\n' > pass
if [ "${2:-}" = postgres ]; then
    in_postgres
else
    in_a_file
    "$root/test/pg_server.sh" "$root/test/flow/registry_test.sh" "$build" postgres || failures=$((failures + 1))
fi
finish
