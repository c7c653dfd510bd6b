#!/bin/bash
# EST clients that others wrote, against the service: strongSwan's pki, and BouncyCastle's EST API. (curl and openssl:
# test/flow/service_test.sh.)
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../flow/service_lib.sh"

check "a workspace" "$stamp" init ws --company Acme --product Sensor
check "two stamps" "$stamp" -C ws make -n 2
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
device ws "${serials[0]}" d0
device ws "${serials[1]}" d1
openssl x509 -in d0/cert.pem -out d0/leaf.pem
check "the service starts" serve ws

# strongSwan: TLS 1.2, one line without a newline and without Content-Transfer-Encoding.
name=$(openssl x509 -in d0/leaf.pem -noout -subject -nameopt sep_comma_plus_space,sname | sed 's/subject=//')
check "strongSwan gets the authorities" pki --estca --url "https://$at" --cacert ws/root.pem --caout ca --outform pem
check "  root and sub-CA" sh -c 'openssl verify -CAfile ca.pem ca-1.pem'
check "makes a key" sh -c 'pki --gen --type ecdsa --size 256 --outform pem > s.key'
check "and a request" sh -c "pki --req --in s.key --type ecdsa --dn '$name' --outform pem > s.csr"
check "re-enrols with it" sh -c "pki --est --url 'https://$at' --cacert ws/root.pem --cacert ws/sub-ca.pem \
    --cert d0/leaf.pem --key d0/key.pem --in s.csr --outform pem > s.pem"
check "  gets a certificate for it" sh -c \
    'test -s s.pem && test "$(openssl x509 -in s.pem -noout -pubkey)" = "$(openssl pkey -in s.key -pubout)"'
check "  of the sub-CA" openssl verify -CAfile ws/root.pem -untrusted ws/sub-ca.pem s.pem
check "re-enrols with that one" sh -c "pki --est --url 'https://$at' --cacert ws/root.pem --cacert ws/sub-ca.pem \
    --cert s.pem --key s.key --in s.csr --outform pem > s2.pem"
check "  and, as it is new, gets the same" sh -c 'test -s s.pem && cmp s.pem s2.pem'

# BouncyCastle: wrapped at 76, with TLS 1.2 and 1.3.
jars=/usr/share/java/bcpkix.jar:/usr/share/java/bcprov.jar:/usr/share/java/bcutil.jar
check "BouncyCastle's client is compiled" javac -cp "$jars" -d . "$root/test/interop/Est.java"
check "a key for it" openssl pkcs8 -topk8 -nocrypt -in d1/key.pem -outform der -out d1/key.p8
for tls in 1.2 1.3; do
    check_status "BouncyCastle with TLS $tls" 0 java -Djava.net.preferIPv6Addresses=system -cp "$jars:." Est "$at" ws/root.pem d1/cert.pem d1/key.p8 $tls
    says "cacerts 2"
    says "csrattrs 2"
    says "enrolled O=Acme,CN=${serials[1]}"
    says "re-enrolled true"
done
finish
