"""Images that `stamp batch next` wrote, against what went into the batch file.

    batch_images.py images STAMPS DIRECTORY    each .bin is the whole of one stamp, mode 0600; prints how many
    batch_images.py secrets STAMPS FILE...     no private key or other secret of a stamp is in a file
    batch_images.py later BOOKS SECONDS        the last event in the books is so much later
"""

import os
import sqlite3
import struct
import sys

import cbor2


def read(path):
    with open(path, "rb") as file:
        return file.read()


def bodies(stamps):
    return {cbor2.loads(body)[1]: body for body in (read(os.path.join(stamps, n)) for n in os.listdir(stamps))}


def images(stamps, directory):
    known, count = bodies(stamps), 0
    for name in os.listdir(directory):
        if not name.endswith(".bin"):
            continue
        path = os.path.join(directory, name)
        image = read(path)
        body = image[128:128 + struct.unpack("<I", image[12:16])[0]]
        assert name[0] != "." and known[name[:-4]] == body, name
        assert os.stat(path).st_mode & 0o777 == 0o600, name
        assert len(image) == 8192 + 2 * 4096, name
        count += 1
    print(count)


def secrets(stamps, *files):
    words = set()
    for body in bodies(stamps).values():
        stamp = cbor2.loads(body)
        words.add(stamp[48][2])
        words.update(stamp[key][1].encode() for key in (32,) if key in stamp)
        words.update(stamp[key][1] for key in (33,) if key in stamp)
    assert words and all(len(word) >= 4 for word in words)
    for path in files:
        data = read(path)
        assert not any(word in data for word in words), "a secret is in " + path


def later(books, seconds):
    with sqlite3.connect(books) as db:
        db.execute("UPDATE books SET last_at = last_at + ?", (int(seconds),))


if __name__ == "__main__":
    {"images": images, "secrets": secrets, "later": later}[sys.argv[1]](*sys.argv[2:])
