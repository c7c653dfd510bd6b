#!/usr/bin/python3 -B
"""A second client of the live device, from spec/SPEC.md section 10 alone.

    independent_smp.py TTY info
    independent_smp.py TTY prove --trust PEM
    independent_smp.py TTY claim --point HEX|--hash HEX --pop-file FILE [--serial TEXT]

Exit status: 0 done, 1 no or a bad answer, 3 not authentic, 4 the device says: later.
"""

import argparse
import base64
import binascii
import datetime
import hashlib
import json
import os
import select
import sys
import termios
import time
import tty

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from independent import load_anchors
from image_format import NotAuthentic, point_key
from strict_cbor import Malformed, decode
from trust import (binding, check_chain, claims_digest, point_of,
                   signature_holds)

READ, WRITE = 0, 2
GROUP_OS, GROUP_STAMP = 0, 64
INFO, ITEM, PROVE, CLAIM, POSSESS = range(5)
BIRTH, NEWEST = 0, 3
MAX_PACKET = 256  # SPEC 10-1


class Trouble(Exception):
    """No answer, or one that section 10 does not allow."""


class Refused(Exception):
    """An answer with rc (SPEC 10-4, 10-5)."""

    def __init__(self, code, wait=None):
        super().__init__("rc %d" % code + ("" if wait is None else ", wait %d ms" % wait))
        self.code, self.wait = code, wait


def lines_of(packet):
    """SPEC 10-2: the lines that carry a packet."""
    crc = binascii.crc_hqx(packet, 0)
    framed = (len(packet) + 2).to_bytes(2, "big") + packet + crc.to_bytes(2, "big")
    text = base64.b64encode(framed)
    marks = [b"\x06\x09"] + [b"\x04\x14"] * (len(text) // 124)
    return [marks[i // 124] + text[i:i + 124] + b"\n" for i in range(0, len(text), 124)]


def message(data, strict=True):
    """The map of a message; a device sends it deterministic, and may accept other (SPEC 10-8)."""
    try:
        value = decode(data).as_dict() if strict else cbor2.loads(data)
    except (Malformed, AttributeError, cbor2.CBORDecodeError) as err:
        raise Trouble("a message that is no map: %s" % err) from err
    if not isinstance(value, dict) or not all(type(key) is str for key in value):
        raise Trouble("a message that is no map with text keys")
    return value


class Joiner:
    """Takes lines and gives packets; what is no packet is passed over, as on any console."""

    def __init__(self):
        self.text = None

    def line(self, line):
        line = line.rstrip(b"\r\n")
        if line[:2] == b"\x06\x09":
            self.text = line[2:]
        elif line[:2] == b"\x04\x14" and self.text is not None:
            self.text += line[2:]
        else:
            return None
        try:
            raw = base64.b64decode(self.text, validate=True)
        except binascii.Error:
            return None
        if len(raw) < 4 or len(raw) - 2 < int.from_bytes(raw[:2], "big"):
            return None
        self.text = None
        packet, crc = raw[2:-2], int.from_bytes(raw[-2:], "big")
        whole = len(raw) - 2 == int.from_bytes(raw[:2], "big")
        return packet if whole and binascii.crc_hqx(packet, 0) == crc else None


class Port:
    """A TTY and the requests on it."""

    def __init__(self, path, timeout=10.0):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd, termios.TCSANOW)
        # SPEC 10-19: not the sequence of whoever asked before.
        self.timeout, self.seq, self.pending = timeout, os.urandom(1)[0], b""

    def close(self):
        os.close(self.fd)

    def send_raw(self, data):
        while data:
            data = data[os.write(self.fd, data):]

    def receive(self):
        joiner, end = Joiner(), time.monotonic() + self.timeout
        while True:
            while b"\n" in self.pending:
                line, self.pending = self.pending.split(b"\n", 1)
                packet = joiner.line(line)
                if packet is not None:
                    return packet
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise Trouble("no answer in %g seconds" % self.timeout)
            self.pending += os.read(self.fd, 4096)

    def ask(self, op, group, command, request):
        """The answer's map; raises Refused for an rc that is not 0."""
        self.seq = (self.seq + 1) & 0xFF
        body = cbor2.dumps(request, canonical=True)
        header = bytes([op, 0]) + len(body).to_bytes(2, "big") + group.to_bytes(2, "big")
        self.last = header + bytes([self.seq, command]) + body
        if len(self.last) > MAX_PACKET:
            raise Trouble("a request above %d bytes" % MAX_PACKET)
        return self.again()

    def again(self):
        """Sends the last request once more, as one may that has no answer (SPEC 10-19)."""
        for line in lines_of(self.last):
            self.send_raw(line)
        return self.answer(self.last[0], int.from_bytes(self.last[4:6], "big"), self.last[7])

    def answer(self, op, group, command):
        packet = self.receive()
        # SPEC 10-23: group, sequence and id are the request's.
        head = bytes([op + 1, 0]) + packet[2:4] + group.to_bytes(2, "big")
        if len(packet) > MAX_PACKET or packet[:8] != head + bytes([self.seq, command]):
            raise Trouble("an answer to another question: %s" % packet[:8].hex())
        if int.from_bytes(packet[2:4], "big") != len(packet) - 8:
            raise Trouble("an answer whose length is wrong")
        answer = message(packet[8:])
        if answer.get("rc", 0) != 0:
            raise Refused(answer["rc"], answer.get("wait"))
        return answer


def echo(port, text):
    return port.ask(WRITE, GROUP_OS, 0, {"d": text})["r"]


def info(port):
    return port.ask(READ, GROUP_STAMP, INFO, {})


def item(port, key, which=BIRTH):
    """SPEC 10-6: all of it, however the device cuts it."""
    data, total = b"", None
    while total is None or len(data) < total:
        answer = port.ask(READ, GROUP_STAMP, ITEM, {"k": key, "off": len(data), "w": which})
        if total not in (None, answer["len"]) or not answer["d"]:
            raise Trouble("an item that changes or ends while it is read")
        total, data = answer["len"], data + answer["d"]
    if len(data) != total:
        raise Trouble("an item longer than it says")
    return data


def prove(port, anchors):
    """Chain, binding and a fresh signature; returns the claims."""
    encoded = item(port, 0)
    claims = decode(encoded).as_dict()
    path = check_chain(decode(item(port, 49)), anchors, datetime.datetime.utcnow())
    leaf = path[0]
    serials = [n.value for n in leaf.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    if serials != [claims[1]]:
        raise NotAuthentic("the serial is not the leaf's")
    for cert in path:
        if binding(cert) is not None and binding(cert)[0] != claims[7]:
            raise NotAuthentic("a certificate is for another purpose")
    if binding(leaf) is not None and binding(leaf)[1] != claims_digest(encoded):
        raise NotAuthentic("the leaf is bound to other claims")
    nonce = os.urandom(32)
    signature = port.ask(WRITE, GROUP_STAMP, PROVE, {"n": nonce, "w": BIRTH})["s"]
    if len(signature) != 64 or not signature_holds(leaf.public_key(), signature,
                                                   b"devstamp prove 1", nonce):
        raise NotAuthentic("the device does not hold the leaf's key")
    return claims


def dpp_der(point):
    """The DER SubjectPublicKeyInfo with compressed point of Wi-Fi Easy Connect."""
    prefix = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    return prefix + point_key(point).public_bytes(serialization.Encoding.X962,
                                                  serialization.PublicFormat.CompressedPoint)


def dpp_hash(point):
    """What 10.1 calls the bootstrapping key hash."""
    return hashlib.sha256(dpp_der(point)).digest()


class Claim:
    """The phone app (SPEC 10-10 to 10-15), in two steps so that a test can stand between them."""

    def __init__(self, port, serial=None):
        self.port = port
        self.serial = info(port)["serial"]  # SPEC 10-12
        if serial is not None and self.serial != serial:
            raise NotAuthentic("the serial is not the label's")
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.mine = point_of(self.key.public_key())

    def begin(self, known):
        """`known` tells whether a provisioning point is the label's."""
        answer = self.port.ask(WRITE, GROUP_STAMP, CLAIM, {"e": self.mine})
        theirs, provisioning = answer["e"], answer["k"]
        if not known(provisioning):
            raise NotAuthentic("another provisioning key than the label's")
        signed = self.mine + theirs + self.serial.encode()
        key = point_key(provisioning)
        if not signature_holds(key, answer["s"], b"devstamp claim 1", signed):
            raise NotAuthentic("the provisioning key did not sign this exchange")
        peer = point_key(theirs)
        keys = HKDF(algorithm=hashes.SHA256(), length=64, salt=hashlib.sha256(signed).digest(),
                    info=b"devstamp claim 1").derive(self.key.exchange(ec.ECDH(), peer))
        self.send_key, self.receive_key = keys[:32], keys[32:]  # SPEC 10-13

    def possess(self, pop):
        return self.send_sealed(AESGCM(self.send_key).encrypt(
            bytes(12), cbor2.dumps({"pop": pop}), None))

    def send_sealed(self, sealed):
        answer = self.port.ask(WRITE, GROUP_STAMP, POSSESS, {"c": sealed})["c"]
        try:
            clear = AESGCM(self.receive_key).decrypt(bytes(12), answer, None)
        except InvalidTag as err:
            raise NotAuthentic("the answer does not open") from err
        said = message(clear)
        if said != {"claimed": True, "serial": self.serial}:
            raise NotAuthentic("the device does not say it is claimed")
        return said


def run(args):
    port = Port(args.tty, args.timeout)
    try:
        if args.verb == "info":
            return info(port)
        if args.verb == "prove":
            claims = prove(port, load_anchors(args.trust))
            return {"serial": claims[1], "proved": True}
        with open(args.pop_file, encoding="utf-8") as file:
            pop = file.read().rstrip("\n")
        exchange = Claim(port, args.serial)
        if args.point:
            exchange.begin(lambda point: point == bytes.fromhex(args.point))
        else:
            exchange.begin(lambda point: dpp_hash(point) == bytes.fromhex(args.hash))
        return exchange.possess(pop)
    finally:
        port.close()


def main():
    parser = argparse.ArgumentParser(description="ask a live device, from SPEC.md alone")
    parser.add_argument("tty")
    parser.add_argument("--timeout", type=float, default=10.0)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("info")
    verbs.add_parser("prove").add_argument("--trust", required=True)
    claim = verbs.add_parser("claim")
    known = claim.add_mutually_exclusive_group(required=True)
    known.add_argument("--point")
    known.add_argument("--hash")
    claim.add_argument("--pop-file", required=True)
    claim.add_argument("--serial")
    try:
        print(json.dumps(run(parser.parse_args())))
    except NotAuthentic as err:
        print("not authentic: %s" % err, file=sys.stderr)
        return 3
    except Refused as err:
        print("refused: %s" % err, file=sys.stderr)
        return {10: 4, 11: 3}.get(err.code, 1)
    except (Trouble, Malformed, KeyError, TypeError, ValueError, OSError) as err:
        print("no good answer: %s" % err, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
