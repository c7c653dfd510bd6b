#!/bin/bash
# `stamp batch create`: what is refused, what breaks it off, and how it goes on.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
source "$root/test/flow/batch_lib.sh"
station line
station other
headquarters
create=("$stamp" -C hq batch create --product Sensor --station line.pem)

refusals() {
    check_status "another product" 1 "$stamp" -C hq batch create --product Lamp --count 5 --station line.pem
    says "the workspace is for 'Sensor', not 'Lamp'"
    check_status "no station" 2 "$stamp" -C hq batch create --product Sensor --count 5
    check_status "no such certificate" 1 "$stamp" -C hq batch create --product Sensor --count 5 --station no.pem
    says "nothing was made"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -subj /CN=rsa 2> /dev/null
    check_status "a key that nothing can be sealed to" 1 "$stamp" -C hq batch create --product Sensor \
        --count 5 --station rsa.pem -o rsa.batch
    check_status "no number" 2 "${create[@]}" --count 0
    check_status "a directory that is not there" 1 "${create[@]}" --count 5 -o no/such/file
    check "no batch is on the books" test "$("$stamp" -C hq batch list | wc -l)" = 1
}

names() {
    check_status "into the workspace" 0 "${create[@]}" --count 3
    says "hq/batches/Sensor-1.batch"
    check_status "the next name" 0 "${create[@]}" --count 3 --note "second shift"
    says "hq/batches/Sensor-2.batch"
    check_status "it says for whom" 0 "${create[@]}" --count 2 -o a.batch
    says "sealed to CN = line, SHA-256 $(openssl x509 -in line.pem -noout -fingerprint -sha256 | cut -d= -f2)"
    check "ours alone" test "$(stat -c %a a.batch)" = 600
    check_status "never overwritten" 1 "${create[@]}" --count 2 -o a.batch
    says "'a.batch' exists already"
    check_status "two stations" 0 "${create[@]}" --station other.pem --count 2 -o two.batch
    for key in line other; do
        check_status "$key opens it" 0 "$stamp" batch next two.batch --key $key.key --trust hq/root.pem
    done
}

# broken_off SIGNAL FILE: the making of 40000 is ended once some of it is on the books.
broken_off() {
    local pid
    "${create[@]}" --count 40000 -o "$2" > broken.out 2>&1 &
    pid=$!
    until "$stamp" -C hq batch list --json 2> /dev/null | "${python[@]}" -c '
import json, subprocess, sys
last = json.load(sys.stdin)[-1]
done = json.loads(subprocess.check_output([sys.argv[1], "-C", "hq", "batch", "balance", str(last["batch"]), "--json"]))
sys.exit(last["state"] != "open" or done["issued"] == 0)' "$stamp" 2> /dev/null; do
        kill -0 "$pid" 2> /dev/null || break
    done
    kill -s "$1" "$pid"
    wait "$pid" 2> /dev/null
    check "it was broken off" test -e "$2.part"
}

# What was begun goes on only as it was begun.
going_on() {
    broken_off KILL long.batch
    check_status "another count" 1 "${create[@]}" --count 30001 -o long.batch
    says "was begun with 40000 stamps"
    check_status "another station" 1 "$stamp" -C hq batch create --product Sensor --station other.pem \
        --count 40000 -o long.batch
    cp long.batch.part kept
    mv long.batch.part moved
    check_status "the part is gone" 1 "${create[@]}" --count 40000 -o long.batch
    says "the books say"
    head -c 100000 moved > long.batch.part
    check_status "the part is cut short" 1 "${create[@]}" --count 40000 -o long.batch
    says "bring the file back"
    mv moved long.batch.part
    check "nothing was changed" cmp -s kept long.batch.part
    broken_off INT int.batch
    check "an interrupt says how to go on" grep -q 'run the same command again' broken.out
    check_status "that one goes on, too" 0 "${create[@]}" --count 40000 -o int.batch
    says "going on behind"
    check_status "it goes on" 0 "${create[@]}" --count 40000 -o long.batch
    says "going on behind"
    check_status "all is there" 0 "$build/test/batch_check" hq line.key long.batch
    says 40000
}

troubles() {
    (ulimit -f 20000; "${create[@]}" --count 30000 -o full.batch > full.out 2>&1)
    check "a full disk is told" grep -q "cannot write 'full.batch.part'" full.out
    check "and how to go on" grep -q 'run the same command again' full.out
    check_status "room again" 0 "${create[@]}" --count 30000 -o full.batch
    broken_off KILL late.batch
    later=$(sqlite_add_hour)
    check "the clock is set" test "$later" = 1
    check_status "a clock set back" 1 "${create[@]}" --count 40000 -o late.batch
    says "the clock is"
    says "set the clock right"
}

# The batch was begun an hour from now: as if the clock had been set back since.
sqlite_add_hour() {
    "${python[@]}" - << 'END'
import sqlite3
with sqlite3.connect("hq/registry.db") as db:
    print(db.execute("UPDATE batch SET at = at + 3600 WHERE state = 0").rowcount)
END
}

read_only() {
    check_status "a directory of one's own" 0 cp -r hq ro
    chmod -R a-w ro
    if [ "$(id -u)" = 0 ]; then
        chown -R nobody ro line.pem . && chmod 755 "$scratch" && chmod 644 line.pem
        check_status "books that cannot be written" 1 setpriv --reuid=nobody --clear-groups \
            "$stamp" -C ro batch create --product Sensor --station line.pem --count 5 -o ro.batch
    else
        check_status "books that cannot be written" 1 "$stamp" -C ro batch create --product Sensor \
            --station line.pem --count 5 -o ro.batch
    fi
    says "nothing was made"
    check "no file" test ! -e ro.batch -a ! -e ro.batch.part
    chmod -R u+w ro
}

refusals
names
going_on
troubles
read_only
[ "$failures" = 0 ]
