#!/usr/bin/python3 -B
"""A second live device, from spec/SPEC.md section 10 alone: what a host asks, it answers.

    independent_device.py IMAGE [--root-key FILE] [--fault F]

prints the name of a pseudo-terminal and serves the plain stamp in IMAGE on it until killed.
The image is not changed: tries and the claim live as long as the process. Faults, for tests of
the host: `prove` signs with another key, `provisioning` claims with another key, `swap` answers
another B than it signed, `seal` answers possess under a wrong key, `serial` says another serial,
`crc` breaks every CRC, `mute` answers nothing. Secrets it was told in possess are
printed as "told TEXT", so that a test can see that an impostor is told nothing.
"""

import argparse
import hashlib
import hmac
import os
import sys
import time
import tty

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from foreign_image import sign
from image_format import NotAuthentic, Unreadable, point_key, scalar_key
from independent import Stamp, load_root_key
from independent_smp import (CLAIM, GROUP_OS, GROUP_STAMP, INFO, ITEM, MAX_PACKET, POSSESS, PROVE,
                             READ, WRITE, Joiner, Trouble, lines_of, message)
from trust import claims, point_of

FAULTS = ("none", "prove", "provisioning", "swap", "seal", "serial", "crc", "mute")


class Rc(Exception):
    def __init__(self, code, **more):
        super().__init__(code)
        self.answer = {"rc": code, **more}


class Device:
    def __init__(self, stamp, fault="none"):
        self.stamp, self.fault = stamp, fault
        self.tries, self.claimed = stamp.get(50) or [0, False]
        self.boot = self.last = time.monotonic()
        self.keys = None
        self.last_packet = self.last_reply = None
        self.serial = stamp.items[1][1]
        self.other = ec.generate_private_key(ec.SECP256R1())

    def info(self, _):
        crypt, bank = bool(self.stamp.birth.flags & 1), self.stamp.current
        return {"v": 1, "state": "locked" if self.stamp.birth.locked else "ready",
                "serial": "X" + self.serial if self.fault == "serial" else self.serial,
                "product": self.stamp.items[3][1], "purpose": self.stamp.items[7][1],
                "seq": bank.sequence if bank else 0, "claimed": self.claimed, "crypt": crypt,
                "fw": "independent"}

    def item(self, ask):
        key, off, which = ask["k"], ask["off"], ask["w"]
        bank = self.stamp.bank_items[self.stamp.current.name] if self.stamp.current else {}
        places = (bank, self.stamp.items) if which == 3 else (self.stamp.items,)
        if key == 0 and which == 0:
            data = claims(self.stamp.items)
        elif key in (9, 49):
            data = next(items[key][0] for items in places if key in items)
        else:
            raise Rc(3)
        if off > len(data):
            raise Rc(3)
        return {"d": data[off:off + 200], "len": len(data)}

    def prove(self, ask):
        if not 16 <= len(ask["n"]) <= 64:
            raise Rc(3)
        _, where, ref = self.stamp.items[48][1] if ask["w"] == 0 else self.stamp.get(48)
        if where != 0:
            raise Rc(8)
        key = self.other if self.fault == "prove" else scalar_key(ref)
        return {"s": sign(key, b"devstamp prove 1", ask["n"])}

    def slow(self):
        """SPEC 10-17."""
        if self.tries >= 3:
            left = max(self.boot, self.last) + min(2 ** min(self.tries - 3, 12), 3600)
            left -= time.monotonic()
            if left > 0:
                raise Rc(10, wait=int(left * 1000) + 1)

    def claim(self, ask):
        self.keys = None
        if 33 not in self.stamp.items:
            raise Rc(8)
        self.slow()
        try:
            app = point_key(ask["e"])
        except NotAuthentic as err:
            raise Rc(3) from err
        own = ec.generate_private_key(ec.SECP256R1())
        mine = point_of(own.public_key())
        payload = ask["e"] + mine + self.serial.encode()
        label = scalar_key(self.stamp.items[33][1][1])
        signer = self.other if self.fault == "provisioning" else label
        signature = sign(signer, b"devstamp claim 1", payload)
        both = HKDF(algorithm=hashes.SHA256(), length=64, salt=hashlib.sha256(payload).digest(),
                    info=b"devstamp claim 1").derive(own.exchange(ec.ECDH(), app))
        self.keys = both[:32], both[32:]
        if self.fault == "swap":
            mine = point_of(self.other.public_key())
        return {"e": mine, "s": signature, "k": point_of(signer.public_key())}

    def possess(self, ask):
        keys, self.keys = self.keys, None  # SPEC 10-16
        self.slow()
        if keys is None:
            raise Rc(3)
        try:
            said = message(AESGCM(keys[0]).decrypt(bytes(12), ask["c"], None))["pop"]
        except (InvalidTag, Trouble, KeyError, ValueError) as err:
            raise Rc(11) from err
        print("told", said, flush=True)
        pop = self.stamp.get(32)
        self.tries += 1
        if pop is None or not hmac.compare_digest(said.encode(), pop[1].encode()):
            self.last = time.monotonic()
            raise Rc(11)
        self.tries, self.claimed = 0, True
        key = os.urandom(32) if self.fault == "seal" else keys[1]
        clear = cbor2.dumps({"claimed": True, "serial": self.serial}, canonical=True)
        return {"c": AESGCM(key).encrypt(bytes(12), clear, None)}

    def answer(self, packet):
        """SPEC 10-19: what was answered last is answered again, not done again."""
        if packet != self.last_packet:
            self.last_packet, self.last_reply = packet, self.fresh_answer(packet)
        return self.last_reply

    def fresh_answer(self, packet):
        """The response packet; None for what is no request."""
        if len(packet) < 8 or len(packet) > MAX_PACKET or packet[0] not in (READ, WRITE):
            return None
        group = int.from_bytes(packet[4:6], "big")
        calls = {(READ, GROUP_STAMP, INFO): self.info, (READ, GROUP_STAMP, ITEM): self.item,
                 (WRITE, GROUP_STAMP, PROVE): self.prove, (WRITE, GROUP_STAMP, CLAIM): self.claim,
                 (WRITE, GROUP_STAMP, POSSESS): self.possess,
                 (WRITE, GROUP_OS, 0): lambda ask: {"r": ask["d"]}}
        try:
            ask = message(packet[8:], strict=False)
            if int.from_bytes(packet[2:4], "big") != len(packet) - 8:
                raise Rc(3)
            call = calls.get((packet[0], group, packet[7]))
            if call is None:
                raise Rc(8)
            body = call(ask)
        except Rc as err:
            body = err.answer
        except (Trouble, KeyError, TypeError, AttributeError):
            body = {"rc": 3}
        raw = cbor2.dumps(body, canonical=True)
        return (bytes([packet[0] + 1, 0]) + len(raw).to_bytes(2, "big") + packet[4:8] + raw)

    def serve(self, port):
        joiner, pending = Joiner(), b""
        while True:
            pending += os.read(port, 4096)
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                packet = joiner.line(line)
                reply = self.answer(packet) if packet is not None else None
                if reply is None or self.fault == "mute":
                    continue
                for out in lines_of(reply):
                    if self.fault == "crc":
                        out = out[:6] + (b"A" if out[6:7] != b"A" else b"B") + out[7:]
                    os.write(port, out)


def main():
    parser = argparse.ArgumentParser(description="be a live device, from SPEC.md alone")
    parser.add_argument("image")
    parser.add_argument("--root-key")
    parser.add_argument("--fault", choices=FAULTS, default="none")
    args = parser.parse_args()
    root_key = load_root_key(args.root_key) if args.root_key else None
    try:
        with open(args.image, "rb") as file:
            stamp = Stamp(file.read(), root_key)
    except (OSError, Unreadable) as err:
        sys.exit("independent_device.py: %s" % err)
    # The other end stays open here too, so that one client after another may come and go.
    port, other_end = os.openpty()
    tty.setraw(other_end)
    print(os.ttyname(other_end), flush=True)
    Device(stamp, args.fault).serve(port)


if __name__ == "__main__":
    main()
