#!/bin/bash
# The transparency log: heads, receipts, and an administrator of the database as attacker: whatever is edited, deleted,
# put in, cut off or restored from yesterday is found by `registry check`, or by a head that was kept.
# With "postgres" the books are there.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

books=()
if [ "${2:-}" = postgres ]; then
    books=(--registry "$STAMP_TEST_PG")
    sql() { psql -q -v ON_ERROR_STOP=1 "$STAMP_TEST_PG" -c "SET search_path TO devstamp; $1"; }
    save() { pg_dump -n devstamp "$STAMP_TEST_PG" > "$1"; }
    restore() { psql -q "$STAMP_TEST_PG" -c 'DROP SCHEMA devstamp CASCADE' 2>&1 && psql -q -f "$1" "$STAMP_TEST_PG"; }
else
    sql() {
        "${python[@]}" -c 'import sqlite3, sys
db = sqlite3.connect("ws/registry.db"); db.executescript(sys.argv[1]); db.close()' "$1"
    }
    save() { "${python[@]}" -c 'import sqlite3, sys
sqlite3.connect("ws/registry.db").backup(sqlite3.connect(sys.argv[1]))' "$1"; }
    restore() { rm -f ws/registry.db ws/registry.db-*; cp "$1" ws/registry.db; }
fi
log() { "$stamp" -C ws log "$@"; }

# ---- books with something of everything ----
check "a workspace" "$stamp" init ws --company Acme --product Sensor "${books[@]}"
check "three stamps" "$stamp" -C ws make -n 3
check_status "no head yet" 1 log prove x -o x
says "the log has no head yet"
check_status "a head" 0 log head -o first.head
says "6 leaves, of "
check "a station's key" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=line" \
    -days 3650 -keyout s.key -out s.pem -addext keyUsage=critical,keyAgreement
check "a batch of 300" "$stamp" -C ws batch create --product Sensor --count 300 --station s.pem -o b.batch
mapfile -t serials < <("$stamp" -C ws registry list --csv -n 400 | sed -n '2,$s/,.*//p')
check "  all on the books" test "${#serials[@]}" = 303
device ws "${serials[0]}" d0
device ws "${serials[1]}" d1
check "the service starts" serve ws --per-hour 100
check "a device enrols" enrol d0 d0/a
cp d0/a.pem d0/use.pem
mkdir -p d2 && cp d0/a.pem d2/cert.pem && cp d0/a.key d2/key.pem
check "  and renews with what it got" enrol d2 d2/b
check "another one enrols" enrol d1 d1/a
check "a graceful stop" serve_stop ws
check "one is struck" "$stamp" -C ws registry set "${serials[2]}" --state struck --reason "by hand"
check "one is revoked" "$stamp" -C ws revoke "${serials[1]}" --reason keyCompromise
check_status "all agrees" 0 "$stamp" -C ws registry check
says "all agree"
save yesterday
check "one of the batch is struck" "$stamp" -C ws registry set "${serials[10]}" --state struck
check_status "a head" 0 log head -o second.head
check_status "the log is whole, with the heads that were kept" 0 log verify --head first.head --head second.head
says ": whole"
check "it can be read" sh -c "'$stamp' -C ws log list | grep -q 'device 1/2 serial ${serials[2]} struck'"
check "the batch's manifest is anchored in it" sh -c "'$stamp' -C ws log list | grep -q 'anchor name manifest of batch [0-9]*, volume 0 digest'"
check "  of one device" sh -c "test \"\$('$stamp' -C ws log list ${serials[2]} | wc -l)\" = 3"

# ---- receipts: with the root alone ----
for i in 0 1 2 10 302; do
    check_status "a receipt for ${serials[$i]}" 0 log prove "${serials[$i]}" -o "r$i"
    check_status "  that holds" 0 "$stamp" log verify --receipt "r$i" --trust ws/root.pem
    says "${serials[$i]}"
done
check_status "the one of a run names its device" 0 "$stamp" log verify --receipt r302 --trust ws/root.pem
says "device 300 of it: ${serials[302]}"
check_status "a head is a receipt of nothing" 0 "$stamp" log verify --receipt first.head --trust ws/root.pem
says "proven, under the head of 6 leaves"
"${python[@]}" - << 'END'
data = open("r302", "rb").read()
for name, at in (("leaf", data.index(b"Acme") if b"Acme" in data else len(data) - 40), ("head", 12), ("end", len(data) - 1)):
    out = bytearray(data); out[at] ^= 1
    open("bad-" + name, "wb").write(out)
open("bad-cut", "wb").write(data[:-1])
open("bad-long", "wb").write(data + b"\0")
END
for f in bad-leaf bad-head bad-end bad-cut bad-long; do
    check "a changed receipt does not ($f)" sh -c "! '$stamp' log verify --receipt $f --trust ws/root.pem"
done
check "another workspace" "$stamp" init ws2 --company Other --product Thing
check_status "another root trusts it not" 3 "$stamp" log verify --receipt r0 --trust ws2/root.pem
check_status "a file is not overwritten" 1 log prove "${serials[0]}" -o r0
says "exists already"
check_status "who is not on the books has none" 1 log prove nobody -o r9
check_status "a batch's certificate is not a log's" 1 sh -c "cp ws/log.pem kept.pem; cp ws/batch.pem ws/log.pem; '$stamp' -C ws log verify; s=\$?; cp kept.pem ws/log.pem; test \$s = 3 && exit 1"

# ---- an administrator of the database ----
save today
attacks=0
# found WHAT SQL SAYS: done, found by `registry check`, which names it, and undone
found() {
    attacks=$((attacks + 1))
    check "attack: $1" sql "$2"
    check_status "  is found" 3 "$stamp" -C ws registry check
    says "$3"
    restore today > restore.out 2>&1
}
d=4294967296 # the first device
found "a device's state" "UPDATE device SET state = 2 WHERE id = $d" "device '${serials[0]}': it is struck on the books, and issued in the log"
found "a device's chip" "UPDATE device SET chip = 'c' WHERE id = $d" "its chip is 'c' on the books, and '' in the log"
found "a device's certificate" "UPDATE device SET certificate = (SELECT certificate FROM device WHERE id = $d + 1)
    WHERE id = $d" "device '${serials[0]}': its certificate is for another key"
found "a certificate of the batch" "UPDATE device SET certificate = (SELECT certificate FROM device WHERE id = $d)
    WHERE serial = '${serials[20]}'" "device '${serials[20]}': its certificate is for another key"
found "key and certificate" "UPDATE device SET certificate = (SELECT certificate FROM device WHERE id = $d),
    fingerprint = (SELECT fingerprint FROM device WHERE id = $d) WHERE serial = '${serials[20]}'" \
    "device '${serials[20]}': its key is another device's"
found "a device's serial" "UPDATE device SET serial = 'SN-X' WHERE id = $d" "device 'SN-X': its serial is claimed by nobody"
found "who has a serial" "UPDATE claim_serial SET device = $d + 1 WHERE device = $d" "its serial is another device's"
found "a device is taken away" "DELETE FROM device WHERE id = $d + 2" "what happened to devices"
found "  with all that is of it" "DELETE FROM device WHERE id = $d + 2; DELETE FROM event WHERE device = $d + 2;
    DELETE FROM claim_serial WHERE device = $d + 2; DELETE FROM claim_key WHERE device = $d + 2;
    UPDATE tally SET n = n - 1 WHERE what = 2 AND batch = 1" "what happened to devices"
found "a device of the batch is taken away" "DELETE FROM device WHERE serial = '${serials[20]}'" "devices that were issued together"
found "a device is put in" "INSERT INTO device (id, serial, state, changed_at) VALUES ($d + 99, 'GHOST', 1, 5);
    INSERT INTO claim_serial VALUES ('GHOST', $d + 99)" "device 'GHOST': the log has nothing of it"
found "who did it" "UPDATE event SET who = 'nobody' WHERE device = $d + 2 AND n = 2" "device '${serials[2]}': its history on the books"
found "when it was" "UPDATE event SET at = at - 86400 WHERE device = $d + 2 AND n = 1" "device '${serials[2]}': its history on the books"
found "an entry of a history is taken away" "DELETE FROM event WHERE device = $d + 2 AND n = 1" "(2 entries) is not that of the log (3)"
found "one is put in" "INSERT INTO event SELECT device, 9, 4, at, who, place, why FROM event WHERE device = $d + 2 AND n = 1" \
    "(4 entries) is not that of the log (3)"
found "when a batch was issued" "UPDATE run SET at = at - 1" "devices that were issued together"
found "how large a batch is" "UPDATE batch SET count = 301 WHERE kind = 1" "batches"
found "a revocation is taken away" "DELETE FROM revocation" "revocations"
found "why it was revoked" "UPDATE revocation SET reason = 4" "revocations"
found "a revoked device is good again" "UPDATE device SET state = 5 WHERE id = $d + 1" \
    "device '${serials[1]}': it is active on the books, and revoked in the log"
found "a key that was never used" "UPDATE operational SET state = 3 WHERE device = $d AND n = 1;
    UPDATE operational SET state = 2 WHERE device = $d AND n = 2" "its operational key 2 is in another state"
found "a key of a revoked device" "UPDATE operational SET state = 2 WHERE device = $d + 1" "its operational key 1 is in another state"
found "an operational certificate" "UPDATE operational SET certificate = (SELECT certificate FROM device WHERE id = $d)
    WHERE device = $d AND n = 2" "operational certificates"
found "an operational key is taken away" "DELETE FROM operational WHERE device = $d AND n = 2" "operational certificates"
found "a certificate of the service" "DELETE FROM issued WHERE kind = 1" "certificates of the service"
found "a count" "UPDATE tally SET n = n + 1 WHERE what = 1 AND batch = 1" "batch 1: "
found "a leaf of the log" "UPDATE log_leaf SET leaf = (SELECT leaf FROM log_leaf WHERE n = 1) WHERE n = 2" "is of another log"
found "a leaf is taken away" "DELETE FROM log_leaf WHERE n = 3" "leaf 3 is missing"
found "the log is cut" "DELETE FROM log_leaf WHERE n >= 8" "is missing"
found "the tree" "UPDATE log_tile SET hashes = substr(hashes, 33) WHERE level = 0" "is not that of the leaves"
found "row and leaf, as if it had never been" "DELETE FROM event WHERE device = $d + 2 AND n = 2;
    UPDATE device SET state = 1, changed_at = (SELECT max(at) FROM event WHERE device = $d + 2) WHERE id = $d + 2;
    UPDATE tally SET n = n - 1 WHERE what = 2 AND batch = 1; UPDATE tally SET n = n + 1 WHERE what = 1 AND batch = 1;
    UPDATE log_leaf SET leaf = (SELECT leaf FROM log_leaf WHERE n = 0), device = $d WHERE n =
        (SELECT max(n) FROM log_leaf WHERE device = $d + 2)" "is of another log"
[ "${2:-}" = postgres ] && marked="'\\x5000000000000000000000000000000000'::bytea" || marked="X'5000000000000000000000000000000000'"
found "row and leaf of a key, as if they had been dropped" "DELETE FROM operational WHERE device = $d AND n = 1;
    UPDATE log_leaf SET leaf = $marked, device = NULL WHERE n = (SELECT min(n) FROM log_leaf WHERE device = $d AND n > 5)" \
    "leaves were dropped, and the log does not say so"
check "$attacks attacks were found" test "$attacks" = 32

# ---- retention: what the books drop, they say ----
check_status "nothing has ended yet" 0 "$stamp" -C ws registry prune --before "$(date -u +%Y-%m-%d)"
says "0 operational keys, 0 entries of the log, 0 tokens"
check_status "what is not over stays" 1 "$stamp" -C ws registry prune --before 2100-01-01
says "that is not over yet"
check_status "before what?" 2 "$stamp" -C ws registry prune
says "prune and --before T go together"
check "the service starts" serve ws --per-hour 100
mkdir -p d3 && cp d2/b.pem d3/cert.pem && cp d2/b.key d3/key.pem
check "the device renews with its second key: the first is given up" enrol d3 d3/c
check "a graceful stop" serve_stop ws
check "  which ended long ago" sql "UPDATE operational SET not_after = 1000, changed_at = 1000 WHERE device = $d AND n = 1"
check_status "it is dropped" 0 "$stamp" -C ws registry prune --before 2001-01-01
says "1 operational keys, 2 entries of the log"
check "  from the books" sh -c "'$stamp' -C ws registry show ${serials[0]} --json | grep -o '\"n\":' | wc -l | grep -qx 2"
check "  the log says so" sh -c "'$stamp' -C ws log list | grep -q 'drop .*operational keys that ended before 2001-01-01T00:00:00Z'"
check "  and has its hashes" sh -c "'$stamp' -C ws log list | grep -c 'is no longer there, but its hash' | grep -qx 2"
check_status "  all agrees" 0 "$stamp" -C ws registry check
says "all agree"
check_status "  a head is signed" 0 log head
check_status "  the heads that were kept hold" 0 log verify --head first.head --head second.head
says ": whole"
check_status "  receipts are there" 0 log prove "${serials[0]}" -o pruned.receipt
check_status "  and hold" 0 "$stamp" log verify --receipt pruned.receipt --trust ws/root.pem
check "an auditor's key" "$stamp" -C ws apikey add --role auditor -o audit.key
check "the service starts" serve ws
check_status "an auditor makes the tree anew" 0 "${python[@]}" - "https://$at" << 'END'
import base64, hashlib, json, ssl, sys, time, urllib.request
context = ssl.create_default_context(cafile="ws/root.pem")
def get(path):
    request = urllib.request.Request(sys.argv[1] + "/api/v1/" + path, headers={
        "Authorization": "Bearer " + open("audit.key").read().strip()})
    return json.load(urllib.request.urlopen(request, context=context))
sha = lambda b: hashlib.sha256(b).digest()
leaves, dropped = [], 0
while True:
    page = get(f"log/entries?from={len(leaves)}&limit=7")
    for e in page["entries"]:
        assert e["leaf"] == len(leaves), e
        dropped += e["entry"] is None
        leaves.append(base64.b64decode(e["hash"]) if e["entry"] is None else sha(b"\0" + base64.b64decode(e["entry"])))
    if page["next"] is None:
        break
def root(l):
    if len(l) == 1:
        return l[0]
    k = 1
    while 2 * k < len(l):
        k *= 2
    return sha(b"\1" + root(l[:k]) + root(l[k:]))
assert dropped == 2, dropped
head = get("log/head")
assert root(leaves[:head["size"]]).hex() == head["root"]
END
check "a graceful stop" serve_stop ws
restore today > restore.out 2>&1
check_status "what was restored agrees" 0 "$stamp" -C ws registry check

# ---- backups: made while somebody writes, restored elsewhere, checked there ----
( for i in $(seq 40); do "$stamp" -C ws make -n 2 > /dev/null 2>&1 || exit 1; done ) &
writer=$!
for i in 1 2 3; do
    check "a backup of books in use" "$stamp" -C ws registry backup -o "backup-$i"
done
check "whoever writes goes on" wait "$writer"
check "  for its owner alone" test "$(stat -c %a backup-1)" = 600
check_status "a backup is not overwritten" 1 "$stamp" -C ws registry backup -o backup-1
says "'backup-1' exists already"
says "there is no backup"
for i in 1 2 3; do
    if [ "${2:-}" = postgres ]; then
        to=$(printf '%s' "$STAMP_TEST_PG" | sed "s|/\([^/?]*\)\(?.*\)\?$|/elsewhere$i\2|")
        check "a database" psql -q "$STAMP_TEST_PG" -c "CREATE DATABASE elsewhere$i"
    else
        to=elsewhere$i.db
    fi
    check_status "it is restored elsewhere" 0 "$stamp" registry restore "backup-$i" --to "$to"
    check_status "  once" 1 "$stamp" registry restore "backup-$i" --to "$to"
    says "nothing was restored"
    check_status "  and agrees" 0 "$stamp" -C ws --registry "$to" registry check
    says "all agree"
    check_status "  with the heads that were kept" 0 "$stamp" -C ws --registry "$to" log verify --head first.head --head second.head
done
check "nothing half-done is left" sh -c '! ls | grep part'
printf 'no backup, but as long as one' > none
check_status "what is no backup" 1 "$stamp" registry restore none --to none.db
says "'none' is no backup of a registry"
check_status "  is not" 1 test -e none.db
check_status "a backup of the other kind" 1 "$stamp" registry restore backup-1 --to \
    "$([ "${2:-}" = postgres ] && echo x.db || echo postgres:///nowhere)"
restore today > restore.out 2>&1

# ---- books that are older than the log are taken over into it ----
older='DROP INDEX operational_confirmed; DROP TABLE run_node; DROP TABLE request; DROP TABLE journal_entry; DROP TABLE journal_head; DROP TABLE journal_device; DROP TABLE log_queue; DROP TABLE log_leaf; DROP TABLE log_tile; DROP TABLE log_head; DELETE FROM counter WHERE name = '"'log';"
if [ "${2:-}" = postgres ]; then
    check "books of schema 8" sql "$older UPDATE schema_version SET version = 8;"
else
    check "books of schema 8" sql "$older PRAGMA user_version = 8;"
fi
check_status "  are brought up, and agree" 0 "$stamp" -C ws registry check
says "303 devices, 3 operational keys, "
check_status "  a head is signed" 0 log head
check_status "  which proves what was before" 0 log prove "${serials[302]}" -o older.receipt
check_status "  to who has the root" 0 "$stamp" log verify --receipt older.receipt --trust ws/root.pem
says "device 300 of it: ${serials[302]}"
found "a device of before" "UPDATE device SET chip = 'c' WHERE id = $d" "its chip is 'c' on the books" # and all is as before
restore today > restore.out 2>&1

# ---- restored from yesterday: books and log agree with each other, and not with the head that was kept ----
restore yesterday > restore.out 2>&1
check_status "books of yesterday agree" 0 "$stamp" -C ws registry check
check "something else happens" "$stamp" -C ws registry set "${serials[2]}" --state scrapped
check_status "  and a head is signed over it" 0 log head
check_status "the kept head finds it" 3 log verify --head first.head --head second.head
says "the kept head"
check_status "the one from before agrees" 0 log verify --head first.head
restore today > restore.out 2>&1
check_status "a backup that is restored is what the heads say" 0 log verify --head first.head --head second.head
finish
