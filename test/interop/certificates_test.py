#!/usr/bin/python3 -B
"""The certificates of a workspace and of a stamp, judged by OpenSSL and GnuTLS, and field by field
by what IEEE 802.1AR and RFC 5280 ask for. Decoded here by hand: no X.509 library takes part.

    certificates_test.py STAMP
"""

import base64
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile

from live import Tally

OWN = "1.2.840.113556.1.8000.2554.37814.16545.17066.18216.35878.28763.12531.52370"
EC_KEY, P256, ES256 = "1.2.840.10045.2.1", "1.2.840.10045.3.1.7", "1.2.840.10045.4.3.2"
SKI, USAGE, SAN, BASIC, AKI = ("2.5.29.%d" % n for n in (14, 15, 17, 19, 35))
HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4"
COMMON_NAME, SERIAL, ORGANIZATION = "2.5.4.3", "2.5.4.5", "2.5.4.10"
UTF8, PRINTABLE = 0x0C, 0x13


class Der:
    """One value: tag, content, and for constructed ones its parts. Refuses what is not DER."""

    def __init__(self, data):
        self.tag, length, head = data[0], data[1], 2
        if length >= 0x80:
            head += length & 0x7F
            length = int.from_bytes(data[2:head], "big")
            assert length >= 0x80 and data[2] != 0, "length is not shortest"
        self.whole, self.content = data[:head + length], data[head:head + length]
        assert len(self.content) == length, "cut short"

    def parts(self):
        out, left = [], self.content
        while left:
            out.append(Der(left))
            left = left[len(out[-1].whole):]
        return out

    def oid(self):
        assert self.tag == 6
        arcs, value = [], 0
        for byte in self.content:
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                arcs.append(value)
                value = 0
        first = min(arcs[0] // 40, 2)
        return ".".join(map(str, [first, arcs[0] - 40 * first] + arcs[1:]))


class Certificate:
    def __init__(self, pem):
        self.der = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
        whole = Der(self.der)
        assert whole.whole == self.der, "bytes behind the certificate"
        tbs, self.algorithm, self.signature = whole.parts()
        (self.version, self.serial, self.inner_algorithm, self.issuer, validity, self.subject,
         self.key, extensions) = tbs.parts()
        self.not_before, self.not_after = validity.parts()
        assert extensions.tag == 0xA3
        self.extensions = {}
        for extension in extensions.parts()[0].parts():
            parts = extension.parts()
            assert parts[0].oid() not in self.extensions, "an extension twice"
            critical = len(parts) == 3
            assert not critical or parts[1].content == b"\xff"
            self.extensions[parts[0].oid()] = (critical, parts[-1].content)

    def names(self):
        out = []
        for rdn in self.subject.parts():
            kind, value = rdn.parts()[0].parts()
            out.append((kind.oid(), value.tag, value.content.decode()))
        return out


def run(*command):
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def check_common(tally, name, cert):
    tally.check(name + ": version 3", cert.version.content, b"\x02\x01\x02")
    tally.check(name + ": serial number is positive, at most 20 octets",
                cert.serial.content[0] < 0x80 and 1 <= len(cert.serial.content) <= 20, True)
    tally.check(name + ": serial number is not small", len(cert.serial.content) >= 8, True)
    tally.check(name + ": ECDSA with SHA-256, without parameters",
                [p.oid() for p in cert.algorithm.parts()], [ES256])
    tally.check(name + ": both algorithms agree", cert.algorithm.whole, cert.inner_algorithm.whole)
    tally.check(name + ": notBefore is UTCTime", cert.not_before.tag, 0x17)
    tally.check(name + ": notAfter", (cert.not_after.tag, cert.not_after.content),
                (0x18, b"99991231235959Z"))
    kind, point = cert.key.parts()
    tally.check(name + ": P-256", [p.oid() for p in kind.parts()], [EC_KEY, P256])
    tally.check(name + ": uncompressed point", (point.content[:2], len(point.content)),
                (b"\0\x04", 66))


def check_authority(tally, name, cert, issuer, path_length, company):
    check_common(tally, name, cert)
    critical, basic = cert.extensions[BASIC]
    want = b"\x30\x03\x01\x01\xff" if path_length is None else bytes(
        [0x30, 6, 1, 1, 0xFF, 2, 1, path_length])
    tally.check(name + ": basicConstraints", (critical, basic), (True, want))
    tally.check(name + ": keyUsage keyCertSign, cRLSign", cert.extensions[USAGE],
                (True, b"\x03\x02\x01\x06"))
    tally.check(name + ": issuer", cert.issuer.whole, issuer.subject.whole)
    tally.check(name + ": authority key id is the issuer's", cert.extensions[AKI][1][4:],
                issuer.extensions[SKI][1][2:])
    tally.check(name + ": organization", (ORGANIZATION, UTF8, company) in cert.names(), True)
    tally.check(name + ": purpose without digest (SPEC 7-4)", cert.extensions[OWN + ".1"],
                (False, b"\x30\x03\x0a\x01\x00"))
    tally.check(name + ": no other extension", set(cert.extensions),
                {BASIC, USAGE, SKI, AKI, OWN + ".1"})


def check_device(tally, name, cert, sub_ca, shown):
    """IEEE 802.1AR-2018 section 8, RFC 5280 section 4.1 and 4.2."""
    check_common(tally, name, cert)
    serial = shown["serial"]
    tally.check(name + ": issuer is the sub-CA", cert.issuer.whole, sub_ca.subject.whole)
    tally.check(name + ": subject is not empty", len(cert.names()) > 0, True)
    tally.check(name + ": subject has one serialNumber, a PrintableString",
                [n for n in cert.names() if n[0] == SERIAL], [(SERIAL, PRINTABLE, serial)])
    tally.check(name + ": subject has the company",
                (ORGANIZATION, UTF8, shown["company"]) in cert.names(), True)
    tally.check(name + ": subject has a common name",
                (COMMON_NAME, UTF8, serial) in cert.names(), True)
    tally.check(name + ": serialNumber matches PrintableString",
                re.fullmatch(r"[A-Za-z0-9'()+,./:=? -]+", serial) is not None, True)
    critical, aki = cert.extensions[AKI]
    tally.check(name + ": authorityKeyIdentifier, not critical, key id of the sub-CA",
                (critical, aki[4:]), (False, sub_ca.extensions[SKI][1][2:]))
    tally.check(name + ": no subjectKeyIdentifier", SKI in cert.extensions, False)
    tally.check(name + ": keyUsage digitalSignature, critical", cert.extensions[USAGE],
                (True, b"\x03\x02\x07\x80"))
    tally.check(name + ": no basicConstraints: an end entity", BASIC in cert.extensions, False)
    critical, san = cert.extensions[SAN]
    tally.check(name + ": subjectAltName not critical: there is a subject", critical, False)
    other, = Der(san).parts()
    kind, value = other.parts()
    tally.check(name + ": otherName is HardwareModuleName", (other.tag, kind.oid(), value.tag),
                (0xA0, HARDWARE_MODULE_NAME, 0xA0))
    module, = value.parts()
    hardware, number = module.parts()
    tally.check(name + ": hwType (SPEC 7-13)", hardware.oid(), OWN + ".2")
    tally.check(name + ": hwSerialNum", (number.tag, number.content), (4, serial.encode()))
    critical, binding = cert.extensions[OWN + ".1"]
    purpose, digest = Der(binding).parts()
    tally.check(name + ": binding (SPEC 7-4)",
                (critical, purpose.whole, digest.tag, len(digest.content)),
                (False, b"\x0a\x01\x00", 4, 32))
    tally.check(name + ": no other extension", set(cert.extensions),
                {AKI, USAGE, SAN, OWN + ".1"})
    made = datetime.datetime.strptime(cert.not_before.content.decode(), "%y%m%d%H%M%SZ")
    tally.check(name + ": notBefore is when it was made", made.isoformat() + "Z",
                shown["made_at"])
    spki = base64.b64decode("".join(shown["device_key"]["public_key"].strip().splitlines()[1:-1]))
    tally.check(name + ": the key is the stamp's", cert.key.whole, spki)
    tally.check(name + ": size as 802.1AR certificates have it", len(cert.der) - 4 * len(serial) < 650, True)
    no_arc = [arc for oid in cert.extensions for arc in oid.split(".") if int(arc) >= 1 << 31]
    tally.check(name + ": no arc of 2^31 or more", no_arc, [])


def check_tools(tally, name, leaf, sub_ca, root):
    tally.check(name + ": openssl verify -x509_strict", *run_ok(
        "openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", root, "-untrusted",
        sub_ca, leaf))
    chain = leaf + ".chain"
    with open(chain, "w", encoding="ascii") as out:
        for part in (leaf, sub_ca, root):
            with open(part, encoding="ascii") as file:
                out.write(file.read())
    tally.check(name + ": certtool --verify", *run_ok(
        "certtool", "--verify", "--load-ca-certificate", root, "--infile", chain))
    tally.check(name + ": certtool --certificate-info", *run_ok(
        "certtool", "--certificate-info", "--infile", leaf))
    ok, said = run("openssl", "verify", "-x509_strict", "-CAfile", root, leaf)
    tally.check(name + ": not without the sub-CA", (ok, "unable to get" in said), (False, True))


def run_ok(*command):
    ok, said = run(*command)
    return (ok or said), True


def main():
    tally, stamp = Tally(), os.path.abspath(sys.argv[1])
    os.environ.pop("DEVSTAMP_DIR", None)
    with tempfile.TemporaryDirectory() as tmp:
        os.chdir(tmp)
        company = "Beispiel \u00dc\u4e2d GmbH"
        subprocess.run([stamp, "init", "desk", "--company", company, "--product", "Lamp"],
                       check=True, capture_output=True)
        os.chdir("desk")
        with open("root.pem", encoding="ascii") as file:
            root = Certificate(file.read())
        with open("sub-ca.pem", encoding="ascii") as file:
            sub_ca = Certificate(file.read())
        check_authority(tally, "root", root, root, None, company)
        check_authority(tally, "sub-CA", sub_ca, root, 0, company)
        tally.check("openssl verify -x509_strict: sub-CA", *run_ok(
            "openssl", "verify", "-x509_strict", "-CAfile", "root.pem", "sub-ca.pem"))
        long_serial = "S" * 40 + "'()+,-./:=?" + "9" * 13
        for number, serial in enumerate(("A", "SN-0042", long_serial)):
            path = "%d.bin" % number
            subprocess.run([stamp, "make", "--serial", serial, "-o", path], check=True,
                           capture_output=True)
            shown = json.loads(subprocess.run([stamp, "show", "--json", path], check=True,
                                              capture_output=True).stdout)
            leaf = "%d.pem" % number
            with open(leaf, "w", encoding="ascii") as file:
                file.write(shown["certificates"][0])
            name = "device %d" % number
            check_device(tally, name, Certificate(shown["certificates"][0]), sub_ca, shown)
            tally.check(name + ": chain is leaf and sub-CA",
                        Certificate(shown["certificates"][1]).der, sub_ca.der)
            check_tools(tally, name, leaf, "sub-ca.pem", "root.pem")
        os.chdir("/")
    return tally.end(least=100)


if __name__ == "__main__":
    sys.exit(main())
