#!/usr/bin/python3 -B
"""The foreign writer and the independent reader agree; two live parts in Python do too.

    foreign_self_test.py DIRECTORY (from independent_make.py)
"""

import json
import os
import sys

import independent_smp as smp
from independent import load_anchors, load_root_key, verify_file
from live import Tally, foreign_device
from live_device_test import outcome

# What each fault of the foreign device must end in: (prove, claim, told the PoP).
FAULTS = {"none": ("ok", "ok", True), "prove": ("not authentic", "ok", True),
          "provisioning": ("ok", "not authentic", False), "swap": ("ok", "not authentic", False),
          "seal": ("ok", "not authentic", True), "serial": ("ok", "not authentic", False),
          "crc": ("trouble", "trouble", False), "mute": ("trouble", "trouble", False)}


def check_images(tally, base):
    trust = load_anchors(os.path.join(base, "trust.pem"))
    other = load_anchors(os.path.join(base, "other.pem"))
    root_key = load_root_key(os.path.join(base, "root.key"))
    with open(os.path.join(base, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    for entry in manifest:
        path = os.path.join(base, entry["file"])
        key = root_key if entry["crypt"] else None
        status, _, stamp = verify_file(path, trust, key)
        tally.check(entry["name"], status, entry["expect"])
        if status == 0:
            tally.check(entry["name"] + ": json", stamp.as_json(), entry["json"])
            tally.check(entry["name"] + ": other trust", verify_file(path, other, key)[0], 3)
        if entry["crypt"]:
            tally.check(entry["name"] + ": no root key", verify_file(path, trust)[0], 1)
            tally.check(entry["name"] + ": other root key",
                        verify_file(path, trust, bytes(32))[0], 1)


def check_faults(tally, base):
    image = os.path.join(base, "full.bin")
    trust = load_anchors(os.path.join(base, "trust.pem"))
    point = verify_file(image, trust)[2].items[10][1][2]

    def claim(port):
        exchange = smp.Claim(port, "FW-0002")
        exchange.begin(lambda got: smp.dpp_hash(got) == smp.dpp_hash(point))
        exchange.possess("correct-horse-7")

    for fault, (proved, claimed, told) in FAULTS.items():
        with foreign_device(image, fault) as device:
            port = smp.Port(device.tty, timeout=1.0 if fault in ("crc", "mute") else 20.0)
            tally.check(fault + ": prove", outcome(smp.prove, port, trust), proved)
            tally.check(fault + ": claim", outcome(claim, port), claimed)
            tally.check(fault + ": told", b"told " in device.rest(), told)
            port.close()


def main():
    tally, base = Tally(), sys.argv[1]
    for folder in ("", "development", "pen"):
        check_images(tally, os.path.join(base, folder))
    check_faults(tally, base)
    return tally.end(least=300)


if __name__ == "__main__":
    sys.exit(main())
