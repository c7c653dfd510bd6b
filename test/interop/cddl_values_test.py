#!/usr/bin/python3 -B
"""What the foreign writer puts into stamps matches spec/stamp.cddl; what it makes wrong does not.

    cddl_values_test.py stamp.cddl DIRECTORY (from independent_make.py)
"""

import json
import os
import sys

from cddl import Schema
from image_format import CHECKS, open_items, split
from independent import Stamp, load_root_key
from strict_cbor import Pairs, decode, decode_body
from trust import claims

# Wrong in ways that CDDL does not say: control characters, points off the curve, scalars of no
# key, and what is right in itself but not in company (SPEC 5-2 beyond kinds).
BEYOND = ("control", "del", "off-curve", "scalar-zero", "scalar-order", "value-certificate-")


def pairs(items):
    return Pairs((key, value) for key, (_, value) in items.items())


def bodies(path, root_key):
    """(rule, value) of each body of an image, read without checking its values."""
    with open(path, "rb") as file:
        image = file.read()
    # Where the bodies are does not depend on what erased flash holds.
    for region in split(image, 0xFF):
        if region.state != "whole":
            continue
        items = decode_body(region.body, CHECKS)
        if region.flags & 1:
            yield "sealed-body", pairs(items)
            items = open_items(region, items, root_key)
        yield "birth-body" if region.is_birth else "bank-body", pairs(items)


def good_image(schema, path, root_key, wrong):
    with open(path, "rb") as file:
        stamp = Stamp(file.read(), root_key)
    seen = list(bodies(path, root_key))
    seen += [("claims", decode(claims(stamp.items))), ("body", seen[0][1])]
    for rule, value in seen:
        if not schema.matches(rule, value):
            wrong.append("%s: does not match %s" % (os.path.basename(path), rule))
    return len(seen)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = Schema(file.read())
    base, good, bad, wrong = sys.argv[2], 0, 0, []
    root_key = load_root_key(os.path.join(base, "root.key"))
    with open(os.path.join(base, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    for entry in manifest:
        path = os.path.join(base, entry["file"])
        if entry["expect"] == 0:
            good += good_image(schema, path, root_key, wrong)
        elif (entry["name"].startswith(("value-", "without-", "bank-value-", "peer-with"))
              and not any(word in entry["name"] for word in BEYOND)):
            bad += 1
            if all(schema.matches(*body) for body in bodies(path, root_key)):
                wrong.append("%s: matches" % entry["name"])
    for line in wrong:
        print(line)
    print("%d values match, %d images do not, %d wrong" % (good, bad, len(wrong)))
    return 1 if wrong or good < 50 or bad < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
