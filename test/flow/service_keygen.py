"""A device that has its key made (EST serverkeygen, RFC 7030 4.4), and opens what it gets.

usage: service_keygen.py URL CA.pem DIR SUB-CA.pem OUT [--op PATH] [--id own|own256|other|shared|none]

DIR has key.pem and cert.pem, that it shows and that the key is sealed to. Prints "STATUS 200" and
what kind of key came, or the server's sentence; OUT.key and OUT.pem are what it got.
"""

import argparse
import base64
import email
import hashlib
import http.client
import ssl
import subprocess
import sys
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ASYMMETRIC = "1.2.840.113549.1.9.16.2.54"
SHARED = "1.2.840.113549.1.9.16.2.37"


def der(tag, body):
    length = bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)]) if len(body) < 256 else \
        bytes([0x82]) + len(body).to_bytes(2, "big")
    return bytes([tag]) + length + body


def request(attributes):
    """A PKCS#10 whose key and signature are of no use: the server is to ignore them."""
    key = ec.generate_private_key(ec.SECP384R1())
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = b"".join(der(0x30, encode_oid(oid) + der(0x31, der(0x04, value))) for oid, value in attributes)
    info = der(0x30, der(0x02, b"\0") + der(0x30, b"") + spki + der(0xA0, body))
    return der(0x30, info + der(0x30, encode_oid("1.2.840.10045.4.3.2")) + der(0x03, b"\0none"))


def encode_oid(dotted):
    arcs = [int(a) for a in dotted.split(".")]
    out = bytes([arcs[0] * 40 + arcs[1]])
    for arc in arcs[2:]:
        part = [arc & 127]
        while arc := arc >> 7:
            part.append(arc & 127 | 128)
        out += bytes(reversed(part))
    return der(0x06, out)


def openssl(*args, data):
    return subprocess.run(["openssl", *args], input=data, check=True, stdout=subprocess.PIPE).stdout


def main():
    p = argparse.ArgumentParser()
    for name in ("url", "ca", "dir", "sub_ca", "out"):
        p.add_argument(name)
    p.add_argument("--op", default="serverkeygen")
    p.add_argument("--id", default="own")
    a = p.parse_args()
    with open(a.out + ".cas", "wb") as f:  # who may have signed the key: as the client knows the authorities
        f.write(open(a.ca, "rb").read() + open(a.sub_ca, "rb").read())
    cert = x509.load_pem_x509_certificate(open(a.dir + "/cert.pem", "rb").read())
    point = cert.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    attributes = {"own": [(ASYMMETRIC, hashlib.sha1(point).digest())],
                  "own256": [(ASYMMETRIC, hashlib.sha256(point).digest()[:20])],
                  "other": [(ASYMMETRIC, b"x" * 20)],
                  "shared": [(SHARED, b"a key of both")],
                  "none": []}[a.id]
    context = ssl.create_default_context(cafile=a.ca)
    context.load_cert_chain(a.dir + "/cert.pem", a.dir + "/key.pem")
    url = urllib.parse.urlparse(a.url)
    c = http.client.HTTPSConnection(url.hostname, url.port, context=context)
    c.request("POST", url.path + "/" + a.op, base64.b64encode(request(attributes)),
              {"Content-Type": "application/pkcs10"})
    answer = c.getresponse()
    body = answer.read()
    print("STATUS", answer.status)
    if answer.status != 200:
        print(body.decode())
        return
    message = email.message_from_bytes(b"Content-Type: " + answer.getheader("Content-Type").encode() + b"\n\n" + body)
    parts = message.get_payload()
    if [len(parts), parts[1].get_content_type()] != [2, "application/pkcs7-mime"]:
        sys.exit("not two parts")
    key = parts[0].get_payload(decode=True)
    kind = parts[0].get_content_type(), parts[0].get_param("smime-type")
    if kind == ("application/pkcs8", None):
        print("a key in the clear")
    elif kind == ("application/pkcs7-mime", "server-generated-key"):
        signed = openssl("cms", "-decrypt", "-inform", "DER", "-inkey", a.dir + "/key.pem", "-recip",
                         a.dir + "/cert.pem", data=key)
        info = der(0x30, encode_oid("1.2.840.113549.1.7.2") + der(0xA0, signed))
        package = openssl("cms", "-verify", "-inform", "DER", "-CAfile", a.out + ".cas", data=info)
        key = package[3:] if package[1] == 0x81 else package[2:]
        if der(0x30, key) != package:
            sys.exit("not a package of one key")
        print("a key that was sealed")
    else:
        sys.exit(f"a key of type {kind}")
    key = serialization.load_der_private_key(key, None)
    certs = openssl("pkcs7", "-inform", "DER", "-print_certs", data=parts[1].get_payload(decode=True))
    new = x509.load_pem_x509_certificate(certs)
    if new.public_key().public_numbers() != key.public_key().public_numbers():
        sys.exit("the certificate is of another key")
    if new.subject != cert.subject:
        sys.exit("the certificate is another's")
    assert isinstance(new.signature_hash_algorithm, hashes.SHA256)
    open(a.out + ".pem", "wb").write(new.public_bytes(serialization.Encoding.PEM))
    open(a.out + ".key", "wb").write(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


main()
