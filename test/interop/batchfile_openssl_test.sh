#!/bin/bash
# A batch file is checked and opened without our code: `openssl cms` verifies the manifest and unwraps
# the content keys, a reader written from SPEC.md section 11 does the rest.
#
# usage: batchfile_openssl_test.sh BATCHFILE_MAKE SPEC.CDDL
set -euo pipefail

make=$1
cddl=$2
here=$(cd "$(dirname "$0")" && pwd)
reader=(/usr/bin/python3 -B "$here/independent_batch.py")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
    echo "batchfile_openssl: $*" >&2
    exit 1
}

"$make" "$dir" 600
cd "$dir"
"${reader[@]}" extract batch .

# The manifest: signed by a batch key that the root vouches for, and by nobody else's.
verify=(openssl cms -verify -binary -inform DER -in manifest.cms -purpose any)
"${verify[@]}" -CAfile root.pem -out manifest.cbor 2> /dev/null || fail "manifest does not verify"
if "${verify[@]}" -CAfile other.pem -out /dev/null 2> /dev/null; then
    fail "another root's manifest verifies"
fi
"${verify[@]}" -CAfile root.pem -signer signer.pem -out /dev/null 2> /dev/null
openssl x509 -in signer.pem -noout -text > signer.txt
grep -A1 'X509v3 Extended Key Usage: critical' signer.txt | grep -qE '1\.2\.840\.113556.*\.3$' \
    || fail "the signer's extended key usage is not a batch key's"
grep -q 'CA:FALSE' signer.txt || fail "the signer is an authority"

# Every byte of what is signed counts.
size=$(stat -c %s manifest.cms)
for at in $((size / 4)) $((size / 2)) $((size - 10)); do
    cp manifest.cms changed.cms
    printf '\377' | dd of=changed.cms bs=1 seek="$at" conv=notrunc status=none
    cmp -s manifest.cms changed.cms && printf '\376' \
        | dd of=changed.cms bs=1 seek="$at" conv=notrunc status=none
    if openssl cms -verify -binary -inform DER -in changed.cms -purpose any -CAfile root.pem \
        -out /dev/null 2> /dev/null; then
        fail "a manifest changed at byte $at verifies"
    fi
done

# The content keys: each station unwraps each segment's, as the other does; a third key none.
openssl ecparam -name prime256v1 -genkey -noout -out third.key
for segment in 0 1; do
    for station in 0 1; do
        openssl cms -decrypt -inform DER -binary -in "segment-$segment.cms" \
            -inkey "station-$station.key" -recip "station-$station.pem" \
            -out "key-$segment-$station" || fail "station $station does not unwrap segment $segment"
    done
    cmp "key-$segment-0" "key-$segment-1" || fail "the stations get different keys"
    cp "key-$segment-0" "key-$segment"
    if openssl cms -decrypt -inform DER -binary -in "segment-$segment.cms" -inkey third.key \
        -out third 2> /dev/null && cmp -s third "key-$segment"; then
        fail "a third key unwraps segment $segment"
    fi
    openssl cms -cmsout -print -inform DER -in "segment-$segment.cms" > print.txt
    for algorithm in dhSinglePass-stdDH-sha256kdf-scheme id-aes256-wrap aes-256-cbc; do
        grep -q "$algorithm" print.txt || fail "segment $segment is not wrapped with $algorithm"
    done
    [ "$(grep -c 'd.kari' print.txt)" = 2 ] || fail "segment $segment has not two recipients"
done

# The voucher key, likewise.
"${reader[@]}" voucher .
for station in 0 1; do
    openssl cms -decrypt -inform DER -binary -in voucher.cms -inkey "station-$station.key" \
        -recip "station-$station.pem" -out "voucher-$station" \
        || fail "station $station does not unwrap the voucher key"
done
cmp voucher-0 voucher-1 || fail "the stations get different voucher keys"
cp voucher-0 voucher
cmp -s voucher key-0 && fail "the voucher key is a content key"

"${reader[@]}" check batch . "$cddl"
