#!/bin/bash
# Headquarters takes results that another program wrote from SPEC.md, and refuses those that are wrong though
# they are signed.
#
# usage: results_foreign_test.sh STAMP
set -euo pipefail

stamp=$1
here=$(cd "$(dirname "$0")" && pwd)
writer=(/usr/bin/python3 -B "$here/independent_results_make.py")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset DEVSTAMP_DIR
umask 077
cd "$dir"

fail() {
    echo "results_foreign: $*" >&2
    exit 1
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout line.key -out line.pem \
    -subj /CN=line -addext keyUsage=critical,keyAgreement 2> /dev/null
"$stamp" init hq --company Acme --product Sensor > /dev/null
"$stamp" -C hq batch create --product Sensor --count 6 --station line.pem -o batch > /dev/null 2>&1

# refused FAULT STATUS MESSAGE
refused() {
    local status=0
    "${writer[@]}" batch line.key line.pem hq/root.pem wrong "$1" > /dev/null
    "$stamp" -C hq batch import wrong > said 2>&1 || status=$?
    [ "$status" = "$2" ] || fail "$1: status $status, not $2: $(cat said)"
    grep -qF -- "$3" said || fail "$1: $(cat said)"
    grep -qF "nothing of 'wrong' was booked" said || fail "$1: does not say that nothing was booked"
}

refused label 3 "could not open the batch"
refused voucher 3 "could not open the batch"
refused omitted 1 "entry 5 of 'wrong' is damaged"
refused swapped 1 "entry 4 of 'wrong' is damaged"
refused indefinite 1 "entry 0 of 'wrong' is damaged"
refused long-head 1 "entry 1 of 'wrong' is damaged"
refused text-as-bytes 1 "entry 0 of 'wrong' is damaged"
refused digest 1 "'wrong' are not what was signed"
refused behind 1 "the end of 'wrong' is damaged"
[ "$("$stamp" -C hq batch balance 1)" = \
    "issued 6 = struck 0 + scrapped 0 + returned 0 + revoked 0 + outstanding 6" ] || fail "something was booked"

mapfile -t serials < <("${writer[@]}" batch line.key line.pem hq/root.pem results)
"$stamp" -C hq batch import results > said 2>&1 || fail "not taken: $(cat said)"
grep -qF "results 1: 1 struck, 1 scrapped, 3 returned, 1 in doubt; 5 booked now" said || fail "$(cat said)"
[ "$("$stamp" -C hq batch balance 1)" = \
    "issued 6 = struck 1 + scrapped 1 + returned 3 + revoked 0 + outstanding 1" ] || fail "the balance"

# told INDEX PATTERN: the history of that stamp.
told() {
    "$stamp" -C hq registry show "${serials[$1]}" > said
    grep -qE "$2" said || fail "stamp $1: $(cat said)"
}
told 0 '^chip +chip-7$'
told 0 '^history +2026-03-20T09:46:41Z struck +by Zoë at line 4$'
told 1 '^history +2026-03-20T09:46:42Z scrapped +by \? at line 4: fell down$'
told 2 '^state +issued$'
told 3 '^history +2026-03-20T09:46:49Z returned +by '
told 5 '^state +revoked$'
