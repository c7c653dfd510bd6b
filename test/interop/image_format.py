"""Regions, items and their limits: SPEC.md sections 2 to 5 and 9, from that text alone."""

import zlib

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strict_cbor import Malformed, Pairs, decode, decode_body

MAGIC = bytes.fromhex("64537470")
HEADER, BODY, SIG = 64, 128, 64
BIRTH, OPERATIONAL = 1, 2
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SYMBOLOGIES = {1: "qr", 2: "datamatrix", 3: "code128"}
BIRTH_NEEDS = (1, 2, 3, 6, 7, 8, 9, 48, 49)  # SPEC 5-20
BIRTH_KEYS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 32, 33, 34, 48, 49)
BANK_KEYS = (9, 32, 34, 48, 49, 50, 52)  # SPEC 6-1


class Unreadable(Exception):
    """Exit status 1."""


class NotAuthentic(Exception):
    """Exit status 3."""


# --- regions (section 3) -------------------------------------------------------------------


class Region:
    """One region and what SPEC 3-4 calls it: blank, whole, newer or torn."""

    def __init__(self, name, data, sizes, erased):
        self.name, self.data, self.erased = name, data, erased
        self.is_birth = name == "birth"
        raw = self.header = data[:HEADER]
        word = lambda at: int.from_bytes(raw[at:at + 4], "little")
        self.version, self.kind, self.flags = raw[4], raw[5], raw[6]
        self.sequence, self.body_len, self.salt = word(8), word(12), raw[16:32]
        self.sizes = (word(32), word(36))
        self.body_end = BODY + self.body_len
        self.end = self.body_end + (0 if self.is_birth else SIG)
        self.state = self._state(sizes, word(40), word(60))

    def _state(self, sizes, body_crc, header_crc):
        if self.is_erased(0, HEADER):
            return "blank"
        if self.header[:4] != MAGIC or zlib.crc32(self.header[:60]) != header_crc:
            return "torn"
        if self.version != 1:
            return "newer"  # SPEC 3-8
        if ((self.kind == BIRTH) != self.is_birth or (self.sequence == 0) != self.is_birth
                or self.flags & ~1 or (sizes is not None and self.sizes != sizes)
                or self.end > len(self.data)):
            return "torn"  # SPEC 3-6
        return "whole" if zlib.crc32(self.data[BODY:self.end]) == body_crc else "torn"

    def is_erased(self, start, end=None):
        part = self.data[start:end]
        return part == bytes([self.erased]) * len(part)

    @property
    def body(self):
        return self.data[BODY:self.body_end]

    @property
    def locked(self):
        return not self.is_erased(64, 68)  # SPEC 3-10

    def check(self):
        """SPEC 3-14, 3-15: what is neither erased from end to end nor whole, and strays."""
        if self.state == "blank":
            if not self.is_erased(0):
                raise Unreadable("%s: damaged: header erased, the rest not" % self.name)
            return
        if self.state == "newer":
            raise Unreadable("%s: of newer version %d" % (self.name, self.version))
        if self.state != "whole":
            raise Unreadable("%s: damaged" % self.name)
        quiet = self.header[7:8] + self.header[44:60] + (b"" if self.flags & 1 else self.salt)
        if quiet.strip(b"\0"):
            raise Unreadable("%s: header bytes that are not 0" % self.name)  # SPEC 3-16
        if not self.is_erased(self.end):
            raise Unreadable("%s: bytes behind the end" % self.name)
        if not self.is_birth and not self.is_erased(HEADER, BODY):
            raise Unreadable("%s: bytes between header and body" % self.name)
        if self.is_birth:
            mark = self.data[HEADER:BODY]
            while mark[:4] == b"LOCK":
                mark = mark[4:]
            if mark != bytes([self.erased]) * len(mark):
                raise Unreadable("birth: bytes between header and body")


def split(image, erased):
    """The three regions (SPEC 2-1 to 2-6)."""
    if len(image) < 512:
        raise Unreadable("shorter than a region can be")
    first = Region("birth", image, None, erased)
    if first.state == "blank":
        raise Unreadable("no stamp" if first.is_erased(0) else "birth: damaged")
    if first.state == "newer":
        first.check()
    birth, bank = first.sizes
    if first.header[:4] != MAGIC or birth + 2 * bank != len(image) or min(birth, bank) < 512:
        raise Unreadable("birth: damaged, or the sizes are not the image's")
    ends = (0, birth, birth + bank, len(image))
    names = ("birth", "bank A", "bank B")
    return [Region(name, image[ends[i]:ends[i + 1]], first.sizes, erased)
            for i, name in enumerate(names)]


# --- items (sections 4, 5, 9) ---------------------------------------------------------------


def require(condition, what):
    if not condition:
        raise Malformed(what)


def is_uint(value, most=0xFFFFFFFF):
    return type(value) is int and 0 <= value <= most


def check_text(value, least, most, controls=False):
    require(type(value) is str, "not text")
    # SPEC 4-9: bytes, not characters.
    require(least <= len(value.encode()) <= most, "text of %d bytes" % len(value.encode()))
    if not controls:  # SPEC 4-8
        require(not any(ord(c) < 0x20 or 0x7F <= ord(c) <= 0x9F for c in value),
                "text with a control character")


def check_bytes(value, least, most):
    require(type(value) is bytes and least <= len(value) <= most, "not %d..%d bytes"
            % (least, most))


def check_array(value, least, most):
    require(type(value) is list and least <= len(value) <= most, "not an array of %d..%d"
            % (least, most))


def point_key(point):
    """SPEC 5-12, as scalar_key()."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as err:
        raise NotAuthentic("a point is not on the curve") from err


def scalar_key(scalar):
    number = int.from_bytes(scalar, "big")
    if not 1 <= number < ORDER:
        raise NotAuthentic("a scalar is no private key")
    return ec.derive_private_key(number, ec.SECP256R1())


def check_point(point):
    check_bytes(point, 65, 65)
    require(point[0] == 4, "point is not uncompressed")


def check_barcodes(value):
    check_array(value, 1, 8)
    for code in value:  # SPEC 5-3
        check_array(code, 3, 3)
        require(type(code[0]) is int and code[0] in SYMBOLOGIES, "symbology")
        check_text(code[1], 1, 32)
        check_text(code[2], 1, 512, controls=True)


def check_fields(value):
    require(type(value) is Pairs and 1 <= len(value) <= 16, "fields are not a map of 1..16")
    for name, field in value:  # SPEC 5-5
        check_text(name, 1, 32)
        require(type(field) in (str, int, bool), "field of a wrong type")
        if type(field) is str:
            check_text(field, 0, 64)


def check_secret(value, check):
    check_array(value, 2, 2)
    check_bytes(value[0], 16, 16)  # SPEC 5-7
    check(value[1])


def check_device_key(value):
    check_array(value, 3, 3)
    require(value[0] == 1 and type(value[0]) is int, "curve")  # SPEC 5-1
    require(is_uint(value[1], 2), "where the device key is")  # SPEC 5-6, 5-11
    if value[1] == 0:
        check_bytes(value[2], 32, 32)
    else:
        require(is_uint(value[2]), "reference of the device key")


def check_certificates(value):
    check_array(value, 1, 4)
    for der in value:
        check_bytes(der, 1, 2048)  # SPEC 5-9, 5-12
        try:
            x509.load_der_x509_certificate(der)
        except ValueError as err:
            raise Malformed("a certificate cannot be parsed") from err


def check_provisioning(value):
    check_array(value, 3, 3)
    require(is_uint(value[0], 1) and is_uint(value[1]) and value[1] == 1, "provisioning key")
    check_point(value[2])


def check_claim_state(value):
    check_array(value, 2, 2)  # SPEC 5-10
    require(is_uint(value[0]) and type(value[1]) is bool, "claim state")


def check_serial(value):
    check_text(value, 1, 64)
    require(all(0x21 <= ord(c) <= 0x7E for c in value), "serial outside 0x21..0x7E")


def check_bundle(value):
    """SPEC 8-1, 8-2; its payload as a dict is what a later look needs."""
    check_array(value, 4, 4)
    require(value[0] == bytes.fromhex("a10126") and value[1] == Pairs()
            and type(value[1]) is Pairs, "bundle is not a COSE_Sign1 of ES256")
    check_bytes(value[2], 1, 4096)
    check_bytes(value[3], 64, 64)
    payload = bundle_payload(value)
    require(sorted(payload)[:4] == [1, 2, 3, 4], "bundle payload keys")
    if 5 in payload:
        check_point(payload[5])
    require(is_uint(payload[1]) and payload[1] >= 1, "bundle version")
    require(is_uint(payload[2], 1), "bundle purpose")
    check_array(payload[3], 1, 4)
    for der in payload[3]:
        check_bytes(der, 1, 4096)
    check_point(payload[4])


def bundle_payload(bundle):
    payload = decode(bundle[2])
    require(type(payload) is Pairs, "bundle payload is not a map")
    return payload.as_dict()


CHECKS = {
    1: check_serial,
    2: lambda v: check_text(v, 1, 64),
    3: lambda v: check_text(v, 1, 64),
    4: lambda v: check_text(v, 1, 64),
    5: lambda v: check_text(v, 1, 32),
    6: lambda v: require(is_uint(v), "made-at"),
    7: lambda v: require(is_uint(v, 1), "purpose"),
    8: lambda v: check_bytes(v, 32, 32),
    9: check_bundle,
    10: check_provisioning,
    11: check_barcodes,
    12: check_fields,
    32: lambda v: check_secret(v, lambda text: check_text(text, 4, 64)),
    33: lambda v: check_secret(v, lambda scalar: check_bytes(scalar, 32, 32)),
    34: lambda v: check_secret(v, check_barcodes),
    48: check_device_key,
    49: check_certificates,
    50: check_claim_state,
    52: check_device_key,
}


def region_key(region, root_key):
    """SPEC 9-2."""
    info = b"devstamp at rest 1" + region.header[:12]
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=region.salt, info=info).derive(root_key)


def open_items(region, items, root_key):
    """SPEC 9-1, 9-3, 9-5, 9-6: the same items in the clear."""
    if root_key is None:
        raise Unreadable("%s: encrypted; give --root-key" % region.name)
    gcm = AESGCM(region_key(region, root_key))
    clear = {}
    for key, (_, sealed) in items.items():
        check_bytes(sealed, 16, 16384)
        try:
            raw = gcm.decrypt(bytes(8) + key.to_bytes(4, "big"), sealed, None)
        except InvalidTag as err:
            raise Unreadable("%s: item %d does not open" % (region.name, key)) from err
        clear[key] = (raw, decode(raw, 1, key in CHECKS))
    return clear


def read_items(region, root_key):
    """Everything of a region: {key: (encoding, value)}, limits checked."""
    try:
        require(region.body_len <= 16384, "body above 16384 bytes")  # SPEC 4-7
        items = decode_body(region.body, CHECKS)
        if region.flags & 1:
            items = open_items(region, items, root_key)
        for key, (raw, value) in items.items():
            # SPEC 4-6 and 4-11 for the birth stamp, 6-5 for a bank.
            may = key in BIRTH_KEYS or key not in CHECKS if region.is_birth else key in BANK_KEYS
            require(may, "key %d in this region" % key)
            if key in CHECKS:
                CHECKS[key](value)
            if key == 9:
                require(len(raw) <= 4096, "bundle above 4096 bytes")  # SPEC 8-5
        if region.is_birth:
            missing = [key for key in BIRTH_NEEDS if key not in items]
            require(not missing, "keys missing: %s" % missing)
            own = 10 in items and items[10][1][0] == 0
            require((33 in items) == own, "key 33 without its pair")  # SPEC 5-2
        else:
            require((48 in items) == (49 in items), "48 without 49")  # SPEC 6-1
    except Malformed as err:
        raise Unreadable("%s: malformed: %s" % (region.name, err)) from err
    return items
