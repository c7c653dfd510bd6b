"""Keys and certificates of a foreign stamp writer (SPEC.md 7-4, 7-5, 5-9), with cryptography."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OWN_OID = "1.2.840.113556.1.8000.2554.37814.16545.17066.18216.35878.28763.12531.52370.1"
NOT_BEFORE = datetime.datetime(2024, 1, 1)
NOT_AFTER = datetime.datetime(9999, 12, 31, 23, 59, 59)  # 802.1AR: no expiry


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def scalar(key):
    return key.private_numbers().private_value.to_bytes(32, "big")


def point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962,
                                         serialization.PublicFormat.UncompressedPoint)


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def binding_der(purpose, digest=None):
    """SPEC 7-4."""
    inner = bytes([0x0A, 1, purpose])
    if digest is not None:
        inner += bytes([0x04, len(digest)]) + digest
    return bytes([0x30, len(inner)]) + inner


def name(common, serial=None):
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Foreign Works"),
             x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if serial is not None:
        parts.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial))
    return x509.Name(parts)


class Authority:
    """A CA: its key, its certificate, and what it issues."""

    def __init__(self, common, purpose, issuer=None, path_length=1, is_ca=True, oid=OWN_OID):
        self.key, self.name, self.oid = new_key(), name(common), oid
        signer = issuer or self
        builder = signer._start(self.name, self.key)
        builder = builder.add_extension(
            x509.BasicConstraints(is_ca, path_length if is_ca else None), True)
        builder = builder.add_extension(_usage(ca=is_ca), True)
        if purpose is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), binding_der(purpose)),
                False)
        self.cert = builder.sign(signer.key, hashes.SHA256())

    def _start(self, subject, key, until=NOT_AFTER):
        keyid = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        mine = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(NOT_BEFORE).not_valid_after(until)
                .add_extension(keyid, False).add_extension(mine, False))

    def leaf(self, key, serial, purpose=None, digest=None, until=NOT_AFTER):
        """A device's certificate; without purpose it binds nothing (SPEC 7-6)."""
        builder = self._start(name("device", serial), key, until)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(_usage(ca=False), True)
        if purpose is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(self.oid),
                                           binding_der(purpose, digest)), False)
        return der(builder.sign(self.key, hashes.SHA256()))

    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)


def _usage(ca):
    return x509.KeyUsage(digital_signature=not ca, content_commitment=False,
                         key_encipherment=False, data_encipherment=False, key_agreement=False,
                         key_cert_sign=ca, crl_sign=ca, encipher_only=False,
                         decipher_only=False)


def der(cert):
    return cert.public_bytes(serialization.Encoding.DER)
