#!/usr/bin/python3 -B
"""Receipts of the transparency log, checked by another implementation: certificate, signature and paths (SPEC 18).

    log_receipt_test.py STAMP
"""

import base64
import glob
import hashlib
import os
import subprocess
import sys
import tempfile

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

stamp = os.path.abspath(sys.argv[1])


def run(*args):
    return subprocess.run([stamp, *args], check=True, capture_output=True, text=True).stdout


def sha(data):
    return hashlib.sha256(data).digest()


def root_of(index, size, leaf, path):
    """The root that a path leads to, from RFC 9162 2.1.3.1's definition turned round: which side at which step follows
    from where the leaf is."""
    sides, lo, hi = [], 0, size
    while hi - lo > 1:
        k = 1
        while 2 * k < hi - lo:
            k *= 2
        right = index >= lo + k
        sides.append(right)
        lo, hi = (lo + k, hi) if right else (lo, lo + k)
    assert len(sides) == len(path), (len(sides), len(path))
    node = sha(b"\0" + leaf)
    for right, other in zip(reversed(sides), path):
        node = sha(b"\1" + other + node) if right else sha(b"\1" + node + other)
    return node


def check(path, root_cert):
    version, head, der, items = cbor2.loads(open(path, "rb").read())
    assert version == 1
    cert = x509.load_der_x509_certificate(der)
    root_cert.public_key().verify(cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(hashes.SHA256()))
    usage = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert usage.critical and [oid.dotted_string.split(".")[-1] for oid in usage.value] == ["4"]
    payload, sig = cbor2.loads(head)
    external = b"devstamp log 1"
    structure = cbor2.dumps(["Signature1", bytes.fromhex("a10126"), external, payload])
    cert.public_key().verify(encode_dss_signature(int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big")),
                             structure, ec.ECDSA(hashes.SHA256()))
    told = cbor2.loads(payload)
    point = cert.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    assert told[1] == 1 and told[2] == sha(point) and told[3] == 0
    size = int.from_bytes(told[4], "big")
    out = []
    for item in items:
        index = int.from_bytes(item[0], "big")
        assert root_of(index, size, item[1], item[2]) == told[5]
        entry = cbor2.loads(item[1])
        if len(item) == 6:
            assert entry[1] == 3 and root_of(item[3], entry[9], item[4], item[5]) == entry[8]
            out.append(cbor2.loads(item[4]))
        else:
            out.append(entry)
    return size, out


def main():
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        run("init", "ws", "--company", "Acme", "--product", "Sensor")
        run("-C", "ws", "make", "-n", "5")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=line", "-keyout", "s.key", "-out", "s.pem", "-addext",
                        "keyUsage=critical,keyAgreement"], check=True, capture_output=True)
        run("-C", "ws", "batch", "create", "--product", "Sensor", "--count", "77", "--station", "s.pem", "-o", "b")
        rows = [line.split(",") for line in run("-C", "ws", "registry", "list", "--csv", "-n", "99").splitlines()[1:]]
        assert len(rows) == 82
        run("-C", "ws", "revoke", rows[40][0], "--reason", "keyCompromise")
        run("-C", "ws", "log", "head", "-o", "head")
        root = x509.load_pem_x509_certificate(open("ws/root.pem", "rb").read())
        sizes = {check("head", root)[0]}
        for i, row in enumerate(rows):
            run("-C", "ws", "log", "prove", row[0], "-o", f"r{i}")
            size, entries = check(f"r{i}", root)
            sizes.add(size)
            certificate = sha(base64.b64decode(row[9]))
            if i < 5:
                assert [e[5] for e in entries] == [0, 1] and entries[1][7] == certificate
                assert entries[1][4] == row[0]
            else:
                assert entries[0] == [row[0], bytes.fromhex(row[5]), certificate]
            if i == 40:  # one leaf that it is revoked, one for its certificate
                assert sorted(e[1] for e in entries[1:]) == [4, 6]
                number = [e for e in entries[1:] if e[1] == 6][0][10]
                assert number == bytes.fromhex(row[6])
        assert len(sizes) == 1 and len(glob.glob("r*")) == 82
        print(f"82 receipts of a log of {sizes.pop()} leaves")


if __name__ == "__main__":
    main()
