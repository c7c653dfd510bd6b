#!/bin/bash
# Who has the station, its PC, its cables or its token, tries what one would. The table at the end says
# what became of each: SECURITY.md has the same one.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/station_lib.sh"
: > table

# result WHAT HOW: a line of the table, where nothing failed since the last one.
result() {
    local how=$2
    [ "$failures" = "${last:-0}" ] || how="NOT SHOWN"
    last=$failures
    printf '%-66s %s\n' "$1" "$how" >> table
}

# journal FILE PYTHON: what an attacker with an editor does to `db`.
journal() {
    "${python[@]}" -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
exec(sys.argv[2])
db.commit()' "$@"
}

copy() {
    rm -rf "$2" && cp -r "$1" "$2"
}

headquarters && token line-1 && station site line-1 || exit 1
order order 6 site || exit 1
copy site blank-site
unit one
check_status "a unit is struck" 0 strike site order one
stop one
copy site older-site

# A copy of the station, in another place, with the same token.
unit two
check_status "the station goes on" 0 strike site order two
stop two
unit three
check_status "an older copy does not" 1 strike older-site order three
says "the token has counted 2 units of this order and the journal knows 1"
check_status "nor one without a journal" 1 strike blank-site order three
says "the token has counted 2 units"
result "copied station directory, both copies go on" "prevented (count in the token)"
result "restored snapshot of the station directory" "prevented (count in the token)"
stop three

# The same order again, in a station that was made anew.
rm -rf again && "$stamp" station init again --token "$(uri line-1)" --pin-file pin > /dev/null 2>&1
"$stamp" station init again --cert site.pem > /dev/null 2>&1
unit three
check_status "a replayed order" 1 strike again order three
says "the token has counted 2 units"
stop three
result "replayed work order" "prevented (count in the token)"

# The journal is edited, and cut.
copy site edited
journal edited/journal.db 'b = bytearray(db.execute("SELECT body FROM entry WHERE seq = 4").fetchone()[0])
b[-1] ^= 1
db.execute("UPDATE entry SET body = ? WHERE seq = 4", (bytes(b),))'
unit three
check_status "an edited journal" 1 strike edited order three
says "of the journal"
copy site cut
journal cut/journal.db 'db.execute("DELETE FROM entry WHERE seq > 9")'
check_status "a cut journal" 1 strike cut order three
says "the token has counted 2 units"
stop three
result "edited journal" "prevented (chain of hashes)"
result "truncated journal" "prevented (count in the token)"
result "copied, restored or replayed, journal truncated, and a token without a count" \
    "found by reconcile (fork; flow/station_piv)"

# Both copies were made to go on by people who put the count right by hand: two journals.
check_status "the journal goes home" 0 export_of site bundle
check_status "it agrees" 0 "$stamp" -C hq reconcile bundle
pkcs11-tool --module "$softhsm" --token-label line-1 --login --pin "$pin" --delete-object --type data \
    --label "$(pkcs11-tool --module "$softhsm" --token-label line-1 --login --pin "$pin" --list-objects --type data 2> /dev/null |
        sed -n "s/.*label: *'\(devstamp count [0-9a-f]*\)'.*/\1/p" | head -n 1)" > pkcs11.out 2>&1
rm -f three.flash three.fuses
unit three
check_status "with the count taken out of the token, the blank copy goes on" 0 strike blank-site order three
stop three
check_status "its journal" 0 export_of blank-site forked
check_status "does not agree" 3 "$stamp" -C hq reconcile forked
says "there are two entries"
says "is refused"
result "count erased from the token, a second journal" "found by reconcile (fork)"

# A bundle that somebody forged, and one that was cut.
head -c 2000 bundle > short
check_status "a cut export" 3 "$stamp" -C hq reconcile short
says "part 1"
"${python[@]}" -c 'import sys
b = bytearray(open("bundle", "rb").read())
b[len(b) // 2] ^= 1
open("forged", "wb").write(b)'
check_status "a changed export" 3 "$stamp" -C hq reconcile forged
result "forged or damaged export" "prevented (signature, seal)"

# A second station with this station's order and block.
token line-2 && station second line-2 || exit 1
unit three
check_status "an order of another station" 3 strike second order three
result "second station with the same block of serials" "prevented (the order is sealed to one station)"
stop three

# The clock.
faketime=$(find /usr/lib -name libfaketime.so.1 | head -n 1)
order clock 2 site --not-after "$(date -u -d '+1 day' +%F)" || exit 1
check_status "a clock beyond the order" 1 env LD_PRELOAD="$faketime" FAKETIME=+30d "$stamp" station run site \
    --order clock --port none --pin-file pin
says "the order holds no longer, or the clock is wrong"
order late 2 site --not-before 2036-01-01 || exit 1
check_status "a clock before the order" 1 "$stamp" station run site --order late --port none --pin-file pin
says "the order does not hold yet, or the clock is wrong"
mkdir future && cp -r site future/site
check_status "the station works with a clock of tomorrow" 1 env LD_PRELOAD="$faketime" FAKETIME=+1h "$stamp" \
    station scrap future/site --order order --serial "$(sed -n 's/\.\..*//p' order.out | head -n 1)" \
    --reason x --who Ann --pin-file pin
says "was begun under this order"
check_status "and stops with today's" 1 "$stamp" station run future/site --order order --port none --pin-file pin
says "the clock is in doubt"
result "clock set back, or beyond the order" "prevented (journal, order, CA)"

# A rogue station: a CA, an owner and an order of its own; the unit's firmware knows its owner.
good=$(owner)
mv hq hq.good && headquarters && token line-3 && station rogue line-3 && order rogue-order 2 rogue || exit 1
start four "$build/stamp-agent" --flash-file four.flash --fuses four.fuses --root-key four.root --owner-hash "$good"
check_status "a rogue station" 1 strike rogue rogue-order four
says "not authentic"
stop four
check "the unit is as it was" test ! -s four.fuses
rm -rf hq && mv hq.good hq
result "rogue station with a CA and owner of its own" "prevented (owner pinned in firmware)"

# With token and PIN, past our software: a certificate nobody ordered.
forge=("${python[@]}" "$root/test/flow/station_forge.py")
point=$("${forge[@]}" site.pem tbs)
openssl dgst -sha256 -binary tbs > digest
pkcs11-tool --module "$softhsm" --token-label line-1 --login --pin "$pin" --sign --mechanism ECDSA \
    --id "$(printf 'devstamp ca' | xxd -p)" --input-file digest --output-file signature > sign.out 2>&1
"${forge[@]}" tbs signature unordered.pem
check "a certificate is signed past the station" openssl verify -CAfile hq/root.pem -untrusted site.pem unordered.pem
check_status "the books do not know it" 1 "$stamp" -C hq registry show \
    "$(printf '%s' "$point" | xxd -r -p | sha256sum | cut -c1-64)"
says "not on the books"
result "signing past the station, with token and PIN" "found at first contact (not on the books)"

# What the units themselves see to: shown in unit/strike message by message, and over a line in
# flow/station_noise.
result "CSR replayed from another unit" "prevented (challenge; flow/station_noise)"
result "recipient of proofs swapped" "prevented (owner-signed bundle; flow/station_noise)"
result "serial or label swapped between two units" "prevented (digest in certificate; unit/strike)"
result "false chip id" "unseen without hardware attestation"
cat table
awk '/<!-- attacks -->/ { on = 1; next } on && /^\|/ && !/^\| (attack|---)/ && !/^\|---/' "$root/SECURITY.md" |
    sed 's/^| \(.*\) | \(.*\) |$/\1\t\2/' > said
sed 's/  *\(prevented\|found\|unseen\)/\t\1/' table > shown
check "SECURITY.md has the same table" diff said shown
check "nothing is left to show" sh -c '! grep -q "NOT SHOWN" table'
finish
