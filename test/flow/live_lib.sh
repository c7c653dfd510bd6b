# shellcheck shell=bash
# Shared by the flow tests of live devices. Source it: it sets up a scratch directory that goes away
# with every process that was started, and counts what fails.
#
# usage of the tests: NAME_test.sh BUILD-DIRECTORY

build=$(cd "$1" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
stamp=$build/stamp
python=(/usr/bin/python3 -B)
failures=0
unset DEVSTAMP_DIR

end() {
    local file
    for file in "$scratch"/*.pid; do
        [ ! -e "$file" ] || kill "$(cat "$file")" 2> /dev/null || true
    done
    rm -rf "$scratch"
}
trap end EXIT
cd "$scratch" || exit 1

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
    "$@" > "$scratch/out" 2>&1 < "${input:-/dev/null}" || status=$?
    cat "$scratch/out" >> "$scratch/every-output"
    check "$what" test "$status" = "$expected"
    [ "$status" = "$expected" ] || sed 's/^/          /' "$scratch/out"
}

# says TEXT: the last check_status printed it.
says() {
    check "  and says '$1'" grep -qF -- "$1" "$scratch/out"
}

# wait_line FILE: until a program has printed its first line there, which is the result.
wait_line() {
    local i
    for i in $(seq 200); do
        if [ "$(wc -l < "$1")" -gt 0 ]; then
            head -n 1 "$1"
            return 0
        fi
        sleep 0.05
    done
    printf 'nothing came within 10 s (%s)\n' "$i" >&2
    return 1
}

# start NAME COMMAND...: in the background; the terminal that it prints is linked as NAME.tty.
start() {
    local name=$1
    shift
    : > "$scratch/$name.log" # now: an earlier one's line is not for wait_line
    "$@" >> "$scratch/$name.log" 2>&1 &
    printf '%s\n' "$!" > "$scratch/$name.pid"
    ln -sfn "$(wait_line "$scratch/$name.log")" "$scratch/$name.tty"
}

stop() {
    local pid
    pid=$(cat "$scratch/$1.pid")
    rm "$scratch/$1.pid"
    kill "$pid"
    wait "$pid" || true
}

# agent NAME FLASH [OPTION...]: a simulated device.
agent() {
    local name=$1 flash=$2
    shift 2
    chmod 600 "$flash"
    start "$name" "$build/stamp-agent" --flash-file "$flash" "$@"
}

# boot NAME FLASH [OPTION...]: the emulated board; its console is NAME.tty.
boot() {
    local name=$1 flash=$2
    shift 2
    timeout 60 "$root/scripts/run-qemu" --background --firmware "$build/firmware/qemu_riscv32.elf" \
        --pid-file "$scratch/$name.pid" --tty "$scratch/$name.tty" --log "$scratch/$name.log" \
        "$@" "$flash"
}

# halt NAME [SIGNAL]: a board that was booted.
halt() {
    local pid
    pid=$(cat "$scratch/$1.pid")
    rm "$scratch/$1.pid"
    kill "-${2:-TERM}" "$pid"
    # It is no child of this shell, and may stay as a zombie, which has let go of its files.
    while readlink -q "/proc/$pid/exe" > /dev/null; do
        sleep 0.02
    done
}

# other_device NAME IMAGE [OPTION...]: a device that shares no code with ours.
other_device() {
    local name=$1
    shift
    start "$name" "${python[@]}" "$root/test/interop/independent_device.py" "$@"
}

# proxy NAME DEVICE [OPTION...]: something between, which misbehaves.
proxy() {
    local name=$1 device=$2
    shift 2
    start "$name" "${python[@]}" "$root/test/flow/proxy.py" "$(readlink "$scratch/$device.tty")" "$@"
}

# barcode FILE BEGINNING: the payload in a stamp that begins so.
barcode() {
    "$stamp" show --json --secrets "$1" | "${python[@]}" -c '
import json, sys
codes = [b["payload"] for b in json.load(sys.stdin)["barcodes"]]
print(next(c for c in codes if c.startswith(sys.argv[1])))' "$2"
}

# seen FILE ID: how many requests with this id of the stamp's group went to the device.
seen() {
    awk -v id="$2" '$1 == "up" && substr($2, 9, 4) == "0040" && substr($2, 15, 2) == id' "$1" |
        wc -l
}

# workspace NAME: with one stamp, NAME.bin.
workspace() {
    "$stamp" init --company "Flow $1" --product Lantern "$scratch/$1" > /dev/null
    "$stamp" make -C "$scratch/$1" --serial "LIVE-$1-1" -o "$scratch/$1.bin" > /dev/null
}

finish() {
    if [ "$failures" != 0 ]; then
        printf '%s checks failed\n' "$failures"
        exit 1
    fi
}
