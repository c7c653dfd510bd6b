#!/usr/bin/python3 -B
"""stamp-agent, with foreign stamps in its flash, against the client written from SPEC.md.

    live_device_test.py STAMP-AGENT DIRECTORY (from independent_make.py)
"""

import os
import shutil
import sys
import tempfile
import time

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import independent_smp as smp
from independent import Stamp, load_anchors, load_root_key, verify_file
from live import Tally, agent
from image_format import NotAuthentic
from strict_cbor import head
from trust import claims

POP = "correct-horse-7"
PROVES = ("minimal", "full", "locked", "peer-provisioning", "unbound", "unknown-keys", "bank-a",
          "both-banks-a-newer", "both-banks-b-newer", "operational-identity",
          "bank-of-kind-3", "bank-of-kind-255",
          "bank-of-last-sequence")


def outcome(call, *args):
    """What a call ended in: "ok", ("rc", code), "not authentic" or "trouble"."""
    try:
        call(*args)
    except smp.Refused as err:
        return "rc", err.code
    except NotAuthentic:
        return "not authentic"
    except smp.Trouble:
        return "trouble"
    return "ok"


class Bench:
    """One image in a flash file of its own, and the agent on it."""

    def __init__(self, program, base, name, tmp):
        self.program, self.flash = program, os.path.join(tmp, "flash.bin")
        self.root_path = os.path.join(base, "root.key") if name.endswith("-encrypted") else None
        self.root_key = load_root_key(self.root_path) if self.root_path else None
        shutil.copy(os.path.join(base, name + ".bin"), self.flash)

    def image(self):
        with open(self.flash, "rb") as file:
            return file.read()

    def stamp(self):
        return Stamp(self.image(), self.root_key)

    def run(self, call):
        with agent(self.program, self.flash, self.root_path) as device:
            port = smp.Port(device.tty)
            try:
                return call(port)
            finally:
                port.close()


def check_prove(tally, bench, name, trust, other):
    stamp = bench.stamp()

    def talk(port):
        said = smp.info(port)
        sequence = stamp.current.sequence if stamp.current else 0
        want = {"v": 1, "state": "locked" if stamp.birth.locked else "ready",
                "serial": stamp.items[1][1], "product": stamp.items[3][1],
                "purpose": stamp.items[7][1], "seq": sequence,
                "claimed": (stamp.get(50) or [0, False])[1],
                "crypt": name.endswith("-encrypted")}
        fw = said.pop("fw", None)
        tally.check(name + ": info", said, want)
        tally.check(name + ": fw is short text", type(fw) is str and len(fw) <= 24, True)
        tally.check(name + ": prove", outcome(smp.prove, port, trust), "ok")
        tally.check(name + ": other trust", outcome(smp.prove, port, other), "not authentic")
        tally.check(name + ": claims", smp.item(port, 0), claims(stamp.items))
        newest = stamp.bank_items[stamp.current.name] if stamp.current else {}
        for key in (9, 49):
            raw = (newest.get(key) or stamp.items[key])[0]
            tally.check("%s: item %d newest" % (name, key), smp.item(port, key, smp.NEWEST), raw)
            tally.check("%s: item %d birth" % (name, key), smp.item(port, key),
                        stamp.items[key][0])
        echo = smp.echo(port, "caf\u00e9 0123")
        tally.check(name + ": echo", echo, "caf\u00e9 0123")

    bench.run(talk)


def check_claim(tally, bench, name):
    point = bench.stamp().items[10][1][2]
    known = lambda got: got == point

    def attempt(port, pop):
        exchange = smp.Claim(port)
        exchange.begin(known)
        return exchange.possess(pop)

    def tries():
        return (bench.stamp().get(50) or [0, False])

    start = tries()[0]
    def repeated(port):
        exchange = smp.Claim(port)
        exchange.begin(known)
        return outcome(exchange.possess, "wrong"), outcome(port.again)

    tally.check(name + ": wrong PoP, sent twice", bench.run(repeated), (("rc", 11),) * 2)
    tally.check(name + ": is one try", tries()[0], start + 1)
    start += 1
    tally.check(name + ": no PoP at all", bench.run(lambda p: outcome(attempt, p, "abc")),
                ("rc", 3))
    tally.check(name + ": which is no try", tries()[0], start)
    tally.check(name + ": wrong PoP", bench.run(lambda p: outcome(attempt, p, "wrong")), ("rc", 11))
    tally.check(name + ": a try is on record", tries(), [start + 1, False])

    # SPEC 10-22
    def tampered(port):
        exchange = smp.Claim(port)
        exchange.begin(known)
        sealed = AESGCM(exchange.send_key).encrypt(bytes(12), cbor2.dumps({"pop": POP}), None)
        first = outcome(exchange.send_sealed, sealed[:-1] + bytes([sealed[-1] ^ 1]))
        return first != "ok", outcome(exchange.send_sealed, sealed) != "ok"

    tally.check(name + ": tampered, then untampered", bench.run(tampered), (True, True))
    tally.check(name + ": tampered is no try", tries(), [start + 1, False])
    tally.check(name + ": possess without claim is refused",
                bench.run(lambda p: outcome(p.ask, 2, 64, 4, {"c": bytes(40)}))[0], "rc")
    for count in range(start + 2, 6):
        # The slowing down also counts from boot (SPEC 10-17): each try may have to wait.
        tally.check("%s: wrong PoP %d" % (name, count),
                    bench.run(lambda p: patient(attempt, p, "wrong")), ("rc", 11))
    tally.check(name + ": tries survive restarts", tries(), [5, False])

    def slowed(port):
        return (outcome(attempt, port, POP), patient(attempt, port, POP))

    tally.check(name + ": slowed, then claimed", bench.run(slowed), (("rc", 10), "ok"))
    tally.check(name + ": claimed in flash", tries(), [0, True])
    tally.check(name + ": claimed in info", bench.run(smp.info)["claimed"], True)


def patient(call, *args):
    """Waits as long as the device asks, once."""
    try:
        call(*args)
    except smp.Refused as err:
        if err.code != 10:
            return "rc", err.code
        if not 0 < err.wait <= 3600 * 1000:
            return "wait", err.wait
        time.sleep(err.wait / 1000 + 0.05)
        return outcome(call, *args)
    return "ok"


def check_requests(tally, bench):
    """Requests that no good client sends (SPEC 10-21, 10-23); the device lives on."""
    off_curve = b"\x04" + bytes(64)

    def talk(port):
        for name, op, command, request, code in (
                ("unknown id", 0, 9, {}, 8),
                ("write of info", 2, 0, {}, 8),
                ("private item", 0, 1, {"k": 33, "off": 0, "w": 0}, 3),
                ("device key", 0, 1, {"k": 48, "off": 0, "w": 0}, 3),
                ("secret barcodes", 0, 1, {"k": 34, "off": 0, "w": 3}, 3),
                ("PoP", 0, 1, {"k": 32, "off": 0, "w": 3}, 3),
                ("which 1", 0, 1, {"k": 49, "off": 0, "w": 1}, 3),
                ("short nonce", 2, 2, {"n": bytes(15), "w": 0}, 3),
                ("long nonce", 2, 2, {"n": bytes(65), "w": 0}, 3),
                ("no nonce", 2, 2, {"w": 0}, 3),
                ("text nonce", 2, 2, {"n": "0123456789abcdef", "w": 0}, 3),
                ("off-curve point", 2, 3, {"e": off_curve}, 3),
                ("short point", 2, 3, {"e": off_curve[:64]}, 3),
                ("no sealed bytes", 2, 4, {}, 3)):
            tally.check(name, outcome(port.ask, op, 64, command, request), ("rc", code))
        beyond = port.ask(0, 64, 1, {"k": 49, "off": 1 << 20, "w": 0})
        tally.check("item beyond the end", beyond["d"], b"")
        tally.check("unknown group", outcome(port.ask, 0, 65, 0, {}), ("rc", 8))
        for nonce in (16, 64):
            tally.check("nonce of %d" % nonce,
                        outcome(port.ask, 2, 64, 2, {"n": bytes(nonce), "w": 0}), "ok")
        first = port.ask(2, 64, 2, {"n": bytes(16), "w": 0})
        tally.check("a repeated request has the same answer (SPEC 10-19)", port.again(), first)
        raw_requests(tally, port)
        broken_lines(tally, port)
        tally.check("still there", outcome(smp.info, port), "ok")

    bench.run(talk)


def send(port, body, group=64, command=1, op=0):
    port.seq = (port.seq + 1) & 0xFF
    packet = bytes([op, 0]) + len(body).to_bytes(2, "big") + group.to_bytes(2, "big")
    for line in smp.lines_of(packet + bytes([port.seq, command]) + body):
        port.send_raw(line)
    return outcome(port.answer, op, group, command)


def raw_requests(tally, port):
    """Encodings of one and the same item request, and of none."""
    pair = lambda key, value: head(3, len(key)) + key.encode() + head(0, value)
    k, off, w = pair("k", 49), pair("off", 0), pair("w", 0)
    extra = pair("zz", 7)
    tally.check("an unknown key", send(port, b"\xa4" + k + w + extra + off), "ok")
    tally.check("no key of the three", outcome(port.ask, 0, 64, 1, {}), "ok")
    for name, body in (("no map", b"\x83\x01\x02\x03"), ("nothing", b""),
                       ("cut", (b"\xa3" + k + w + off)[:-1]),
                       ("a byte more", b"\xa3" + k + w + off + b"\x00"),
                       ("a count of 2^32-1", b"\xba\xff\xff\xff\xff" + k)):
        tally.check("request body: " + name, send(port, body), ("rc", 3))


def broken_lines(tally, port):
    """Lines that are no packet are passed over (SPEC 10-2)."""
    packet = bytes([0, 0, 0, 1, 0, 64, 1, 0]) + b"\xa0"
    good = smp.lines_of(packet)[0]
    for line in (b"boot: hello\n", b"\x06\x09!!!!\n", b"\x04\x14AAAA\n", b"\x06\x09\n",
                 good[:6] + b"B" + good[7:], b"\x06\x09" + b"A" * 400 + b"\n", b"\n" * 3,
                 bytes(range(128, 256)) + b"\n", good[:-5] + b"\n"):
        port.send_raw(line)
    port.timeout, old = 0.5, port.timeout
    tally.check("broken lines are not answered", outcome(port.receive), "trouble")
    port.timeout = old


def check_last_sequence(tally, bench):
    """SPEC 3-19: no try without a record of it, so no claim at all."""
    before = bench.image()

    def attempt(port):
        exchange = smp.Claim(port)
        exchange.begin(lambda point: True)
        return exchange.possess(POP)

    tally.check("last sequence: claim", bench.run(lambda p: outcome(attempt, p)), ("rc", 1))
    tally.check("last sequence: flash untouched", bench.image(), before)


def check_blank(tally, program, tmp):
    flash = os.path.join(tmp, "blank.bin")
    with agent(program, flash) as device:
        port = smp.Port(device.tty)
        tally.check("blank: state", smp.info(port)["state"], "blank")
        # SPEC 10-9
        tally.check("blank: prove", outcome(port.ask, 2, 64, 2, {"n": bytes(16), "w": 0}),
                    ("rc", 5))
        tally.check("blank: item", outcome(smp.item, port, 0), ("rc", 5))
        tally.check("blank: claim", outcome(
            port.ask, 2, 64, 3, {"e": b"\x04" + bytes(64)})[0], "rc")
        port.close()


def main():
    program, base = sys.argv[1:3]
    tally = Tally()
    trust = load_anchors(os.path.join(base, "trust.pem"))
    other = load_anchors(os.path.join(base, "other.pem"))
    with tempfile.TemporaryDirectory() as tmp:
        for name in PROVES:
            for tail in ("", "-encrypted"):
                if os.path.exists(os.path.join(base, name + tail + ".bin")):
                    bench = Bench(program, base, name + tail, tmp)
                    check_prove(tally, bench, name + tail, trust, other)
        for name in ("full", "full-encrypted"):
            bench = Bench(program, base, name, tmp)
            check_claim(tally, bench, name)
            tally.check(name + ": authentic after all",
                        verify_file(bench.flash, trust, bench.root_key)[0], 0)
        for name in ("peer-provisioning", "minimal"):  # SPEC 10-20
            bench = Bench(program, base, name, tmp)
            key = bytes.fromhex("04" + "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d8"
                                "98c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406"
                                "837bf51f5")
            tally.check(name + ": cannot be claimed",
                        bench.run(lambda p: outcome(p.ask, 2, 64, 3, {"e": key})), ("rc", 8))
        check_last_sequence(tally, Bench(program, base, "bank-of-last-sequence", tmp))
        check_requests(tally, Bench(program, base, "full", tmp))
        check_blank(tally, program, tmp)
    return tally.end(least=100)


if __name__ == "__main__":
    sys.exit(main())
