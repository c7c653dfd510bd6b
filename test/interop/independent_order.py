#!/usr/bin/python3 -B
"""A reader of work orders written from SPEC.md section 14 alone; the CMS in them is left to openssl.

    independent_order.py envelope ORDER            the envelope, on stdout (SPEC 14-2)
    independent_order.py open ORDER KEY OWNER-HASH the payload as lines NAME VALUE, with the content
                                                   key that openssl gave in the file KEY; checks the
                                                   owner's signature (SPEC 14-3, 14-4)
"""

import hashlib
import sys

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

import cbor2

from strict_cbor import decode

LABEL = b"devstamp order 1"
ES256 = bytes.fromhex("a10126")
NAMES = {1: "version", 2: "order", 3: "purpose", 4: "owner", 5: "product", 6: "profile", 7: "count",
         8: "serials", 9: "ends", 10: "certificate-serials", 11: "station", 12: "not-before",
         13: "not-after", 14: "bundle", 15: "lock", 16: "pop", 17: "recipient", 18: "backdate", 19: "note"}
OPTIONAL = {17, 19}


def need(held, what):
    if not held:
        sys.exit("independent_order: " + what)


def parts(path):
    """SPEC 14-1: a byte string may be longer here than elsewhere."""
    with open(path, "rb") as f:
        data = f.read()
    value = cbor2.loads(data)
    need(cbor2.dumps(value, canonical=True) == data, "not deterministic")
    need(isinstance(value, list) and len(value) == 3 and value[0] == 1, "no order of version 1")
    need(isinstance(value[1], bytes) and isinstance(value[2], bytes), "no byte strings")
    return value[1], value[2]


def check_signature(point, payload, signature):
    """SPEC 6-3."""
    signed = cbor2.dumps(["Signature1", ES256, LABEL, payload])
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    try:
        key.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
    except InvalidSignature:
        sys.exit("independent_order: the owner's signature is wrong")


def read(path, key_path, owner_hash):
    _, sealed = parts(path)
    with open(key_path, "rb") as f:
        key = f.read()
    need(len(key) == 32, "the content key has %d bytes" % len(key))
    try:
        plain = AESGCM(key).decrypt(bytes(12), sealed, LABEL)
    except InvalidTag:
        sys.exit("independent_order: the key does not open it")
    sign1 = cbor2.loads(plain)
    need(cbor2.dumps(sign1, canonical=True) == plain, "the plaintext is not deterministic")
    need(len(sign1) == 4 and sign1[0] == ES256 and sign1[1] == {}, "no COSE_Sign1")
    payload, signature = sign1[2:]
    need(len(signature) == 64, "the signature has %d bytes" % len(signature))
    order = cbor2.loads(payload)
    need(cbor2.dumps(order, canonical=True) == payload, "the payload is not deterministic")
    need(set(NAMES) - OPTIONAL <= set(order) <= set(NAMES), "keys %s" % sorted(order))
    need((order[16] == 1) == (17 in order), "a recipient without pop 1, or pop 1 without one")
    need(hashlib.sha256(order[4]).hexdigest() == owner_hash, "another owner's")
    check_signature(order[4], payload, signature)
    decode(order[14])  # a bundle is of section 4
    return order


def show(value):
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest() if len(value) > 65 else value.hex()
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def main():
    if sys.argv[1] == "envelope":
        sys.stdout.buffer.write(parts(sys.argv[2])[0])
    else:
        for key, value in sorted(read(*sys.argv[2:5]).items()):
            print(NAMES[key], show(value))


main()
