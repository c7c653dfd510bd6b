#!/usr/bin/python3 -B
"""Reads the memory of an emulated board again and again while it works.

usage: qemu_memory.py MONITOR-SOCKET DIRECTORY

Saves the board's RAM (what firmware has of it) to DIRECTORY/N.ram through QEMU's monitor, as fast as
it goes, and keeps what differs from the one before; until it gets SIGTERM.
"""

import os
import signal
import socket
import sys
import time

RAM, SIZE = 0x80000000, 0x400000


def prompt(monitor):
    got = b""
    while b"(qemu) " not in got:
        more = monitor.recv(4096)
        if not more:
            sys.exit(0)
        got += more


def main():
    where = sys.argv[2]
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(sys.argv[1])
        prompt(monitor)
        last, n = b"", 0
        print("reading", flush=True)
        while going:
            path = os.path.join(where, "%d.ram" % n)
            monitor.sendall(b'pmemsave 0x%x 0x%x "%s"\n' % (RAM, SIZE, path.encode()))
            prompt(monitor)
            with open(path, "rb") as file:
                now = file.read()
            if now == last:
                os.unlink(path)
            else:
                last, n = now, n + 1
            time.sleep(0.01)


if __name__ == "__main__":
    main()
