# shellcheck shell=bash disable=SC2034,SC2154 # what is taken from live_lib.sh, and what is for the tests
# Shared by the flow tests of stations: headquarters in hq, a token in SoftHSM2, a station in site,
# units as simulated devices. Source it behind live_lib.sh.

umask 077
pin=48151623
printf '%s\n' "$pin" > pin
export SOFTHSM2_CONF=$scratch/softhsm2.conf
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$scratch" \
    > softhsm2.conf
softhsm=$(find /usr/lib -name libsofthsm2.so | head -n 1)
module=${STAMP_TEST_MODULE:-$softhsm}
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
preload=(env "LD_PRELOAD=$build/test/libkill_at.so")

# uri NAME: of a token.
uri() {
    printf 'pkcs11:token=%s?module-path=%s' "$1" "$module"
}

# token NAME
token() {
    softhsm2-util --module "$softhsm" --init-token --free --label "$1" --pin "$pin" --so-pin 87654321 \
        > /dev/null
}

# headquarters
headquarters() {
    "$stamp" init hq --company Acme --product Sensor > /dev/null
}

# station NAME TOKEN: made, enrolled; NAME.pem is what headquarters gave it.
station() {
    "$stamp" station init "$1" --token "$(uri "$2")" --pin-file pin > /dev/null 2> err || return 1
    "$stamp" -C hq station enrol "$1/station.csr" -o "$1.pem" --name "$1" > /dev/null || return 1
    "$stamp" station init "$1" --cert "$1.pem" > /dev/null 2> err
}

# order FILE COUNT STATION [OPTION...]
order() {
    local file=$1 count=$2 who=$3
    shift 3
    "$stamp" -C hq order create --product Sensor --count "$count" --station "$who.pem" \
        --not-after 2037-01-31 -o "$file" "$@" > order.out
}

# unit NAME [OPTION...]: a blank device, encrypted at rest, with fuses, that knows the owner.
unit() {
    local name=$1
    shift
    start "$name" "$build/stamp-agent" --flash-file "$name.flash" --fuses "$name.fuses" \
        --root-key "$name.root" --link "$scratch/$name.link" --owner-hash "$(owner)" "$@"
}

# owner: the hash that firmware pins.
owner() {
    "$stamp" -C hq station enrol site/station.csr -o enrol.again > enrol.out 2> /dev/null
    rm -f enrol.again
    sed -n 's/^owner //p' enrol.out
}

# strike STATION ORDER UNIT... [-- OPTION...]
strike() {
    local site=$1 order=$2 ports=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        ports+=(--port "$(readlink "$scratch/$1.tty")")
        shift
    done
    [ $# = 0 ] || shift
    timeout 100 "$stamp" station run "$site" --order "$order" "${ports[@]}" --once --pin-file pin "$@"
}

# serial_of UNIT
serial_of() {
    "$stamp" prove --port "$(readlink "$scratch/$1.tty")" --trust hq/root.pem | head -n 1 | cut -f1
}

# export_of STATION FILE
export_of() {
    "$stamp" station export "$1" -o "$2" --pin-file pin
}

# keeps_secrets UNIT FILE...: no part of the unit's secrets is in its raw flash, or in a file.
keeps_secrets() {
    local name=$1
    shift
    "$build/test/station_secrets" "$name.flash" "$name.root" "$@"
}

# last_kind STATION: kind of the last entry of its journal (SPEC 15-4), read from a copy.
last_kind() {
    rm -rf copy.db copy.db-wal
    cp "$1/journal.db" copy.db
    [ ! -e "$1/journal.db-wal" ] || cp "$1/journal.db-wal" copy.db-wal
    /usr/bin/python3 -B -c 'import cbor2, sqlite3
rows = sqlite3.connect("copy.db").execute("SELECT body FROM entry ORDER BY seq DESC LIMIT 1")
print(cbor2.loads(rows.fetchone()[0])[4])'
}
