"""usage: station_forge.py CA-PEM TBS-OUT                     writes what is to be signed; prints the point
          station_forge.py TBS SIGNATURE CERT-PEM-OUT         puts a certificate together

A certificate in the name of a station's CA, for a key of one's own: made past the station's
software, by somebody who has its token and PIN. The token signs in between.
"""

import base64
import datetime
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID


def length(n):
    return bytes([n]) if n < 128 else bytes([0x82, n >> 8, n & 255])


def to_be_signed(ca_path, tbs_path):
    with open(ca_path, "rb") as f:
        ca = x509.load_pem_x509_certificate(f.read())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, "SN-202648-000003R")]))
            .issuer_name(ca.subject).public_key(key.public_key()).serial_number(77)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256()))
    with open(tbs_path, "wb") as f:
        f.write(cert.tbs_certificate_bytes)
    print(key.public_key().public_bytes(serialization.Encoding.X962,
                                        serialization.PublicFormat.UncompressedPoint).hex())


def put_together(tbs_path, sig_path, out_path):
    with open(tbs_path, "rb") as f:
        tbs = f.read()
    with open(sig_path, "rb") as f:
        raw = f.read()
    sig = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    body = tbs + bytes.fromhex("300a06082a8648ce3d040302") + b"\x03" + length(len(sig) + 1) + b"\0" + sig
    der = b"\x30" + length(len(body)) + body
    with open(out_path, "w", encoding="ascii") as f:
        text = base64.b64encode(der).decode()
        f.write("-----BEGIN CERTIFICATE-----\n")
        f.write("".join(text[i:i + 64] + "\n" for i in range(0, len(text), 64)))
        f.write("-----END CERTIFICATE-----\n")


if len(sys.argv) == 3:
    to_be_signed(*sys.argv[1:])
else:
    put_together(*sys.argv[1:])
