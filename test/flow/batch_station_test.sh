#!/bin/bash
# A station with a batch file: next, report, close, and what a reader that is not ours says of the results.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"
umask 077
images=("${python[@]}" "$root/test/flow/batch_images.py")
results=("${python[@]}" "$root/test/interop/independent_results.py")

# fresh NAME COUNT: a directory with a batch file, and into it.
fresh() {
    cd "$scratch" || exit 1
    "$build/test/batchfile_make" "$1" "$2" || exit 1
    cd "$1" || exit 1
}

# read_results RESULTS: openssl checks the manifest, the reader the rest; what it says is in read.txt.
read_results() {
    "${results[@]}" manifest "$1" manifest.cms &&
        openssl cms -verify -binary -inform DER -in manifest.cms -purpose any -CAfile root.pem \
            -out manifest.cbor 2> /dev/null &&
        "${results[@]}" check "$1" manifest.cbor "$root/spec/stamp.cddl" > read.txt
}

one_after_the_other() {
    fresh one 12
    check_status "nobody to trust" 1 "$stamp" batch next batch --key station-0.key
    says "there is nobody to trust"
    check_status "another root" 3 "$stamp" batch next batch --key station-0.key --trust other.pem
    check "makes no books" test ! -e batch.books
    openssl ecparam -name prime256v1 -genkey -noout -out third.key
    check_status "another key" 3 "$stamp" batch next batch --key third.key --trust root.pem
    says "this key does not open 'batch'"
    check "makes no books either" test ! -e batch.books
    check_status "nothing to report yet" 1 "$stamp" batch report batch --unit SN-000000 \
        --result struck --trust root.pem
    says "there are no books"

    check_status "the first" 0 "$stamp" batch next batch --key station-0.key --trust root.pem
    says "SN-000000	SN-000000.bin"
    check "books are ours alone" test "$(stat -c %a batch.books)" = 600
    check_status "the second, trust known" 0 "$stamp" batch next batch --key station-1.key -o unit.bin
    says "SN-000001	unit.bin"
    check_status "an image that is there" 1 "$stamp" batch next batch --key station-0.key -o unit.bin
    says "nothing was handed out"
    mv unit.bin SN-000001.bin
    mkdir more
    check_status "three at once" 0 "$stamp" batch next batch --key station-0.key -n 3 -o more
    says "SN-000004	more/SN-000004.bin"
    mv more/* .
    check_status "as PEM" 0 "$stamp" batch next batch --key station-0.key -f pem
    says "SN-000005	SN-000005.pem"
    check_status "the key may be encrypted" 0 openssl pkcs8 -topk8 -in station-0.key -out locked.key \
        -passout pass:sesame
    printf 'sesame\n' > phrase
    check_status "its passphrase from a file" 0 "$stamp" batch next batch --key locked.key --pin-file phrase
    says "SN-000006"
    printf 'wrong\n' > phrase
    input=phrase check_status "a wrong one" 1 "$stamp" batch next batch --key locked.key --pin-fd 0
    says "nothing was handed out"
    check "the images are the stamps" test "$("${images[@]}" images stamps .)" = 6
}

reports() {
    local report=("$stamp" batch report batch)
    check_status "struck" 0 "${report[@]}" --unit SN-000000 --result struck --chip c0 --who ann --where line-1
    check_status "again" 0 "${report[@]}" --unit SN-000000 --result struck --chip c0
    check_status "otherwise" 1 "${report[@]}" --unit SN-000000 --result struck --chip c9
    says "'SN-000000' was reported struck on chip c0 already"
    check_status "one chip twice" 1 "${report[@]}" --unit SN-000001 --result struck --chip c0
    says "chip 'c0' was reported with 'SN-000000' already"
    check_status "never handed out" 1 "${report[@]}" --unit SN-000011 --result struck
    says "'SN-000011' was never handed out"
    check_status "not in the file" 1 "${report[@]}" --unit SN-999999 --result struck
    check_status "scrapped" 0 "${report[@]}" --unit SN-000001 --result scrapped --reason "fell down"
    check_status "is not struck later" 1 "${report[@]}" --unit SN-000001 --result struck
    check_status "struck, then scrapped" 0 "${report[@]}" --unit SN-000002 --result struck --chip c2
    check_status "keeps its chip" 0 "${report[@]}" --unit SN-000002 --result scrapped --reason "no boot" \
        --who bob --where rework
    check_status "an odd result" 2 "${report[@]}" --unit SN-000003 --result lost
    check_status "a chip of control characters" 1 "${report[@]}" --unit SN-000003 --result struck \
        --chip $'a\tb'
}

closes() {
    check_status "no results of open books" 0 "$stamp" batch close batch
    says "12 stamps: 1 struck, 2 scrapped, 4 in doubt, 5 returned"
    says "in doubt: SN-000003"
    says "results 1: batch.results-1"
    says "destroy the station's key"
    check_status "closed" 5 "$stamp" batch next batch --key station-0.key
    says "are closed"
    check_status "the same name" 1 "$stamp" batch close batch
    says "'batch.results-1' exists already"
    check_status "nothing happened since" 0 "$stamp" batch close batch -o again
    check "the same bytes" cmp again batch.results-1
    check "which another reader takes" read_results batch.results-1
    local digest
    digest=$(sed -n 's/^digest //p' read.txt)
    check_status "one more is known" 0 "$stamp" batch report batch --unit SN-000003 --result struck \
        --chip c3 --who ann --where line-1
    check_status "the next results" 0 "$stamp" batch close batch
    says "results 2: batch.results-2"
    check "are taken too" read_results batch.results-2
    check "follow on" grep -qx "previous $digest" read.txt
    cat > want.txt << 'END'
SN-000000 struck c0 ann line-1
SN-000001 scrapped - USER HOST fell down
SN-000002 scrapped c2 bob rework no boot
SN-000003 struck c3 ann line-1
SN-000004 in-doubt
SN-000005 in-doubt
SN-000006 in-doubt
SN-000007 returned
SN-000008 returned
SN-000009 returned
SN-000010 returned
SN-000011 returned
END
    sed -i "s/USER/$(id -un)/; s/HOST/$(uname -n)/" want.txt
    grep '^SN-' read.txt > have.txt
    check "every stamp has its result" diff want.txt have.txt
    check "no secret is in books and results" "${images[@]}" secrets stamps batch batch.books* \
        batch.results-* "$scratch/every-output"
}

# Whatever the order, each is handed out once.
eight_at_once() {
    local i pids=()
    fresh eight 400
    for i in $(seq 8); do
        (
            while "$stamp" batch next batch --key station-0.key --trust root.pem -n "$((i % 4 + 1))" -o . ||
                [ "$?" != 5 ]; do :; done > "out.$i" 2> "err.$i"
        ) &
        pids+=("$!")
    done
    wait "${pids[@]}"
    check "400 lines from eight processes" test "$(cat out.* | wc -l)" = 400
    check "each stamp once" test "$(cut -f1 out.* | sort -u | wc -l)" = 400
    check "all images" test "$("${images[@]}" images stamps .)" = 400
    check "nothing but 'no stamp is left'" test "$(cat err.* | grep -c '^stamp: ')" = \
        "$(cat err.* | grep -c '^stamp: no stamp is left: 0 struck, 0 scrapped, 400 in doubt')"
    check_status "none is left" 5 "$stamp" batch next batch --key station-0.key
    says "400 in doubt"
    check "no file of work is left" test -z "$(find . -name '*.tmp')"
}

refused() {
    fresh refused 6
    cp -r . ../other
    check_status "one" 0 "$stamp" batch next batch --key station-0.key --trust root.pem
    cd "$scratch" && mkdir -p foreign && "$build/test/batchfile_make" foreign/b 6 && cd foreign/b || exit 1
    cp ../../refused/batch.books .
    check_status "books of another file" 3 "$stamp" batch next batch --key station-0.key --trust root.pem
    says "'batch.books' are the books of another batch file"
    cd "$scratch/refused" || exit 1

    chmod 640 batch.books
    check_status "books that others read" 1 "$stamp" batch next batch --key station-0.key
    says "chmod 600"
    chmod 600 batch.books

    "${images[@]}" later batch.books 100000
    check_status "the clock was set back" 1 "$stamp" batch next batch --key station-0.key
    says "the clock was set back"
    check_status "nor is anything reported" 1 "$stamp" batch report batch --unit SN-000000 --result struck
    check_status "nor closed" 1 "$stamp" batch close batch
    "${images[@]}" later batch.books -100000

    check_status "the disk is full" 1 bash -c 'ulimit -f 4; exec "$@"' - "$stamp" batch next batch \
        --key station-0.key
    check "and it says what changed" grep -qE 'nothing was handed out|were not changed|in doubt' "$scratch/out"
    check_status "and it goes on" 0 "$stamp" batch next batch --key station-0.key
    printf 'garbage' > batch.books
    check_status "no books at all" 1 "$stamp" batch next batch --key station-0.key --trust root.pem
}

one_after_the_other
reports
closes
eight_at_once
refused
[ "$failures" = 0 ]
