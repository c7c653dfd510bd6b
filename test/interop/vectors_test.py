#!/usr/bin/python3 -B
"""spec/vectors as the independent reader and as the command judge them: as vectors.json says.

    vectors_test.py STAMP spec/vectors
"""

import json
import os
import sys
import tempfile

from cli_foreign_test import Program
from independent import load_anchors, verify_file
from live import Tally


def check_vector(tally, program, entry, key_file):
    name, path = entry["name"], os.path.join(program.base, entry["file"])
    root_key, more = None, []
    if entry["root_key"] is not None:
        root_key, more = bytes.fromhex(entry["root_key"]), ["--root-key", key_file]
        with open(key_file, "wb") as file:
            os.chmod(key_file, 0o600)
            file.write(root_key)
    trust = load_anchors(os.path.join(program.base, entry["trust"]))
    status, words, stamp = verify_file(path, trust, root_key)
    tally.check("%s: independent (%s)" % (name, words), status, entry["expect"])
    tally.check(name + ": stamp verify", program.verify(path, entry["trust"], *more),
                entry["expect"])
    if entry["expect"] == 0:
        tally.check(name + ": independent says", stamp.as_json() if stamp else None,
                    entry["json"])
        tally.check(name + ": stamp show", program.show(path, "--secrets", *more), entry["json"])


def main():
    tally = Tally()
    program = Program(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    with open(os.path.join(program.base, "vectors.json"), encoding="utf-8") as file:
        vectors = json.load(file)
    named = {entry["file"] for entry in vectors}
    there = {name for name in os.listdir(program.base) if name.endswith(".bin")}
    tally.check("every image is in vectors.json", there, named)
    with tempfile.TemporaryDirectory() as tmp:
        for entry in vectors:
            check_vector(tally, program, entry, os.path.join(tmp, "root.key"))
    return tally.end(least=400)


if __name__ == "__main__":
    sys.exit(main())
