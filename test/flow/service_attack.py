"""Clients of the service that behave badly: malformed bodies without end, pipelined and half-closed connections,
headers and bodies that are too long.

usage: service_attack.py HOST:PORT ROOT.pem DIR COUNT

DIR has key.pem and cert.pem of a device. Prints how many answers of which status there were; fails where one is none
of those that a bad request may get.
"""

import base64
import collections
import random
import socket
import ssl
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PATHS = {"/.well-known/est/simpleenroll": "application/pkcs10", "/.well-known/est/simplereenroll": "application/pkcs10",
         "/.well-known/est/serverkeygen": "application/pkcs10", "/api/v1/station/sign": "application/cbor",
         "/ocsp": "application/ocsp-request"}


class Client:
    def __init__(self, at, root, directory):
        host, port = at.rsplit(":", 1)
        context = ssl.create_default_context(cafile=root)
        context.load_cert_chain(directory + "/cert.pem", directory + "/key.pem")
        self.socket = context.wrap_socket(socket.create_connection((host, int(port)), timeout=20), server_hostname=host)
        self.left = b""

    def send(self, path, body, content, method="POST", more=b""):
        head = "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n" % (method, path, content)
        try:
            self.socket.sendall(head.encode() + more + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        except OSError:
            pass  # it hung up; what it said before is read

    def read(self):
        """The status of one answer; 0: the connection ended."""
        try:
            while b"\r\n\r\n" not in self.left:
                more = self.socket.recv(65536)
                if not more:
                    return 0
                self.left += more
            head, self.left = self.left.split(b"\r\n\r\n", 1)
            length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                           if line.startswith(b"content-length:")), 0)
            while len(self.left) < length:
                more = self.socket.recv(65536)
                if not more:
                    return 0
                self.left += more
        except OSError:
            return 0
        self.left = self.left[length:]
        return int(head.split()[1])


def good_request(directory):
    own = x509.load_pem_x509_certificate(open(directory + "/cert.pem", "rb").read())
    key = ec.generate_private_key(ec.SECP256R1())
    return x509.CertificateSigningRequestBuilder().subject_name(own.subject).sign(
        key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def spoil(good, dice):
    """Something that was once a request."""
    what = dice.randrange(6)
    if what == 0:
        return dice.randbytes(dice.randrange(1, 600))
    if len(good) < 8:
        return good + b"!"
    if what == 1:
        return good[:dice.randrange(1, len(good))]
    if what == 2:
        return good + dice.randbytes(dice.randrange(1, 30))
    data = bytearray(good)
    if what == 3:  # lengths that lie
        data[dice.choice([1, 2, 4, 5, 6])] = dice.randrange(256)
    else:
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def same(body, good):
    """Spoilt, and still the same: bits that base64 does not use, or what is between its characters."""
    try:
        return base64.b64decode(body) == good
    except ValueError:
        return False


def malformed(connect, good, count):
    dice = random.Random(20261129)
    statuses = collections.Counter()
    client = connect()
    at = 0
    while at < count:
        path = dice.choice(list(PATHS))
        body = spoil(good, dice)
        raw = path in ("/api/v1/station/sign", "/ocsp")
        if not raw:
            body = base64.b64encode(body)
            if dice.randrange(10) == 0:
                body = spoil(body, dice)
            if same(body, good):
                continue
        client.send(path, body, PATHS[path])
        status = client.read()
        statuses[status] += 1
        if status not in (200, 400, 403, 413, 429) or status == 200 and path != "/ocsp":
            sys.exit(f"{path}: status {status} to {body.hex()}")
        at += 1
        if at % 997 == 0:
            client = connect()
    return statuses


def malformed_json(connect, count):
    """Orders of batches, with a key that nobody has: what is no order is 400, what is one 401."""
    good = (b'{"product":"Sensor","count":12,"stations":["' + b"0123456789abcdef" * 4 + b'"],"note":"x"}')
    more = b"Authorization: Bearer " + b"A" * 43 + b"\r\nIdempotency-Key: spoilt\r\n"
    dice = random.Random(20261130)
    statuses = collections.Counter()
    client = connect()
    for at in range(1, count + 1):
        body = good if dice.randrange(20) == 0 else spoil(good, dice)
        client.send("/api/v1/batches", body, "application/json", more=more)
        status = client.read()
        statuses[status] += 1
        if status not in (400, 401):
            sys.exit(f"an order: status {status} to {body.hex()}")
        if at % 997 == 0:
            client = connect()
    if not (statuses[400] and statuses[401]):
        sys.exit(f"orders: {statuses}")
    return statuses


def expect(what, got, wanted):
    if got not in wanted:
        sys.exit(f"{what}: {got}, not {wanted}")
    print(f"{what}: {got}")


def main():
    at, root, directory, count = sys.argv[1:]
    good = good_request(directory)
    body = base64.b64encode(good)
    enroll, kind = "/.well-known/est/simpleenroll", "application/pkcs10"

    def connect():
        return Client(at, root, directory)

    print(dict(malformed(connect, good, int(count))))
    print(dict(malformed_json(connect, int(count) // 4)))

    c = connect()  # three at once; the answers come in their order
    c.send("/.well-known/est/cacerts", b"", kind, "GET")
    c.send(enroll, body, kind)
    c.send("/nowhere", b"", kind, "GET")
    expect("pipelined", [c.read(), c.read(), c.read()], [[200, 200, 404]])

    c = connect()  # who asks, and listens no more
    c.send(enroll, body, kind)
    c.socket.unwrap().close()
    c = connect()  # who asks, and says no more
    c.send(enroll, body, kind)
    c.socket.shutdown(socket.SHUT_WR)
    expect("half-closed", c.read(), [0, 200])
    c = connect()  # who ends in the middle
    c.socket.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 400\r\n\r\nMIIB" % enroll.encode())
    c.socket.close()
    c = connect()
    c.send(enroll, body, kind, more=b"X-Long: " + b"a" * 20000 + b"\r\n")
    expect("long headers", c.read(), [0, 400, 413, 431])
    c = connect()
    c.send(enroll, b"A" * 200000, kind)
    expect("long body", c.read(), [0, 413])
    c = connect()
    c.socket.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\nTransfer-Encoding: chunked\r\n"
                     b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (enroll.encode(), len(body), body))
    expect("in chunks", c.read(), [200])
    c = connect()
    c.socket.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n" % enroll.encode())
    expect("a chunk without end", c.read(), [0, 400, 413])
    c = connect()
    c.socket.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" % enroll.encode())
    expect("a negative length", c.read(), [0, 400])
    c = connect()
    c.socket.sendall(b"\x16\x03\x01" * 100 + b"\r\n\r\n")
    expect("no HTTP", c.read(), [0, 400])
    c = connect()
    c.send(enroll, body, kind)
    expect("and then a good one", c.read(), [200])


main()
