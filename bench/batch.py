"""Batches: how fast they are made beside the crypto alone, measured before and after in the same run,
and what they take of memory and disk. Used by scripts/bench.
"""

import os
import statistics
import struct
import subprocess
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
STAMP = os.path.join(BUILD, "stamp")

# The least that a ratio may be, or the most that a size may be.
LEAST = {"batch_create": 0.80, "batch_create_postgres": 0.60}
MOST_RSS_KIB = 65536
MOST_BYTES = {"sqlite": 900, "postgres": 1200}
MOST_FILE = 1.15


def run(*args, **more):
    return subprocess.run(args, check=True, capture_output=True, text=True, **more).stdout


def limit():
    return float(run(os.path.join(BUILD, "bench", "limit"), "2"))


def station(where):
    key, pem = os.path.join(where, "line.key"), os.path.join(where, "line.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
        "-keyout", key, "-out", pem, "-subj", "/CN=line", "-addext", "keyUsage=critical,keyAgreement")
    os.chmod(key, 0o600)
    return key, pem


def headquarters(where, url):
    desk = os.path.join(where, "hq")
    run(STAMP, "init", desk, "--company", "Bench", "--product", "Bench", *(["--registry", url] if url else []))
    profile = os.path.join(desk, "devstamp.yaml")
    with open(profile, encoding="utf-8") as f:
        text = f.read()
    with open(profile, "w", encoding="utf-8") as f:
        f.write(text.replace("{counter:6}", "{counter:9}"))
    return desk


def measured(args):
    """Seconds, and the most memory that it had, in KiB."""
    start = time.monotonic()
    with open(os.devnull, "w", encoding="ascii") as null:
        child = subprocess.Popen(args, stdout=null, stderr=null)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"bench: {' '.join(args)} exits {child.returncode}")
    return time.monotonic() - start, usage.ru_maxrss


def body_bytes(where, file, key, desk):
    """Mean length of an encoded stamp in it, of 64: they differ by a byte or two."""
    out = os.path.join(where, "images")
    os.mkdir(out)
    run(STAMP, "batch", "next", file, "--key", key, "--trust", os.path.join(desk, "root.pem"), "-n", "64", "-o", out)
    lengths = []
    for name in os.listdir(out):
        with open(os.path.join(out, name), "rb") as f:
            lengths.append(struct.unpack("<I", f.read(16)[12:])[0])
    return statistics.mean(lengths)


def database_bytes(desk, url):
    if url is None:
        return sum(os.path.getsize(os.path.join(desk, n)) for n in os.listdir(desk) if n.startswith("registry.db"))
    return int(run("psql", url, "-Atc", "SELECT pg_database_size(current_database())"))


def row(name, value, unit, most=None, peer=None, least=None, top=None):
    """`most`: what can be reached at all; `least`, `top`: our budget for the ratio or the value."""
    ratio = round(value / most, 4) if most else None
    meets = None
    if least is not None:
        meets = ratio >= least
    if top is not None:
        meets = value <= top
    return {"name": name, "value": round(value, 4), "unit": unit, "limit": most and round(most, 1), "ratio": ratio,
            "peer": peer and round(peer, 1), "peer_ratio": peer and round(value / peer, 1),
            "budget": least if least is not None else top, "meets": meets}


def create(count, rounds, peer, url=None, check=False):
    """`stamp batch create` of so many on fresh books, between two measurements of the limit."""
    rates, limits, memory = [], [], []
    backend = "postgres" if url else "sqlite"
    name = "batch_create" + ("_postgres" if url else "")
    results = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as where:
            if url:
                run("psql", url, "-qc", "DROP SCHEMA public CASCADE", "-c", "CREATE SCHEMA public")
            desk = headquarters(where, url)
            key, pem = station(where)
            file = os.path.join(where, "a.batch")
            empty = database_bytes(desk, url)
            before = limit()
            seconds, kib = measured([STAMP, "-C", desk, "batch", "create", "--product", "Bench", "--count", str(count),
                                     "--station", pem, "-o", file])
            limits.append((before + limit()) / 2)
            rates.append(count / seconds)
            memory.append(kib)
            if len(rates) < rounds:
                continue
            size = (database_bytes(desk, url) - (empty if url else 0)) / count
            share = os.path.getsize(file) / count / body_bytes(where, file, key, desk)
            if check:
                found = run(os.path.join(BUILD, "test", "batch_check"), desk, key, file).strip()
                print(f"{found} stamps opened: serials, keys, certificate serials distinct; each on the books, each "
                      "certificate signed by the sub-CA for the key in the stamp")
            results += [
                row(f"{name}_{count}", statistics.median(rates), "stamps/s",
                    statistics.median(limits), peer, LEAST[name]),
                row(f"{name}_{count}_memory", max(memory), "KiB", top=MOST_RSS_KIB),
                row(f"{name}_{count}_books", size, "bytes/dev", top=MOST_BYTES[backend]),
                row(f"{name}_{count}_file", share, "x stamps", top=MOST_FILE),
            ]
    return results


def speeds():
    """What `openssl speed` says, for comparison."""
    cores = str(os.cpu_count())
    out = run("openssl", "speed", "-multi", cores, "-seconds", "1", "ecdsap256", "ecdhp256", cwd=BUILD)
    for line in out.splitlines():
        if line.strip().startswith("256 bits ec"):
            print(f"openssl speed -multi {cores}: {' '.join(line.split())}")
