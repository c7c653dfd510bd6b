"""Images that a reader must refuse, each wrong in one way (SPEC.md numbers at each)."""

import datetime
import os
import struct
import zlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from foreign_image import Layout, encode, seal_bundle
from foreign_pki import Authority, der, new_key, point, scalar


def certificate_pem(raw):
    return x509.load_der_x509_certificate(raw).public_bytes(
        serialization.Encoding.PEM).decode()


def flip(image, byte, bit=0):
    return image[:byte] + bytes([image[byte] ^ 1 << bit]) + image[byte + 1:]


def reheader(image, start, at, value):
    """Changes bytes of the header at `start` and makes its CRC right again."""
    header = bytearray(image[start:start + 60])
    header[at:at + len(value)] = value
    return (image[:start] + bytes(header) + struct.pack("<I", zlib.crc32(header))
            + image[start + 64:])


def with_items(device, extra=None, drop=()):
    """The items of a sealed device, changed without binding them anew."""
    items = {k: v for k, v in device.items.items() if k not in drop}
    items.update(extra or {})
    return items


def write_bad(factory, out):
    """Damage (SPEC 3-4 to 3-8, 3-14)."""
    dev = factory.device(serial="FW-0020").seal()
    good = dev.write(banks=[(4, {50: [0, True]})])
    birth, bank = factory.layout.birth_size, factory.layout.bank_size
    bank_end = birth + 128 + struct.unpack("<I", good[birth + 12:birth + 16])[0] + 64
    add = lambda name, image: out.add(name, image, 1)
    add("empty", b"")
    add("short", good[:100])
    add("truncated", good[:-1])
    add("one-byte-more", good + b"\xff")
    add("nothing-but-erased", b"\xff" * len(good))
    for name, at in (("magic", 0), ("version", 4), ("kind", 5), ("flags", 6), ("zero", 7),
                     ("sequence", 8), ("body-len", 13), ("salt", 17), ("birth-size", 33),
                     ("bank-size", 37), ("body-crc", 40), ("reserved", 50),
                     ("header-crc", 60), ("body", 300)):
        add("birth-flip-" + name, flip(good, at))
        if name != "body":
            add("bank-flip-" + name, flip(good, birth + at))
    add("bank-flip-body", flip(good, birth + 129))
    add("bank-flip-signature", flip(good, bank_end - 1))
    add("birth-flip-behind-end", flip(good, birth - 1))
    add("bank-flip-behind-end", flip(good, bank_end))
    add("bank-flip-before-body", flip(good, birth + 100))
    add("blank-bank-flip", flip(good, birth + bank + 2000))
    add("blank-bank-flip-header", flip(good, birth + bank + 10))
    add("birth-flip-lock", flip(dev.write(locked=True), 64))
    add("birth-flip-lock-area", flip(good, 127))
    add("birth-header-erased", b"\xff" * 64 + good[64:])
    add("birth-newer", reheader(good, 0, 4, b"\x02"))
    add("bank-newer", reheader(good, birth, 4, b"\x02"))
    add("birth-of-bank-kind", reheader(good, 0, 5, b"\x02"))
    add("birth-with-sequence", reheader(good, 0, 8, b"\x01"))
    add("bank-without-sequence", reheader(good, birth, 8, b"\0"))
    add("bank-of-birth-kind", reheader(good, birth, 5, b"\x01"))
    add("unknown-flag", reheader(good, 0, 6, b"\x02"))
    add("body-beyond-region", reheader(good, 0, 12, struct.pack("<I", birth - 127)))
    add("body-of-4-gib", reheader(good, 0, 12, b"\xff" * 4))
    for at in (7, 16, 44, 59):  # SPEC 3-16
        for start in (0, birth):
            add("not-zero-%d-%s" % (at, "bank" if start else "birth"),
                reheader(good, start, at, b"\x01"))
    add("sizes-of-another", reheader(good, birth, 36, struct.pack("<I", 2 * bank)))
    crypt = dev.write(crypt=True)
    out.add("encrypted-flip-salt", reheader(crypt, 0, 16, os.urandom(16)), 1, crypt=True)
    body_len = struct.unpack("<I", crypt[12:16])[0]
    torn = flip(crypt, 128 + body_len - 1)
    crc = zlib.crc32(torn[128:128 + body_len])
    out.add("encrypted-flip-tag", reheader(torn, 0, 40, struct.pack("<I", crc)), 1, crypt=True)


    same = [(4, {50: [0, True]}), (4, {50: [0, False]})]
    add("banks-of-one-sequence", dev.write(banks=same))
    zero = dev.write(layout=Layout(erased=0x00))
    add("erased-zero-flip", flip(zero, len(zero) - 1))
    add("erased-zero-and-ff", zero[:birth] + b"\xff" * (2 * bank))
    add("nothing-but-zero", bytes(len(good)))


def write_not_authentic(factory, out):
    """Images that read well and prove nothing (SPEC 6-2, 7-7, 8-4)."""
    add = lambda name, image, **more: out.add(name, image, 3, **more)
    dev = factory.device(serial="FW-0030").seal()
    for key, value in ((2, "Other Works"), (3, "Gadget"), (4, "X"), (5, "D"), (6, 5),
                       (20, 1), (40, "x"), (12, {"line": 4}), (11, [[1, "serial", "FW-9999"]]),
                       (9, factory.bundle(version=3)), (32, [bytes(16), "other-pop"])):
        other = factory.device(serial="FW-0030")
        other.items = with_items(dev, {key: value})
        add("claim-%d-changed" % key, other.write())
    other.items = with_items(dev, drop=(4,))
    add("claim-4-dropped", other.write())
    crypt = factory.device(serial="FW-0031").seal()
    crypt.items[3] = "Gadget"
    add("encrypted-claim-changed", crypt.write(crypt=True), crypt=True)

    other = factory.device(serial="FW-0032")
    add("serial-not-the-leafs", other.seal(serial="FW-0033").write())
    free = factory.device(serial="FW-0034").seal(purpose=None, serial="FW-0035")
    add("unbound-serial-not-the-leafs", free.write())
    dev = factory.device(serial="FW-0036").seal(leaf_key=new_key())
    add("device-key-not-the-leafs", dev.write())
    dev = factory.device(serial="FW-0037").seal(purpose=0)
    add("leaf-of-other-purpose", dev.write())
    dev = factory.device(serial="FW-0038")
    dev.items[7] = 0
    add("stamp-of-other-purpose", dev.seal(purpose=1).write())
    dev = factory.device(serial="FW-0039")
    dev.items[33] = [os.urandom(16), scalar(new_key())]
    add("provisioning-no-pair", dev.seal().write())
    _bundles(factory, add)
    _chains(factory, add)
    _bank_trust(factory, add)


def _bundles(factory, add):
    for name, made in (("purpose", factory.bundle(purpose=0)),
                       ("owner", factory.bundle(owner=new_key()))):
        dev = factory.device(serial="FW-0040")
        dev.items[9] = made
        add("bundle-of-other-" + name, dev.seal().write())
    dev = factory.device(serial="FW-0041")
    good = dev.items[9]
    dev.items[9] = good[:3] + [flip(good[3], 40)]
    add("bundle-signature-wrong", dev.seal().write())
    dev = factory.device(serial="FW-0042")
    dev.items[8] = os.urandom(32)
    add("owner-hash-wrong", dev.seal().write())


def _chains(factory, add):
    stranger = Authority("Foreign root", 1)
    for name, issuer in (
            ("by-namesake-root", Authority("Foreign line 2", 1, issuer=stranger, path_length=0)),
            ("by-a-leaf", Authority("Foreign line 3", 1, issuer=factory.root, is_ca=False)),
            ("sub-ca-of-other-purpose", Authority("Foreign line 4", 0, issuer=factory.root,
                                                  path_length=0))):
        dev = factory.device(serial="FW-0050")
        dev.issuer = issuer
        add("chain-" + name, dev.seal().write())
    deep = Authority("Foreign line 5", 1, issuer=factory.sub, path_length=None)
    dev = factory.device(serial="FW-0051")
    dev.issuer = deep
    dev.seal().items[49].append(der(factory.sub.cert))
    add("chain-too-long-for-path-length", dev.write())
    dev = factory.device(serial="FW-0052").seal()
    dev.items[49].pop()
    add("chain-without-sub-ca", dev.write())
    dev = factory.device(serial="FW-0053").seal()
    dev.items[49].reverse()
    add("chain-reversed", dev.write())
    dev = factory.device(serial="FW-0054").seal()
    leaf = dev.items[49][0]
    dev.items[49][0] = flip(leaf, len(leaf) - 1)
    add("leaf-signature-wrong", dev.write())


def _bank_trust(factory, add):
    dev = factory.device(serial="FW-0060").seal()
    state = {50: [0, True]}
    add("bank-signed-by-another", dev.write(banks=[(1, state)], signer=new_key()))
    add("bank-signed-by-operational-key",
        dev.write(banks=[(1, dev.operational())], signer=dev.bank_key))
    own = dev.operational()
    own[48] = [1, 0, scalar(new_key())]
    add("bank-key-not-its-leafs", dev.write(banks=[(1, own)]))
    leaf = factory.sub.leaf
    for name, made in (  # SPEC 7-9, 7-11
            ("expired", leaf(dev.bank_key, "FW-0060", until=datetime.datetime(2024, 6, 1))),
            ("of-another-serial", leaf(dev.bank_key, "FW-0061")),
            ("of-other-purpose", leaf(dev.bank_key, "FW-0060", 0)),
            ("with-another-digest", leaf(dev.bank_key, "FW-0060", 1, bytes(32)))):
        own = {48: [1, 0, scalar(dev.bank_key)], 49: [made, der(factory.sub.cert)]}
        add("bank-leaf-" + name, dev.write(banks=[(1, own)]))
    image = dev.write(banks=[(1, state)])
    add("bank-of-kind-4-unsigned", reheader(image, factory.layout.birth_size, 5, b"\x04"))
    stranger = Authority("Foreign line 9", 1)
    own[49] = [stranger.leaf(dev.bank_key, "FW-0060")]
    add("bank-chain-of-another-root", dev.write(banks=[(1, own)]))
    add("bank-bundle-of-other-owner",
        dev.write(banks=[(1, {9: factory.bundle(version=2, owner=new_key())})]))
    add("bank-bundle-of-other-purpose",
        dev.write(banks=[(1, {9: factory.bundle(version=2, purpose=0)})]))
    dev = factory.device(serial="FW-0061")
    dev.items[9] = factory.bundle(version=5)
    add("bank-bundle-rolled-back", dev.seal().write(banks=[(1, {9: factory.bundle(version=4)})]))
    donor = factory.device(serial="FW-0062").seal()
    size = factory.layout.birth_size
    mixed = dev.write()[:size] + donor.write(banks=[(1, state)])[size:]
    add("bank-of-another-device", mixed)


def write_malformed(factory, out):
    """Bodies that sections 4 and 5 do not allow."""
    for name, extra in VALUES:
        dev = factory.device(serial="FW-0070")
        dev.items.update(extra)
        out.add("value-" + name, dev.seal(serial="FW-0070").write(), 1)
        if name in ("serial-space", "pop-short"):
            out.add("value-" + name + "-encrypted", dev.write(crypt=True), 1, crypt=True)
    for key in (1, 2, 3, 6, 7, 8, 9, 48, 49, 33):
        dev = factory.device(serial="FW-0071").seal()
        dev.items.pop(key)
        out.add("without-%d" % key, dev.write(), 1)
    _no_keys(factory, out)
    dev = factory.device(serial="FW-0072", kind=1)
    dev.items[33] = [bytes(16), scalar(dev.provisioning)]
    out.add("peer-with-private-key", dev.seal().write(), 1)
    _bank_values(factory, out)
    _bundle_encodings(factory, out)
    _encodings(factory, out)


def _no_keys(factory, out):
    dev = factory.device(serial="FW-0073")
    raw = bytearray(point(dev.provisioning))
    raw[64] ^= 1
    dev.items[10] = [1, 1, bytes(raw)]
    dev.items.pop(33)
    out.add("value-provisioning-off-curve", dev.seal().write(), 3)
    for name, raw in (("zero", bytes(32)), ("order", b"\xff" * 32)):
        dev = factory.device(serial="FW-0073")
        dev.items[33] = [SALT, raw]
        out.add("value-scalar-" + name, dev.seal().write(), 3)
    dev = factory.device(serial="FW-0075").seal()
    dev.items[49][0] += b"\0"
    out.add("value-certificate-and-a-byte", dev.write(), 1)
    dev.items[49] = [b"abc"]
    out.add("value-certificate-of-three-bytes", dev.write(), 1)


SALT = b"0123456789abcdef"
VALUES = [
    ("serial-space", {1: "FW 0070"}),
    ("serial-empty", {1: ""}),
    ("serial-long", {1: "F" * 65}),
    ("serial-number", {1: 70}),
    ("company-empty", {2: ""}),
    ("company-long", {2: "c" * 65}),
    ("company-65-bytes-of-44-characters", {2: "\u00e9" * 21 + "c" * 23}),
    ("company-control", {2: "a\nb"}),
    ("company-control-u0085", {2: "a\u0085b"}),
    ("product-del", {3: "a\x7fb"}),
    ("model-empty", {4: ""}),
    ("revision-long", {5: "r" * 33}),
    ("made-at-negative", {6: -1}),
    ("purpose-2", {7: 2}),
    ("purpose-true", {7: True}),
    ("owner-hash-short", {8: bytes(31)}),
    ("provisioning-kind-2", {10: [2, 1, bytes(65)]}),
    ("provisioning-curve-2", {10: [0, 2, bytes(65)]}),
    ("barcodes-none", {11: []}),
    ("barcodes-nine", {11: [[1, "n", "p"]] * 9}),
    ("barcode-symbology-4", {11: [[4, "n", "p"]]}),
    ("barcode-name-empty", {11: [[1, "", "p"]]}),
    ("barcode-payload-empty", {11: [[1, "n", ""]]}),
    ("barcode-payload-long", {11: [[1, "n", "p" * 513]]}),
    ("fields-none", {12: {}}),
    ("fields-17", {12: {"f%d" % i: i for i in range(17)}}),
    ("field-name-empty", {12: {"": 1}}),
    ("field-name-number", {12: {1: 1}}),
    ("field-bytes", {12: {"a": b"b"}}),
    ("field-long", {12: {"a": "b" * 65}}),
    ("field-control", {12: {"a": "b\x1f"}}),
    ("pop-short", {32: [SALT, "abc"]}),
    ("pop-long", {32: [SALT, "a" * 65]}),
    ("pop-salt-short", {32: [SALT[:15], "abcd"]}),
    ("pop-no-salt", {32: "abcdefgh"}),
    ("scalar-short", {33: [SALT, bytes(31)]}),
    ("secret-barcodes-bare", {34: [[1, "n", "p"]]}),
    ("claim-state-in-birth", {50: [0, False]}),
]


def _bundle_encodings(factory, out):
    """SPEC 8-1, 8-2: signed by the owner, and yet no bundle."""
    parts = {1: 1, 2: 1, 3: [der(factory.root.cert)], 4: point(factory.owner)}
    good = encode(parts)
    root = parts[3]
    payloads = {"trailing": good + b"\0", "key-5": encode({**parts, 5: 1}),
                "version-0": encode({**parts, 1: 0}), "purpose-2": encode({**parts, 2: 2}),
                "no-anchor": encode({**parts, 3: []}),
                "five-anchors": encode({**parts, 3: root * 5}),
                "long-head": b"\xb8\x04" + good[1:], "key-twice": b"\xa5\x01\x01" + good[1:],
                "no-version": encode({k: v for k, v in parts.items() if k != 1})}
    bundles = {name: seal_bundle(factory.owner, raw) for name, raw in payloads.items()}
    whole = seal_bundle(factory.owner, good)
    bundles.update({"protected": [b"\xa1\x01\x38\x06", *whole[1:]],
                    "unprotected": [whole[0], {4: b"a"}, *whole[2:]],
                    "five-parts": [*whole, 1], "array-for-map": [whole[0], [], *whole[2:]],
                    "short-signature": [*whole[:3], whole[3][:63]]})
    for name, made in bundles.items():
        dev = factory.device(serial="FW-0076", full=False)
        dev.items[9] = made
        out.add("bundle-encoding-" + name, dev.seal().write(), 1)
    # SPEC 8-2, 8-7: a recipient, and what a later version may bring
    to = point(factory.owner)
    later = {"recipient": ({5: to}, 0), "key-6": ({6: "later"}, 0), "keys-5-7": ({5: to, 7: 1}, 0),
             "recipient-short": ({5: to[:64]}, 1), "recipient-text": ({5: "to"}, 1)}
    for name, (keys, expect) in later.items():
        dev = factory.device(serial="FW-0076", full=False)
        dev.items[9] = seal_bundle(factory.owner, encode({**parts, **keys}))
        image = dev.seal().write()
        out.add("bundle-" + name, image, expect, shown=None if expect else dev.json())
    for name, tail in (("twice", b"\x06\x01\x06\x01"), ("backwards", b"\x07\x01\x06\x01")):
        dev = factory.device(serial="FW-0076", full=False)
        dev.items[9] = seal_bundle(factory.owner, b"\xa6" + good[1:] + tail)
        out.add("bundle-keys-" + name, dev.seal().write(), 1)


def _bank_values(factory, out):
    dev = factory.device(serial="FW-0074").seal()
    own = dev.operational()
    for name, items in (("48-without-49", {48: own[48]}), ("49-without-48", {49: own[49]}),
                        ("serial", {1: "FW-0074"}), ("made-at", {6: 5}),
                        ("claim-state-text", {50: ["a", False]}),
                        ("claim-state-uint", {50: [0, 1]}), ("pop-short", {32: [SALT, "a"]})):
        out.add("bank-value-" + name, dev.write(banks=[(1, items)]), 1)
    own[49] = own[49] * 3
    out.add("bank-value-six-certificates", dev.write(banks=[(1, own)]), 1)


def _encodings(factory, out):
    """SPEC 4-1 to 4-6; the digest is that of the same items, so only the encoding is wrong."""
    dev = factory.device(serial="FW-0081")
    dev.items[12] = {"a": 1, "b": 2}
    dev.seal(purpose=None)
    for name, bad in (("out-of-order", b"\xa2\x61b\x02\x61a\x01"),
                      ("twice", b"\xa2\x61a\x01\x61a\x02"),
                      ("long-head", b"\xa2\x78\x01a\x01\x61b\x02")):
        swap = lambda raw, bad=bad: raw.replace(encode(dev.items[12]), bad)
        out.add("encoding-fields-" + name, dev.write(body=swap), 1)
    dev = factory.device(serial="FW-0080", full=False).seal()
    serial = encode(1) + encode("FW-0080")
    count = len(dev.items)
    start = bytes([0xA0 | count])
    assert encode(dev.items).startswith(start + serial)
    rest = lambda raw: raw[1 + len(serial):]
    more = lambda extra: lambda raw: bytes([0xA0 | count + 1]) + raw[1:] + extra
    for name, change in (
            ("long-map-head", lambda raw: b"\xb8" + bytes([count]) + raw[1:]),
            ("long-key-head", lambda raw: start + b"\x18\x01" + raw[2:]),
            ("long-text-head", lambda raw: start + b"\x01\x78\x07FW-0080" + rest(raw)),
            ("indefinite-map", lambda raw: b"\xbf" + raw[1:] + b"\xff"),
            ("indefinite-text", lambda raw: start + b"\x01\x7f\x67FW-0080\xff" + rest(raw)),
            ("not-utf-8", lambda raw: start + b"\x01\x67FW-008\xc0" + rest(raw)),
            ("trailing-byte", lambda raw: raw + b"\0"),
            ("count-too-high", lambda raw: bytes([0xA0 | count + 1]) + raw[1:]),
            ("count-too-low", lambda raw: bytes([0xA0 | count - 1]) + raw[1:]),
            ("key-twice", lambda raw: bytes([0xA0 | count + 1]) + serial + raw[1:]),
            ("keys-out-of-order", lambda raw: start + rest(raw) + serial),
            ("empty-body", lambda raw: b""),
            ("array", lambda raw: encode(["FW-0080"])),
            ("key-0", lambda raw: bytes([0xA0 | count + 1]) + encode(0) + encode(1) + raw[1:]),
            ("key-64", more(encode(64) + encode(1))),
            ("key-negative", more(encode(-1) + encode(1))),
            ("key-text", more(encode("a") + encode(1))),
            ("float", more(encode(60) + b"\xf9\x00\x00")),
            ("null", more(encode(60) + b"\xf6")),
            ("tag", more(encode(60) + b"\xc1\x00")),
            ("argument-of-2-32", more(encode(60) + encode(1 << 32))),
            ("argument-in-8-bytes", more(encode(60) + b"\x1b" + bytes(7) + b"\x05")),
            ("nested-7", more(encode(60) + encode([[[[[[]]]]]]))),
            ("long-false", more(encode(60) + b"\xf8\x14"))):
        out.add("encoding-" + name, dev.write(body=change), 1)
    for name, inner in (("order", b"\xa2\x02\x00\x01\x00"), ("twice", b"\xa2\x01\x00\x01\x00")):
        out.add("encoding-unknown-inner-" + name, dev.write(body=more(encode(60) + inner)), 0,
                shown=dev.json())  # SPEC 4-12
    wide = Layout(birth_size=32768)
    for size, expect in ((16384, 0), (16385, 1)):  # SPEC 4-7
        fill = encode(60) + encode(bytes(16384))[:3]
        fill += bytes(size - len(encode(dev.items)) - len(fill))
        fill = fill[:3] + (len(fill) - 5).to_bytes(2, "big") + fill[5:]
        out.add("encoding-body-of-%d" % size, dev.write(layout=wide, body=more(fill)), expect,
                shown=dev.json())
    out.add("encoding-nested-6", dev.write(body=more(encode(60) + encode([[[[[]]]]]))), 0,
            shown=dev.json())
