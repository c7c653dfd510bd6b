#!/bin/bash
# A root is being replaced: rollover.pem leads clients and devices of the old root to the new one.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

check "the old workspace" "$stamp" init old --company Acme --product Sensor
check "two stamps of it" "$stamp" -C old make -n 2
check "the new one" "$stamp" init new --company Acme --product Sensor
mapfile -t serials < <("$stamp" -C old registry list --csv | sed -n '2,$s/,.*//p')
device old "${serials[0]}" d0
device old "${serials[1]}" d1
rm new/registry.db*
cp old/registry.db* new/

# sign CERT KEY CA CAKEY NUMBER OUT: the same certificate, signed by another authority
sign() {
    openssl x509 -in "$1" -x509toreq -signkey "$2" -copy_extensions copyall -out request.csr &&
        openssl x509 -req -in request.csr -CA "$3" -CAkey "$4" -set_serial "$5" -days 365 -copy_extensions copyall -out "$6"
}
check "the old root, signed by the new" sign old/root.pem old/keys/root.key new/root.pem new/keys/root.key 77 old-with-new.pem
check "the new root, signed by the old" sign new/root.pem new/keys/root.key old/root.pem old/keys/root.key 78 new-with-old.pem
check "a certificate of a device that is not the booked one" sign d1/cert.pem d1/key.pem old/sub-ca.pem old/keys/sub-ca.key 79 other.pem
mkdir other && cp other.pem other/cert.pem && cp d1/key.pem other/key.pem
authorities() {
    curl -sS --fail --cacert "$1" "$est/cacerts" -o cacerts.b64 &&
        base64 -d cacerts.b64 | openssl pkcs7 -inform DER -print_certs -out cacerts.pem
}

# --- without it ---
ca=new/root.pem
check "a service with the new root" serve new
check "who knows the new root believes it" authorities new/root.pem
check_status "who knows the old one does not" 60 authorities old/root.pem
check_status "a device of the old root is on the books" 0 enrol d0 n0
says "STATUS 200"
check_status "another certificate of the old root's for its key is nothing" 0 enrol other n1
says "STATUS 403"
check "it stops" serve_stop new

# --- with it ---
cat old/root.pem old-with-new.pem new-with-old.pem old/sub-ca.pem > new/rollover.pem
check "a service that knows both" serve new
for root in old new; do
    check "who knows the $root root believes it" authorities $root/root.pem
    check "  and gets all authorities" test "$(grep -c BEGIN cacerts.pem)" = 6
done
# Two roots of one name: whoever builds a path leaves out those that lead nowhere.
for i in 1 2 3 4 5 6; do
    sed -n "/BEGIN/,/END/p" cacerts.pem | awk -v n=$i '/BEGIN/ { k++ } k == n' > "one-$i"
    [ "$(openssl x509 -in "one-$i" -noout -subject_hash)" != "$(openssl x509 -in "one-$i" -noout -issuer_hash)" ] || rm "one-$i"
done
cat one-* > links.pem
check "  two sub-CAs and two links among them" test "$(grep -c BEGIN links.pem)" = 4
for root in old new; do
    for one in one-*; do
        # the link to a root from itself is of no use to who has that
        openssl x509 -in "$one" -noout -subject_hash | grep -qx "$(openssl x509 -in $root/root.pem -noout -subject_hash)" ||
            check "  $one leads to the $root root" openssl verify -CAfile $root/root.pem -untrusted links.pem "$one"
    done
done
check_status "the other certificate leads to the new root" 0 enrol other n1
says "STATUS 200"
check "  and its device has one of the new root's" openssl verify -CAfile new/root.pem -untrusted new/sub-ca.pem n1.pem
check "it stops" serve_stop new

# --- what is none ---
printf 'nothing\n' > new/rollover.pem
check_status "no certificate" 1 "$stamp" serve new --listen 127.0.0.1:0
says "'rollover.pem' has no certificate"
cat old/root.pem d0/cert.pem > new/rollover.pem
check_status "a device's" 1 "$stamp" serve new --listen 127.0.0.1:0
says "certificate 2 of 'rollover.pem' is no authority's"
head -c 400 old/root.pem > new/rollover.pem
check_status "one that is cut off" 1 "$stamp" serve new --listen 127.0.0.1:0
says "certificate 1 of 'rollover.pem' cannot be read"
for _ in 1 2 3 4 5 6 7 8 9; do cat old/root.pem; done > new/rollover.pem
check_status "too many" 1 "$stamp" serve new --listen 127.0.0.1:0
says "more than 8 certificates"
finish
