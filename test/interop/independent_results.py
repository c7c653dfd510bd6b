#!/usr/bin/python3 -B
"""A reader of results files written from SPEC.md section 12 alone; the CMS in it is left to openssl.

    independent_results.py manifest RESULTS OUT.cms          the manifest as it was signed
    independent_results.py check RESULTS MANIFEST.cbor CDDL   with the manifest as openssl gave it; prints
                                                             number, previous, digest, events, entries
"""

import hashlib
import sys

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from cddl import Schema
from strict_cbor import decode

WORDS = ["returned", "in-doubt", "struck", "scrapped"]


def need(held, what):
    if not held:
        sys.exit("independent_results: " + what)


def length_of(data, at):
    """Bytes of the item that begins at `at`: definite lengths, 4-byte arguments (SPEC 4)."""
    left, end = 1, at
    while left:
        major, info = data[end] >> 5, data[end] & 31
        size = {24: 1, 25: 2, 26: 4}.get(info, 0)
        need(info <= 26, "a head at %d" % end)
        value = int.from_bytes(data[end + 1:end + 1 + size], "big") if size else info
        end += 1 + size + (value if major in (2, 3) else 0)
        left += {4: value, 5: 2 * value}.get(major, 0) - 1
    need(end <= len(data), "it is cut short")
    return end - at


def items(data):
    """SPEC 12-4: items one behind the other, each deterministic; with where each begins."""
    at = 0
    while at < len(data):
        size = length_of(data, at)
        yield at, decode(data[at:at + size])
        at += size


def signed(point, label, payload, signature, what):
    """SPEC 6-3."""
    data = cbor2.dumps(["Signature1", bytes.fromhex("a10126"), label.encode(), payload], canonical=True)
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(der, data, ECDSA(SHA256()))
    except InvalidSignature:
        sys.exit("independent_results: the signature of " + what)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def check_head(head, manifest):
    """SPEC 12-3, 12-5; the voucher."""
    voucher = decode(head[3]).as_dict()
    need(voucher[1] == manifest[2] and voucher[2] == manifest[3], "the voucher's batch")
    signed(manifest[16], "devstamp books 1", head[3], head[4], "the voucher")
    need((head[5] == 1) == (head[6] == bytes(32)), "what came before")
    return voucher


def check_entries(entries, manifest, schema):
    """SPEC 12-6, 12-9."""
    need(len(entries) == manifest[7], "the number of entries")
    chips = set()
    for index, entry in enumerate(entries):
        need(schema.matches("results-entry", entry), "entry %d against the CDDL" % index)
        need(entry[0] == index, "the order of entries")
        if entry[2] >= 2 and entry[5]:
            need(entry[5] not in chips, "a chip twice")
            chips.add(entry[5])
        need(entry[2] < 2 or entry[3] <= entry[4], "the times of entry %d" % index)
    need([entries[0][1], entries[-1][1]] == manifest[8], "the range of serials")
    need(len({entry[1] for entry in entries}) == len(entries), "a serial twice")


def check(path, content, cddl):
    data = read(path)
    with open(cddl, encoding="utf-8") as file:
        schema = Schema(file.read())
    manifest = decode(read(content)).as_dict()
    found = list(items(data))
    need(len(found) >= 3, "the number of items")
    need(schema.matches("results-head", found[0][1]), "the head against the CDDL")
    need(schema.matches("results-tail", found[-1][1]), "the tail against the CDDL")
    head, (digest, signature) = found[0][1].as_dict(), found[-1][1]
    voucher = check_head(head, manifest)
    entries = [item for _, item in found[1:-1]]
    check_entries(entries, manifest, schema)
    # SPEC 12-8
    need(digest == hashlib.sha256(data[:found[-1][0]]).digest(), "the digest")
    signed(voucher[4], "devstamp results 1", digest, signature, "the results")
    print("number %d" % head[5])
    print("previous " + head[6].hex())
    print("digest " + digest.hex())
    print("books " + voucher[3].hex())
    print("events %d" % head[8])
    for entry in entries:
        texts = [text or "-" for text in entry[5:]]
        print(" ".join([entry[1], WORDS[entry[2]]] + texts))


def manifest_of(path, out):
    _, head = next(items(read(path)))
    with open(out, "wb") as file:
        file.write(head.as_dict()[2])


if __name__ == "__main__":
    {"manifest": manifest_of, "check": check}[sys.argv[1]](*sys.argv[2:])
