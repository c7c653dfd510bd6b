#!/usr/bin/python3
"""A device as the service sees it: its key and certificates out of a stamp's image.

usage: service_device.py IMAGE DIR    writes DIR/key.pem, DIR/cert.pem (leaf and its chain)
"""
import os
import struct
import sys

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

image, out = sys.argv[1:]
data = open(image, "rb").read()
body = cbor2.loads(data[128:128 + struct.unpack("<I", data[12:16])[0]])
key = ec.derive_private_key(int.from_bytes(body[48][-1], "big"), ec.SECP256R1())
os.makedirs(out, exist_ok=True)
with open(out + "/key.pem", "wb") as f:
    f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()))
with open(out + "/cert.pem", "wb") as f:
    for der in body[49]:
        f.write(x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM))
