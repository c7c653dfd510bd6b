#!/bin/bash
# The service as devices see it: certificates of authorities, first enrolment, renewal, what is refused.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

check "a workspace" "$stamp" init ws --company Acme --product Sensor
check "four stamps" "$stamp" -C ws make -n 4
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
for i in 0 1 2 3; do
    device ws "${serials[$i]}" "d$i"
done
check "the service starts" serve ws --admin 127.0.0.1:0 --wrap old
admin=$(sed -n 's/.*"admin":"\([^"]*\)".*/\1/p' ws.serve)

# --- curl ---
check "curl gets the authorities" curl -sS --fail --cacert ws/root.pem "$est/cacerts" -o ca.b64
base64 -d ca.b64 | openssl pkcs7 -inform der -print_certs > ca.pem
check "  root and sub-CA" test "$(grep -c BEGIN ca.pem)" = 2
check "all on one line" test "$(wc -l < ca.b64)" = 1
check "  but not under a label that wants it wrapped" sh -c "curl -sS --fail --cacert ws/root.pem '$est/old/cacerts' -o ca.wrapped &&
    test \$(wc -L < ca.wrapped) = 64 && base64 -d ca.wrapped > ca.1 && base64 -d ca.b64 | cmp - ca.1"
check "what a request should say" curl -sS --fail --cacert ws/root.pem "$est/csrattrs" -o attributes
check "  is DER" sh -c 'base64 -d attributes | openssl asn1parse -inform der | grep -q prime256v1'

# --- enrolment and renewal ---
check_status "a device enrols with its birth key" 0 enrol d0 n0 --like d0/cert.pem
says "STATUS 200"
check "  certified by the sub-CA" openssl verify -CAfile ws/root.pem -untrusted ws/sub-ca.pem n0.pem
check "  under the birth certificate's subject" test \
    "$(openssl x509 -in n0.pem -noout -subject)" = "$(openssl x509 -in d0/cert.pem -noout -subject)"
cp n0.pem first.pem
check_status "the same request again" 0 enrol d0 n0 --like d0/cert.pem
check "  gets the same certificate" cmp first.pem n0.pem
mkdir o0 && cp n0.pem o0/cert.pem && cp n0.key o0/key.pem
check_status "it re-enrols with the operational key" 0 enrol o0 n0b --like n0.pem --op simplereenroll
says "STATUS 200"
check "  the books know that it used the first one" grep -q '"confirmed","device":"'"${serials[0]}" ws.serve
mkdir o0b && cp n0b.pem o0b/cert.pem && cp n0b.key o0b/key.pem
check_status "the first use of the next key" 0 enrol o0b n0c --like n0b.pem --op simplereenroll
says "STATUS 200"
check_status "retires the one before" 0 enrol o0 n0d --like n0.pem --op simplereenroll
says "STATUS 403"
says "replaced by another"

# --- styles ---
for style in line wrapped pem bare; do
    check_status "a body in style '$style'" 0 enrol d1 n1 --like d1/cert.pem --style "$style"
    says "STATUS 200"
done
check_status "five requests on one connection" 0 enrol d1 n1 --like d1/cert.pem --times 5
check "  five answers" test "$(grep -c 'STATUS 200' out)" = 5
check_status "TLS 1.2" 0 enrol d1 n1 --like d1/cert.pem --tls 1.2
says "STATUS 200"
check "but not TLS 1.1" sh -c "! openssl s_client -connect $at -tls1_1 < /dev/null"
check_status "the product's label" 0 enrol d1 n1 --op Sensor/simpleenroll
says "STATUS 200"
check_status "another product's" 0 enrol d1 n1 --op Lamp/simpleenroll
says "this product is not served here"

# --- proof of possession of the connection ---
for tls in 1.2 1.3; do
    check_status "linked to a TLS $tls connection" 0 enrol d1 n1 --tls $tls --link good
    says "STATUS 200"
    check_status "linked to another one" 0 enrol d1 n1 --tls $tls --link bad
    says "STATUS 400"
    says "was not made for this connection"
done

# --- what is refused ---
check_status "nobody" 0 "$client" --ca ws/root.pem --new-key x.key "$at"
says "STATUS 401"
check_status "another device's name" 0 enrol d1 x --serial "${serials[2]}"
says "STATUS 400"
says "another subject"
check_status "a renewal under another subject" 0 enrol d1 x --serial "${serials[1]}" --op simplereenroll
says "another subject"
check_status "another device's birth key" 0 "$client" --ca ws/root.pem --cert d1/cert.pem --key d1/key.pem \
    --new-key d2/key.pem "$at"
says "is in use already"
check_status "another device's operational key" 0 "$client" --ca ws/root.pem --cert d1/cert.pem --key d1/key.pem \
    --new-key n0b.key "$at"
says "is in use already"
openssl ecparam -name secp384r1 -genkey -noout -out p384.key
check_status "a key on another curve" 0 "$client" --ca ws/root.pem --cert d1/cert.pem --key d1/key.pem \
    --new-key p384.key "$at"
says "not a P-256 key"
printf 'bm90IGEgcmVxdWVzdA==' > junk
check_status "no request at all" 0 enrol d1 x --body junk
says "no PKCS#10"
printf '%%%%%%' > junk
check_status "no base64" 0 enrol d1 x --body junk
says "no PKCS#10"
: > junk
check_status "an empty one" 0 enrol d1 x --body junk
says "STATUS 400"
head -c 20000 /dev/zero | tr '\0' A > junk
check_status "too long a one" 0 enrol d1 x --body junk
says "STATUS 413"
check "another content type" sh -c "curl -sS --cacert ws/root.pem -d x $est/simpleenroll | grep 'application/pkcs10'"
check "another method" sh -c "curl -sS --cacert ws/root.pem -X DELETE -i $est/cacerts | grep 'Allow: GET'"
check "another path" sh -c "curl -sS --cacert ws/root.pem -i https://$at/ | grep '404'"

# A forged certificate: by the real sub-CA, for a booked serial, with another key.
"${python[@]}" - << 'END'
import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
import os
def load(path):
    return x509.load_pem_x509_certificate(open(path, "rb").read())
def forge(path, ca, key, like, after=datetime.datetime(2099, 1, 1), own=None):
    own = own or ec.generate_private_key(ec.SECP256R1())
    leaf = load(like)
    b = (x509.CertificateBuilder().subject_name(leaf.subject).issuer_name(ca.subject)
         .public_key(own.public_key()).serial_number(x509.random_serial_number())
         .not_valid_before(datetime.datetime(2020, 1, 1)).not_valid_after(after)
         .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False))
    os.makedirs(path, exist_ok=True)
    open(path + "/cert.pem", "wb").write(b.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    open(path + "/key.pem", "wb").write(own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return own
sub = serialization.load_pem_private_key(open("ws/keys/sub-ca.key", "rb").read(), None)
forge("forged", load("ws/sub-ca.pem"), sub, "d2/cert.pem")
mine = serialization.load_pem_private_key(open("d2/key.pem", "rb").read(), None)
forge("expired", load("ws/sub-ca.pem"), sub, "d2/cert.pem", datetime.datetime(2021, 1, 1), mine)
foreign = ec.generate_private_key(ec.SECP256R1())
forge("foreign", load("d1/cert.pem"), foreign, "d2/cert.pem", own=mine)
forge("stranger", load("d1/cert.pem"), foreign, "ws/root.pem")
END
check_status "a forged certificate of the real sub-CA" 0 enrol forged x
says "STATUS 403"
says "on the books with another key"
check_status "a foreign authority's, for the device's own key" 0 enrol foreign x
says "neither of a trusted authority nor the one on the books"
check_status "one that has expired, for its own key" 0 enrol expired x
says "has expired"
check_status "a stranger" 0 enrol stranger x
says "this key is not on the books"
for reason in forged untrusted expired unknown-key key-taken retired subject linking request key-kind; do
    check "  '$reason' is on the log" grep -q "\"refusal\":\"$reason\"" ws.serve
done

# Of the other purpose.
printf 'a passphrase of production\n' > phrase
check "a production workspace" sh -c "'$stamp' init prod --company Acme --product Sensor --production --passphrase-fd 3 3< phrase"
check "a stamp there" sh -c "'$stamp' -C prod make --passphrase-fd 3 3< phrase"
device prod "$("$stamp" -C prod registry list --csv | sed -n '2s/,.*//p')" p0
check_status "a production device at the development service" 0 enrol p0 x
says "development and production do not mix"

# --- a revoked device; too often ---
check_status "a device asks for key after key" 0 enrol d3 k1
for i in 2 3 4 5 6; do
    enrol d3 "k$i" > /dev/null
done
check_status "  the seventh in an hour" 0 enrol d3 k7
says "STATUS 429"
says "Retry-After"

# --- for who runs it ---
check "it is alive" sh -c "curl -sS --fail $admin/healthz | grep -q alive"
check "it is ready" sh -c "curl -sS --fail $admin/readyz | grep -q ready"
check "it counts" curl -sS --fail "$admin/metrics" -o metrics
for line in 'enrolments_total{outcome="issued"} 1[0-9]' 'enrolments_total{outcome="again"} [1-9]' \
    'refusals_total{reason="forged"} 1' 'refusals_total{reason="linking"} 2' 'refusals_total{reason="credential"} 1' \
    'confirmed_total 2' 'enrolment_seconds_count [1-9]' 'restarts_total{process="signer"} 0' 'connections 0' 'ready 1'; do
    check "  $line" grep -q "^devstamp_$line" metrics
done
check "  in Prometheus' format" test -z "$(grep -v -e '^# HELP devstamp_' -e '^# TYPE devstamp_' \
    -e '^devstamp_[a-z_]*\({[a-z]*="[^"]*"}\)\? [0-9.]*$' metrics)"
check "no metrics for the public" sh -c "! curl -sS --fail --cacert ws/root.pem https://$at/metrics"
kill -9 "$(pgrep -P "$(cat ws-serve.pid)" -f -- '--as signer')"
for _ in $(seq 50); do
    curl -sS "$admin/metrics" -o metrics
    ! grep -q 'restarts_total{process="signer"} 1' metrics || break
    sleep 0.1
done
check "a restart is counted" grep -q 'restarts_total{process="signer"} 1' metrics
for _ in $(seq 50); do
    ! curl -sS --fail "$admin/readyz" -o answer || break
    sleep 0.1
done
check "  and it is ready again" grep -q ready answer

# --- the end ---
check "no secret, no key is in the log" sh -c "! grep -E 'PRIVATE|passphrase' ws.serve"
check "a graceful stop" serve_stop ws
check "  says so" grep -q '"stopped"' ws.serve

# --- production: the passphrase; a service that cannot start ---
check "the production service" serve prod --passphrase-fd 3 3< phrase
ca=prod/root.pem
check_status "serves its device" 0 enrol p0 pn
says "STATUS 200"
check "  and stops" serve_stop prod
printf 'wrong\n' > phrase
check_status "with a wrong passphrase" 1 "$stamp" serve prod --listen 127.0.0.1:0 --passphrase-fd 3 3< phrase
says "passphrase"
# --- all addresses of a name ---
"$stamp" serve ws --listen :0 2> all.serve &
server=$!
for _ in $(seq 400); do
    port=$(sed -n 's/.*"listening","url":"https:.*:\([0-9]*\)".*/\1/p' all.serve)
    [ -z "$port" ] || break
    sleep 0.05
done
for address in $("${python[@]}" -c 'import socket
for family, address, url in (socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]"):
    try:
        socket.socket(family).bind((address, 0))
        print(url)
    except OSError:
        pass'); do
    check "without an address it listens at $address" curl -sS --fail --cacert ws/root.pem "https://$address:$port/.well-known/est/cacerts" -o /dev/null
done
check_status "a port that is taken" 1 "$stamp" serve ws --listen "127.0.0.1:$port"
says "Address already in use"
kill "$server"
check "  and stops" wait "$server"
check_status "books that are not there" 1 "$stamp" serve ws --listen 127.0.0.1:0 --registry "$scratch/nothing.db"
says "nothing.db"

check_status "an address that is none" 1 "$stamp" serve ws --listen nowhere
says "cannot listen on 'nowhere'"
check_status "no workspace" 1 "$stamp" serve here --listen 127.0.0.1:0
says "there is no workspace in 'here'"
check_status "a name that is none" 1 "$stamp" serve ws --listen 127.0.0.1:0 --name 'a b'
says "no host name"

finish
