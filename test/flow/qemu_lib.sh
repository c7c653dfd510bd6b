# shellcheck shell=bash disable=SC2034
# Shared by the tests of the emulated board. Source it: it sets up a scratch directory that goes
# away with the boards that were started, and counts what fails.
#
# usage of the tests: qemu_NAME_test.sh BUILD-DIRECTORY

build=$(cd "$1" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
firmware=$build/firmware
scratch=$(mktemp -d)
failures=0
partition=$((3 * 262144))

end() {
    local file
    for file in "$scratch"/*.pid; do
        [ ! -e "$file" ] || kill "$(cat "$file")" 2> /dev/null || true
    done
    rm -rf "$scratch"
}
trap end EXIT

# check WHAT COMMAND...: the command must succeed.
check() {
    local what=$1
    shift
    if "$@" > "$scratch/check.log" 2>&1; then
        printf 'ok      %s\n' "$what"
    else
        printf 'FAILED  %s\n' "$what"
        sed 's/^/          /' "$scratch/check.log"
        failures=$((failures + 1))
    fi
}

# check_status WHAT STATUS COMMAND...: it must end with just this status; output in $scratch/out.
check_status() {
    local what=$1 expected=$2 status=0
    shift 2
    "$@" > "$scratch/out" 2>&1 || status=$?
    check "$what" test "$status" = "$expected"
    [ "$status" = "$expected" ] || sed 's/^/          /' "$scratch/out"
}

# A board that has not ended within a minute hangs.
board() {
    timeout 60 "$root/scripts/run-qemu" "$@"
}

# board_start NAME [OPTION...] FLASH-FILE: in the background; console at $scratch/NAME.tty.
board_start() {
    local name=$1
    shift
    board --background --pid-file "$scratch/$name.pid" --tty "$scratch/$name.tty" \
        --log "$scratch/$name.log" "$@"
}

# As board_start, where it must not come up: a board that does all the same ends with the test.
board_refused() {
    board --background --pid-file "$scratch/refused.pid" "$@"
}

# board_end SIGNAL NAME
board_end() {
    local pid
    pid=$(cat "$scratch/$2.pid")
    rm "$scratch/$2.pid"
    kill "-$1" "$pid"
    # It is no child of this shell, and may stay as a zombie, which has let go of its files.
    while readlink -q "/proc/$pid/exe" > /dev/null; do
        sleep 0.02
    done
}

board_stop() {
    board_end TERM "$1"
}

board_kill() {
    board_end KILL "$1"
}

# erased FILE FROM BYTES
erased() {
    cmp -n "$3" -i "$2:0" "$1" "$scratch/erased"
}

same_partition() {
    cmp -n "$partition" "$1" "$2"
}

head -c 32M /dev/zero | tr '\0' '\377' > "$scratch/erased"

finish() {
    if [ "$failures" != 0 ]; then
        printf '%s checks failed\n' "$failures"
        exit 1
    fi
}
