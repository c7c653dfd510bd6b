#!/usr/bin/python3 -B
"""`stamp verify` and `stamp show` on foreign images: the verdicts and contents that were meant.

    cli_foreign_test.py STAMP DIRECTORY (from independent_make.py)
"""

import json
import os
import subprocess
import sys

from live import Tally


class Program:
    """The command, away from any workspace that may lie around."""

    def __init__(self, path, base):
        self.path, self.base = path, base

    def run(self, *args):
        env = {k: v for k, v in os.environ.items() if k != "DEVSTAMP_DIR"}
        return subprocess.run([self.path, *args], capture_output=True, cwd="/", env=env,
                              timeout=60, check=False)

    def verify(self, path, trust, *more):
        return self.run("verify", path, "--trust", os.path.join(self.base, trust),
                        *more).returncode

    def show(self, path, *more):
        done = self.run("show", path, "--json", *more)
        return json.loads(done.stdout) if done.returncode == 0 else done.returncode


def hidden(shown):
    """What must be shown without --secrets."""
    want = json.loads(json.dumps(shown))
    if want["proof_of_possession"] is not None:
        # The third barcode of a full foreign stamp is the one made from the PoP.
        want["barcodes"][2]["payload"] = None
    want["proof_of_possession"] = None
    if want["provisioning_key"] is not None:
        want["provisioning_key"]["private_key"] = None
    return want


def without_nulls(value):
    """A key that is absent and one that is null say the same."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def check_image(tally, program, entry, root_key):
    name, path = entry["name"], os.path.join(program.base, entry["file"])
    key = ["--root-key", root_key] if entry["crypt"] else []
    tally.check(name + ": verify", program.verify(path, "trust.pem", *key), entry["expect"])
    if entry["crypt"]:
        tally.check(name + ": verify without root key", program.verify(path, "trust.pem"), 1)
    if entry["expect"] != 0:
        return
    tally.check(name + ": verify, other trust", program.verify(path, "other.pem", *key), 3)
    tally.check(name + ": show", program.show(path, "--secrets", *key), entry["json"])
    shown = program.show(path, *key)
    tally.check(name + ": show, secrets hidden", without_nulls(shown),
                without_nulls(hidden(entry["json"])))
    if not isinstance(shown, dict):
        return
    payloads = [code["payload"] for code in hidden(entry["json"])["barcodes"]]
    tally.check(name + ": a secret payload is null", [c["payload"] for c in shown["barcodes"]],
                payloads)


def main():
    tally, base = Tally(), os.path.abspath(sys.argv[2])
    for folder in ("", "development", "pen"):
        place = os.path.join(base, folder)
        program = Program(os.path.abspath(sys.argv[1]), place)
        with open(os.path.join(place, "manifest.json"), encoding="utf-8") as file:
            for entry in json.load(file):
                check_image(tally, program, entry, os.path.join(place, "root.key"))
    return tally.end(least=300)


if __name__ == "__main__":
    sys.exit(main())
