#!/usr/bin/python3 -B
"""Stamps for the emulated board from the independent writer of test/interop, with its geometry.

    qemu_image.py make DIRECTORY     trust.pem, other.pem, root.key, point (hex), pop, wrong-pop,
                                     secrets (hex, one a line), and flash files: plain.bin,
                                     locked.bin, encrypted.bin
    qemu_image.py search FILE SECRETS
                                     exit status 1 where FILE holds 8 bytes in a row of a secret
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

from foreign_image import Layout  # noqa: E402
from foreign_pki import Authority, point, scalar  # noqa: E402
from independent_make import Factory  # noqa: E402

FLASH_SIZE = 32 << 20
SECTOR = 256 << 10
RUN = 8


def make(path):
    factory = Factory(purpose=0)
    factory.layout = Layout(birth_size=SECTOR, bank_size=SECTOR)
    device = factory.device(serial="QB-0001").seal()
    files = {
        "trust.pem": factory.root.pem(),
        "other.pem": Authority("Another root", 0).pem(),
        "root.key": factory.root_key,
        "other.key": os.urandom(32),
        "point": point(device.provisioning).hex().encode(),
        "pop": device.items[32][1].encode(),
        "wrong-pop": b"correct-horse-8",
        "secrets": "\n".join((scalar(device.key).hex(), scalar(device.provisioning).hex(),
                              device.items[32][1].encode().hex())).encode(),
    }
    for name, options in (("plain", {}), ("locked", {"locked": True}),
                          ("encrypted", {"crypt": True, "locked": True})):
        files[name + ".bin"] = device.write(**options).ljust(FLASH_SIZE, b"\xff")
    for name, data in files.items():
        with open(os.path.join(path, name), "wb") as file:
            file.write(data)


def search(path, secrets):
    with open(path, "rb") as file:
        data = file.read()
    with open(secrets, encoding="ascii") as file:
        wanted = [bytes.fromhex(line) for line in file]
    for number, secret in enumerate(wanted):
        if len(secret) < RUN:
            sys.exit("secret %d is too short to search for" % number)
        for start in range(len(secret) - RUN + 1):
            if secret[start:start + RUN] in data:
                print("secret %d, byte %d on, is in %s" % (number, start, path))
                return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "search":
        sys.exit(search(sys.argv[2], sys.argv[3]))
    else:
        sys.exit(__doc__)
