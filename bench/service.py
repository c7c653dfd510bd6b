"""The service under load: clients on the same machine, on the same cores (bench/est_load.c).

usage: bench/service.py     prints the results as JSON; scripts/bench takes them along

The bound of what a new connection each can reach is the same client's handshakes alone against the same server. The
peer is cfssl's server without a database (bench/peers.py) under the same client; it asks for no client certificate.
"""

import base64
import glob
import json
import os
import re
import resource
import signal
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

import cbor2

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
STAMP = os.path.join(BUILD, "stamp")
LOAD = os.path.join(BUILD, "bench", "est_load")
ISSUE = os.path.join(BUILD, "bench", "issue")
DEVICES = 500
SECONDS = 4
ROUNDS = 3
REVOKED = 1000000
GROUP = 64
DEVICES_MORE = int(os.environ.get("BENCH_SERVICE_DEVICES", "1000000"))
sys.path.insert(0, os.path.join(TOP, "bench"))
import peers  # noqa: E402


class Service:
    """@param books  a database's URL; else a file. Fronts: one a core, unless told otherwise"""

    def __init__(self, work, books=None):
        self.work = work
        self.fronts = os.cpu_count()
        self.before = []  # of the command: what it is started by
        os.makedirs(work, exist_ok=True)
        self.ws = os.path.join(work, "ws")
        self.devices = os.path.join(work, "devices")
        run("init", self.ws, "--company", "Bench", "--product", "Bench", *(["--registry", books] if books else []))
        run("-C", self.ws, "make", "-n", str(DEVICES))
        with open(self.devices, "wb") as out:
            for path in sorted(glob.glob(self.ws + "/stamps/*.bin")):
                data = open(path, "rb").read()
                body = cbor2.loads(data[128:128 + struct.unpack("<I", data[12:16])[0]])
                self.last = body[49][0]
                out.write(body[48][-1] + struct.pack(">H", len(self.last)) + self.last)

    def start(self):
        self.log = open(os.path.join(self.work, "log"), "wb")
        self.process = subprocess.Popen(
            [*self.before, STAMP, "serve", self.ws, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--per-hour", "1000000", "--rate", "100000000",
             "--fronts", str(self.fronts)], stderr=self.log)
        for _ in range(1200):
            line = re.search(rb'"url":"https://[^"]*:(\d+)","http":"http://[^"]*:(\d+)"',
                             open(self.log.name, "rb").read())
            if line:
                self.https, self.http = line.group(1).decode(), line.group(2).decode()
                return
            time.sleep(0.05)
        sys.exit("bench: the service does not listen")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()

    def load(self, mode, threads, *more, at=None):
        """`at`: port and CA of another server."""
        port, ca = at or (self.http if mode == "ocsp" else self.https, self.ws + "/root.pem")
        done = subprocess.run([LOAD, mode, "127.0.0.1", str(port), ca, self.devices, str(threads), str(SECONDS), *more],
                              check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        if result["failed"]:
            sys.exit(f"bench: {result['failed']} requests of {mode} failed")
        return result

    def ocsp_path(self):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509 import ocsp as x509_ocsp
        ca = x509.load_pem_x509_certificate(open(self.ws + "/sub-ca.pem", "rb").read())
        question = x509_ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_der_x509_certificate(self.last), ca, hashes.SHA1()).build()
        der = question.public_bytes(serialization.Encoding.DER)
        return "/ocsp/" + urllib.parse.quote(base64.b64encode(der).decode(), safe="")

    def idle(self, count, meanwhile):
        """KiB that a front takes for each idle TLS connection; and what `meanwhile` gives while they are there."""
        fronts = subprocess.run(["pgrep", "-P", str(self.process.pid), "-f", "--", "--as front"], check=True,
                                capture_output=True, text=True).stdout.split()

        def held():
            text = "".join(open(f"/proc/{pid}/smaps_rollup").read() for pid in fronts)
            return sum(int(n) for n in re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE))
        before = held()
        client = subprocess.Popen([LOAD, "idle", "127.0.0.1", self.https, self.ws + "/root.pem", self.devices,
                                   str(count), "120"], stdout=subprocess.PIPE, text=True)
        opened = int(client.stdout.readline().split()[1])
        after = held()
        try:
            return opened, (after - before) / max(opened, 1), meanwhile()
        finally:
            client.kill()
            client.wait()


def run(*args):
    return subprocess.run([STAMP, *args], check=True, capture_output=True, text=True).stdout


def result(name, value, unit, **more):
    return {"name": name, "value": value, "unit": unit, "limit": None, "ratio": None, "peer": None,
            "peer_ratio": None, **more}


def say(name, r):
    print(f"service: {name}: {r['rate']:.0f}/s, p50 {r['p50_us'] / 1000:.1f} ms, p99 {r['p99_us'] / 1000:.1f} ms")


def children(pid):
    out = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [str(pid), *out]


def cpu(pids):
    """Seconds that processes have run: exactly, as what is held back so often is not there when a clock ticks."""
    ran = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                ran += int(open(path, encoding="ascii").read().split()[0])
            except OSError:
                continue
    return ran / 1e9


def loaded(service, *how):
    """Service.load(), with `core`: requests for a second of the service's own processor time."""
    pids = children(service.process.pid)
    before = cpu(pids)
    r = service.load(*how)
    return {**r, "core": r["requests"] / (cpu(pids) - before)}


def kept_alive(service, clients):
    """The median round."""
    r = sorted((loaded(service, "keepalive", clients) for _ in range(ROUNDS)), key=lambda r: r["rate"])[ROUNDS // 2]
    say(f"simplereenroll, keep-alive, {clients} clients", r)
    print(f"service:   {r['core']:.0f}/s for a core of the service, {r['rate']:.0f}/s with the clients on the same cores")
    return r


def connections(service):
    fresh = kept_alive(service, 64)  # devices have few keys yet
    rounds = [(service.load("handshake", 16), service.load("renew", 16)) for _ in range(ROUNDS)]
    ratio = statistics.median(renew["rate"] / shake["rate"] for shake, renew in rounds)
    shake, renew = sorted(rounds, key=lambda pair: pair[1]["rate"])[ROUNDS // 2]
    say("handshakes, 16 clients", shake)
    say("simplereenroll, a new mutual TLS connection each, 16 clients", renew)
    with peers.tls_server() as other:
        cfssl = sorted((service.load("cfssl", 16, at=other) for _ in range(ROUNDS)), key=lambda r: r["rate"])[ROUNDS // 2]
    say("cfssl, no database, a new TLS connection each, 16 clients", cfssl)
    # whatever serves them: the clients' own work fills the cores at this rate
    alone = os.cpu_count() * 1e6 / renew["own_us"]
    print(f"service:   the clients alone, renewing from a server that takes no time: {alone:.0f}/s; "
          f"1.5 x cfssl: {1.5 * cfssl['rate']:.0f}/s")
    keep, wide = kept_alive(service, 16), kept_alive(service, 64)
    flat = wide["core"] / fresh["core"]
    print(f"service: devices with hundreds of keys: {flat:.2f} of fresh ones' rate")
    return [
        result("simplereenroll_mtls_16", renew["rate"], "1/s", limit=shake["rate"], ratio=round(ratio, 4), budget=0.7,
               meets=ratio >= 0.7 and renew["p99_us"] < 50000, peer=cfssl["rate"],
               peer_ratio=round(renew["rate"] / cfssl["rate"], 2), peer_p99_us=cfssl["p99_us"],
               clients_alone=round(alone, 1), p50_us=renew["p50_us"], p99_us=renew["p99_us"]),
        result("simplereenroll_keepalive", round(keep["core"], 1), "1/s", limit=3000, ratio=round(keep["core"] / 3000, 4), budget=1,
               meets=keep["core"] >= 3000, p50_us=keep["p50_us"], p99_us=keep["p99_us"], in_all=keep["rate"]),
        result("simplereenroll_keepalive_64", round(wide["core"], 1), "1/s", limit=3000, ratio=round(wide["core"] / 3000, 4), budget=1,
               meets=wide["core"] >= 3000, p50_us=wide["p50_us"], p99_us=wide["p99_us"], in_all=wide["rate"]),
        result("simplereenroll_many_keys", round(flat, 3), "1", limit=1, ratio=round(flat, 3), budget=0.9, meets=flat >= 0.9),
    ]


def ocsp(service):
    r = service.load("ocsp", 4, service.ocsp_path())
    say("OCSP, keep-alive, 4 clients", r)
    least = 10000 * os.cpu_count()
    return [result("ocsp_presigned", r["rate"], "1/s", limit=least, ratio=round(r["rate"] / least, 4), budget=1,
                   meets=r["rate"] >= least, p50_us=r["p50_us"], p99_us=r["p99_us"])]


def idle(service):
    def others():  # once: whoever says nothing for 30 s is let go
        return service.load("renew", 16)["p99_us"] / 1000
    calm = statistics.median(others() for _ in range(ROUNDS))
    count, kib, beside = service.idle(10000, others)
    print(f"service: {count} idle TLS connections: {kib:.1f} KiB each; p99 of others {beside:.1f} ms, {calm:.1f} without")
    return [result("idle_connection", round(kib, 1), "KiB", limit=40, ratio=round(kib / 40, 3), budget=1,
                   meets=count == 10000 and kib < 40),
            result("idle_p99_of_others", round(beside, 1), "ms", limit=round(calm, 1), ratio=round(beside / calm, 3),
                   budget=1.2, meets=beside <= 1.2 * calm)]


def issue(service, group):
    out = subprocess.run([ISSUE, service.ws, service.devices, str(SECONDS), str(group)], check=True, capture_output=True,
                         text=True).stdout
    return json.loads(out)


def issuing(service):
    """Issued durably on one core, without TLS; and the same with many more devices on the books."""
    small = issue(service, GROUP)
    fill(service, DEVICES_MORE)
    large = issue(service, GROUP)
    small = sorted((small, issue(Service(os.path.join(service.work, "again")), GROUP)), key=lambda r: r["ratio"])[1]
    print(f"service: issued durably, one core, groups of {GROUP}: {small['rate']:.0f}/s, {small['ratio']:.3f} of "
          f"signatures checked; with {DEVICES_MORE} devices: {large['rate']:.0f}/s")
    flat = large["ratio"] / small["ratio"]
    return [
        result("issue_durable", small["rate"], "1/s", limit=small["verify"], ratio=small["ratio"], budget=0.4,
               meets=small["ratio"] >= 0.4),
        result(f"issue_flat_{DEVICES_MORE}", large["rate"], "1/s", limit=small["rate"], ratio=round(flat, 4), budget=0.9,
               meets=flat >= 0.9),
    ]


def fill(service, count):
    """So many devices more, as issuing leaves them, but for their certificates, which are short."""
    db = sqlite3.connect(service.ws + "/registry.db")
    db.execute("PRAGMA synchronous = OFF")
    base = 1 << 40
    step = (1 << 255) // count

    def key(i):
        return (i * step + 12345).to_bytes(32, "big")
    with db:
        db.executemany("INSERT INTO device (id, serial, state, fingerprint, certificate) VALUES (?, ?, 1, ?, x'3000')",
                       ((base + i, f"X-{i:012}", key(i)) for i in range(count)))
        db.executemany("INSERT INTO claim_serial (serial, device) VALUES (?, ?)",
                       ((f"X-{i:012}", base + i) for i in range(count)))
        db.executemany("INSERT INTO claim_key (fingerprint, device) VALUES (?, ?)",
                       ((key(i), base + i) for i in range(count)))
    db.close()
    os.sync()  # what is measured next does not wait for that


def revoked(service):
    """A list of a million, and one revocation more while the service runs."""
    db = sqlite3.connect(service.ws + "/registry.db")
    text = subprocess.run(["openssl", "x509", "-in", service.ws + "/sub-ca.pem", "-noout", "-ext", "subjectKeyIdentifier"],
                          check=True, capture_output=True, text=True).stdout
    ca = bytes.fromhex(text.split("\n")[1].strip().replace(":", ""))
    now = int(time.time())
    with db:
        db.executemany("INSERT INTO revocation (ca, serial, device, reason, at, not_after) VALUES (?, ?, 0, 1, ?, 0)",
                       ((ca, b"\x20" + i.to_bytes(15, "big"), now) for i in range(REVOKED)))
    db.close()
    os.sync()
    serials = run("-C", service.ws, "registry", "list", "--csv", "--limit", "20").split("\n")[1:11]
    service.start()
    time.sleep(5)  # it makes its list
    times, bare = [], []
    try:
        for line in serials:
            start = time.monotonic()
            run("-C", service.ws, "revoke", line.split(",")[0], "--reason", "keyCompromise")
            times.append(time.monotonic() - start)
            start = time.monotonic()  # the program and the books, without the revocation
            run("-C", service.ws, "registry", "show", line.split(",")[0])
            bare.append(time.monotonic() - start)
            time.sleep(2)  # it makes the next list
    finally:
        service.stop()
    ms = (statistics.median(times) - statistics.median(bare)) * 1000
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    run("-C", service.ws, "crl", "-o", os.path.join(service.work, "crl.der"))
    seconds = time.monotonic() - start
    size = os.path.getsize(os.path.join(service.work, "crl.der"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"service: a revocation with {REVOKED} revoked: {ms:.1f} ms; their list: {seconds:.2f} s, {size >> 20} MiB; "
          f"the largest process so far took {peak >> 10} MiB ({before >> 10} before)")
    return [result(f"revoke_{REVOKED}", round(ms, 2), "ms", limit=5, ratio=round(ms / 5, 3), budget=1, meets=ms < 5),
            result(f"crl_{REVOKED}", round(seconds, 2), "s", limit=5, ratio=round(seconds / 5, 3), budget=1,
                   meets=seconds < 5)]


def measure():
    with tempfile.TemporaryDirectory(dir=BUILD) as work:
        service = Service(work)
        service.start()
        try:
            results = connections(service) + ocsp(service) + idle(service)
        finally:
            service.stop()
        # each of its own: a device that was loaded has hundreds of certificates, which are revoked with it
        return results + revoked(Service(os.path.join(work, "revoked"))) + issuing(Service(os.path.join(work, "issuing")))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
