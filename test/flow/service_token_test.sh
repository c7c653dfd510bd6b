#!/bin/bash
# Enrolment tokens: what a device shows that has no certificate, once and for one key.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

check "a workspace" "$stamp" init ws --company Acme --product Sensor
check "two stamps" "$stamp" -C ws make -n 2
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')

# request NAME: NAME.key and NAME.b64
request() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" &&
        openssl req -new -key "$1.key" -subj /CN=anything -outform DER | base64 -w0 > "$1.b64"
}
# token SERIAL OPTION...: sets `token` and `id`
token() {
    IFS=$'\t' read -r _ token id < <("$stamp" -C ws token add "$@")
    [ "${#token}" = 43 ] && [ "${#id}" = 12 ]
}
# post NAME PATH OPTION...: its answer in `answer`, the status in `out`
post() {
    curl -sS --cacert ws/root.pem -H 'Content-Type: application/pkcs10' --data-binary "@$1.b64" \
        -o answer -w '%{http_code}\n' "${@:3}" "$est/$2"
}
# got NAME: the answer is the certificate of NAME's key
got() {
    base64 -d answer | openssl pkcs7 -inform DER -print_certs | openssl x509 > "$1.pem" &&
        cmp <(openssl x509 -in "$1.pem" -noout -pubkey) <(openssl pkey -in "$1.key" -pubout)
}

for name in a b c; do
    check "a key and a request" request "$name"
done
check "the service starts" serve ws
check "a token" token "${serials[0]}"
check_status "a listing shows it" 0 "$stamp" -C ws token list
says "${serials[0]}	$id	good until"
check "  and not the token" sh -c "! grep -q -e '$token' out"

# --- what does not use it up ---
check_status "with another device's name" 0 post a simpleenroll -u "${serials[1]}:$token"
says 401
check_status "another product's label" 0 post a Lamp/simpleenroll -u "${serials[0]}:$token"
says 403
check_status "no token" 0 post a simpleenroll -u "${serials[0]}:nothing"
says 401
check_status "a listing says that it is not used" 0 "$stamp" -C ws token list
says "good until"

# --- what does ---
check_status "the device's token" 0 post a simpleenroll -u "${serials[0]}:$token"
says 200
check "  gets a certificate for its key" got a
check "  with the device's name" test "$(openssl x509 -in a.pem -noout -subject -nameopt multiline | sed -n 's/.*serialNumber *= //p')" = "${serials[0]}"
cp a.pem first.pem
check_status "the same again" 0 post a simpleenroll -H "Authorization: Bearer $token"
says 200
check "  gets the same certificate" sh -c "base64 -d answer | openssl pkcs7 -inform DER -print_certs | openssl x509 | cmp - first.pem"
check_status "another key" 0 post b simpleenroll -u "${serials[0]}:$token"
says 401
check_status "a listing says that it is used" 0 "$stamp" -C ws token list
says "used"
check_status "  it cannot be taken back" 1 "$stamp" -C ws token drop "$id"
says "not used yet"

# --- taken back, of no device, of a device that is revoked ---
check "another token" token "${serials[1]}" --hours 1
check_status "  is taken back" 0 "$stamp" -C ws token drop "$id"
check_status "  and lets nobody in" 0 post c simpleenroll -u "${serials[1]}:$token"
says 401
check_status "an id that is none" 1 "$stamp" -C ws token drop 0123456789ab
says "there is no token '0123456789ab'"
says "0 of 1 tokens were dropped"
check_status "of a device that is not on the books" 1 "$stamp" -C ws token add NOBODY
says "0 of 1 tokens were made"
check "a third token" token "${serials[1]}"
check_status "  whose device is revoked" 0 "$stamp" -C ws revoke "${serials[1]}" --reason keyCompromise
check_status "  lets nobody in" 0 post c simpleenroll -u "${serials[1]}:$token"
says 403
check_status "a revoked device gets no token" 1 "$stamp" -C ws token add "${serials[1]}"
says "is revoked and cannot enrol"

check "a graceful stop" serve_stop ws
check "no token is in the log" sh -c "! grep -q -e '$token' ws.serve"
check "the refusals are" grep -q '"refusal":"token"' ws.serve
finish
