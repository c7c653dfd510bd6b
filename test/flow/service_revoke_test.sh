#!/bin/bash
# Revocation: what the service says over HTTP (CRL, OCSP), as openssl and certtool read it; a revoked device gets nothing
# any more, one whose operational key was revoked comes home with its birth key.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/service_lib.sh"

# ask CERTIFICATE WHAT [OPTION...]: openssl's OCSP client says so.
ask() {
    local cert=$1 expected=$2
    shift 2
    openssl ocsp "$@" -issuer ws/sub-ca.pem -cert "$cert" -url "$http/ocsp" -CAfile ws/root.pem -no_nonce > ocsp.out 2>&1
    if ! grep -q 'Response verify OK' ocsp.out || ! grep -q "$cert: $expected" ocsp.out; then
        cat ocsp.out
        return 1
    fi
}

# within SECONDS COMMAND...: it comes true.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

get_list() {
    curl -sS --fail "$http/crl" -o list.der && openssl crl -inform der -in list.der -out list.pem
}

# listed CERTIFICATE: it is on the service's list.
listed() {
    local number
    number=$(openssl x509 -in "$1" -noout -serial | sed 's/serial=//')
    get_list && openssl crl -in list.pem -noout -text | grep -qi "Serial Number: $number"
}

not() {
    ! "$@"
}

check "a workspace" "$stamp" init ws --company Acme --product Sensor
check "four stamps" "$stamp" -C ws make -n 4
mapfile -t serials < <("$stamp" -C ws registry list --csv | sed -n '2,$s/,.*//p')
for i in 0 1 2 3; do
    device ws "${serials[$i]}" "d$i"
    openssl x509 -in "d$i/cert.pem" -out "d$i.pem"
done
cat ws/root.pem ws/sub-ca.pem > authorities.pem
check "the service starts" serve ws --http 127.0.0.1:0
http=$(sed -n 's/.*"http":"\([^"]*\)".*/\1/p' ws.serve)
check_status "a device enrols" 0 enrol d0 n0
mkdir o0 && cp n0.pem o0/cert.pem && cp n0.key o0/key.pem

check "OCSP: its birth certificate is good" ask d0.pem good
check "  as SHA-256 asks, too" ask d0.pem good -sha256
check "  its operational certificate is good" ask n0.pem good
check "  a number that was never given" sh -c \
    "openssl ocsp -issuer ws/sub-ca.pem -serial 0x1234 -url $http/ocsp -CAfile ws/root.pem -no_nonce | grep -q unknown"
check "  another authority's certificate" sh -c \
    "! openssl ocsp -issuer ws/root.pem -cert ws/sub-ca.pem -url $http/ocsp 2>&1 | grep -v unauthorized"
check "  over HTTPS, too" sh -c "openssl ocsp -issuer ws/sub-ca.pem -cert d0.pem -no_nonce -reqout question &&
    curl -sS --fail --cacert ws/root.pem --data-binary @question -H 'Content-Type: application/ocsp-request' \
        https://$at/ocsp -o reply && openssl ocsp -respin reply -issuer ws/sub-ca.pem -cert d0.pem -CAfile ws/root.pem"
check "  by GET, for caches" sh -c "curl -sS --fail -i $http/ocsp/\$(base64 -w0 question | sed 's/+/%2B/g;s/\//%2F/g;s/=/%3D/g') |
    grep -a -c -e 'Cache-Control: max-age=.*public' -e 'Expires: ' -e 'application/ocsp-response' | grep -q 3"
check "  no question" sh -c "printf junk | curl -sS --data-binary @- $http/ocsp | xxd -p | grep -q 30030a0101"
check "the list is empty" sh -c "$(declare -f get_list); http=$http; get_list && openssl crl -in list.pem -noout -text |
    grep -q 'No Revoked'"
check "  and the sub-CA's" openssl crl -in list.pem -noout -CAfile authorities.pem
check "  a certificate is good by it" openssl verify -crl_check -CRLfile list.pem -CAfile authorities.pem d0.pem
check "another path" sh -c "curl -sS -i $http/.well-known/est/cacerts | grep -q '404'"

# --- the operational key alone ---
check_status "the operational key is revoked" 0 "$stamp" -C ws revoke "${serials[0]}" --operational --reason keyCompromise
says "1 operational certificates revoked: keyCompromise"
check "  OCSP says it" within 5 ask n0.pem revoked
check "  and why" grep -q 'Reason: keyCompromise' ocsp.out
check "  the birth certificate is good" ask d0.pem good
check "  the list says it" within 5 listed n0.pem
check "  and not of the birth certificate" not listed d0.pem
check_status "  with it nobody gets in" 0 enrol o0 n1
says "STATUS 403"
check_status "  with the birth key the device comes home" 0 enrol d0 n2
says "STATUS 200"

# --- the device ---
check_status "another device is revoked" 0 "$stamp" -C ws revoke "${serials[1]}" --reason privilegeWithdrawn --why "sold, stolen"
check "  OCSP says it" within 5 ask d1.pem revoked
check "  the list says it" within 5 listed d1.pem
check "  openssl takes the list's word" sh -c \
    "openssl verify -crl_check -CRLfile list.pem -CAfile authorities.pem d1.pem 2>&1 | grep -q 'certificate revoked'"
check "  certtool reads it" sh -c "certtool --crl-info --inder --infile list.der | grep -q 'Revoked certificates (2)'"
check_status "  it gets no certificate" 0 enrol d1 n3
says "STATUS 403"
says "this device is revoked"
check_status "  its history says why" 0 "$stamp" -C ws registry show "${serials[1]}"
says "sold, stolen"
sleep 1.1
check_status "  it cannot be revoked twice" 1 "$stamp" -C ws revoke "${serials[1]}" --reason keyCompromise
says "is revoked and cannot become revoked"
says "nothing was revoked"
check_status "one that there is not" 1 "$stamp" -C ws revoke NOBODY --reason keyCompromise
says "nothing was revoked"
check_status "no reason" 2 "$stamp" -C ws revoke "${serials[2]}"
check_status "a reason that is none" 2 "$stamp" -C ws revoke "${serials[2]}" --reason bored
check_status "revoked through the registry" 0 "$stamp" -C ws registry set "${serials[2]}" --state revoked --reason lost
check "  is on the list all the same" within 5 listed d2.pem

# --- at the desk ---
check_status "the list at the desk" 0 "$stamp" -C ws crl -o desk.der
says "3 certificates"
check "  has a higher number" test "$(openssl crl -inform der -in desk.der -noout -crlnumber | sed 's/.*0x0*//')" -gt 1
check_status "what of a device" 0 "$stamp" -C ws ocsp "${serials[0]}" -o answer.der
says "operational 1	revoked: keyCompromise"
says "birth	good"
check "  openssl believes the answer" sh -c \
    "openssl ocsp -respin answer.der -issuer ws/sub-ca.pem -cert n0.pem -CAfile ws/root.pem -no_nonce | grep -q 'n0.pem: revoked'"

# --- processes that die ---
for role in status signer; do
    kill -9 "$(pgrep -P "$(cat ws-serve.pid)" -f -- "--as $role")"
    check "the $role dies: OCSP goes on" within 10 ask d3.pem good
done
check_status "a device is revoked then" 0 "$stamp" -C ws revoke "${serials[3]}" --reason superseded
check "  OCSP says it" within 10 ask d3.pem revoked
check "  and the list" within 10 listed d3.pem
check "a graceful stop" serve_stop ws
finish
