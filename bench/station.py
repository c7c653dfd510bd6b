"""A station: how fast it strikes 32 units at once, beside the token alone and the devices alone, what
its CPU takes of a unit, how it does with slow devices, and what a strike puts on the wire. Used by
scripts/bench; alone: /usr/bin/python3 -B bench/station.py

The bound: a token signs and counts once a unit, one after the other (plain PKCS #11 calls in a loop,
bench/token_loop.c); the devices compute on this machine's cores, and how fast they are there says a
client that asks the same of them with neither journal nor token (bench/units.c). The slower of both is
the bound. Their own CPU time, as the kernel counts it, is printed beside it.
"""

import base64
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
STAMP = os.path.join(BUILD, "stamp")
AGENT = os.path.join(BUILD, "stamp-agent")
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "48151623"
UNITS = 32
ROUNDS = 3
SLOW_KEY_MS = 2000
BAUD = 115200
BITS = 10  # a byte on a serial line: start, 8, stop

# The least that a ratio may be, or the most that a value may be.
LEAST_OF_BOUND = 0.90
MOST_BEYOND_SLOWEST_S = 3.0
MOST_WIRE_S = 1.6


def run(*args, **more):
    return subprocess.run(args, check=True, capture_output=True, text=True, **more).stdout


class Factory:
    """Headquarters, a token, and a station that is enrolled, in a folder of their own."""

    def __init__(self, work):
        self.work = work
        tokens = os.path.join(work, "tokens")
        os.mkdir(tokens)
        conf = os.path.join(work, "softhsm2.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.env = {**os.environ, "SOFTHSM2_CONF": conf}
        self.pin = self.path("pin")
        with open(os.open(self.pin, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(PIN + "\n")
        self.run("softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", PIN, "--so-pin", "87654321")
        self.run(STAMP, "init", self.path("hq"), "--company", "Bench", "--product", "Bench")
        self.run(STAMP, "station", "init", self.path("site"), "--pin-file", self.pin, "--token",
                 f"pkcs11:token=bench?module-path={MODULE}")
        told = self.run(STAMP, "-C", self.path("hq"), "station", "enrol", self.path("site/station.csr"), "-o",
                        self.path("site.pem"))
        self.owner = next(line.split()[1] for line in told.splitlines() if line.startswith("owner "))
        self.run(STAMP, "station", "init", self.path("site"), "--cert", self.path("site.pem"))
        self.orders = 0

    def path(self, name):
        return os.path.join(self.work, name)

    def run(self, *args):
        return run(*args, env=self.env, cwd=self.work)

    def order(self, count):
        self.orders += 1
        name = self.path(f"order-{self.orders}")
        self.run(STAMP, "-C", self.path("hq"), "order", "create", "--product", "Bench", "--count", str(count),
                 "--station", self.path("site.pem"), "--not-after", "2040-01-31", "-o", name)
        return name

    def token_us(self, n=200):
        """Microseconds that the token alone takes for a unit."""
        told = self.run(os.path.join(BUILD, "bench", "token_loop"), MODULE, "bench", self.pin, "devstamp ca", str(n))
        return sum(float(x) for x in told.split())


class Agents:
    """Simulated units on pseudo-terminals: blank, encrypted at rest, with fuses."""

    def __init__(self, factory, count, *options, owner=True):
        self.processes, self.ports = [], []
        where = tempfile.mkdtemp(dir=factory.work)
        for i in range(count):
            base = os.path.join(where, str(i))
            self.processes.append(subprocess.Popen(
                [AGENT, "--flash-file", base + ".flash", "--root-key", base + ".key", "--fuses", base + ".fuses",
                 *(["--owner-hash", factory.owner] if owner else []), *options], stdout=subprocess.PIPE, text=True))
        for process in self.processes:
            self.ports.append(process.stdout.readline().strip())
            process.stdout.readline()  # that it has no stamp

    def alone(self, factory):
        """Units a second, where nothing is journalled and no token signs."""
        return float(factory.run(os.path.join(BUILD, "bench", "units"), factory.path("hq/devstamp.yaml"), *self.ports))

    def cpu(self):
        """Seconds of all of them so far."""
        total = 0
        for process in self.processes:
            with open(f"/proc/{process.pid}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        return total / 1e9

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
            process.stdout.close()


def strike(factory, ports, order):
    """`stamp station run` with a unit on each port: seconds from the line being up to the last unit done,
    and its CPU seconds, all of them."""
    args = [STAMP, "station", "run", factory.path("site"), "--order", order, "--once", "--pin-file", factory.pin]
    for port in ports:
        args += ["--port", port]
    told, up, last = "", 0, 0
    child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=factory.env, text=True)
    for line in child.stdout:
        told += line
        if line.startswith("the line is up"):
            up = time.monotonic()
        elif line.endswith(" done\n"):
            last = time.monotonic()
    child.stdout.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0 or f"{len(ports)} done now" not in told:
        sys.exit(f"bench: the station did not strike all units:\n{told}")
    return last - up, usage.ru_utime + usage.ru_stime


def at_once(factory):
    """UNITS units at once, on as many ports."""
    rates, bounds, ratios, cpus, slower = [], [], [], [], []
    for _ in range(ROUNDS):
        before = factory.token_us()
        agents = Agents(factory, UNITS, owner=False)
        devices = agents.alone(factory)
        agents.stop()
        agents = Agents(factory, UNITS)
        spent = agents.cpu()
        order = factory.order(UNITS)
        seconds, cpu = strike(factory, agents.ports, order)
        spent = agents.cpu() - spent
        agents.stop()
        token = 1e6 / ((before + factory.token_us()) / 2)
        bounds.append(min(token, devices))
        slower.append("devices" if devices < token else "token")
        rates.append(UNITS / seconds)
        ratios.append(rates[-1] / bounds[-1])
        cpus.append(cpu / UNITS * 1e3)
        print(f"station: {UNITS} units in {seconds:.2f} s = {rates[-1]:.1f}/s; token alone {token:.0f}/s, devices alone "
              f"{devices:.1f}/s; CPU of a unit: {spent / UNITS * 1e3:.1f} ms its own, {cpus[-1]:.1f} ms the station's")
    ratio = statistics.median(ratios)
    return [{"name": f"station_{UNITS}_units", "value": round(statistics.median(rates), 2), "unit": "units/s",
             "limit": round(statistics.median(bounds), 2), "ratio": round(ratio, 4), "budget": LEAST_OF_BOUND,
             "meets": ratio >= LEAST_OF_BOUND, "peer": None, "peer_ratio": None, "bound_by": slower[-1]},
            {"name": "station_cpu_per_unit", "value": round(statistics.median(cpus), 2), "unit": "ms", "limit": None,
             "ratio": None, "peer": None, "peer_ratio": None}]


def slow_devices(factory):
    """The same with devices that take SLOW_KEY_MS for each key that they make."""
    slowest = Agents(factory, 1, "--key-ms", str(SLOW_KEY_MS))
    alone, _ = strike(factory, slowest.ports, factory.order(1))
    slowest.stop()
    agents = Agents(factory, UNITS, "--key-ms", str(SLOW_KEY_MS))
    seconds, _ = strike(factory, agents.ports, factory.order(UNITS))
    agents.stop()
    beyond = seconds - alone
    print(f"station: {UNITS} units of {SLOW_KEY_MS} ms a key in {seconds:.2f} s; one alone {alone:.2f} s")
    return [{"name": f"station_{UNITS}_slow_units_beyond_one", "value": round(beyond, 3), "unit": "s",
             "limit": MOST_BEYOND_SLOWEST_S, "ratio": round(beyond / MOST_BEYOND_SLOWEST_S, 4),
             "budget": MOST_BEYOND_SLOWEST_S, "meets": beyond < MOST_BEYOND_SLOWEST_S, "peer": None,
             "peer_ratio": None}]


# SPEC 10.5 and 13-1: what each message of group 64 belongs to; lock and restart are counted apart.
PHASES = {0: "ask", 1: "prove", 2: "prove", 5: "ask", 6: "put", 7: "make", 8: "make", 9: "strike", 10: "pop",
          11: "lock", 12: "ask", 13: "agree"}


class Wire(threading.Thread):
    """Stands between a port and a unit and counts bytes, by what they are for."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.near, self.slave = os.openpty()
        self.far = os.open(device, os.O_RDWR | os.O_NOCTTY)
        for fd in (self.slave, self.far):
            tty.setraw(fd)
        self.path = os.ttyname(self.slave)
        self.bytes, self.left, self.phase = {}, {self.near: b"", self.far: b""}, "ask"
        self.going = True
        self.start()

    def count(self, line):
        if line.startswith(b"\x06\x09"):
            head = base64.b64decode(line[2:18])[2:10]
            group, ident = int.from_bytes(head[4:6], "big"), head[7]
            self.phase = PHASES.get(ident, "other") if group == 64 else "restart"
        self.bytes[self.phase] = self.bytes.get(self.phase, 0) + len(line) + 1

    def run(self):
        while self.going:
            for fd in select.select([self.near, self.far], [], [], 0.2)[0]:
                data = os.read(fd, 4096)
                os.write(self.far if fd == self.near else self.near, data)
                self.left[fd] += data
                while b"\n" in self.left[fd]:
                    line, self.left[fd] = self.left[fd].split(b"\n", 1)
                    self.count(line)


def wire(factory):
    """Bytes of one strike, both ways, as seconds of a line of BAUD."""
    agents = Agents(factory, 1)
    between = Wire(agents.ports[0])
    strike(factory, [between.path], factory.order(1))
    between.going = False
    between.join()
    agents.stop()
    apart = {name: between.bytes.pop(name, 0) for name in ("lock", "restart")}
    total = sum(between.bytes.values())
    seconds = total * BITS / BAUD
    print("station: bytes on the wire of a unit: " + ", ".join(f"{k} {v}" for k, v in between.bytes.items())
          + f"; {total} in all; apart from that " + ", ".join(f"{k} {v}" for k, v in apart.items()))
    return [{"name": "station_wire_per_unit", "value": total, "unit": "bytes", "limit": None, "ratio": None,
             "peer": None, "peer_ratio": None},
            {"name": f"station_wire_{BAUD}", "value": round(seconds, 3), "unit": "s", "limit": MOST_WIRE_S,
             "ratio": round(seconds / MOST_WIRE_S, 4), "budget": MOST_WIRE_S, "meets": seconds <= MOST_WIRE_S,
             "peer": None, "peer_ratio": None}]


def measure():
    with tempfile.TemporaryDirectory(dir=BUILD) as work:
        factory = Factory(work)
        return at_once(factory) + slow_devices(factory) + wire(factory)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
