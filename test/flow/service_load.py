#!/usr/bin/python3
"""Devices that enrol and renew without a pause, for the kill tests of the service; and what the books say afterwards.

usage: service_load.py load SECONDS|FILE PORT ROOT.pem OUT DIR...
           each DIR has key.pem and cert.pem of a device (service_device.py). Until SECONDS are over, or
           FILE is there. What was acknowledged goes to OUT, a line each: SERIAL BASE64-CERTIFICATE
       service_load.py check STAMP WORKSPACE OUT
           each certificate of OUT is on the books, and no number twice
"""
import base64
import collections
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7


def until(limit):
    if limit.isdigit():
        end = time.monotonic() + int(limit)
        return lambda: time.monotonic() >= end
    return lambda: os.path.exists(limit)


def post(port, root, directory, csr):
    """(status, body); status 0: no answer."""
    context = ssl.create_default_context(cafile=root)
    context.load_cert_chain(directory + "/cert.pem", directory + "/key.pem")
    try:
        conn = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
        conn.request("POST", "/.well-known/est/simpleenroll", base64.b64encode(csr) + b"\n",
                     {"Content-Type": "application/pkcs10"})
        answer = conn.getresponse()
        body = answer.read()
        conn.close()
        return answer.status, body
    except (OSError, http.client.HTTPException):
        return 0, b""


def device(port, root, directory, done, out, lock, counts):
    own = x509.load_pem_x509_certificate(open(directory + "/cert.pem", "rb").read())
    serial = own.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value
    while not done():
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(own.subject).sign(
            key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        status = 0
        while status not in (200, 403, 429) and not done():
            status, body = post(port, root, directory, csr)
            counts[status] += 1
            if status not in (0, 200, 202, 429, 503):
                print("unexpected", status, body, file=sys.stderr)
                os._exit(1)
        if status == 200:
            cert = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))[0]
            der = cert.public_bytes(serialization.Encoding.DER)
            assert cert.public_key().public_numbers() == key.public_key().public_numbers()
            with lock:
                out.write(f"{serial} {base64.b64encode(der).decode()}\n")
                out.flush()


def load(limit, port, root, path, *directories):
    done = until(limit)
    lock = threading.Lock()
    counts = collections.Counter()
    with open(path, "a", encoding="utf-8") as out:
        threads = [threading.Thread(target=device, args=(int(port), root, d, done, out, lock, counts))
                   for d in directories]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    print("answers:", ", ".join(f"{n} x {status or 'none'}" for status, n in sorted(counts.items())))


def check(stamp, workspace, path):
    told = collections.defaultdict(set)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            serial, der = line.split()
            told[serial].add(der)
    numbers = collections.Counter()
    missing = 0
    for serial, certificates in told.items():
        shown = subprocess.run([stamp, "-C", workspace, "registry", "show", serial, "--json"],
                               capture_output=True, check=True).stdout
        rows = json.loads(shown)["operational"]
        booked = {row["certificate"] for row in rows}
        missing += len(certificates - booked)
        states = collections.Counter(row["state"] for row in rows)
        assert states["confirmed"] <= 1 and states["pending"] + states["intent"] <= 1, (serial, states)
        for row in rows:
            numbers[row["certificate_serial"]] += 1
            if row["certificate"]:
                cert = x509.load_der_x509_certificate(base64.b64decode(row["certificate"]))
                assert f"{cert.serial_number:032x}" == row["certificate_serial"], serial
    twice = [n for n, count in numbers.items() if count > 1]
    total = sum(len(c) for c in told.values())
    print(f"{total} certificates were told, {missing} of them are not on the books; "
          f"{len(numbers)} are on the books, {len(twice)} numbers twice")
    return 1 if missing or twice or total == 0 else 0


if __name__ == "__main__":
    sys.exit({"load": load, "check": check}[sys.argv[1]](*sys.argv[2:]))
