"""The transparency log, and what programs ask over the API.

usage: bench/log.py     prints the results as JSON; scripts/bench takes them along

BENCH_LOG_LEAVES, BENCH_SERVICE_DEVICES: how large a tree a proof is made in (10^8), how many devices there are (10^6).
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "bench"))
import service  # noqa: E402
from service import BUILD, DEVICES_MORE, STAMP, result, run  # noqa: E402

LOG = os.path.join(BUILD, "bench", "log")
LEAVES = int(os.environ.get("BENCH_LOG_LEAVES", "100000000"))
VERIFIED = 1000000
RUN = 16384  # devices that are issued together
PER_ISSUANCE = 2  # leaves: it was certified, and used


def log(work, what, n):
    out = subprocess.run([LOG, what, os.path.join(work, what + ".db"), str(n)], check=True, capture_output=True,
                         text=True).stdout
    return json.loads(out)


def tree(work):
    issued = service.issue(service.Service(os.path.join(work, "issue")), service.GROUP)
    us = 1e6 / issued["rate"]
    append = log(work, "append", 64000)
    added = PER_ISSUANCE * (max(append["queue_us"], 0) + append["grow_us"])
    proof = log(work, "proof", LEAVES)
    verify = log(work, "verify", VERIFIED)
    print(f"log: a leaf: {append['queue_us']:.1f} us in its transaction, {append['grow_us']:.1f} us in the tree with heads; "
          f"an issuance has {PER_ISSUANCE} and takes {us:.0f} us")
    print(f"log: a proof in {LEAVES} leaves: {proof['proof_us']:.0f} us, at worst {proof['worst_us']:.0f} us")
    print(f"log: {VERIFIED} leaves gone through: {verify['verify_s']:.2f} s; their hashes alone {verify['hashes_s']:.2f} s")
    return [
        result("log_append", round(added, 2), "us", limit=round(us, 1), ratio=round(added / us, 4), budget=0.1,
               meets=added <= us / 10),
        result(f"log_proof_{LEAVES}", round(proof["proof_us"], 1), "us", limit=1000, ratio=round(proof["proof_us"] / 1000, 4),
               budget=1, meets=proof["proof_us"] < 1000),
        result(f"log_verify_{VERIFIED}", round(verify["verify_s"], 3), "s", limit=verify["hashes_s"],
               ratio=round(verify["hashes_s"] / verify["verify_s"], 4), budget_s=5, meets=verify["verify_s"] < 5),
    ]


def asked(s, name, paths, threads, key):
    path = os.path.join(s.work, "paths")
    with open(path, "w", encoding="ascii") as out:
        out.write("\n".join(paths) + "\n")
    r = service.loaded(s, "api", threads, path, key)
    print(f"api: {name}: {r['rate']:.0f}/s with the clients on the same cores, {r['core']:.0f}/s for a core of the service; "
          f"p50 {r['p50_us'] / 1000:.2f} ms, p99 {r['p99_us'] / 1000:.2f} ms")
    return r


def batch(s):
    """A batch that is on the books; serials of it."""
    cert = os.path.join(s.work, "station.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=line",
                    "-days", "30", "-keyout", cert + ".key", "-out", cert, "-addext", "keyUsage=critical,keyAgreement"],
                   check=True, stderr=subprocess.DEVNULL)
    run("-C", s.ws, "batch", "create", "--product", "Bench", "--count", str(RUN), "--station", cert, "-o", os.path.join(s.work, "batch"))
    run("-C", s.ws, "log", "head")
    last = json.loads(run("-C", s.ws, "batch", "list", "--json"))[-1]["batch"]
    return [line.split(",")[0] for line in run("-C", s.ws, "registry", "list", "--csv", "-n", "500", "--batch", str(last)).split("\n")[1:-1]]


def api(work):
    s = service.Service(os.path.join(work, "api"))
    serials = [line.split(",")[0] for line in run("-C", s.ws, "registry", "list", "--csv", "-n", "500").split("\n")[1:-1]]
    service.fill(s, DEVICES_MORE)
    key_file = os.path.join(s.work, "key")
    run("-C", s.ws, "apikey", "add", "--role", "auditor", "-o", key_file)
    key = open(key_file, encoding="ascii").read().strip()
    of_a_run = batch(s)
    s.start()
    try:
        device = asked(s, "a device", ["/api/v1/devices/" + serial for serial in serials], 16, key)
        receipt = asked(s, f"a receipt of a device of a run of {RUN}",
                           [f"/api/v1/devices/{serial}/receipt" for serial in of_a_run], 1, key)
        rng = random.Random(1)
        pages = [f"/api/v1/devices?state=issued&limit=100&after=X-{rng.randrange(DEVICES_MORE):012}" for _ in range(500)]
        page = asked(s, f"a page of 100 of {DEVICES_MORE} devices", pages, 1, key)
        began = time.monotonic()
        exported = subprocess.Popen([STAMP, "registry", "export", "--server", "https://127.0.0.1:" + s.https, "--trust",
                                     s.ws + "/root.pem", "--api-key-file", key_file], stdout=subprocess.PIPE)
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: exported.stdout.read(1 << 20), b""))
        _, status, usage = os.wait4(exported.pid, 0)
        exported.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
    finally:
        s.stop()
    if exported.returncode != 0 or lines < DEVICES_MORE:
        sys.exit(f"bench: the export ended with {exported.returncode} after {lines} lines")
    print(f"api: export of {lines - 1} devices: {seconds:.1f} s, {(lines - 1) / seconds:.0f}/s, {usage.ru_maxrss >> 10} MiB")
    return [
        result("api_device", round(device["core"], 1), "1/s", limit=5000, ratio=round(device["core"] / 5000, 4), budget=1, meets=device["core"] >= 5000,
               rate=device["rate"]),
        result(f"api_receipt_{RUN}", round(receipt["p50_us"] / 1000, 3), "ms", p99_us=receipt["p99_us"]),
        result(f"api_page_{DEVICES_MORE}", round(page["p50_us"] / 1000, 3), "ms", limit=20,
               ratio=round(page["p50_us"] / 20000, 4), budget=1, meets=page["p50_us"] < 20000, p99_us=page["p99_us"]),
        result(f"api_export_{DEVICES_MORE}", round((lines - 1) / seconds, 1), "1/s", peak_mib=usage.ru_maxrss >> 10),
    ]


def measure():
    with tempfile.TemporaryDirectory(dir=BUILD) as work:
        return tree(work) + api(work)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
