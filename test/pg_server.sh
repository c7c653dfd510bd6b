#!/bin/bash
# A PostgreSQL server of its own for one command: in a scratch directory, on a Unix socket, gone
# afterwards. The command finds its URL in $STAMP_TEST_PG, the server's process id in
# $STAMP_TEST_PG_PID, and its files in $STAMP_TEST_PG_DATA.
#
# usage: test/pg_server.sh COMMAND [ARG]...
#
# STAMP_TEST_PG_DURABLE=1: writes are forced to the disk, as on a real server; else they need not
# survive the machine, only the processes.
set -euo pipefail

bin=$(find /usr/lib/postgresql/*/bin -maxdepth 0 2> /dev/null | sort -V | tail -n 1)
[ -x "$bin/initdb" ] || { echo "pg_server: no PostgreSQL here; try: make setup" >&2; exit 1; }

dir=$(mktemp -d /tmp/stamp-pg-XXXXXX)
as=()
if [ "$(id -u)" = 0 ]; then # the server refuses to be root
    chown postgres: "$dir"
    as=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

stop() {
    status=$?
    cd "$dir"
    if [ -s "$dir/data/postmaster.pid" ]; then
        "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -s stop || true
    fi
    cd /
    rm -rf "$dir"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT TERM

cd "$dir"
durable=(-F)
if [ "${STAMP_TEST_PG_DURABLE:-}" = 1 ]; then
    durable=()
fi
"${as[@]}" "$bin/initdb" -D "$dir/data" -U stamp -A trust --no-sync --encoding=UTF8 \
    --locale=C.UTF-8 > "$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -s start -o \
    "-c listen_addresses= -c unix_socket_directories=$dir -c max_connections=50 ${durable[*]}" \
    > "$dir/log" 2>&1 || { cat "$dir/log" "$dir/server.log" >&2; exit 1; }

export STAMP_TEST_PG="postgresql:///postgres?host=${dir//\//%2F}&user=stamp"
STAMP_TEST_PG_PID=$(sed -n 1p "$dir/data/postmaster.pid")
export STAMP_TEST_PG_PID
export STAMP_TEST_PG_DATA="$dir/data"
cd "$OLDPWD"
"$@"
