"""Requests for birth certificates that no station made, or that were changed on the way.

usage: service_unit.py URL ROOT.pem
"""

import os
import ssl
import sys
import urllib.error
import urllib.request

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def ask(url, context, body, content="application/cbor", method="POST"):
    request = urllib.request.Request(url + "/api/v1/station/sign", body, {"Content-Type": content}, method=method)
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, answer.read().decode("latin-1")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode("latin-1")


def signed(payload, key):
    bytes_ = cbor2.dumps(payload)
    to_sign = cbor2.dumps(["Signature1", bytes.fromhex("a10126"), b"devstamp unit 1", bytes_])
    r, s = decode_dss_signature(key.sign(to_sign, ec.ECDSA(hashes.SHA256())))
    return cbor2.dumps([bytes_, r.to_bytes(32, "big") + s.to_bytes(32, "big")])


def main():
    url, root = sys.argv[1:]
    context = ssl.create_default_context(cafile=root)
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    payload = {1: 1, 2: os.urandom(32), 3: os.urandom(16), 4: 0, 5: point, 6: os.urandom(32), 7: 1700000000}
    good = signed(payload, key)
    wanted = [
        (403, "no station", ask(url, context, good)),
        (400, "no request", ask(url, context, good[:-1])),
        (400, "no request", ask(url, context, good + b"\0")),
        (400, "no request", ask(url, context, b"")),
        (400, "no request", ask(url, context, signed({**payload, 1: 2}, key))),
        (400, "no request", ask(url, context, signed({**payload, 9: 1}, key))),
        (400, "no request", ask(url, context, signed({**payload, 7: 1 << 40}, key))),
        (415, "application/cbor", ask(url, context, good, "application/json")),
        (405, "method", ask(url, context, None, method="GET")),
    ]
    for i, (status, text, (got, said)) in enumerate(wanted):
        if got != status or text not in said:
            sys.exit(f"request {i}: wanted {status} '{text}', got {got} '{said}'")


main()
