"""Signatures, claims, binding and chains: SPEC.md sections 6 to 8, from that text alone."""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import ExtensionOID

from image_format import NotAuthentic
from strict_cbor import head

OWN_OID = "1.2.840.113556.1.8000.2554.37814.16545.17066.18216.35878.28763.12531.52370.1"


# --- what is signed (sections 6, 7, 8) -------------------------------------------------------


def sig_structure(label, payload):
    """SPEC 6-3, written out by hand: four elements, all of them strings."""
    parts = ((3, b"Signature1"), (2, bytes.fromhex("a10126")), (2, label), (2, payload))
    return b"\x84" + b"".join(head(major, len(data)) + data for major, data in parts)


def signature_holds(key, signature, label, payload):
    rs = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key.verify(utils.encode_dss_signature(*rs), sig_structure(label, payload),
                   ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def claims(items):
    """SPEC 7-1, 7-2, 7-8: the claims map of a birth stamp."""
    parts = []
    for key in sorted(items):
        raw = items[key][0]
        if key <= 31:
            parts.append(head(0, key) + raw)
        elif key <= 47:
            parts.append(head(0, key) + head(2, 32) + hashlib.sha256(raw).digest())
    return head(5, len(parts)) + b"".join(parts)


def claims_digest(encoded):
    return hashlib.sha256(b"devstamp claims 1" + encoded).digest()


def point_of(key):
    return key.public_bytes(serialization.Encoding.X962,
                            serialization.PublicFormat.UncompressedPoint)


def load_certificate(der):
    return x509.load_der_x509_certificate(der)


def binding(cert):
    """SPEC 7-4, 7-5: (purpose, digest or None); None where a certificate states nothing."""
    found = []
    for ext in cert.extensions:
        arcs = ext.oid.dotted_string.split(".")
        pen_form = (arcs[:6] == "1.3.6.1.4.1".split(".") and len(arcs) == 9
                    and arcs[7:] == ["33445", "1"])
        if ext.oid.dotted_string == OWN_OID or pen_form:
            found.append(ext)
    if not found:
        return None
    if len(found) > 1 or found[0].critical:
        raise NotAuthentic("the binding extension is there twice, or critical")
    der = found[0].value.value
    if (len(der) not in (5, 39) or der[:2] != bytes([0x30, len(der) - 2])
            or der[2:4] != b"\x0a\x01" or der[4] > 1
            or (len(der) == 39 and der[5:7] != b"\x04\x20")):
        raise NotAuthentic("the binding extension is malformed")
    return der[4], der[7:] if len(der) == 39 else None


# --- chain ----------------------------------------------------------------------------------


def issued(issuer, cert):
    """Whether the issuer's key signed cert."""
    key = issuer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(cert.signature, cert.tbs_certificate_bytes,
                       ec.ECDSA(cert.signature_hash_algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(cert.signature, cert.tbs_certificate_bytes, padding.PKCS1v15(),
                       cert.signature_hash_algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def extension(cert, oid):
    try:
        return cert.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None


def check_ca(cert, below):
    """RFC 5280 6.1.4 (k) to (n): `below` counts the CAs between this one and the leaf."""
    basic = extension(cert, ExtensionOID.BASIC_CONSTRAINTS)
    if basic is None or not basic.ca:
        raise NotAuthentic("an issuer is no CA")
    if basic.path_length is not None and below > basic.path_length:
        raise NotAuthentic("the chain is longer than an issuer allows")
    usage = extension(cert, ExtensionOID.KEY_USAGE)
    if usage is not None and not usage.key_cert_sign:
        raise NotAuthentic("an issuer may not sign certificates")


def check_one(cert, now):
    if not cert.not_valid_before <= now <= cert.not_valid_after:
        raise NotAuthentic("a certificate is not valid now")
    for ext in cert.extensions:
        if ext.critical and isinstance(ext.value, x509.UnrecognizedExtension):
            raise NotAuthentic("a critical extension is unknown")


def check_chain(ders, anchors, now):
    """Leaf first up to one of the anchors, which are not in the chain (SPEC 5-9, 7-9)."""
    certs = [load_certificate(der) for der in ders]
    if len(certs) > 1 and certs[-1] in anchors:
        certs.pop()
    tops = [a for a in anchors if a.subject == certs[-1].issuer and issued(a, certs[-1])]
    if not tops:
        raise NotAuthentic("the chain does not lead to a trusted certificate")
    path = certs + tops[:1]
    for i, cert in enumerate(path):
        check_one(cert, now)
        if i > 0:
            if path[i - 1].issuer != cert.subject or not issued(cert, path[i - 1]):
                raise NotAuthentic("the chain is broken at certificate %d" % i)
            check_ca(cert, i - 1)
    return path
