#!/bin/bash
# The primary PostgreSQL is killed under load and the standby promoted: the service goes on with it by itself, nothing
# that was told is lost, and the log goes on from its heads. The books' URL names both servers, and the one that
# takes writes is looked for (libpq); commits wait until the standby has them (synchronous_commit = remote_apply).
#
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
end_standby() {
    "${as[@]}" "$bin/pg_ctl" -D "$standby/data" -m immediate -s stop > /dev/null 2>&1
    rm -rf "$standby"
}
trap 'end_standby; end' EXIT

# sql DIRECTORY TEXT
sql() { psql -q -A -t -v ON_ERROR_STOP=1 "postgresql:///postgres?host=${1//\//%2F}&user=stamp" -c "$2"; }

check "a standby" "${as[@]}" "$bin/pg_basebackup" -h "$primary" -U stamp -D "$standby/data" -R -X stream
check "  which follows" "${as[@]}" "$bin/pg_ctl" -D "$standby/data" -l "$standby/server.log" -w -s start -o \
    "-c listen_addresses= -c unix_socket_directories=$standby -c max_connections=50 -F"
check "commits wait for it" sql "$primary" "ALTER SYSTEM SET synchronous_standby_names = '*'"
check "  until it shows them" sql "$primary" "ALTER SYSTEM SET synchronous_commit = 'remote_apply'"
check "  from now on" sql "$primary" "SELECT pg_reload_conf()"
check "  it does" bash -c "$(declare -f sql); for i in \$(seq 50); do
    test \"\$(sql '$primary' 'SELECT sync_state FROM pg_stat_replication')\" = sync && exit 0; sleep 0.1; done; exit 1"

url="postgresql:///postgres?host=${primary//\//%2F},${standby//\//%2F}&user=stamp&target_session_attrs=read-write"
check "a workspace with its books at whichever takes writes" "$stamp" init ws --company Acme --product Sensor --registry "$url"
check "eight stamps" "$stamp" -C ws make -n 8
i=0
for serial in $("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p'); do
    device ws "$serial" "d$i"
    i=$((i + 1))
done
check "the service starts" serve ws --fronts 2 --per-hour 1000000 --rate 100000000
"${clients[@]}" load "$scratch/end" "${at##*:}" ws/root.pem told d0 d1 d2 d3 d4 d5 d6 d7 > load.out 2>&1 &
load_pid=$!
sleep 3
check "a head, kept" "$stamp" -C ws log head -o kept
before=$(wc -l < told)
check "  certificates are told" test "$before" -gt 0

# the whole primary: its parent and every connection at once
pkill -9 -P "$STAMP_TEST_PG_PID"
kill -9 "$STAMP_TEST_PG_PID"
check "the standby is promoted" "${as[@]}" "$bin/pg_ctl" -D "$standby/data" -w -s promote
at_kill=$(wc -l < told)
for i in $(seq 100); do
    [ "$(wc -l < told)" -le "$((at_kill + 20))" ] || break
    sleep 0.2
done
check "the service goes on by itself" test "$(wc -l < told)" -gt "$((at_kill + 20))"
touch end
check "the load ends without an answer that it did not expect" wait "$load_pid"
cat load.out
check "a graceful stop" serve_stop ws
check_status "every certificate that was told is on the books, once" 0 "${clients[@]}" check "$stamp" ws told
cat out
check_status "rows, log and certificates agree" 0 "$stamp" -C ws registry check
check_status "the head from before is of this log" 0 "$stamp" -C ws log verify --head kept
finish
