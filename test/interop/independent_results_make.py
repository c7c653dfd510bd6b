#!/usr/bin/python3 -B
"""A station that shares no code with ours: results of a batch file, written from SPEC.md sections 11 and 12 alone.
CMS is left to openssl.

    independent_results_make.py BATCH STATION.key STATION.pem ROOT.pem OUT [FAULT]

The first stamp is struck, the second scrapped, the third in doubt, all others returned. FAULT: what is wrong with
the results, one of FAULTS.
"""

import hashlib
import subprocess
import sys

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from independent_batch import blocks

FAULTS = ["label", "omitted", "swapped", "indefinite", "long-head", "text-as-bytes", "voucher", "digest",
          "behind"]
WHEN = 1774000000


def openssl(*args, data):
    return subprocess.run(["openssl", "cms", *args], input=data, capture_output=True, check=True).stdout


def point_of(key):
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def sign(key, label, payload):
    """SPEC 6-3."""
    data = cbor2.dumps(["Signature1", bytes.fromhex("a10126"), label.encode(), payload], canonical=True)
    r, s = decode_dss_signature(key.sign(data, ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def entries_of(serials, fault):
    """SPEC 12-6."""
    told = []
    for index, serial in enumerate(serials):
        result = [[2, WHEN, WHEN + 1, "chip-7", "Zo\u00eb", "line 4"],
                  [3, WHEN, WHEN + 2, "", "", "line 4", "fell down"], [1, WHEN]]
        told.append([index, serial] + (result[index] if index < 3 else [0]))
    if fault == "omitted":
        told.pop()
    if fault == "swapped":
        told[3][1], told[4][1] = told[4][1], told[3][1]
    if fault == "text-as-bytes":
        told[0][5] = b"chip-7"
    return told


def encode(entry, fault):
    data = cbor2.dumps(entry, canonical=True)
    if fault == "indefinite" and entry[0] == 0:
        return b"\x9f" + data[1:] + b"\xff"
    if fault == "long-head" and entry[0] == 1:
        return data[:1] + b"\x18\x01" + data[2:]
    return data


def main(batch, key, cert, root, out, fault=None):
    if fault not in FAULTS + [None]:
        sys.exit("independent_results_make: no such fault")
    with open(batch, "rb") as file:
        found = blocks(file.read())
    cms = next(b.payload for b in found if b.magic == b"dStM")
    manifest = cbor2.loads(openssl("-verify", "-binary", "-inform", "DER", "-purpose", "any", "-CAfile", root,
                                   data=cms))
    # SPEC 11-10, 12-2
    serials = [b.payload[17:17 + b.payload[16]].decode() for b in found if b.magic == b"dStR"]
    scalar = openssl("-decrypt", "-inform", "DER", "-binary", "-inkey", key, "-recip", cert, data=manifest[17])
    voucher_key = derive_private_key(int.from_bytes(scalar, "big"), SECP256R1())
    if point_of(voucher_key) != manifest[16]:
        sys.exit("independent_results_make: the voucher key is not the manifest's")
    journal = generate_private_key(SECP256R1())
    books = hashlib.sha256(point_of(journal)).digest()[:16]
    voucher = cbor2.dumps({1: manifest[2], 2: manifest[3], 3: books, 4: point_of(journal), 5: WHEN}, canonical=True)
    by = journal if fault == "voucher" else voucher_key
    label = "devstamp results 1" if fault == "label" else "devstamp books 1"
    head = cbor2.dumps({1: 1, 2: cms, 3: voucher, 4: sign(by, label, voucher), 5: 1, 6: bytes(32), 7: WHEN + 9, 8: 6},
                       canonical=True)
    body = head + b"".join(encode(entry, fault) for entry in entries_of(serials, fault))
    digest = hashlib.sha256(body + (b"\0" if fault == "digest" else b"")).digest()
    body += cbor2.dumps([digest, sign(journal, "devstamp results 1", digest)], canonical=True)
    with open(out, "wb") as file:
        file.write(body + (b"\xf4" if fault == "behind" else b""))
    print("\n".join(serials))


if __name__ == "__main__":
    main(*sys.argv[1:])
