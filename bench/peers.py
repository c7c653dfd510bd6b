"""Peers that issue certificates: golang-cfssl from Debian, a process for each device, and its server with
one keep-alive connection for each core. Keys are made there, too. Used by scripts/bench.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import tempfile
import threading
import time

SUBJECT = [{"O": "Peer"}]
KEY = {"algo": "ecdsa", "size": 256}


def authority(where):
    with open(os.path.join(where, "ca.json"), "w", encoding="ascii") as f:
        json.dump({"CN": "peer CA", "key": KEY, "names": SUBJECT}, f)
    made = json.loads(subprocess.run(["cfssl", "genkey", "-initca", "ca.json"], cwd=where, check=True,
                                     capture_output=True).stdout)
    for name, what in (("ca.pem", "cert"), ("ca.key", "key")):
        with open(os.path.join(where, name), "w", encoding="ascii") as f:
            f.write(made[what])


def one_by_one(seconds=3):
    """`cfssl gencert`, as many at a time as there are cores: devices a second."""
    with tempfile.TemporaryDirectory() as where:
        authority(where)
        with open(os.path.join(where, "dev.json"), "w", encoding="ascii") as f:
            json.dump({"CN": "SN-000001", "key": KEY, "names": SUBJECT, "hosts": [""]}, f)
        done = [0] * os.cpu_count()
        end = time.monotonic() + seconds

        def work(i):
            while time.monotonic() < end:
                subprocess.run(["cfssl", "gencert", "-ca", "ca.pem", "-ca-key", "ca.key", "dev.json"], cwd=where,
                               check=True, capture_output=True)
                done[i] += 1

        return rate(work, len(done), done)


def rate(work, n, done):
    start = time.monotonic()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sum(done) / (time.monotonic() - start)


def wait_for(port):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def tls_server():
    """`cfssl serve` over TLS, without a database: yields its port and the file of its CA."""
    with tempfile.TemporaryDirectory() as where:
        authority(where)
        for command in ("ecparam -name prime256v1 -genkey -noout -out tls.key",
                        "req -new -key tls.key -subj /CN=localhost -out tls.csr",
                        "x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3 -out tls.pem"):
            subprocess.run(["openssl", *command.split()], cwd=where, check=True, capture_output=True)
        port = free_port()
        process = subprocess.Popen(["cfssl", "serve", "-ca", "ca.pem", "-ca-key", "ca.key", "-address", "127.0.0.1",
                                    "-port", str(port), "-tls-cert", "tls.pem", "-tls-key", "tls.key", "-loglevel", "5"],
                                   cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield port, os.path.join(where, "ca.pem")
        finally:
            process.kill()
            process.wait()


def server(seconds=3):
    """`cfssl serve`: devices a second."""
    with tempfile.TemporaryDirectory() as where:
        authority(where)
        port = free_port()
        process = subprocess.Popen(["cfssl", "serve", "-ca", "ca.pem", "-ca-key", "ca.key", "-address", "127.0.0.1",
                                    "-port", str(port), "-loglevel", "5"], cwd=where,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            body = json.dumps({"request": {"CN": "SN-000001", "key": KEY, "names": SUBJECT, "hosts": [""]}})
            done = [0] * (2 * os.cpu_count())
            end = time.monotonic() + seconds

            def work(i):
                line = http.client.HTTPConnection("127.0.0.1", port)
                while time.monotonic() < end:
                    line.request("POST", "/api/v1/cfssl/newcert", body, {"Content-Type": "application/json"})
                    answer = json.loads(line.getresponse().read())
                    if not answer["success"]:
                        raise SystemExit(f"bench: cfssl says {answer['errors']}")
                    done[i] += 1
                line.close()

            return rate(work, len(done), done)
        finally:
            process.kill()
            process.wait()
