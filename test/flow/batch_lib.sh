# shellcheck shell=bash disable=SC2034,SC2154 # what is taken from live_lib.sh, and what is for the tests
# Shared by the flow tests of batches at headquarters: a workspace in $scratch/hq, on PostgreSQL where
# the test's second argument says so, and a station's key. Source it behind live_lib.sh.

umask 077
backend=${2:-sqlite}
kills=${STAMP_KILLS:-$([ "$backend" = postgres ] && echo 6 || echo 12)}
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
preload=(env "LD_PRELOAD=$build/test/libkill_at.so")

# station NAME: NAME.key and NAME.pem.
station() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$1.key" \
        -out "$1.pem" -subj "/CN=$1" -addext keyUsage=critical,keyAgreement 2> /dev/null
}

# headquarters: the workspace hq, with serials enough.
headquarters() {
    local registry=()
    [ "$backend" != postgres ] || registry=(--registry "$STAMP_TEST_PG")
    "$stamp" init hq --company Acme --product Sensor "${registry[@]}" > /dev/null || exit 1
    sed -i 's/{counter:6}/{counter:9}/' hq/devstamp.yaml
}

# every_file: where nothing may lie in the clear.
every_file() {
    printf '%s\n' "$scratch"
    [ "$backend" != postgres ] || printf '%s\n' "$STAMP_TEST_PG_DATA"
}

# moments COUNT N: N numbers spread over 1..COUNT.
moments() {
    awk -v n="$1" -v k="$2" 'BEGIN { for (i = 0; i < k; i++) print 1 + int(i * n / k) }' | sort -nu
}

# killed AT COMMAND...: killed at this call, or done before it.
killed() {
    local status=0 at=$1
    shift
    # The shell tells of each one that is killed.
    { "${preload[@]}" STAMP_KILL_AT="$at" "$@" >> out 2>> err; } 2> /dev/null || status=$?
    [ "$status" = 137 ] || [ "$status" = 0 ]
}
