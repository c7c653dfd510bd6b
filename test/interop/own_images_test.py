#!/usr/bin/python3 -B
"""Stamps of `stamp make`, read by the reader written from SPEC.md; and damaged, judged by both.

    own_images_test.py STAMP stamp.cddl
"""

import os
import random
import sys
import tempfile

from cddl import Schema
from cddl_values_test import bodies
from cli_foreign_test import Program
from foreign_pki import new_key, public_pem
from independent import load_anchors, verify_file
from live import Tally

FLIPS = 400
# What is changed in the profile that init writes: name -> [(old, new)].
PROFILES = {
    "default": [],
    "full": [("# model: M1 ", "model: \"M 1\" "),
             ("# hardware_revision: A2", "hardware_revision: A2"),
             ("# fields:\n#   site: Lyon\n#   batch: \"007\"",
              "fields:\n  site: Ly\u00f6n\n  batch: \"007\"\n  line: -3\n  tested: true"),
             ("pen: 0 ", "pen: 32473 ")],
    "peer": [("kind: device ", "kind: peer "), ("  # public_key_file", "  public_key_file")],
    "geometry": [("birth_size: 8KiB", "birth_size: 32KiB"), ("bank_size: 4KiB", "bank_size: 16KiB"),
                 ("erase_size: 4KiB", "erase_size: 16KiB"),
                 ("program_size: 4 ", "program_size: 32 ")],
    "erased-zero": [("erased_value: 0xFF", "erased_value: 0x00")],
}


def make(tally, program, place, name):
    """A workspace of one profile; the files of its three stamps."""
    workspace = os.path.join(place, name)
    tally.check(name + ": init", program.run("init", workspace, "-c", "Caf\u00e9 & Co",
                                             "-p", "Lamp").returncode, 0)
    path = os.path.join(workspace, "devstamp.yaml")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for old, new in PROFILES[name]:
        tally.check("%s: the profile has '%s'" % (name, old), old in text, True)
        text = text.replace(old, new)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(workspace, "peer.pem"), "w", encoding="ascii") as file:
        file.write(public_pem(new_key()))
    made = program.run("-C", workspace, "make", "-n", "3")
    tally.check(name + ": make", (made.returncode, made.stderr), (0, b""))
    lines = [line.split("\t") for line in made.stdout.decode().splitlines()]
    tally.check(name + ": three", len(lines), 3)
    return workspace, [file for _, file in lines]


def check_stamp(tally, program, schema, path, root, name):
    status, words, stamp = verify_file(path, load_anchors(root))
    tally.check(name + ": independent", (status, words), (0, "authentic (bound)"))
    tally.check(name + ": stamp verify", program.run("verify", path, "--trust", root).returncode, 0)
    if stamp is not None:
        tally.check(name + ": json", program.show(path, "--secrets"), stamp.as_json())
    for rule, value in bodies(path, None):
        tally.check("%s: %s" % (name, rule), schema.matches(rule, value), True)


def check_flips(tally, program, path, root, place):
    """Both judge each damaged image, and neither calls it authentic."""
    with open(path, "rb") as file:
        image = file.read()
    anchors, source, bad = load_anchors(root), random.Random(1), os.path.join(place, "bad.bin")
    used = [i for i, byte in enumerate(image) if byte != 0xFF]
    for _ in range(FLIPS):
        # One in four in erased space: this, too, is damage (SPEC 3-14).
        at = source.choice(used) if source.random() < 0.75 else source.randrange(len(image))
        bit = source.randrange(8)
        with open(bad, "wb") as file:
            file.write(image[:at] + bytes([image[at] ^ 1 << bit]) + image[at + 1:])
        mine = verify_file(bad, anchors)[0]
        tally.check("bit %d of byte %d" % (bit, at),
                    (mine in (1, 3), program.run("verify", bad, "--trust", root).returncode),
                    (True, mine))


def main():
    tally = Tally()
    with open(sys.argv[2], encoding="utf-8") as file:
        schema = Schema(file.read())
    with tempfile.TemporaryDirectory() as place:
        program = Program(os.path.abspath(sys.argv[1]), place)
        for name in PROFILES:
            workspace, paths = make(tally, program, place, name)
            root = os.path.join(workspace, "root.pem")
            for path in paths:
                check_stamp(tally, program, schema, path, root, name)
            if name == "full":
                check_flips(tally, program, paths[0], root, place)
    return tally.end(least=FLIPS + 50)


if __name__ == "__main__":
    sys.exit(main())
