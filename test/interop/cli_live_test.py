#!/usr/bin/python3 -B
"""`stamp prove` and `stamp claim` against the device written from SPEC.md, honest and not.

    cli_live_test.py STAMP DIRECTORY (from independent_make.py)

An impostor must be noticed, and must not be told the proof of possession (SPEC 10-12, 10-18).
"""

import base64
import os
import sys

import independent_smp as smp
from cli_foreign_test import Program
from independent import Stamp
from live import Tally, foreign_device

POP = "correct-horse-7"
# fault: (status of prove, status of claim, whether the device was told the PoP)
FAULTS = {"none": (0, 0, True), "prove": (3, 0, True), "provisioning": (0, 3, False),
          "swap": (0, 3, False), "seal": (0, 3, True), "serial": (3, 3, False),
          "crc": (1, 1, False), "mute": (1, 1, False)}


def labels(point, pop=POP):
    """A Wi-Fi Easy Connect URI and provisioning JSON, as two codes on one label."""
    der = smp.dpp_der(point)
    yield "DPP:K:%s;;" % base64.b64encode(der).decode()
    yield '{"ver":"v1","name":"PROV_0001","pop":"%s","transport":"ble"}' % pop


def claim_label(point, serial="FW-0002"):
    """SPEC 10-24."""
    return ["STAMP:S:%s;H:%s;P:%s;;" % (serial, smp.dpp_hash(point).hex(), POP)]


def claim(program, tty, codes):
    args = [arg for code in codes for arg in ("--label", code)]
    return program.run("claim", "--port", tty, *args).returncode


def check_fault(tally, program, image, fault, point):
    proved, claimed, told = FAULTS[fault]
    trust = os.path.join(program.base, "trust.pem")
    with foreign_device(image, fault) as device:
        prove = ["prove", "--port", device.tty, "--trust"]
        tally.check(fault + ": prove", program.run(*prove, trust).returncode, proved)
        tally.check(fault + ": prove, other trust", program.run(
            *prove, os.path.join(program.base, "other.pem")).returncode, 1 if proved == 1 else 3)
        # A label of two codes holds no serial to compare.
        codes = claim_label(point) if fault == "serial" else labels(point)
        tally.check(fault + ": claim", claim(program, device.tty, codes), claimed)
        tally.check(fault + ": told", b"told " + POP.encode() in device.rest(), told)


def check_guessing(tally, program, image, point):
    with foreign_device(image) as device:
        for count in (1, 2, 3):
            tally.check("wrong PoP %d" % count,
                        claim(program, device.tty, labels(point, "wrong-pop")), 3)
        tally.check("slowed down", claim(program, device.tty, labels(point)), 4)


def check_claim_label(tally, program, image, point):
    with foreign_device(image) as device:
        other = smp.point_of(smp.ec.generate_private_key(smp.ec.SECP256R1()).public_key())
        for name, codes, status in (("of another key", claim_label(other), 3),
                                    ("of another serial", claim_label(point, "FW-0003"), 3),
                                    ("of this device", claim_label(point), 0)):
            told = status == 0
            tally.check("claim label " + name, claim(program, device.tty, codes), status)
            tally.check("claim label " + name + ": told", b"told " in device.rest(), told)


def main():
    tally, base = Tally(), os.path.abspath(sys.argv[2])
    program, image = Program(os.path.abspath(sys.argv[1]), base), os.path.join(base, "full.bin")
    with open(image, "rb") as file:
        point = Stamp(file.read()).items[10][1][2]
    for fault in FAULTS:
        check_fault(tally, program, image, fault, point)
    check_guessing(tally, program, image, point)
    check_claim_label(tally, program, image, point)
    for name in ("operational-identity", "bank-a", "unbound", "unknown-keys"):
        with foreign_device(os.path.join(base, name + ".bin")) as device:
            prove = ["prove", "--port", device.tty, "--trust", os.path.join(base, "trust.pem")]
            tally.check(name + ": prove", program.run(*prove).returncode, 0)
            tally.check(name + ": prove newest", program.run(*prove, "--newest").returncode, 0)
    return tally.end(least=30)


if __name__ == "__main__":
    sys.exit(main())
