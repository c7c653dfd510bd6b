#!/usr/bin/python3 -B
"""A second writer of stamp images, from spec/SPEC.md alone; the C readers must read it.

    independent_make.py DIRECTORY
    independent_make.py --vectors spec/vectors

writes into DIRECTORY images (good, and changed in ways that must be refused), trust.pem,
other.pem (a root that issued none of them), root.key, and manifest.json: a list of
{name, file, expect, crypt, json}; expect is 0 authentic, 1 unreadable,
3 not authentic; json is what was put in. With --vectors it writes the images anew that are
frozen in spec/vectors: all in one folder, smaller regions, and one vectors.json.
"""

import datetime
import hashlib
import json
import os
import shutil
import sys
import tempfile

import foreign_bad
from foreign_image import Layout, bundle, claims_digest
from foreign_pki import Authority, der, new_key, point, private_pem, public_pem, scalar

SYMBOLOGIES = {1: "qr", 2: "datamatrix", 3: "code128"}
MADE_AT = 1735689600  # 2025-01-01T00:00:00Z


class Factory:
    """One owner: a root, a sub-CA, and devices made to order."""

    def __init__(self, purpose=1, layout=None, **options):
        self.purpose = purpose
        self.owner = new_key()
        self.root = Authority("Foreign root", purpose, **options)
        self.sub = Authority("Foreign line 1", purpose, issuer=self.root, path_length=0, **options)
        self.root_key = os.urandom(32)
        self.layout = layout or Layout()

    def bundle(self, version=1, purpose=None, owner=None, anchors=None):
        owner = owner or self.owner
        return bundle(owner, point(owner), version,
                      self.purpose if purpose is None else purpose,
                      anchors or [der(self.root.cert)])

    def device(self, **options):
        return Device(self, **options)


class Device:
    """The items of one device, to be changed before seal() binds and write() lays them out."""

    def __init__(self, factory, serial="FW-0001", kind=0, full=True):
        self.factory, self.key, self.provisioning = factory, new_key(), new_key()
        self.issuer = factory.sub
        self.bank = None
        self.bank_key = None
        self.bank_kind = 2
        self.bound = False
        self.items = {1: serial, 2: "Foreign Works", 3: "Widget", 6: MADE_AT, 7: factory.purpose,
                      8: hashlib.sha256(point(factory.owner)).digest(), 9: factory.bundle()}
        if full:
            self._fill(kind)

    def _fill(self, kind):
        pop = "correct-horse-7"
        self.items.update({
            4: "W-200 \u00fc\u4e2d", 5: "rev C",
            10: [kind, 1, point(self.provisioning)],
            11: [[1, "serial", self.items[1]], [3, "gs1", "]C1\x1d01" + self.items[1]]],
            12: {"line": 3, "night shift": False, "colour": "", "offset": -2147483648,
                 "most": 0xFFFFFFFF},
            32: [os.urandom(16), pop],
            34: [os.urandom(16), [[2, "pairing", '{"ver":"v1","pop":"%s"}' % pop]]],
        })
        if kind == 0:
            self.items[33] = [os.urandom(16), scalar(self.provisioning)]

    def seal(self, purpose="own", serial=None, where=None, leaf_key=None):
        """Issues the leaf, bound unless purpose is None, and adds keys 48 and 49."""
        purpose = self.factory.purpose if purpose == "own" else purpose
        self.bound = purpose is not None
        leaf = self.issuer.leaf(leaf_key or self.key, serial or self.items[1], purpose,
                                None if purpose is None else claims_digest(self.items))
        self.items[48] = [1, 0, scalar(self.key)] if where is None else [1, *where]
        self.items[49] = [leaf, der(self.issuer.cert)]
        return self

    def operational(self):
        """An LDevID for a bank, which may expire."""
        self.bank_key = new_key()
        until = datetime.datetime(2099, 1, 1)
        leaf = self.issuer.leaf(self.bank_key, self.items[1], until=until)
        return {48: [1, 0, scalar(self.bank_key)], 49: [leaf, der(self.issuer.cert)]}

    def write(self, *, crypt=False, banks=(), signer=None, bank_args=None, layout=None, **birth):
        """banks: up to two of (sequence, items); they go to bank A and bank B."""
        root_key = self.factory.root_key if crypt else None
        layout = layout or self.factory.layout
        regions = [layout.region(1, birth.pop("sequence", 0), self.items, root_key=root_key,
                                 **birth)]
        for entry in banks:
            if entry is None:
                regions.append(None)
                continue
            regions.append(layout.region(self.bank_kind, entry[0], entry[1], root_key=root_key,
                                         signer=signer or self.key, **(bank_args or {})))
        return layout.image(*regions)

    def json(self, bank=None):
        """What `stamp show --json --secrets` must say."""
        items = dict(self.items)
        items.update(bank or {})
        key = self.bank_key if bank and 48 in bank else self.key
        pem = foreign_bad.certificate_pem
        codes = items.get(11, []) + (items[34][1] if 34 in items else [])
        made = datetime.datetime.utcfromtimestamp(items[6])
        return {
            "serial": items[1], "company": items[2], "product": items[3],
            "model": items.get(4), "hardware_revision": items.get(5),
            "purpose": ("development", "production")[items[7]],
            "made_at": made.isoformat() + "Z",
            "device_key": {"algorithm": "P-256", "public_key": public_pem(key)},
            "certificates": [pem(raw) for raw in items[49]],
            "trust_anchors": [self.factory.root.pem().decode()],
            "proof_of_possession": items[32][1] if 32 in items else None,
            "provisioning_key": self._provisioning_json(),
            "barcodes": [{"symbology": SYMBOLOGIES[c[0]], "payload": c[2]} for c in codes],
            "fields": items.get(12, {}),
            "bound": self.bound,
        }

    def _provisioning_json(self):
        if 10 not in self.items:
            return None
        own = self.items[10][0] == 0
        return {"kind": "own" if own else "peer", "algorithm": "P-256",
                "public_key": public_pem(self.provisioning),
                "private_key": private_pem(self.provisioning) if own else None}


class Output:
    """The directory and its manifest."""

    def __init__(self, path, factory):
        self.path, self.factory, self.manifest = path, factory, []
        os.makedirs(path, exist_ok=True)
        self.put("trust.pem", factory.root.pem())
        self.put("other.pem", Authority("Another root", factory.purpose).pem())
        self.put("root.key", factory.root_key)

    def put(self, name, data):
        path = os.path.join(self.path, name)
        with open(path, "wb") as file:
            # A root key that others may read is refused.
            os.chmod(path, 0o600 if name == "root.key" else 0o644)
            file.write(data)

    def add(self, name, image, expect, *, crypt=False, shown=None):
        self.put(name + ".bin", image)
        self.manifest.append({"name": name, "file": name + ".bin", "expect": expect,
                              "crypt": crypt, "json": shown})

    def close(self):
        self.put("manifest.json", json.dumps(self.manifest, indent=1).encode())


def write_good(factory, out):
    """Images every reader must call authentic."""
    small = factory.device(full=False).seal()
    out.add("minimal", small.write(), 0, shown=small.json())
    full = factory.device(serial="FW-0002").seal()
    out.add("full", full.write(), 0, shown=full.json())
    out.add("full-encrypted", full.write(crypt=True), 0, crypt=True, shown=full.json())
    out.add("locked", full.write(locked=True), 0, shown=full.json())
    out.add("locked-32-byte-unit", full.write(locked=True, mark_len=32), 0, shown=full.json())
    peer = factory.device(serial="FW-0003", kind=1).seal()
    out.add("peer-provisioning", peer.write(), 0, shown=peer.json())
    out.add("peer-provisioning-encrypted", peer.write(crypt=True), 0, crypt=True,
            shown=peer.json())
    free = factory.device(serial="FW-0004").seal(purpose=None)
    out.add("unbound", free.write(), 0, shown=free.json())
    for where, ref in ((1, 0x3FFF0001), (2, 3)):
        away = factory.device(serial="FW-0005")
        away.seal(where=(where, ref))
        out.add("device-key-elsewhere-%d" % where, away.write(), 0, shown=away.json())
    longer = factory.device(serial="FW-0007").seal()
    longer.items[49].append(der(factory.root.cert))
    out.add("chain-with-its-anchor", longer.write(), 0, shown=longer.json())
    strange = factory.device(serial="FW-0006")
    # SPEC 4-6, 4-12
    strange.items.update({20: [1, {"a": -1}], 40: "hidden", 60: True})
    strange.seal()
    strange.items[61] = {1: [[[]]]}
    out.add("unknown-keys", strange.write(), 0, shown=strange.json())
    out.add("unknown-keys-encrypted", strange.write(crypt=True), 0, crypt=True,
            shown=strange.json())
    out.add("erased-zero", full.write(layout=Layout(erased=0x00)), 0, shown=full.json())
    out.add("erased-zero-locked", full.write(layout=Layout(erased=0x00), locked=True), 0,
            shown=full.json())
    out.add("erased-zero-bank", full.write(layout=Layout(erased=0x00), banks=[(9, {})]), 0,
            shown=full.json())
    small_layout = Layout(birth_size=16384, bank_size=2048)
    out.add("other-geometry", full.write(layout=small_layout), 0, shown=full.json())


def write_banks(factory, out):
    """Images with operational banks."""
    dev = factory.device(serial="FW-0010").seal()
    newer = {9: factory.bundle(version=2), 50: [2, False]}
    for crypt in (False, True):
        tail = "-encrypted" if crypt else ""
        out.add("bank-a" + tail, dev.write(crypt=crypt, banks=[(1, newer)]), 0, crypt=crypt,
                shown=dev.json())
        new_pop = {32: [os.urandom(16), "another-pop"], 50: [0, True]}
        image = dev.write(crypt=crypt, banks=[(7, newer), (6, new_pop)])
        out.add("both-banks-a-newer" + tail, image, 0, crypt=crypt, shown=dev.json())
        image = dev.write(crypt=crypt, banks=[(6, newer), (7, new_pop)])
        out.add("both-banks-b-newer" + tail, image, 0, crypt=crypt, shown=dev.json(new_pop))
        own = dev.operational()
        out.add("operational-identity" + tail, dev.write(crypt=crypt, banks=[None, (3, own)]), 0,
                crypt=crypt, shown=dev.json(own))
        for key in (20, 40, 60):  # SPEC 6-5
            out.add("bank-unknown-key-%d%s" % (key, tail),
                    dev.write(crypt=crypt, banks=[(1, {key: 1})]), 1, crypt=crypt)
        image = dev.write(crypt=crypt, banks=[(0xFFFFFFFF, newer), (1, new_pop)])
        out.add("bank-of-last-sequence" + tail, image, 0, crypt=crypt, shown=dev.json())
        for kind in (0, 3, 255):  # never the current bank (SPEC 3-9, 3-17)
            dev.bank_kind = kind
            image = dev.write(crypt=crypt, banks=[(1, {32: [os.urandom(16), "not-yet"]})])
            out.add("bank-of-kind-%d%s" % (kind, tail), image, 0, crypt=crypt, shown=dev.json())
        dev.bank_kind = 2


def write_others(path, layout):
    """Owners of another purpose or OID; each has its own directory, root and manifest."""
    for name, purpose, options in (("development", 0, {}),
                                   ("pen", 1, {"oid": "1.3.6.1.4.1.32473.33445.1"})):
        factory = Factory(purpose, layout, **options)
        out = Output(os.path.join(path, name), factory)
        dev = factory.device(serial="FW-0100").seal()
        out.add(name, dev.write(), 0, shown=dev.json())
        out.add(name + "-encrypted", dev.write(crypt=True), 0, crypt=True, shown=dev.json())
        bad = factory.device(serial="FW-0101").seal()
        bad.items[3] = "Gadget"
        out.add(name + "-other-claims", bad.write(), 3)
        out.close()


def write_all(path, layout=None):
    factory = Factory(layout=layout)
    out = Output(path, factory)
    write_good(factory, out)
    write_banks(factory, out)
    foreign_bad.write_bad(factory, out)
    foreign_bad.write_not_authentic(factory, out)
    foreign_bad.write_malformed(factory, out)
    out.close()
    write_others(path, layout)


def write_vectors(path):
    """What write_all() makes, as spec/vectors has it."""
    vectors = []
    with tempfile.TemporaryDirectory() as tmp:
        write_all(tmp, Layout(birth_size=4096, bank_size=2048))
        for folder in ("", "development", "pen"):
            place = os.path.join(tmp, folder)
            with open(os.path.join(place, "root.key"), "rb") as file:
                root_key = file.read().hex()
            trust = "-".join(part for part in (folder, "trust.pem") if part)
            shutil.copy(os.path.join(place, "trust.pem"), os.path.join(path, trust))
            with open(os.path.join(place, "manifest.json"), encoding="utf-8") as file:
                for entry in json.load(file):
                    shutil.copy(os.path.join(place, entry["file"]), path)
                    entry["trust"] = trust
                    entry["root_key"] = root_key if entry.pop("crypt") else None
                    vectors.append(entry)
    with open(os.path.join(path, "vectors.json"), "w", encoding="utf-8") as file:
        json.dump(vectors, file, indent=1, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--vectors":
        write_vectors(sys.argv[2])
    elif len(sys.argv) == 2:
        write_all(sys.argv[1])
    else:
        sys.exit("usage: independent_make.py DIRECTORY | --vectors DIRECTORY")
