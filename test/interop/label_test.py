"""Labels, read back by zbar and libdmtx from PNG and from SVG, byte for byte.

usage: label_test.py LABEL_DRAW
"""

import os
import random
import subprocess
import sys
import tempfile

KEY = "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACZ4DF/HAnXixwYaDnh3uxdN6t65iHAn8/qDZUFYun9Qw="
HASH = "18ab269044cda02280cc60bae0b94a6272d066fae4975fe303622cc4e551cd4d"
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
PAYLOADS = [
    "0",
    "00042",
    "SN-202606-000042H",
    f"DPP:K:{KEY};;",
    f"DPP:I:SN=00042;K:{KEY};;",
    f"STAMP:S:SN-202606-000042H;H:{HASH};P:K7PQXYZ9ABCD;;",
    '{"ver":"v1","name":"PROV_CE03C0","username":"wifiprov","pop":"k7\\"P\\\\Q2",'
    '"transport":"ble","security":2}',
    PRINTABLE,
    " leading and trailing ",
    "x" * 512,
    "0" * 512,
    (PRINTABLE * 6)[:512],
]
UTF8 = ["M\u00fcller 00042", "\u03a9\u043c\u0438\u0440 \u65e5\u672c", "\u70b9" * 20]
LINEAR = ["0", "00042", "SN-202606-000042H", "abcDEF!#$%&'()*+,-./:;<", "0" * 44, "A" * 25]


def run(args):
    """Standard output of a tool that must succeed and say nothing else."""
    done = subprocess.run(args, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"FAIL: {' '.join(args)}: {done.returncode} {done.stderr.decode()}")
    return done.stdout


def zbar(path, kind):
    return run(["zbarimg", "--nodbus", "-q", "--raw", "-Sdisable", f"-S{kind}.enable",
                "--oneshot", path])


def dmtx(path):
    return run(["dmtxread", "-N1", path])


class Bench:
    """Draws in both formats and has the pictures read."""

    def __init__(self, draw, folder):
        self.draw = draw
        self.svg = os.path.join(folder, "a.svg")
        self.png = os.path.join(folder, "a.png")
        self.from_svg = os.path.join(folder, "b.png")
        self.read = 0

    def make(self, codes, serial="SN-0042", product="Sensor"):
        args = [part for code in codes for part in code]
        for path in (self.png, self.svg):
            run([self.draw, path, serial, product, *args])
        run(["rsvg-convert", "--dpi-x", "300", "--dpi-y", "300", "-o", self.from_svg, self.svg])
        return (self.png, self.from_svg)

    def expect(self, got, want, what):
        if got != want:
            sys.exit(f"FAIL: {what}: read {got!r}, not {want!r}")
        self.read += 1

    def one(self, kind, payload):
        for path in self.make([(kind, "code", payload)]):
            if kind == "datamatrix":
                self.expect(dmtx(path), payload.encode(), f"{kind} {path}")
            else:
                reader = "qrcode" if kind == "qr" else kind
                self.expect(zbar(path, reader), payload.encode(), f"{kind} {path}")

    def together(self, codes):
        """All codes of one label: each is found, and nothing that is not there."""
        for path in self.make(codes, "0" * 30, "A product of many words, so that lines wrap"):
            want = sorted(p.encode() for k, _, p in codes if k != "datamatrix")
            got = run(["zbarimg", "--nodbus", "-q", "--raw", "-Sdisable", "-Sqrcode.enable",
                       "-Scode128.enable", path])
            self.expect(sorted(got.splitlines()), want, f"all of {path}")
            for kind, _, payload in codes:
                if kind == "datamatrix":
                    self.expect(dmtx(path), payload.encode(), f"datamatrix among all of {path}")


def main():
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(sys.argv[1], folder)
        for payload in PAYLOADS:
            bench.one("qr", payload)
            bench.one("datamatrix", payload)
        for payload in UTF8:
            bench.one("qr", payload)
        for payload in LINEAR:
            bench.one("code128", payload)
        for length in (1, 2, 3, 10, 31, 60, 120, 200, 333, 450, 511):
            payload = "".join(rng.choice(PRINTABLE) for _ in range(length))
            bench.one("qr", payload)
            bench.one("datamatrix", payload)
            if length <= 10:
                bench.one("code128", payload)
        bench.together([("datamatrix", "serial", PAYLOADS[2]), ("qr", "dpp", PAYLOADS[3]),
                        ("qr", "claim", PAYLOADS[5])])
        bench.together([("code128", "serial", PAYLOADS[2]), ("qr", "esp", PAYLOADS[6]),
                        ("datamatrix", "long", "y" * 300), ("qr", "dpp", PAYLOADS[4])])
    print(f"{bench.read} codes read back")


if __name__ == "__main__":
    main()
