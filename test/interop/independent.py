#!/usr/bin/python3 -B
"""A second reader of stamp images, written from spec/SPEC.md alone.

It uses none of the project's C code; numbers in comments are SPEC.md's. It is a test tool: it
shows that SPEC.md suffices, and what the C programs say is compared with what it says.

    independent.py IMAGE --trust PEM [--root-key FILE] [--json]

Exit status: 0 authentic, 1 unreadable (damaged, malformed, newer), 3 not authentic.
"""

import argparse
import base64
import datetime
import hashlib
import json
import sys
import textwrap

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from image_format import (OPERATIONAL, SYMBOLOGIES, NotAuthentic, Unreadable, bundle_payload,
                          point_key, read_items, scalar_key, split)
from trust import (binding, check_chain, claims, claims_digest, load_certificate, point_of,
                   signature_holds)

PURPOSES = ("development", "production")


def whole_regions(image, erased):
    """The regions, none of them damaged; where `erased` is None, SPEC 2-6."""
    try:
        regions = split(image, 0xFF if erased is None else erased)
        for region in regions:
            region.check()
        if regions[1].state == regions[2].state == "whole" \
                and regions[1].sequence == regions[2].sequence:
            raise Unreadable("two banks of the same sequence")  # SPEC 3-18
        return regions
    except Unreadable:
        if erased is not None:
            raise
    try:
        return whole_regions(image, 0x00)
    except Unreadable:
        return whole_regions(image, 0xFF)


class Stamp:
    """An image that could be read; verify() then says whether it is authentic."""

    def __init__(self, image, root_key=None, erased=None):
        self.birth, *banks = whole_regions(image, erased)
        self.items = read_items(self.birth, root_key)
        self.banks = [b for b in banks if b.state == "whole"]
        self.bank_items = {b.name: read_items(b, root_key) for b in self.banks}
        current = [b for b in self.banks if b.kind == OPERATIONAL]  # SPEC 3-9
        self.current = max(current, key=lambda b: b.sequence, default=None)
        self.anchors_path = None

    def get(self, key):
        """The value in force: the current bank's, else the birth stamp's (SPEC 6-1)."""
        return self.get_from(self.bank_items[self.current.name] if self.current else {}, key)

    def get_from(self, bank, key):
        for items in (bank, self.items):
            if key in items:
                return items[key][1]
        return None

    @property
    def bound(self):
        return binding(load_certificate(self.items[49][1][0])) is not None  # SPEC 7-6

    def verify(self, anchors, now):
        """SPEC 7-7 to 7-12, 3-17."""
        leaf = load_certificate(self.items[49][1][0])
        path = check_chain(self.items[49][1], anchors, now)
        self._check_identity(self.items, path, birth=True)
        self._check_bundle(self.items[9][1], least=1)
        self._check_provisioning()
        for bank in self.banks:
            signature = bank.data[bank.body_end:bank.end]
            if not signature_holds(leaf.public_key(), signature, b"devstamp bank 1",
                                   bank.header[:32] + bank.body):  # SPEC 6-2, 6-4
                raise NotAuthentic("%s: signature" % bank.name)
            items = self.bank_items[bank.name]
            if 49 in items:
                path = check_chain(items[49][1], anchors, now)
                self._check_identity(items, path, birth=False)
            if 9 in items:
                self._check_bundle(items[9][1], least=bundle_payload(self.items[9][1])[1])

    def _check_identity(self, items, path, birth):
        """SPEC 7-7 for one device key and its chain."""
        leaf = path[0]
        if not isinstance(leaf.public_key(), ec.EllipticCurvePublicKey):
            raise NotAuthentic("the leaf's key is not of P-256")
        names = leaf.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        if [name.value for name in names] != [self.items[1][1]]:
            raise NotAuthentic("the serial is not the leaf's")
        for cert in path:
            stated = binding(cert)
            if stated is not None and stated[0] != self.items[7][1]:
                raise NotAuthentic("a certificate is for another purpose")
        stated = binding(leaf)
        digest = claims_digest(claims(self.items))
        if stated is not None and stated[1] != digest and (birth or stated[1] is not None):
            raise NotAuthentic("the leaf is bound to other claims")
        _, where, ref = items[48][1]
        if where == 0 and point_of(scalar_key(ref).public_key()) != point_of(leaf.public_key()):
            raise NotAuthentic("the device key is not the leaf's")

    def _check_bundle(self, bundle, least):
        """SPEC 8-3, 8-4, 7-10."""
        payload = bundle_payload(bundle)
        if hashlib.sha256(payload[4]).digest() != self.items[8][1]:
            raise NotAuthentic("the bundle is another owner's")
        if not signature_holds(point_key(payload[4]), bundle[3], b"devstamp bundle 1", bundle[2]):
            raise NotAuthentic("the bundle's signature")
        if payload[2] != self.items[7][1]:
            raise NotAuthentic("the bundle is for another purpose")
        if payload[1] < least:
            raise NotAuthentic("the bundle is older than the birth stamp's")

    def _check_provisioning(self):
        if 10 in self.items:
            point_key(self.items[10][1][2])
        if 33 in self.items:
            own = point_of(scalar_key(self.items[33][1][1]).public_key())
            if own != self.items[10][1][2]:
                raise NotAuthentic("the provisioning keys are no pair")

    def as_json(self):
        """The keys of `stamp show --json --secrets`."""
        optional = lambda key: self.items[key][1] if key in self.items else None
        made = datetime.datetime.fromtimestamp(self.items[6][1], datetime.timezone.utc)
        pop, secret_codes = self.get(32), self.get(34)
        codes = (optional(11) or []) + (secret_codes[1] if secret_codes else [])
        fields = optional(12)
        return {
            "serial": self.items[1][1],
            "company": self.items[2][1],
            "product": self.items[3][1],
            "model": optional(4),
            "hardware_revision": optional(5),
            "purpose": PURPOSES[self.items[7][1]],
            "made_at": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "device_key": {
                "algorithm": "P-256",
                "public_key": public_pem(load_certificate(self.get(49)[0]).public_key()),
            },
            "certificates": [pem_text(der) for der in self.get(49)],
            "trust_anchors": [pem_text(der) for der in bundle_payload(self.get(9))[3]],
            "proof_of_possession": pop[1] if pop else None,
            "provisioning_key": self._provisioning_json(),
            "barcodes": [{"symbology": SYMBOLOGIES[code[0]], "payload": code[2]}
                         for code in codes],
            "fields": dict(fields) if fields else {},
            "bound": self.bound,
        }

    def _provisioning_json(self):
        if 10 not in self.items:
            return None
        kind, _, point = self.items[10][1]
        private = None
        if kind == 0:
            private = scalar_key(self.items[33][1][1]).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()).decode()
        return {"kind": ("own", "peer")[kind], "algorithm": "P-256",
                "public_key": public_pem(point_key(point)), "private_key": private}


def pem_text(der):
    """Written out, since nobody has judged what the anchors of a bundle are (SPEC 8-6)."""
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def public_pem(key):
    return key.public_bytes(serialization.Encoding.PEM,
                            serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def load_anchors(path):
    end = b"-----END CERTIFICATE-----"
    with open(path, "rb") as file:
        parts = file.read().split(end)[:-1]
    return [x509.load_pem_x509_certificate(part + end + b"\n") for part in parts]


def load_root_key(path):
    """32 raw bytes, or their 64 hexadecimal digits."""
    with open(path, "rb") as file:
        data = file.read()
    return data if len(data) == 32 else bytes.fromhex(data.decode().strip())


def verify_file(path, trust, root_key=None, erased=None):
    """(exit status, words, Stamp or None); without trust only readability is judged."""
    try:
        with open(path, "rb") as file:
            stamp = Stamp(file.read(), root_key, erased)
    except (OSError, Unreadable) as err:
        return 1, str(err), None
    try:
        if trust is not None:
            stamp.verify(trust, datetime.datetime.utcnow())
            return 0, "authentic (%s)" % ("bound" if stamp.bound else "unbound"), stamp
        return 0, "readable", stamp
    except (NotAuthentic, ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as err:
        # The others are cryptography's, for what it finds wrong only when it looks closer.
        return 3, str(err), stamp


def main():
    parser = argparse.ArgumentParser(description="verify a stamp image, from SPEC.md alone")
    parser.add_argument("image")
    parser.add_argument("--trust", required=True, metavar="PEM")
    parser.add_argument("--root-key", metavar="FILE")
    parser.add_argument("--erased", choices=("ff", "00"), help="what erased flash holds")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    root_key = load_root_key(args.root_key) if args.root_key else None
    status, words, stamp = verify_file(args.image, load_anchors(args.trust), root_key,
                                       int(args.erased, 16) if args.erased else None)
    if args.json and stamp is not None:
        json.dump(stamp.as_json(), sys.stdout, indent=2)
        print()
    print("%s: %s" % (args.image, words), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
