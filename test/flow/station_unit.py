#!/usr/bin/python3 -B
"""A unit that misbehaves, on a pseudo-terminal, for the tests of a line with several ports.

    station_unit.py silent               answers nothing
    station_unit.py garbage              answers everything with bytes that are no answer
    station_unit.py trickle              answers with one byte a second, for ever
    station_unit.py hangs DEVICE-TTY N   passes N requests on to a device, then hangs
    station_unit.py nameless             a blank unit whose chip has no number

Prints the terminal's path.
"""

import os
import select
import sys
import time
import tty

import cbor2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
from independent_smp import Joiner, lines_of  # noqa: E402


def reply(packet, body):
    raw = cbor2.dumps(body)
    return bytes([packet[0] + 1]) + packet[1:2] + len(raw).to_bytes(2, "big") + packet[4:8] + raw


def requests(fd, first):
    joiner, text = Joiner(), first
    while True:
        while b"\n" in text:
            line, text = text.split(b"\n", 1)
            packet = joiner.line(line)
            if packet is not None:
                yield packet
        text += os.read(fd, 4096)


def hang(near, far, left):
    counting = Joiner()
    text = b""
    while True:
        for fd in select.select([near, far], [], [])[0]:
            data = os.read(fd, 4096)
            if left <= 0:
                continue
            os.write(far if fd == near else near, data)
            if fd == near:
                text += data
                while b"\n" in text:
                    line, text = text.split(b"\n", 1)
                    left -= counting.line(line) is not None


def main():
    how = sys.argv[1]
    near, other_end = os.openpty()
    tty.setraw(other_end)
    print(os.ttyname(other_end), flush=True)
    if how == "hangs":
        far = os.open(sys.argv[2], os.O_RDWR | os.O_NOCTTY)
        tty.setraw(far)
        hang(near, far, int(sys.argv[3]))
    while how in ("silent", "garbage", "trickle"):
        data = os.read(near, 4096)
        if how == "garbage":
            os.write(near, b"\x06\x09" + data[::-1] + b"\n" + os.urandom(40) + b"\n")
        while how == "trickle":
            os.write(near, b"\x06")
            time.sleep(1)
    for packet in requests(near, b""):
        unit = packet[7] == 5 and packet[4:6] == b"\x00\x40"
        body = {"at": 0, "id": b"", "can": 7, "max": 8000, "lock": 0} if unit else {"rc": 8}
        os.write(near, b"".join(lines_of(reply(packet, body))))


if __name__ == "__main__":
    main()
