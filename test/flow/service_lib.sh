# shellcheck shell=bash disable=SC2034,SC2154
# Shared by the flow tests of the service. Source it: it brings what live_lib.sh has.
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

client=$build/test/est_client

# serve NAME OPTION...: the service of workspace NAME, on a free port of what localhost is here (::1 on most machines); sets `at` (HOST:PORT) and
# `est` (its URL). Its log is NAME.serve;
# those of earlier ones NAME.serve-before.
serve() {
    local name=$1
    shift
    serve_at "$name" 0 "$@"
}

# serve_at NAME PORT OPTION...
serve_at() {
    local name=$1 to=$2 i
    shift 2
    [ ! -e "$name.serve" ] || cat "$name.serve" >> "$name.serve-before"
    "$stamp" serve "$name" --listen "localhost:$to" "$@" >> "$name.out" 2> "$name.serve" &
    printf '%s\n' "$!" > "$scratch/$name-serve.pid"
    at=
    for i in $(seq 400); do
        at=$(sed -n 's/.*"listening","url":"https:\/\/\([^"]*\)".*/\1/p' "$name.serve" | tail -n 1)
        [ -z "$at" ] || break
        sleep 0.05
    done
    [ -n "$at" ] || { printf 'the service does not listen after 20 s (%s)\n' "$i" >&2; return 1; }
    at=localhost:${at##*:}
    est=https://$at/.well-known/est
}

# serve_stop NAME: gracefully; its status.
serve_stop() {
    local pid
    pid=$(cat "$scratch/$1-serve.pid")
    rm "$scratch/$1-serve.pid"
    kill "$pid"
    wait "$pid"
}

# device WORKSPACE SERIAL DIR: DIR/key.pem and DIR/cert.pem of a stamp that was made there.
device() {
    "${python[@]}" "$root/test/flow/service_device.py" "$1/stamps/$2.bin" "$3"
}

# enrol DIR NEW OPTION...: with DIR's key and certificate a certificate for NEW.key, in NEW.pem.
enrol() {
    local dir=$1 new=$2
    shift 2
    "$client" --ca "${ca:-ws/root.pem}" --cert "$dir/cert.pem" --key "$dir/key.pem" \
        --new-key "$new.key" --out "$new.pem" "$@" "$at"
}

# soon WHAT COMMAND...: within 20 s
soon() {
    local what=$1 i
    shift
    for i in $(seq 200); do
        "$@" > soon.out 2>&1 && break
        sleep 0.1
    done
    check "$what" test "$i" != 200
}

# kill_any PID...: one of them
kill_any() { [ $# -gt 0 ] && kill -9 "${@:$((RANDOM % $# + 1)):1}" 2> /dev/null; }
