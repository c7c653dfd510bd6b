"""Programs that play a device, started and ended for the tests of this folder."""

import os
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Process:
    """A program that prints a terminal's path first and serves it until it is ended."""

    def __init__(self, command):
        self.command, self.said = command, b""

    def __enter__(self):
        self.child = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        self.tty = self.read_line().decode().strip()
        if not os.path.exists(self.tty):
            raise RuntimeError("no terminal from %s: %r" % (self.command, self.tty))
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def read_line(self, seconds=20):
        end = time.monotonic() + seconds
        while b"\n" not in self.said:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
                raise RuntimeError("nothing from %s" % self.command)
            data = os.read(self.child.stdout.fileno(), 4096)
            if not data:
                raise RuntimeError("%s ended" % self.command)
            self.said += data
        line, self.said = self.said.split(b"\n", 1)
        return line

    def rest(self):
        """What it printed since, as far as it is there."""
        while select.select([self.child.stdout], [], [], 0.1)[0]:
            data = os.read(self.child.stdout.fileno(), 4096)
            if not data:
                break
            self.said += data
        return self.said


def agent(program, flash, root_key=None, birth_size=8192, bank_size=4096):
    command = [program, "--flash-file", flash, "--birth-size", str(birth_size),
               "--bank-size", str(bank_size)]
    return Process(command + (["--root-key", root_key] if root_key else []))


def foreign_device(image, fault="none"):
    return Process([sys.executable, "-B", os.path.join(HERE, "independent_device.py"), image,
                    "--fault", fault])


class Tally:
    """Counts checks; a failed one is printed and the rest still runs."""

    def __init__(self):
        self.done = self.failed = 0

    def check(self, name, got, want):
        self.done += 1
        if got != want:
            self.failed += 1
            print("FAILED %s: got %r, want %r" % (name, got, want))

    def end(self, least):
        """The exit status; a run that checked less than `least` has gone wrong too."""
        print("%d passed, %d failed" % (self.done - self.failed, self.failed))
        return 1 if self.failed or self.done < least else 0
