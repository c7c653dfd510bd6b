#!/bin/bash
# Work orders and stations at headquarters: what is signed, reserved, refused and closed.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
reader=("${python[@]}" "$root/test/interop/independent_order.py")

# requests FILE CN...: a request for a new key each, CN.key.
requests() {
    local file=$1 cn
    shift
    : > "$file"
    for cn in "$@"; do
        openssl ecparam -name prime256v1 -genkey -noout -out "${cn##* }.key"
        openssl req -new -key "${cn##* }.key" -subj "/CN=$cn" >> "$file"
    done
}

# books SQL: of the workspace's registry.
books() { "${python[@]}" -c 'import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())' hq/registry.db "$1"; }

# field NAME: of the order in the file `fields`.
field() { sed -n "s/^$1 //p" fields; }

# pem N: the Nth block of the file that enrolment wrote.
pem() { awk -v n="$1" '/-----BEGIN/ { i++ } i == n' cert.pem; }

"$stamp" init hq --company Acme --product Sensor > /dev/null || exit 1
"$stamp" init other --company Acme --product Sensor > /dev/null || exit 1
sed -i 's/{year}{week}-//' hq/devstamp.yaml

# ---- a station ----

requests csr "line 3 ca" "line 3 box" "line 3 journal"
check_status "a station is enrolled" 0 "$stamp" -C hq station enrol csr -o cert.pem --name line-3
says "owner "
owner=$(sed -n 's/^owner //p' out)
check_status "again: it gets what it has" 0 "$stamp" -C hq station enrol csr -o again.pem
check "  the same file" cmp cert.pem again.pem
check "  and is on the books once" test "$(books 'SELECT count(*), max(name) FROM station')" = "1 line-3"
check_status "nothing is overwritten" 1 "$stamp" -C hq station enrol csr -o cert.pem
says "cert.pem"

for i in 1 2 3 4 5; do pem "$i" > "$i.pem"; done
check "the root signed its CA" openssl verify -x509_strict -CAfile hq/root.pem 1.pem
check "and its box" openssl verify -CAfile hq/root.pem 2.pem
check "and its journal key" openssl verify -CAfile hq/root.pem 3.pem
check "its CA signs no other CA" grep -q "CA:TRUE, pathlen:0" <(openssl x509 -in 1.pem -noout -text)
check "its CA signs certificates only" test \
    "$(openssl x509 -in 1.pem -noout -ext keyUsage | tail -n 1 | xargs)" = "Certificate Sign"
check "its box only agrees on keys" test \
    "$(openssl x509 -in 2.pem -noout -ext keyUsage | tail -n 1 | xargs)" = "Key Agreement"
check "its journal key only signs" test \
    "$(openssl x509 -in 3.pem -noout -ext keyUsage | tail -n 1 | xargs)" = "Digital Signature"
check "its CA has no end" grep -q 9999 <(openssl x509 -in 1.pem -noout -enddate)
check "the root is with it" cmp <(openssl x509 -in 4.pem) <(openssl x509 -in hq/root.pem)
check "and headquarters' reception" openssl verify -CAfile hq/root.pem 5.pem

requests swapped "line 3 box" "line 3 ca" "line 3 journal"
check_status "requests in another order" 1 "$stamp" -C hq station enrol swapped -o no.pem
says "request 1 is not what"
requests two "line 4 ca" "line 4 box"
check_status "two requests" 1 "$stamp" -C hq station enrol two -o no.pem
says "there are not three requests"
requests one-key "line 4 ca" "line 4 box" "line 4 journal"
{
    openssl req -new -key box.key -subj "/CN=line 4 ca"
    openssl req -new -key box.key -subj "/CN=line 4 box"
    openssl req -new -key journal.key -subj "/CN=line 4 journal"
} > one-key
check_status "one key for two uses" 3 "$stamp" -C hq station enrol one-key -o no.pem
says "requests 1 and 2 are for one key"
requests p384 "line 4 ca" "line 4 box" "line 4 journal"
openssl ecparam -name secp384r1 -genkey -noout -out big.key
{ openssl req -new -key big.key -subj "/CN=line 4 ca"; cat p384; } > p384.csr
check_status "a key on another curve" 1 "$stamp" -C hq station enrol p384.csr -o no.pem
says "request 1 is not for a P-256 key"
# one bit of the last request's signature
openssl req -in p384 -outform DER -out ca.der # the first of them
{
    "${python[@]}" -c 'import sys
d = bytearray(open("ca.der", "rb").read()); d[-1] ^= 1
open("bad.der", "wb").write(d)'
    openssl req -inform DER -in bad.der 2> /dev/null
    awk '/-----BEGIN/ { i++ } i > 1' p384
} > forged
check_status "a request that its key did not sign" 3 "$stamp" -C hq station enrol forged -o no.pem
says "request 1 is not signed by its own key"
check "none of that made a file" test ! -e no.pem
check "  or is on the books" test "$(books 'SELECT count(*) FROM station')" = 1

# ---- orders ----

create=("$stamp" -C hq order create --product Sensor --station cert.pem)
check_status "an order" 0 "${create[@]}" --count 20 --not-after 2035-06-30 -o a.order --note "week 48"
says "20 units"
check "  its serials are reserved" test "$(books 'SELECT n FROM tally WHERE what = 0')" = 20
check_status "  and no desk takes one" 1 "$stamp" -C hq make --serial "$(sed 's/\.\..*//;1q' out)"
check_status "never overwritten" 1 "${create[@]}" --count 20 --not-after 2035-06-30 -o a.order
says "'a.order' is there already"
check "  nothing more is reserved" test "$(books 'SELECT count(*) FROM work_order')" = 1

requests csr2 "line 5 ca" "line 5 box" "line 5 journal"
check_status "a second station" 0 "$stamp" -C hq station enrol csr2 -o two.pem
check_status "the block that is asked for" 0 "$stamp" -C hq order create --product Sensor --station two.pem \
    --count 3 --serials "$("${python[@]}" - << 'PY'
def luhn(text):
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    total = 0
    for i, c in enumerate(reversed([c for c in text if c in digits])):
        v = digits.index(c) * (2 if i % 2 == 0 else 1)
        total += v // 36 + v % 36
    return digits[-total % 36]
print("..".join("SN-%06d" % n + luhn("SN%06d" % n) for n in (500, 502)))
PY
)" --not-after 2035-06-30T12:00:00Z --not-before 2030-01-01 --lock later --pop none -o b.order
says "SN-000500"

"${reader[@]}" envelope b.order > envelope
check "the box opens it, by openssl" openssl cms -decrypt -inform DER -binary -in envelope -inkey box.key \
    -out key
check "an independent reader reads it" test -n "$("${reader[@]}" open b.order key "$owner" | tee fields)"
awk '/-----BEGIN/ { i++ } i == 1' two.pem > two-ca.pem
check "  product" test "$(field product)" = Sensor
check "  count" test "$(field count)" = 3
check "  the first counter" test "$(field serials | cut -d' ' -f1)" = 500
check "  purpose" test "$(field purpose)" = 0
check "  not before" test "$(field not-before)" = 1893456000
check "  not after" test "$(field not-after)" = 2066817600
check "  lock later" test "$(field lock)" = 1
check "  no proof of possession" test "$(field pop)" = 0
check "  the station" test "$(field station)" = \
    "$(openssl x509 -in two-ca.pem -outform DER | sha256sum | cut -d' ' -f1)"
check "  the profile" test "$(field profile)" = "$(sha256sum < hq/devstamp.yaml | cut -d' ' -f1)"
check "  the books have its id" test "$(books 'SELECT lower(hex(id)) FROM work_order WHERE batch = 2')" = \
    "$(field order)"
check "  and its certificate serials" test "$(books 'SELECT lower(hex(prefix)) FROM batch WHERE id = 2')" = \
    "$(field certificate-serials)"
check "  and the first and last" test "$(books 'SELECT serial_first, serial_last FROM batch WHERE id = 2')" = \
    "$(field ends)"
if "${reader[@]}" open b.order key "${owner/[0-9a-f]/x}" > /dev/null 2>&1; then
    check "another owner's is told" false
fi
check "nothing of it is in the clear" test -z "$(grep -aoE 'SN-000|Sensor' b.order)"

order=(--count 5 --not-after 2035-06-30 -o c.order)
check_status "serials that are taken" 1 "${create[@]}" "${order[@]}" --count 3 --serials \
    "$(field ends | sed 's/ /../')"
says "on the books already"
check_status "a range of another length" 1 "${create[@]}" "${order[@]}" --serials "$(field ends | sed 's/ /../')"
says "is not a range of 5 serials"
check_status "no serials of the pattern" 1 "${create[@]}" "${order[@]}" --serials SN-0000010..SN-0000014
says "is no serial of the profile's pattern"
check_status "another product" 1 "$stamp" -C hq order create --product Motor --station cert.pem "${order[@]}"
says "makes 'Sensor', not 'Motor'"
check_status "a date that is past" 1 "${create[@]}" "${order[@]}" --not-after 2020-01-01
says "hold at no time"
check_status "no date" 2 "${create[@]}" "${order[@]}" --not-after tomorrow
check_status "another workspace's station" 3 "$stamp" -C other order create --product Sensor --station cert.pem \
    "${order[@]}"
says "another workspace's station"
check_status "a damaged file of the station" 1 "$stamp" -C hq order create --product Sensor --station 1.pem \
    "${order[@]}"
sed -i 's/{counter:6}/{counter:6}{random:2}/' hq/devstamp.yaml
check_status "serials with something random" 1 "${create[@]}" "${order[@]}"
says "nothing random"
sed -i 's/{random:2}//' hq/devstamp.yaml
check "none of that made a file" test ! -e c.order
check "  or reserved anything" test "$(books 'SELECT count(*) FROM batch')" = 2
check_status "the next block is behind" 0 "${create[@]}" "${order[@]}"
says "SN-000503"

# ---- the books ----

check_status "the orders" 0 "$stamp" -C hq order list
says "line-3"
check_status "as JSON" 0 "$stamp" -C hq order list --json
check "  which says all" "${python[@]}" -c 'import json
a, b, c = json.load(open("out"))
assert (a["count"], a["state"], a["lock"], a["pop"], a["note"]) == (20, "open", "strike", "sealed", "week 48"), a
assert (b["count"], b["lock"], b["pop"], b["first"][:9], b["not_after"]) == \
    (3, "later", "none", "SN-000500", "2035-06-30T12:00:00Z"), b
assert (c["reserved"], c["refused"], c["station"]) == (5, 0, "line-3"), c'
check_status "a batch is no order's name" 1 "$stamp" -C hq order show 9
says "there is no work order '9'"
check_status "closed, by its file" 0 "$stamp" -C hq order close b.order
says "order 2: Sensor, closed"
check_status "  and again" 0 "$stamp" -C hq order close 2
check_status "  the others are open" 0 "$stamp" -C hq order show a.order
says "order 1: Sensor, open"
check_status "  its serials stay its own" 1 "${create[@]}" --count 3 --not-after 2035-06-30 -o d.order --serials \
    "$(field ends | sed 's/ /../')"
check_status "a batch takes others" 0 "$stamp" -C hq batch create --product Sensor --count 3 --station 2.pem \
    -o x.batch
check_status "  and is no order" 1 "$stamp" -C hq order close 4
says "no work order '4'"

finish
