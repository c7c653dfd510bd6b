"""Writes regions and images from SPEC.md alone, with cbor2 and cryptography."""

import hashlib
import os
import struct
import zlib

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ES256 = bytes.fromhex("a10126")


def encode(value):
    """SPEC 4-1. cbor2 sorts keys by length first; with keys of one kind that is the same order."""
    return cbor2.dumps(value, canonical=True)


def sign(key, label, payload):
    """SPEC 6-3."""
    signed = encode(["Signature1", ES256, label, payload])
    r, s = utils.decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def bundle(owner, owner_point, version, purpose, anchors):
    """SPEC 8-1 to 8-3."""
    return seal_bundle(owner, encode({1: version, 2: purpose, 3: anchors, 4: owner_point}))


def seal_bundle(owner, payload):
    return [ES256, {}, payload, sign(owner, b"devstamp bundle 1", payload)]


def claims_digest(items):
    """SPEC 7-1 to 7-3."""
    claims = {}
    for key, value in items.items():
        if key <= 31:
            claims[key] = value
        elif key <= 47:
            claims[key] = hashlib.sha256(encode(value)).digest()
    return hashlib.sha256(b"devstamp claims 1" + encode(claims)).digest()


class Layout:
    """Where the regions lie and what erased flash holds."""

    def __init__(self, birth_size=8192, bank_size=4096, erased=0xFF):
        self.birth_size, self.bank_size, self.erased = birth_size, bank_size, erased

    def blank(self, size):
        return bytes([self.erased]) * size

    def image(self, birth, bank_a=None, bank_b=None):
        return b"".join((birth, bank_a or self.blank(self.bank_size),
                         bank_b or self.blank(self.bank_size)))

    def region(self, kind, sequence, items, *, root_key=None, signer=None, body=None,
               locked=False, version=1, flags=None, mark_len=8, stray=b"", reserved=bytes(16)):
        """One region. `body` changes the encoded body; the rest is as section 3 says."""
        flags = (1 if root_key else 0) if flags is None else flags
        salt = os.urandom(16) if flags & 1 else bytes(16)
        start = b"dStp" + bytes([version, kind, flags, 0]) + struct.pack("<I", sequence)
        if root_key:
            items = self._seal(items, start, salt, root_key)
        raw = encode(items)
        raw = body(raw) if body else raw
        header = start + struct.pack("<I", len(raw)) + salt
        tail = sign(signer, b"devstamp bank 1", header + raw) if signer else b""
        header += struct.pack("<III", self.birth_size, self.bank_size, zlib.crc32(raw + tail))
        header += reserved
        header += struct.pack("<I", zlib.crc32(header))
        mark = b"LOCK" * (mark_len // 4) if locked else b""
        mark += self.blank(64 - len(mark))
        size = self.birth_size if kind == 1 else self.bank_size
        data = header + mark + raw + tail + stray
        return data + self.blank(size - len(data))

    @staticmethod
    def _seal(items, start, salt, root_key):
        """SPEC 9-1 to 9-3."""
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt,
                   info=b"devstamp at rest 1" + start).derive(root_key)
        gcm = AESGCM(key)
        return {k: gcm.encrypt(bytes(8) + struct.pack(">I", k), encode(v), None)
                for k, v in items.items()}
