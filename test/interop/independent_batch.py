#!/usr/bin/python3 -B
"""A reader of batch files written from SPEC.md section 11 alone; the CMS in it is left to openssl.

    independent_batch.py extract FILE DIRECTORY      manifest.cms, segment-N.cms
    independent_batch.py voucher DIRECTORY           voucher.cms, from manifest.cbor
    independent_batch.py check FILE DIRECTORY CDDL   with manifest.cbor, key-N and voucher as openssl gave them:
                                                     everything, and each stamp against stamps/N
"""

import hashlib
import os
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cddl import Schema
from strict_cbor import decode

HEAD, CHECK, PAGE = 16, 8, 256


def need(held, what):
    if not held:
        sys.exit("independent_batch: " + what)


class Block:
    """SPEC 11-2, 11-3."""

    def __init__(self, data, offset):
        need(len(data) - offset >= HEAD + CHECK, "a block ends early at %d" % offset)
        self.offset = offset
        self.magic, length, self.a, self.b = struct.unpack_from("<4sIII", data, offset)
        end = offset + HEAD + length
        need(end + CHECK <= len(data), "a block ends early at %d" % offset)
        self.payload = data[offset + HEAD:end]
        self.head = data[offset:offset + HEAD]
        self.digest = hashlib.sha256(b"\0" + data[offset:end]).digest()
        self.end = end + CHECK
        need(data[end:self.end] == self.digest[:CHECK], "the check at %d" % offset)


def blocks(data):
    """All of the file, nothing between (SPEC 11-1)."""
    found, offset = [], 0
    while offset < len(data):
        found.append(Block(data, offset))
        offset = found[-1].end
    return found


def record(block):
    """random, serial, sealed, additional data (SPEC 11-10, 11-12)."""
    length = block.payload[16]
    serial = block.payload[17:17 + length]
    need(1 <= length <= 64 and len(serial) == length, "a serial")
    clear = block.head + block.payload[:17 + length]
    return block.payload[:16], serial, block.payload[17 + length:], clear


def order(found):
    """SPEC 11-7, from the first block to the last; returns records, pages, segments and the rest."""
    need(found[0].magic == b"dStB" and found[0].a == 1 and len(found[0].payload) == 80, "the header")
    records, pages, segments, at = [], [], [], 1
    while found[at].magic in (b"dStS", b"dStR", b"dStL"):
        block = found[at]
        due = len(records) - PAGE * len(pages)
        if block.magic == b"dStL":
            ends = due == PAGE or (due and found[at + 1].magic == b"dStI")
            need(ends and block.a == len(pages) and block.b == due, "page %d" % block.a)
            pages.append(block)
        else:
            need(due < PAGE, "a page is missing before record %d" % len(records))
            if block.magic == b"dStS":
                need(block.a == len(segments) and block.b == len(records), "segment %d" % block.a)
                need(found[at + 1].magic == b"dStR", "segment %d is empty" % block.a)
                segments.append(block)
            else:
                need(block.a == len(records) and block.b == len(segments) - 1, "record %d" % block.a)
                records.append(block)
        at += 1
    need([b.magic for b in found[at:]] == [b"dStI", b"dStM", b"dStE"], "the last three blocks")
    need(len(pages) == -(-len(records) // PAGE), "the number of pages")
    return records, pages, segments, found[at:]


def check_tables(records, pages, segments, index, end):
    """SPEC 11-8, 11-9."""
    for number, page in enumerate(pages):
        want = b""
        for block in records[PAGE * number:PAGE * (number + 1)]:
            serial = record(block)[1]
            want += struct.pack("<Q32sB", block.offset, block.digest, len(serial)) + serial
        need(page.payload == want, "the entries of page %d" % number)
    want = b"".join(struct.pack("<Q32s", p.offset, p.digest) for p in pages)
    want += b"".join(struct.pack("<QI32s", s.offset, s.b, s.digest) for s in segments)
    need(index.payload == want and (index.a, index.b) == (len(pages), len(segments)), "the index")
    return struct.unpack("<QQ", end.payload)


def root(leaves):
    """RFC 6962 2.1, where the leaves are hashed already."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def check_manifest(manifest, header, records, index):
    """SPEC 11-6, 11-21, 11-22."""
    serials = [record(b)[1].decode("ascii") for b in records]
    recipients = hashlib.sha256(b"".join(manifest[10])).digest()
    need(header.payload == manifest[2] + recipients + manifest[11], "the header's payload")
    need(header.b == manifest[3] and manifest[1] == 1, "volume and version")
    need(manifest[7] == len(records), "the count")
    need(manifest[8] == [serials[0], serials[-1]], "the range of serials")
    need(len(set(serials)) == len(serials), "a serial twice")
    in_order = sorted(serials, key=lambda s: (len(s), s)) == serials
    need(manifest[9] is in_order, "the order")
    need(manifest[13] == root([b.digest for b in records]), "the Merkle root")
    need(manifest[14] == index.digest, "the index's digest")


def open_record(block, content, manifest):
    """SPEC 11-11, 11-12."""
    random, serial, sealed, clear = record(block)
    salt = manifest[2] + struct.pack("<II", manifest[3], block.b)
    info = b"devstamp record 1" + random + struct.pack("<I", block.a) + serial
    key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(content)
    body = AESGCM(key).decrypt(bytes(12), sealed, clear)
    items = decode(body).as_dict()
    # SPEC 11-13
    need(items[1].encode() == serial and items[3] == manifest[4] and items[7] == manifest[5],
         "what record %d holds" % block.a)
    return body


def read(path):
    with open(path, "rb") as file:
        return file.read()


def extract(path, out):
    records, pages, segments, (index, manifest, end) = order(blocks(read(path)))
    offsets = check_tables(records, pages, segments, index, end)
    need(offsets == (index.offset, manifest.offset), "the end's offsets")
    for name, block in [("manifest", manifest)] + [("segment-%d" % s.a, s) for s in segments]:
        with open(os.path.join(out, name + ".cms"), "wb") as file:
            file.write(block.payload)
    print("%d records in %d segments and %d pages" % (len(records), len(segments), len(pages)))


def voucher(out):
    with open(os.path.join(out, "voucher.cms"), "wb") as file:
        file.write(decode(read(os.path.join(out, "manifest.cbor"))).as_dict()[17])


def check_voucher(manifest, scalar):
    """SPEC 12-2."""
    need(len(scalar) == 32, "the voucher key's length")
    public = derive_private_key(int.from_bytes(scalar, "big"), SECP256R1()).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    need(manifest[16] == point, "the voucher key's point")


def check(path, out, cddl):
    found = blocks(read(path))
    records, _, _, (index, _, _) = order(found)
    content = decode(read(os.path.join(out, "manifest.cbor")))
    with open(cddl, encoding="utf-8") as file:
        need(Schema(file.read()).matches("batch-manifest", content), "the manifest against the CDDL")
    manifest = content.as_dict()
    check_manifest(manifest, found[0], records, index)
    check_voucher(manifest, read(os.path.join(out, "voucher")))
    keys, randoms = {}, set()
    for block in records:
        if block.b not in keys:
            keys[block.b] = read(os.path.join(out, "key-%d" % block.b))
            need(len(keys[block.b]) == 32, "a content key's length")
        body = open_record(block, keys[block.b], manifest)
        need(body == read(os.path.join(out, "stamps", str(block.a))), "stamp %d" % block.a)
        randoms.add(block.payload[:16])
    need(len(randoms) == len(records) and len(set(keys.values())) == len(keys), "what is fresh")
    print("%d stamps opened" % len(records))


if __name__ == "__main__":
    {"extract": extract, "voucher": voucher, "check": check}[sys.argv[1]](*sys.argv[2:])
