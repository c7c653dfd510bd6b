#!/bin/bash
# Batches that a service makes for programs: API keys, the file, what is refused, and processes that die.
# With "postgres" the books are there.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

books=()
[ "${2:-}" != postgres ] || books=(--registry "$STAMP_TEST_PG")
check "a workspace" "$stamp" init ws --company Acme --product Sensor "${books[@]}"
for i in 1 2 3; do
    check "a station's key" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=line $i" \
        -days 3650 -keyout "s$i.key" -out "s$i.pem" -addext keyUsage=critical,keyAgreement
done
check_status "a key for a line" 0 "$stamp" -C ws apikey add --role factory line -o line.key
says "line	line.key"
check "  for its owner alone" test "$(stat -c %a line.key)" = 600
check "a key for an auditor" sh -c "'$stamp' -C ws apikey add --role auditor | cut -f2 > audit.key"
check_status "the keys are listed" 0 "$stamp" -C ws apikey list
says "auditor-1	auditor	good until"
check "  and not shown" sh -c "! grep -qF -f line.key out"
check_status "a name is given once" 1 "$stamp" -C ws apikey add --role admin line
says "there is a key 'line' already"
chmod 600 audit.key

# order COUNT FILE OPTION...: a batch from the service
order() {
    "$stamp" batch create --server "https://$at" --trust ws/root.pem --api-key-file line.key --product Sensor \
        --station s1.pem --count "$1" -o "$2" "${@:3}"
}
# order_behind COUNT FILE: the same, for the shell to start and to kill
order_behind() {
    exec "$stamp" batch create --server "https://$at" --trust ws/root.pem --api-key-file line.key --product Sensor \
        --station s1.pem --count "$1" -o "$2"
}
# api METHOD PATH KEYFILE OPTION...: status and body in `out`
api() {
    curl -sS --cacert ws/root.pem -X "$1" -H "Authorization: Bearer $(cat "$3")" -w '\n%{http_code}\n' "${@:4}" \
        "https://$at/api/v1/$2"
}
# post NAME BODY: POST /batches with that Idempotency-Key
post() {
    api POST batches "${key:-line.key}" -H 'Content-Type: application/json' -H "Idempotency-Key: $1" -d "$2"
}
fp() { openssl x509 -in "$1" -outform DER | sha256sum | cut -d' ' -f1; }

check_status "a key that ends soon" 0 "$stamp" -C ws apikey add --role support --expires 1h short
check_status "  or with a day" 0 "$stamp" -C ws apikey add --role support --expires 2030-06-30 long
for end in 1x d 2030-13-01 ''  2020-01-01; do
    check_status "an end that is none: '$end'" 2 "$stamp" -C ws apikey add --role support --expires "$end"
done
check_status "both are listed" 0 "$stamp" -C ws apikey list
says "long	support	good until 2030-06-30T23:59:59Z"
check "the service starts" serve ws --admin 127.0.0.1:0
admin=$(sed -n 's/.*"admin":"\([^"]*\)".*/\1/p' ws.serve)

check_status "a station that nobody put there" 1 order 5 y.batch
says "put its certificate into stations/ of the workspace"
check "two stations are put there" cp s1.pem s2.pem ws/stations
printf 'no certificate\n' > ws/stations/README

# --- a batch ---
check_status "a batch is ordered" 0 order 50 a.batch --note "first lot"
says "1	a.batch	50"
check "  nothing else is left" test "$(echo a.batch*)" = a.batch
check_status "  it is whole, and signed" 0 "$stamp" batch show a.batch --trust ws/root.pem
says "stamps    50"
says "first lot"
mkdir stamps
check_status "  its station opens it" 0 "$stamp" batch next a.batch --key s1.key --trust ws/root.pem -n 2 -o stamps
check_status "  a stamp is authentic" 0 "$stamp" verify "$(find stamps -type f | head -n 1)" --trust ws/root.pem
check_status "  it is on the books" 0 "$stamp" -C ws batch show 1
says "API key line"
check_status "  which add up" 0 "$stamp" -C ws batch balance 1
check "  and in the metrics" sh -c "curl -sS --fail '$admin/metrics' | grep -qx 'devstamp_batch_stamps_total 50'"
check_status "no file is overwritten" 1 order 50 a.batch
says "'a.batch' is there already"
check_status "for two stations" 0 order 10 b.batch --station s2.pem
check_status "  the second opens it, too" 0 "$stamp" batch next b.batch --key s2.key --trust ws/root.pem -o stamps2

# --- refused ---
check_status "another product" 1 "$stamp" batch create --server "https://$at" --trust ws/root.pem \
    --api-key-file line.key --product Lamp --station s1.pem --count 1 -o x.batch
says "this service makes 'Sensor'"
check_status "a station that nobody named" 1 order 5 y.batch --station s3.pem
says "the service knows no station $(fp s3.pem | cut -c1-16)"
printf 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n' > wrong.key && chmod 600 wrong.key
check_status "a key that is none" 0 api GET batches/1 wrong.key
says "no such API key"
says 401
check_status "no key" 0 curl -sS --cacert ws/root.pem -w '%{http_code}' "https://$at/api/v1/batches/1"
says "show an API key"
check_status "an auditor looks" 0 api GET batches/1 audit.key
says '"state":"made"'
says 200
key=audit.key check_status "  and makes nothing" 0 post n "{\"product\":\"Sensor\",\"count\":1,\"stations\":[\"$(fp s1.pem)\"]}"
says "may not do that"
says 403
check_status "  and fetches nothing" 0 api GET batches/1/file audit.key
says 403
check_status "a batch that is not there" 0 api GET batches/99 line.key
says 404
check_status "a path that is not there" 0 api GET gadgets line.key
says 404
check_status "another method" 0 api DELETE batches/1 line.key
says 405
check_status "no JSON" 0 api POST batches line.key -H 'Content-Type: text/plain' -H 'Idempotency-Key: n' -d hello
says 415
check_status "no name" 0 api POST batches line.key -H 'Content-Type: application/json' -d '{}'
says "Idempotency-Key"
for body in '' '[]' '{' '{}' 'null' '{"product":"Sensor"}' '{"product":"Sensor","count":0,"stations":["00"]}' \
    '{"product":"Sensor","count":1,"stations":["00"]}' '{"product":"Sensor","count":1,"stations":[]}' \
    '{"product":"Sensor","count":1.5,"stations":[]}' '{"product":1}' '{"product":"Sensor","count":1,"stations":{},"x":1}'; do
    check_status "a body that is none: $body" 0 post n "$body"
    says 400
done
check_status "a request" 0 post same "{\"product\":\"Sensor\",\"count\":3,\"stations\":[\"$(fp s1.pem)\"]}"
check_status "  under whose name another is asked for" 0 post same "{\"product\":\"Sensor\",\"count\":4,\"stations\":[\"$(fp s1.pem)\"]}"
for _ in $(seq 100); do
    post same "{\"product\":\"Sensor\",\"count\":3,\"stations\":[\"$(fp s1.pem)\"]}" > out 2>&1
    ! grep -q '^201$' out || break
    sleep 0.1
done
check "  is made" grep -q '^201$' out
cp out first
check_status "  once" 0 post same "{\"product\":\"Sensor\",\"count\":3,\"stations\":[\"$(fp s1.pem)\"]}"
check "  and said to be the same again" cmp out first
check_status "  of another count: no" 0 post same "{\"product\":\"Sensor\",\"count\":4,\"stations\":[\"$(fp s1.pem)\"]}"
says "under this name 3 stamps of 'Sensor' were asked for"
says 409
check_status "a key is taken away" 0 "$stamp" -C ws apikey remove auditor-1
check_status "  and opens nothing" 0 api GET batches/1 audit.key
says 401

check "nothing is left of what was refused" sh -c "! ls | grep -q '[xy].batch'"

# --- whoever dies ---
# die ROLE: kill that process of the service
die() {
    local pid
    pid=$(pgrep -P "$(cat ws-serve.pid)" -f -- "--as $1")
    [ -n "$pid" ] && kill -9 "$pid"
}
order_behind 6000 k.batch > k.out 2>\&1 &
client=$!
sleep 0.4
check "the batches are killed" die batches
sleep 0.4
check "the signer is killed" die signer
sleep 0.3
check "a front is killed" die 'front 0'
check "the order comes through" wait "$client"
check "  with all stamps" grep -q '	k.batch	6000$' k.out
check_status "  which are whole" 0 "$stamp" batch show k.batch --trust ws/root.pem
says "stamps    6000"
order_behind 6000 c.batch > c.out 2>\&1 &
client=$!
sleep 0.6
kill -9 "$client"
wait "$client" 2> /dev/null
check "a client that was killed leaves the name of its request" test -s c.batch.ask
check_status "  and the same command goes on" 0 order 6000 c.batch
says "	c.batch	6000"
check_status "all is on the books, once" 0 "$stamp" -C ws registry export
check "  each serial" test "$(cut -d, -f1 out | sort | uniq -d | wc -l)" = 0
check "  no stamp more than was asked for" test "$(tail -n +2 out | grep -c ,)" = 12063
check_status "a batch of the books is what the file has" 0 "$stamp" batch show c.batch --trust ws/root.pem
check "a graceful stop" serve_stop ws

# --- a stop on the way, and a root key that is elsewhere ---
check "the service starts" serve ws
order_behind 20000 d.batch > d.out 2>\&1 &
client=$!
sleep 0.8
check "it is stopped on the way" serve_stop ws
kill -9 "$client"
wait "$client" 2> /dev/null
check "it starts again" serve ws
check_status "  the batch is gone on with" 0 order 20000 d.batch
says "	d.batch	20000"
check "it stops" serve_stop ws
cp -r ws no-root
rm no-root/keys/root.key no-root/keys/batch.key no-root/batch.pem
check "a service without the root key" serve no-root
check_status "  makes no batches, and says why" 1 "$stamp" batch create --server "https://$at" --trust ws/root.pem \
    --api-key-file line.key --product Sensor --station s1.pem --count 1 -o z.batch
says "this service makes no batches"
check "it stops" serve_stop no-root

# --- production: the batch key is under the passphrase ---
printf 'correct horse battery\n' > phrase
deep=$(printf 'a-directory-with-a-long-name/%.0s' 1 2 3 4 5 6 7 8) # of such a path the books have a digest
mkdir -p "$deep/prod" && ln -s "$deep/prod" prod
check "a production workspace" "$stamp" init prod --company Acme --product Sensor --production --passphrase-fd 3 3< phrase
check "a key for it" "$stamp" -C prod apikey add --role admin -o prod.key
mkdir prod/stations && cp s1.pem prod/stations
check "its service" serve prod --passphrase-fd 3 3< phrase
check_status "  makes a batch" 0 "$stamp" batch create --server "https://$at" --trust prod/root.pem \
    --api-key-file prod.key --product Sensor --station s1.pem --count 3 -o p.batch
check_status "  of that root" 0 "$stamp" batch show p.batch --trust prod/root.pem
says "stamps    3"
check "  its key is sealed" grep -q ENCRYPTED prod/keys/batch.key
check "it stops" serve_stop prod

for file in ws.serve ws.serve-before ws.out prod.serve; do
    check "no key is in $file" sh -c "! grep -qF -f line.key $file"
done
check "who made what is on the log" grep -q '"event":"batch","number":"1","stamps":"50","by":"API key line"' ws.serve-before
check "a refusal, too" grep -q '"refusal":"api key"' ws.serve-before
finish
