#!/bin/bash
# A batch comes home: results are imported, what contradicts the books is found and named.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
station line
headquarters
hq=("$stamp" -C hq batch)

# to_station NAME COUNT: a batch in the directory NAME, with the station's key; $serials are its serials.
to_station() {
    mkdir "$1" && "$stamp" -C hq batch create --product Sensor --count "$2" --station line.pem \
        -o "$1/batch" > made 2> /dev/null || exit 1
    batch=$(cut -f1 made)
    cp line.key hq/root.pem "$1"
}

# next DIR N: hands out; the serials are in $serials.
next() {
    mapfile -t serials < <(cd "$1" && "$stamp" batch next batch --key line.key --trust root.pem -n "$2" -o . | cut -f1)
}

# report DIR SERIAL RESULT [OPTION...]
report() {
    local dir=$1 serial=$2 result=$3
    shift 3
    (cd "$dir" && "$stamp" batch report batch --unit "$serial" --result "$result" "$@") > /dev/null || exit 1
}

close() {
    (cd "$1" && "$stamp" batch close batch -o "results-$2") > /dev/null 2>&1 || exit 1
}

balanced() {
    check_status "balance" 0 "${hq[@]}" balance "$batch"
    says "$1"
}

home() {
    to_station one 20
    next one 6
    report one "${serials[0]}" struck --chip AA00
    report one "${serials[1]}" struck --chip AA01 --who Ann --where "Line 3"
    report one "${serials[2]}" scrapped --reason "cracked"
    report one "${serials[3]}" struck --chip AA03
    report one "${serials[3]}" scrapped --chip AA03 --reason "no radio"
    close one 1
    check_status "imported" 0 "${hq[@]}" import one/results-1
    says "2 struck, 2 scrapped, 14 returned, 2 in doubt; 18 booked now"
    balanced "issued 20 = struck 2 + scrapped 2 + returned 14 + revoked 0 + outstanding 2"
    check_status "again" 0 "${hq[@]}" import one/results-1
    says "on the books already"
    check_status "with who and where" 0 "$stamp" -C hq registry show "${serials[1]}"
    says "by Ann at Line 3"
    check_status "what came back is revoked" 0 "$stamp" -C hq registry list --state revoked -n 99
    check "  14 of them" test "$(grep -c ' revoked ' "$scratch/out")" = 14
    check_status "shown" 0 "${hq[@]}" show "$batch"
    says "state     closed"
    report one "${serials[4]}" struck --chip AA04
    close one 2
    check_status "what was in doubt" 0 "${hq[@]}" import one/results-2
    says "1 in doubt; 1 booked now"
    balanced "issued 20 = struck 3 + scrapped 2 + returned 14 + revoked 0 + outstanding 1"
}

# The station restored yesterday's books, and went on.
snapshot() {
    to_station snap 10
    next snap 2
    report snap "${serials[0]}" struck --chip BB00
    cp snap/batch.books yesterday
    report snap "${serials[1]}" struck --chip BB01
    close snap 1
    check_status "before" 0 "${hq[@]}" import snap/results-1
    cp yesterday snap/batch.books
    rm -f snap/batch.books-*
    report snap "${serials[1]}" struck --chip BB77
    close snap 1b
    check_status "a restored snapshot" 1 "${hq[@]}" import snap/results-1b
    says "results 1 are on the books, and say something else; books "
    says " went back in time"
    says "${serials[1]}: struck on chip BB77 at "
    says ", but was struck on chip BB01 at "
    says "nothing of 'snap/results-1b' was booked"
    check_status "quarantined" 0 "${hq[@]}" import snap/results-1b --quarantine
    says "1 serials revoked"
    check_status "it is" 0 "$stamp" -C hq registry show "${serials[1]}"
    says "state                revoked"
    balanced "issued 10 = struck 2 + scrapped 0 + returned 8 + revoked 0 + outstanding 0"
}

# Two stations with a copy of the file each.
copies() {
    to_station here 6
    cp -r here there
    next here 2
    report here "${serials[0]}" struck --chip CC00
    report here "${serials[1]}" struck --chip CC01
    next there 3
    report there "${serials[0]}" struck --chip DD00
    report there "${serials[1]}" struck --chip CC01
    report there "${serials[2]}" struck --chip DD02
    close here 1
    close there 1
    check_status "the first copy" 0 "${hq[@]}" import here/results-1
    check_status "the other copy" 1 "${hq[@]}" import there/results-1
    says "${serials[0]}: struck on chip DD00 at "
    says ", but was struck on chip CC00 at "
    says "${serials[2]}: struck on chip DD02 at "
    says ", but was returned unused before; books "
    says ", there are books "
    balanced "issued 6 = struck 2 + scrapped 0 + returned 4 + revoked 0 + outstanding 0"
    # One chip, two serials.
    to_station chips 3
    next chips 1
    report chips "${serials[0]}" struck --chip CC00
    close chips 1
    check_status "a chip with two serials" 1 "${hq[@]}" import chips/results-1
    says "${serials[0]}: struck on chip CC00 at "
    says ", which has 'SN-"
    balanced "issued 3 = struck 0 + scrapped 0 + returned 0 + revoked 0 + outstanding 3"
}

# Every byte counts.
damage() {
    to_station bad 2
    next bad 1
    report bad "${serials[0]}" struck --chip EE00
    close bad 1
    size=$(stat -c %s bad/results-1)
    for at in $(moments "$size" 60); do
        "${python[@]}" -c '
import sys
data = bytearray(open("bad/results-1", "rb").read())
data[int(sys.argv[1]) - 1] ^= 0x10
open("bad/flipped", "wb").write(data)' "$at"
        status=0
        "${hq[@]}" import bad/flipped > "$scratch/out" 2>&1 || status=$?
        check "byte $at of $size" test "$status" = 1 -o "$status" = 3
    done
    head -c $((size - 10)) bad/results-1 > bad/cut
    check_status "cut short" 1 "${hq[@]}" import bad/cut
    cat bad/results-1 <(printf x) > bad/long
    check_status "with something behind it" 1 "${hq[@]}" import bad/long
    check_status "no results at all" 1 "${hq[@]}" import hq/root.pem
    balanced "issued 2 = struck 0 + scrapped 0 + returned 0 + revoked 0 + outstanding 2"
    "$stamp" init other --company Acme --product Sensor > /dev/null
    check_status "of another headquarters" 3 "$stamp" -C other batch import bad/results-1
    printf 'sesame\n' > phrase
    input=phrase check_status "a production workspace" 0 "$stamp" init production --company Acme \
        --product Sensor --production --passphrase-fd 0
    check_status "takes no development results" 3 "$stamp" -C production batch import bad/results-1
    says "nothing of 'bad/results-1' was booked"
    check_status "after all that" 0 "${hq[@]}" import bad/results-1
}

# What a batch and its files look like to a person and to a program.
shown() {
    to_station shown 7
    next shown 2
    report shown "${serials[0]}" struck --chip FF00
    check_status "a batch" 0 "${hq[@]}" show "$batch"
    says "volume    0: 7 of 7 stamps made, $(uname -n):$scratch/shown/batch"
    check_status "as JSON" 0 "${hq[@]}" show "$batch" --json
    check "  which says the same" "${python[@]}" -c '
import json, sys
b = json.load(open(sys.argv[1]))
assert b["volumes"][0]["made"] == b["volumes"][0]["claimed"] == b["count"] == 7, b
assert b["balance"]["outstanding"] == 7 and b["balance"]["holds"] is True and b["results"] == [], b' "$scratch/out"
    check_status "its file" 0 "$stamp" batch show shown/batch --trust hq/root.pem --json
    check "  and its books" "${python[@]}" -c '
import json, sys
b = json.load(open(sys.argv[1]))
assert b["count"] == 7 and b["books"]["struck"] == 1 and b["books"]["in_doubt"] == 1, b
assert [d["serial"] for d in b["books"]["doubts"]] == [sys.argv[2]], b' "$scratch/out" "${serials[1]}"
    head -c 9000 shown/batch > shown/cut.part
    check_status "a file that is not finished" 0 "$stamp" batch show shown/cut.part
    says "state     not finished, not signed"
    says "stamps    3 so far, to "
    says "of 9000 are whole"
    check_status "no file at all" 1 "$stamp" batch show hq/root.pem --trust hq/root.pem
    check_status "balance as JSON" 0 "${hq[@]}" balance "$batch" --json
    says '"outstanding":7,"holds":true'
}

home
snapshot
copies
damage
shown
# one that contradicts the books before one that does not, in one call: nothing of the first gets anywhere
to_station pair 3
next pair 1
report pair "${serials[0]}" struck --chip AB99
close pair 1
check_status "one that is refused, and one that is not" 1 "${hq[@]}" import chips/results-1 pair/results-1
check_status "rows, log and certificates agree after all that" 0 "$stamp" -C hq registry check
finish
