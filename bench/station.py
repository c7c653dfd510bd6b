"""A station: how fast it strikes 32 units at once, beside the token alone and the devices alone, what
its CPU takes of a unit, how it does with slow devices, and what a strike puts on the wire. Used by
scripts/bench; alone: /usr/bin/python3 -B bench/station.py

The bound is the slower of two, both measured directly before and after the station, since machines are
noisy. The token alone: a signature and a count a unit, one after the other (plain PKCS #11 calls in a
loop, bench/token_loop.c). The devices alone: they compute on the cores that the station computes on too,
so their own time is what a client takes that asks the same of all of them at once and has neither journal
nor token (bench/units.c), less that client's share of the CPU time. Their CPU time by itself, divided by
the cores, would be no bound but on a machine with nothing else to do. A unit's flash is not the station's
disk: it is in memory, where there is a file system for that.
"""

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

import cbor2

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
sys.path.insert(0, os.path.join(TOP, "test", "interop"))
from independent_smp import GROUP_STAMP, Joiner  # noqa: E402 (not beside this file)

STAMP = os.path.join(BUILD, "stamp")
AGENT = os.path.join(BUILD, "stamp-agent")
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "48151623"
MEMORY = "/dev/shm"
UNITS = 32
ROUNDS = 21
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
        self.flash = tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else factory.work)
        for i in range(count):
            base = os.path.join(self.flash.name, str(i))
            self.processes.append(subprocess.Popen(
                [AGENT, "--flash-file", base + ".flash", "--root-key", base + ".key", "--fuses", base + ".fuses",
                 *(["--owner-hash", factory.owner] if owner else []), *options], stdout=subprocess.PIPE, text=True))
        for process in self.processes:
            self.ports.append(process.stdout.readline().strip())
            process.stdout.readline()  # that it has no stamp

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
        self.flash.cleanup()


def devices_alone(factory):
    """Seconds of UNITS units at once where nothing is journalled and no token signs, without the share of
    the program that asks them."""
    agents = Agents(factory, UNITS, owner=False)
    spent = agents.cpu()
    told = factory.run(os.path.join(BUILD, "bench", "units"), factory.path("hq/devstamp.yaml"), *agents.ports)
    spent = agents.cpu() - spent
    agents.stop()
    seconds, client = (float(x) for x in told.split())
    return seconds * spent / (spent + client)


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


def alone(factory):
    """Microseconds of a unit: the token's, the devices'."""
    return factory.token_us(), devices_alone(factory) / UNITS * 1e6


def one_round(factory):
    before = alone(factory)
    agents = Agents(factory, UNITS)
    order = factory.order(UNITS)
    spent = agents.cpu()
    seconds, cpu = strike(factory, agents.ports, order)
    spent = agents.cpu() - spent
    agents.stop()
    token, devices = ((x + y) / 2 for x, y in zip(before, alone(factory)))
    took = {"rate": UNITS / seconds, "token": 1e6 / token, "devices": 1e6 / devices, "cpu": cpu / UNITS * 1e3}
    took["bound"] = min(took["token"], took["devices"])
    took["ratio"] = took["rate"] / took["bound"]
    print(f"station: {UNITS} units in {seconds:.2f} s = {took['rate']:.1f}/s; token alone {took['token']:.0f}/s, devices "
          f"alone {took['devices']:.1f}/s; CPU of a unit: {spent / UNITS * 1e3:.1f} ms its own, {took['cpu']:.1f} ms the "
          "station's, its start and end included")
    return took


def at_once(factory):
    """UNITS units at once, on as many ports: the round with the median ratio."""
    rounds = sorted((one_round(factory) for _ in range(ROUNDS)), key=lambda took: took["ratio"])
    took = rounds[ROUNDS // 2]
    print(f"station: of its bound {', '.join('%.3f' % x['ratio'] for x in rounds)}")
    return [{"name": f"station_{UNITS}_units", "value": round(took["rate"], 2), "unit": "units/s",
             "limit": round(took["bound"], 2), "ratio": round(took["ratio"], 4), "budget": LEAST_OF_BOUND,
             "meets": took["ratio"] >= LEAST_OF_BOUND, "peer": None, "peer_ratio": None},
            {"name": f"station_{UNITS}_units_token_alone", "value": round(took["token"], 1), "unit": "units/s",
             "limit": None, "ratio": None, "peer": None, "peer_ratio": None},
            {"name": f"station_{UNITS}_units_devices_alone", "value": round(took["devices"], 2), "unit": "units/s",
             "limit": None, "ratio": None, "peer": None, "peer_ratio": None},
            {"name": "station_cpu_per_unit", "value": round(statistics.median(x["cpu"] for x in rounds), 2),
             "unit": "ms", "limit": None, "ratio": None, "peer": None, "peer_ratio": None}]


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


# SPEC 10.5 and 13-1: what each message of group 64 belongs to; lock and restart are counted apart. What is
# put says itself what it is.
PHASES = {0: "prove", 1: "prove", 2: "prove", 5: "ask", 7: "make", 8: "request", 9: "strike", 10: "pop", 11: "lock"}
PUT, PUTS = 6, ["offer", "certificates", "sealed stamp"]
APART = ("lock", "restart")


class Wire(threading.Thread):
    """Stands between a port and a unit and counts bytes and messages, by what they are for."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.near, self.slave = os.openpty()
        self.far = os.open(device, os.O_RDWR | os.O_NOCTTY)
        for fd in (self.slave, self.far):
            tty.setraw(fd)
        self.path = os.ttyname(self.slave)
        self.bytes, self.messages, self.phase = {}, 0, "ask"
        self.ends = {self.near: [Joiner(), b"", 0], self.far: [Joiner(), b"", 0]}
        self.going = True
        self.start()

    def count(self, end, line):
        """Bytes count for the packet that they are of."""
        end[2] += len(line) + 1
        packet = end[0].line(line)
        if packet is None:
            return
        asks, group, ident = packet[0] in (0, 2), int.from_bytes(packet[4:6], "big"), packet[7]
        if asks and group == GROUP_STAMP and ident == PUT:
            self.phase = PUTS[cbor2.loads(packet[8:])["w"]]
        elif asks:
            self.phase = PHASES[ident] if group == GROUP_STAMP else "restart"
        self.bytes[self.phase] = self.bytes.get(self.phase, 0) + end[2]
        self.messages += 1
        end[2] = 0

    def run(self):
        while self.going:
            for fd in select.select([self.near, self.far], [], [], 0.2)[0]:
                data = os.read(fd, 4096)
                os.write(self.far if fd == self.near else self.near, data)
                end = self.ends[fd]
                end[1] += data
                while b"\n" in end[1]:
                    line, end[1] = end[1].split(b"\n", 1)
                    self.count(end, line)


def wire(factory):
    """Bytes of one strike, both ways, as seconds of a line of BAUD."""
    agents = Agents(factory, 1)
    between = Wire(agents.ports[0])
    strike(factory, [between.path], factory.order(1))
    between.going = False
    between.join()
    agents.stop()
    apart = {name: between.bytes.pop(name) for name in APART}
    total = sum(between.bytes.values())
    seconds = total * BITS / BAUD
    if any(end[2] for end in between.ends.values()):
        sys.exit("bench: bytes on the wire that are of no message")
    print("station: bytes on the wire of a unit: " + ", ".join(f"{k} {v}" for k, v in between.bytes.items())
          + f"; {total} in all, in {between.messages} messages; apart from that " + ", ".join(f"{k} {v}" for k, v in apart.items()))
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
