"""Two nodes of the service on one PostgreSQL, each on a core of its own, beside one of them.

usage: bench/nodes.py     prints the results as JSON; scripts/bench takes them along

Clients and database run on the same machine, and take more than the nodes do. Where it has cores for them all, each node is
bound to one. Where it has not, a node's core is a slow one: so much of a real one as leaves clients and database what they
need (a control group's quota), as what is asked is if two nodes do twice the work of one, and not how fast a core is. The
shares of nodes, database and clients are told with the rates; somebody must be idle, or it is not the nodes that were measured.
"""

import contextlib
import copy
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "bench"))
import service  # noqa: E402
from service import BUILD, children, cpu, result  # noqa: E402

THREADS = 16
CORES = 6  # two nodes, and what clients and database need
SLICE = 0.25  # of a core, where there are fewer
PERIOD_US = 100000


def quota(directory, share):
    """Whatever runs in this control group gets so much of one core: version 2's file, or version 1's."""
    files = {"cpu.max": f"{int(PERIOD_US * share)} {PERIOD_US}"}
    if not os.path.exists(os.path.join(directory, "cpu.max")):
        files = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(int(PERIOD_US * share))}
    for name, text in files.items():
        with open(os.path.join(directory, name), "w", encoding="ascii") as out:
            out.write(text)


@contextlib.contextmanager
def core(n):
    """What a command is to be started by, to have core n for itself."""
    if os.cpu_count() >= CORES:
        yield ["taskset", "-c", str(n)]
        return
    top = "/sys/fs/cgroup/cpu" if os.path.isdir("/sys/fs/cgroup/cpu") else "/sys/fs/cgroup"
    group = os.path.join(top, f"devstamp-bench-{os.getpid()}-{n}")
    try:
        os.mkdir(group)
        quota(group, SLICE)
    except OSError as e:
        sys.exit(f"bench: two nodes need {CORES} cores, or a control group: {e}")
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        for _ in range(100):  # its processes are ending
            with contextlib.suppress(OSError):
                os.rmdir(group)
                break
            time.sleep(0.1)


def machine():
    """Seconds of processor time that the machine has given, idle or not."""
    fields = [int(n) for n in open("/proc/stat", encoding="ascii").readline().split()[1:9]]
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(fields) / ticks, (fields[3] + fields[4]) / ticks


def load(nodes):
    """The clients of all nodes begin at once, when each of them has made what it will ask."""
    results = [None] * len(nodes)
    barrier = os.path.join(nodes[0].work, "begin")
    os.environ["EST_LOAD_BARRIER"] = barrier

    def one(i):
        results[i] = nodes[i].load("renew", THREADS)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(nodes))]
    for t in threads:
        t.start()
    while len(glob.glob(barrier + ".*")) < len(nodes):
        time.sleep(0.05)
    database = children(os.environ["STAMP_TEST_PG_PID"])
    own = [pid for node in nodes for pid in children(node.process.pid)]
    before = cpu(database), cpu(own), machine()
    with open(barrier, "wb"):
        pass
    for t in threads:
        t.join()
    for name in glob.glob(barrier + "*"):
        os.unlink(name)
    total = machine()[0] - before[2][0]
    return {"rate": sum(r["rate"] for r in results), "database": (cpu(database) - before[0]) / total,
            "nodes": (cpu(own) - before[1]) / total, "idle": (machine()[1] - before[2][1]) / total}


def halve(path):
    """Two files of devices, of one: a device that asks two nodes at once for different keys is refused by one of them."""
    data, records, at = open(path, "rb").read(), [], 0
    while at < len(data):
        end = at + 34 + int.from_bytes(data[at + 32:at + 34], "big")
        records.append(data[at:end])
        at = end
    halves = path + ".1", path + ".2"
    for i, name in enumerate(halves):
        with open(name, "wb") as out:
            out.write(b"".join(records[i::2]))
    return halves


def inner():
    with tempfile.TemporaryDirectory(dir=BUILD) as work, core(0) as own, core(1) as other_own:
        first = service.Service(os.path.join(work, "1"), os.environ["STAMP_TEST_PG"])
        first.fronts, first.before = 1, own
        service.run("-C", first.ws, "log", "head")
        first.devices, other = halve(first.devices)
        second = copy.copy(first)
        second.devices = other
        second.work, second.before = os.path.join(work, "2"), other_own
        os.makedirs(second.work)
        second.ws = os.path.join(second.work, "ws")
        shutil.copytree(first.ws, second.ws)
        first.start()
        second.start()
        try:  # one, two, one, two, ...: what the machine does meanwhile is in both
            rounds = [(load([first]), load([first, second])) for _ in range(service.ROUNDS)]
        finally:
            second.stop()
            first.stop()
    rounds.sort(key=lambda pair: pair[1]["rate"] / pair[0]["rate"])
    one, two = rounds[len(rounds) // 2]
    return {"one": one, "two": two}


def measure():
    done = subprocess.run([os.path.join(TOP, "test", "pg_server.sh"), sys.executable, "-B", os.path.abspath(__file__), "--inner"],
                          check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "STAMP_TEST_PG_DURABLE": "1"})
    r = json.loads(done.stdout.splitlines()[-1])
    for name, x in r.items():
        print(f"nodes: {name}: {x['rate']:.0f}/s; of the processors the database had {x['database']:.0%}, the nodes "
              f"{x['nodes']:.0%}, nobody {x['idle']:.0%}, the clients the rest")
    if os.cpu_count() < CORES:
        print(f"nodes: each had {SLICE} of a core")
    ratio = r["two"]["rate"] / r["one"]["rate"]
    return [result("nodes_2", round(r["two"]["rate"], 1), "1/s", limit=round(r["one"]["rate"], 1), ratio=round(ratio, 3),
                   budget=1.6, meets=ratio >= 1.6, database_one=round(r["one"]["database"], 3),
                   database_two=round(r["two"]["database"], 3))]


if __name__ == "__main__":
    print(json.dumps(inner() if sys.argv[1:] == ["--inner"] else measure(), indent=None if "--inner" in sys.argv else 1))
