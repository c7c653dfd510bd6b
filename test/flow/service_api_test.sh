#!/bin/bash
# The API for programs against its description (docs/openapi.json): every role at every call, requests made up from it,
# the log over the network, and a reader and a log that die.
#
# STAMP_API_FUZZ: how many requests are made up (default: 3000)
# With "postgres" the books are there.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"
source "$root/test/flow/station_lib.sh"
asked=("${python[@]}" "$root/test/flow/service_api.py")
openapi=$root/docs/openapi.json

books=()
[ "${2:-}" != postgres ] || books=(--registry "$STAMP_TEST_PG")
check "a workspace" "$stamp" init ws --company Acme --product Sensor "${books[@]}"
check "five stamps" "$stamp" -C ws make -n 5
serial=$("$stamp" -C ws registry list --csv | sed -n '2s/,.*//p')
victim=$("$stamp" -C ws registry list --csv | sed -n '6s/,.*//p')
mkdir keys ws/stations
for role in admin factory support auditor station device; do
    check "a key for '$role'" "$stamp" -C ws apikey add --role "$role" "$role" -o "keys/$role.key"
done
check "a station's key" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=line" \
    -days 3650 -keyout s.key -out s.pem -addext keyUsage=critical,keyAgreement
cp s.pem ws/stations

# a station of another company, with an order, a unit and an export
ln -s ws hq
token line-1 || exit 1
check "a station" station site line-1
check "a work order" order order 2 site
check "its first unit" unit one
check_status "  is struck" 0 strike site order one
check "  and stops" stop one
check_status "the station exports" 0 export_of site export
check "a batch" "$stamp" -C ws batch create --product Sensor --count 3 --station s.pem -o used.batch
check "  one of it is used" sh -c "'$stamp' batch next used.batch --key s.key --trust ws/root.pem -o . | cut -f1 | head -n 1 |
    xargs -I{} '$stamp' batch report used.batch --unit {} --result struck --chip AA00"
check "  and its results" "$stamp" batch close used.batch -o results
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=owner" -days 3650 -keyout owner.key -out ws/owner-pop.pem \
    -addext keyUsage=critical,keyAgreement 2> /dev/null
sed -i 's/^  # escrow: owner-pop.pem/  escrow: owner-pop.pem/' ws/devstamp.yaml
check "a stamp whose proof is in escrow" "$stamp" -C ws make --serial KEPT-1
"${python[@]}" - "$(openssl x509 -in s.pem -outform DER | sha256sum | cut -d' ' -f1)" \
    "$(openssl x509 -in site.pem -outform DER | sha256sum | cut -d' ' -f1)" "$("$stamp" -C ws order list --json)" \
    "$(sed -n 's/^ *pattern: *"\{0,1\}\([^"#]*[^"# ]\).*/\1/p' ws/devstamp.yaml)" \
    "$("$stamp" -C ws registry show "$victim" --json)" KEPT-1 > keys/example.json << 'END'
import json, sys
print(json.dumps({"STATION": sys.argv[1], "ENROLLED": sys.argv[2], "ORDER": json.loads(sys.argv[3])[0]["id"],
                  "PATTERN": sys.argv[4], "CERTIFICATE": json.loads(sys.argv[5])["certificate"], "SEALED": sys.argv[6], "EXPORT": "export", "RESULTS": "results"}))
END
check "the service starts" serve ws --admin localhost:0
port=${at##*:}

# get PATH KEY: body, status
get() {
    curl -sS --cacert ws/root.pem -H "Authorization: Bearer $(cat "keys/$2.key")" -w '\n%{http_code}\n' "https://$at/api/v1/$1"
}

check_status "a batch, for who asks for its file" 0 "$stamp" batch create --server "https://$at" --trust ws/root.pem \
    --api-key-file keys/factory.key --product Sensor --station s.pem --count 20 -o b.batch
"${python[@]}" - "$("$stamp" -C ws batch list --json)" << 'END'
import json, sys
example = json.load(open("keys/example.json"))
example["BATCH"] = json.loads(sys.argv[1])[-1]["batch"]
json.dump(example, open("keys/example.json", "w"))
END
check_status "every role at every call" 0 "${asked[@]}" roles "$openapi" "$port" ws/root.pem keys "$victim"
cat out
check_status "requests made up from the description" 0 "${asked[@]}" fuzz "$openapi" "$port" ws/root.pem keys "$victim" \
    "${STAMP_API_FUZZ:-3000}"
cat out

# ---- proofs of possession: sealed over the network, opened here ----
online=(--server "https://$at" --trust ws/root.pem --api-key-file)
check "a proof, at hand" sh -c "'$stamp' -C ws registry pop KEPT-1 --key owner.key > pop.here"
check_status "  and from the service" 0 "$stamp" registry pop KEPT-1 --key owner.key "${online[@]}" keys/support.key
check "  are one" cmp pop.here out
check "  which the service's log tells of" grep -q '"sealed-proof".*"device":"KEPT-1","by":"support"' ws.serve
check "  and does not tell" sh -c '! grep -qF -f pop.here ws.serve'
check_status "another key does not open it" 3 "$stamp" registry pop KEPT-1 --key s.key "${online[@]}" keys/support.key
says "this key does not open it"
check_status "a device without one" 1 "$stamp" registry pop "$victim" --key owner.key "${online[@]}" keys/support.key
says "no proof of possession of '$victim'"
check_status "a role that may not" 3 "$stamp" registry pop KEPT-1 --key owner.key "${online[@]}" keys/auditor.key

# ---- pages ----
check_status "all devices, page by page" 0 "${python[@]}" - "$port" << 'END'
import json, ssl, sys, urllib.parse, urllib.request
context = ssl.create_default_context(cafile="ws/root.pem")
def get(path):
    request = urllib.request.Request(f"https://localhost:{sys.argv[1]}/api/v1/{path}", headers={
        "Authorization": "Bearer " + open("keys/auditor.key").read().strip()})
    return json.load(urllib.request.urlopen(request, context=context))
seen, after = [], None
while True:
    page = get("devices?limit=7" + (f"&after={urllib.parse.quote(after)}" if after else ""))
    seen += [d["serial"] for d in page["devices"]]
    after = page["next"]
    if after is None:
        break
assert len(seen) == len(set(seen)) and len(seen) >= 28, len(seen)
whole = get("devices/" + seen[0])
assert [e["state"] for e in whole["history"]] == ["reserved", "issued"]
assert len(get("devices?state=issued&limit=500")["devices"]) == len(seen) - 1
assert [d["state"] for d in get("devices?state=revoked")["devices"]] == ["revoked"]
assert get("devices?batch=1&limit=500")["devices"][0]["serial"] == seen[0]
assert get("devices?product=Sensor&limit=1")["next"] == seen[0]
assert get("devices?since=4000000000")["devices"] == []
END

# ---- the command over the network says what it says with the books at hand ----
online=(--server "https://$at" --trust ws/root.pem --api-key-file keys/auditor.key)
for what in "list -n 9" "list -n 400 --csv" "list --json --state issued -n 250" "list --product Sensor --batch 1" "list --after $serial -n 3 --csv" \
    "export" "export --json" "show $serial --json" "list --since 2100-01-01"; do
    # shellcheck disable=SC2086 # words
    "$stamp" -C ws registry $what > local.out 2> local.err
    # shellcheck disable=SC2086
    check_status "stamp registry $what" 0 sh -c "'$stamp' registry $what ${online[*]} > online.out 2> online.err"
    check "  says the same" cmp local.out online.out
    check "  and whether there is more" cmp local.err online.err
done
"$stamp" -C ws registry show "$serial" | grep -v '^batch' > local.out
check "stamp registry show" sh -c "'$stamp' registry show $serial ${online[*]} | grep -v '^batch' | cmp - local.out"
check_status "one that is not there" 1 "$stamp" registry show nobody "${online[@]}"
says "serial 'nobody' is not on the books"
check_status "a role that may not" 3 "$stamp" registry list --server "https://$at" --trust ws/root.pem --api-key-file keys/device.key
says "the role of this API key may not do that"
check_status "no key" 2 "$stamp" registry list --server "https://$at"
says "--server wants --api-key-file F"
check_status "what needs the books" 2 "$stamp" registry check "${online[@]}"
says "--server goes with list, show"

# ---- changes: each has an author ----
support=(--server "https://$at" --trust ws/root.pem --api-key-file keys/support.key)
second=$("$stamp" -C ws registry list --csv | sed -n '3s/,.*//p')
check_status "a state" 0 "$stamp" registry set "$second" --state struck --reason "seen at the desk" "${support[@]}"
check_status "  the same again" 0 "$stamp" registry set "$second" --state struck "${support[@]}"
check "  is on the books once, by the name of the key" sh -c "'$stamp' -C ws registry show $second > show.out; grep -c struck show.out |
    grep -qx 2 && grep -q 'struck    by API key support at .*: seen at the desk' show.out"
check_status "a step that there is not" 1 "$stamp" registry set "$second" --state re-struck "${support[@]}"
says "'$second' is struck and cannot become re-struck"
check_status "a role that may not" 3 "$stamp" registry set "$second" --state shipped "${online[@]}"
check_status "who is not there" 1 "$stamp" registry set nobody --state shipped "${support[@]}"
check_status "a revocation" 0 "$stamp" revoke "$second" --reason superseded --why "another board" "${support[@]}"
says "$second	revoked: superseded"
check_status "  the same again" 0 "$stamp" revoke "$second" --reason superseded "${support[@]}"
check "  is on the books" sh -c "'$stamp' -C ws registry show $second | grep -q 'revoked   by API key support at .*: another board'"
check_status "operational certificates" 0 "$stamp" revoke "$serial" --reason keyCompromise --operational "${support[@]}"
says "$serial	0 operational certificates revoked: keyCompromise"
check_status "  by a role that may not" 3 "$stamp" revoke "$serial" --reason keyCompromise --operational --server "https://$at" \
    --trust ws/root.pem --api-key-file keys/factory.key
check "the service says who did it" grep -q "\"event\":\"revoked\",\"device\":\"$second\",\"by\":\"support\"" ws.serve

# ---- certificates instead of keys ----
for who in office stranger; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$who" -days 30 -keyout "$who.key" -out "$who.crt" 2> /dev/null
    cat "$who.crt" "$who.key" > "$who.pem"
done
chmod 600 office.pem stranger.pem
check_status "a certificate of another authority, by its name" 0 "$stamp" -C ws apikey add --role support --certificate office.crt office
says "office	certificate $(openssl x509 -in office.crt -outform DER | sha256sum | cut -d' ' -f1)"
check_status "  its end is the certificate's" 0 "$stamp" -C ws apikey list
says "office	support	good until $(date -u -d "$(openssl x509 -in office.crt -noout -enddate | cut -d= -f2)" +%Y-%m-%dT%H:%M:%SZ)"
check_status "  once" 1 "$stamp" -C ws apikey add --role admin --certificate office.crt office
check_status "what is none" 1 "$stamp" -C ws apikey add --role admin --certificate "$root/README.md" readme
check_status "one and a file for a key" 2 "$stamp" -C ws apikey add --role admin --certificate office.crt -o office.out second
as_office=(--server "https://$at" --trust ws/root.pem --client office.pem)
"$stamp" -C ws registry list -n 9 > local.out
check "it lists what the books have" sh -c "'$stamp' registry list -n 9 ${as_office[*]} | cmp - local.out"
check_status "its changes have its name" 0 "$stamp" registry set "$serial" --state issued --reason "by hand" "${as_office[@]}" || true
check_status "what its role may not" 3 "$stamp" batch list "${as_office[@]}"
says "the role of this API key may not do that"
check_status "a certificate that nobody knows" 3 "$stamp" registry list --server "https://$at" --trust ws/root.pem --client stranger.pem
says "there is no such API key or certificate, or it has ended"
check_status "a certificate and a key" 2 "$stamp" registry list "${as_office[@]}" --api-key-file keys/admin.key
chmod 644 stranger.pem
check_status "a key that others may read" 1 "$stamp" registry list --server "https://$at" --trust ws/root.pem --client stranger.pem
says "stranger.pem"
check "it is taken away" "$stamp" -C ws apikey remove office
check_status "  and opens nothing" 3 "$stamp" registry list "${as_office[@]}"

# ---- a device about itself ----
fourth=$("$stamp" -C ws registry list --csv | sed -n '5s/,.*//p')
device ws "$fourth" itself
# itself PATH: the status that it gets
itself() {
    curl -sS --cacert ws/root.pem --cert itself/cert.pem --key itself/key.pem -o itself.out -w '%{http_code}' "https://$at/api/v1/$1" "${@:2}"
}
check "a device reads its own record" test "$(itself "devices/$fourth")" = 200
check "  it is its own" grep -q "\"serial\":\"$fourth\"" itself.out
check "  and its receipt" test "$(itself "devices/$fourth/receipt")" = 200
check_status "  which is one" 0 "$stamp" log verify --receipt itself.out --trust ws/root.pem
says "$fourth issued"
for what in "devices/$serial" "devices/$serial/receipt" devices log/head batches orders journals "devices/nobody"; do
    check "  nothing else: $what" test "$(itself "$what")" = 401
done
check "  and does nothing" test "$(itself "devices/$fourth/state" -H 'Content-Type: application/json' -d '{"state":"struck"}')" = 401
check "an operational certificate" enrol itself new
check "  reads it, too" test "$(curl -sS --cacert ws/root.pem --cert new.pem --key new.key -o itself.out -w '%{http_code}' "https://$at/api/v1/devices/$fourth")" = 200
check "a header that is none opens nothing" test "$(itself "devices/$fourth" -H 'Authorization: Basic eA==')" = 401
check "an API key of a device" "$stamp" -C ws apikey add --role device "$fourth" -o keys/fourth.key
check "  reads that one" sh -c "$(declare -f get); at=$at; get devices/$fourth fourth | grep -q '^200'"
check "  and no other" sh -c "$(declare -f get); at=$at; get devices/$serial fourth | grep -q '^403'"
check "it is revoked" "$stamp" revoke "$fourth" --reason keyCompromise "${support[@]}"
check "  and reads nothing more" test "$(itself "devices/$fourth")" = 401
check "  nor with its operational key" test "$(curl -sS --cacert ws/root.pem --cert new.pem --key new.key -o itself.out -w '%{http_code}' "https://$at/api/v1/devices/$fourth")" = 401

# ---- the log: an auditor who keeps one head, and the root ----
check "the head as a file" sh -c "$(declare -f get); at=$at; get log/head auditor | head -n 1 |
    sed 's/.*\"receipt\":\"\([^\"]*\)\".*/\1/' | base64 -d > kept.head"
check_status "  is one" 0 "$stamp" log verify --receipt kept.head --trust ws/root.pem
says "proven, under the head of "
check "something happens" "$stamp" -C ws registry set "$serial" --state struck
check "  and is in the log soon" sh -c "$(declare -f get); at=$at; for i in \$(seq 50); do
    get \"log/entries?limit=500\" auditor | grep -q '\"serial\":\"$serial\",\"state\":\"struck\"' && exit 0; sleep 0.1; done; exit 1"
sleep 1.2
check_status "the log is whole, with the head that was kept" 0 "$stamp" -C ws log verify --head kept.head
check "a receipt" sh -c "curl -sSf --cacert ws/root.pem -H 'Authorization: Bearer $(cat keys/support.key)' \
    'https://$at/api/v1/devices/$serial/receipt' -o receipt"
check_status "  with what happened" 0 "$stamp" log verify --receipt receipt --trust ws/root.pem
says "$serial struck"
check_status "growth from the head that was kept" 0 "${python[@]}" - "$port" << 'END'
import base64, hashlib, json, ssl, sys, urllib.request
import cbor2
context = ssl.create_default_context(cafile="ws/root.pem")
def get(path):
    request = urllib.request.Request(f"https://localhost:{sys.argv[1]}/api/v1/{path}", headers={
        "Authorization": "Bearer " + open("keys/auditor.key").read().strip()})
    return json.load(urllib.request.urlopen(request, context=context))
payload = cbor2.loads(cbor2.loads(cbor2.loads(open("kept.head", "rb").read())[1])[0])
old = int.from_bytes(payload[4], "big")
# the whole tree over the entries, and the two roots of it
leaves = []
while True:
    page = get(f"log/entries?from={len(leaves)}&limit=500")
    leaves += [base64.b64decode(e["entry"]) for e in page["entries"]]
    if page["next"] is None:
        break
sha = lambda b: hashlib.sha256(b).digest()
def root(l):
    if len(l) == 1:
        return sha(b"\0" + l[0])
    k = 1
    while 2 * k < len(l):
        k *= 2
    return sha(b"\1" + root(l[:k]) + root(l[k:]))
assert root(leaves[:old]) == payload[5], "the head that was kept is of another log"
growth = get(f"log/growth?from={old}&to={len(leaves)}")
assert base64.b64decode(growth["root"]) == root(leaves)
# RFC 9162 2.1.4.2
path = [base64.b64decode(p) for p in growth["path"]]
if old & (old - 1) == 0:
    path.insert(0, root(leaves[:old]))
fn, sn = old - 1, len(leaves) - 1
while fn & 1:
    fn >>= 1; sn >>= 1
fr = sr = path[0]
for c in path[1:]:
    if fn & 1 or fn == sn:
        fr, sr = sha(b"\1" + c + fr), sha(b"\1" + c + sr)
        while not fn & 1 and fn:
            fn >>= 1; sn >>= 1
    else:
        sr = sha(b"\1" + sr + c)
    fn >>= 1; sn >>= 1
assert sn == 0 and fr == root(leaves[:old]) and sr == root(leaves)
END

# ---- processes that die ----
for role in reader log; do
    check "the $role dies" pkill -9 -P "$(cat ws-serve.pid)" -f -- "--as $role"
    check "  and is asked again" sh -c "$(declare -f get); at=$at; for i in \$(seq 50); do
        get devices/$serial admin | grep -q '^200' && exit 0; sleep 0.1; done; exit 1"
done
check "something else happens" "$stamp" -C ws registry set "$serial" --state shipped
check "a graceful stop" serve_stop ws
check_status "what happened last is under the last head" 0 "$stamp" -C ws log prove "$serial" -o last
check_status "  it is" 0 "$stamp" log verify --receipt last --trust ws/root.pem
says "$serial shipped"
check_status "all agrees" 0 "$stamp" -C ws registry check
check "who was refused is on the log" grep -q '"process":"reader","event":"refused","by":"device"' ws.serve
for role in admin factory support auditor station device; do
    check "no key is in the log" sh -c "! grep -qF -f keys/$role.key ws.serve ws.out"
done
finish
