#!/bin/bash
# The primary PostgreSQL is killed under load and the standby promoted, again and again: the service goes on with it by
# itself, nothing that was told is lost, and the log goes on from its heads. The books' URL names both servers, and the
# one that takes writes is looked for (libpq); commits wait until the standby has them (synchronous_commit =
# remote_apply). Before each time processes of the service are killed, too, or all clients are, or all of the service.
#
# STAMP_FAILOVERS: how many times (default: 2, there and back)
# STAMP_KILLS: how many are killed besides, each time (default: 1)
# usage: service_failover_test.sh BUILD postgres     through test/pg_server.sh
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
clients=("${python[@]}" "$root/test/flow/service_load.py")
bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 | sort -V | tail -n 1)
as=()
[ "$(id -u)" != 0 ] || as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
primary=$(dirname "$STAMP_TEST_PG_DATA")
standby=$(mktemp -d /tmp/stamp-standby-XXXXXX)
[ "$(id -u)" != 0 ] || chown postgres: "$standby"
failovers=${STAMP_FAILOVERS:-2}
others=${STAMP_KILLS:-1}
count=$((8 + failovers / 3))
end_servers() {
    for dir in "$primary" "$standby"; do
        "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop > /dev/null 2>&1
    done
    rm -rf "$standby"
}
trap 'end_servers; end' EXIT

# sql DIRECTORY TEXT
sql() { psql -q -A -t -v ON_ERROR_STOP=1 "postgresql:///postgres?host=${1//\//%2F}&user=stamp" -c "$2"; }

# stand_by FROM TO: a standby in TO follows FROM, whose commits wait for it from now on
stand_by() {
    rm -rf "$2/data"
    "${as[@]}" "$bin/pg_basebackup" -h "$1" -U stamp -D "$2/data" -R -X stream -c fast &&
        "${as[@]}" "$bin/pg_ctl" -D "$2/data" -l "$2/server.log" -w -s start -o \
            "-c listen_addresses= -c unix_socket_directories=$2 -c max_connections=50 -F" &&
        sql "$1" "ALTER SYSTEM SET synchronous_standby_names = '*'" &&
        sql "$1" "ALTER SYSTEM SET synchronous_commit = 'remote_apply'" &&
        sql "$1" "SELECT pg_reload_conf()" > /dev/null || return 1
    for _ in $(seq 100); do
        [ "$(sql "$1" 'SELECT sync_state FROM pg_stat_replication')" != sync ] || return 0
        sleep 0.1
    done
    return 1
}

# promote DIRECTORY: it takes writes, which wait for nobody yet
promote() {
    "${as[@]}" "$bin/pg_ctl" -D "$1/data" -w -s promote &&
        sql "$1" "ALTER SYSTEM RESET synchronous_standby_names" && sql "$1" "SELECT pg_reload_conf()" > /dev/null
}

# kill_server DIRECTORY: its parent and every connection at once
kill_server() {
    local pid
    pid=$(head -n 1 "$1/data/postmaster.pid")
    pkill -9 -P "$pid"
    kill -9 "$pid"
}

# load: clients, whose answers go to a file of their own
loads=0
load() {
    loads=$((loads + 1))
    "${clients[@]}" load "$scratch/end" "${at##*:}" ws/root.pem "told-$loads" "${devices[@]}" >> load.out 2>&1 &
    load_pid=$!
}

# told: bytes of what was told; a certificate is some 850 of them
told() { stat -c %s told-* 2> /dev/null | awk '{ n += $1 } END { print n + 0 }'; }

# grows: 20 certificates more are told, soon
grows() {
    local from
    from=$(told)
    for _ in $(seq 150); do
        [ "$(told)" -le "$((from + 20000))" ] || return 0
        sleep 0.2
    done
    return 1
}

# kill_other: all clients, all of the service with its parent, or one of its processes
killed=0
kill_other() {
    local parent all
    killed=$((killed + 1))
    parent=$(cat ws-serve.pid)
    mapfile -t all < <(pgrep -P "$parent")
    case $((killed % 8)) in
    2 | 6)
        kill -9 "$load_pid"
        wait "$load_pid" 2> /dev/null
        load
        ;;
    4)
        kill -9 "$parent"
        wait "$parent" 2> /dev/null
        for pid in "${all[@]}"; do # they see that it is gone
            for _ in $(seq 200); do
                kill -0 "$pid" 2> /dev/null || break
                sleep 0.05
            done
        done
        serve_at ws "${at##*:}" "${serving[@]}"
        ;;
    *) kill_any "${all[@]}" ;;
    esac
}

check "a standby, for which commits wait" stand_by "$primary" "$standby"

url="postgresql:///postgres?host=${primary//\//%2F},${standby//\//%2F}&user=stamp&target_session_attrs=read-write"
check "a workspace with its books at whichever takes writes" "$stamp" init ws --company Acme --product Sensor --registry "$url"
check "$count stamps" "$stamp" -C ws make -n "$count"
i=0
devices=()
for serial in $("$stamp" -C ws registry list --csv -n 9999 | sed -n '2,$s/,.*//p'); do
    device ws "$serial" "d$i"
    devices+=("d$i")
    i=$((i + 1))
done
serving=(--fronts 2 --per-hour 1000000 --rate 100000000)
check "the service starts" serve ws "${serving[@]}"
load
servers=("$primary" "$standby")
kept=()
for n in $(seq "$failovers"); do
    now=${servers[$((1 - n % 2))]}
    next=${servers[$((n % 2))]}
    check "failover $n: certificates are told" grows
    check "  a head, kept" "$stamp" -C ws log head -o "kept-$n"
    kept+=(--head "kept-$n")
    for i in $(seq "$others"); do
        [ "$i" = 1 ] || sleep "0.$((RANDOM % 5 + 1))"
        kill_other || check "  the service starts again" false
    done
    kill_server "$now"
    check "  the standby is promoted" promote "$next"
    check "  the service goes on by itself" grows
    [ "$n" = "$failovers" ] || check "  the one that was killed is the next standby" stand_by "$next" "$now"
done
touch end
printf 'killed: the primary %s times, others %s times\n' "$failovers" "$killed"
check "the load ends without an answer that it did not expect" wait "$load_pid"
cat load.out
check "a graceful stop" serve_stop ws
cat told-* | grep '^[^ ]* [^ ]*$' > told # the last line of who was killed may be cut
check_status "every certificate that was told is on the books, once" 0 "${clients[@]}" check "$stamp" ws told
cat out
check_status "rows, log and certificates agree" 0 "$stamp" -C ws registry check
check_status "the heads from before are of this log" 0 "$stamp" -C ws log verify "${kept[@]}"
finish
