#!/usr/bin/python3 -B
"""Stands between a program under test and a device on a serial line, and misbehaves.

    proxy.py DEVICE-TTY [--rule RULE] [--every N] [--seen FILE] [--replay FILE]

prints the path of a pseudo-terminal and passes packets on until killed. Rules:

    pass     everything
    lose     every third packet (or as --every says), either way, is lost
    damage   every third packet (or ...), either way, has one character changed
    double   every packet goes twice
    noise    text and broken frames around every packet
    late     the answer to the first request of each kind comes after the second's
    tamper-e, tamper-s, tamper-k, tamper-c   one bit of that value of an answer is flipped
    tamper-possess   one bit of the sealed proof is flipped on its way to the device
    replay   answers to claim come from FILE, where an earlier run's --seen recorded them
    replay-request  the same for the request for a certificate of another unit
    replay-certificates  the certificates that another unit was given, once, on their way to the device
    tamper-bundle  one bit of the owner's bundle in the offer is flipped on its way to the device, once

--seen writes each packet as a line: "up" or "down", then hex.
"""

import argparse
import os
import select
import sys
import tty

import cbor2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
from independent_smp import CLAIM, GROUP_STAMP, POSSESS, Joiner, lines_of  # noqa: E402


PUT, MAKE, REQUEST = 6, 7, 8  # SPEC 13-1
OFFER, CERTIFICATES = 0, 1  # SPEC 13-3


def is_message(packet, op, ident):
    return packet[0] == op and int.from_bytes(packet[4:6], "big") == GROUP_STAMP \
        and packet[7] == ident


def is_put(packet, what):
    return is_message(packet, 2, PUT) and cbor2.loads(packet[8:])["w"] == what


def rebuilt(packet, body):
    raw = cbor2.dumps(body)
    return packet[:2] + len(raw).to_bytes(2, "big") + packet[4:8] + raw


def flipped(packet, name):
    body = cbor2.loads(packet[8:])
    if name not in body:
        return packet
    value = bytearray(body[name])
    value[len(value) // 2] ^= 1
    body[name] = bytes(value)
    return rebuilt(packet, body)


class Proxy:
    def __init__(self, device, args):
        self.near, other_end = os.openpty()
        self.far = os.open(device, os.O_RDWR | os.O_NOCTTY)
        for fd in (other_end, self.far):
            tty.setraw(fd)
        self.path = os.ttyname(other_end)
        self.other_end = other_end  # kept open, so that programs may come and go
        self.rule, self.every, self.count, self.held = args.rule, args.every, 0, {}
        self.seen = open(args.seen, "w", encoding="ascii", buffering=1) if args.seen else None
        self.recorded = None
        self.recorded_request = []
        self.recorded_certificates = b""
        self.offer, self.tampered = b"", False
        if args.replay:
            with open(args.replay, encoding="ascii") as file:
                lines = [line.split() for line in file]
            packets = [bytes.fromhex(data) for way, data in lines if way == "down"]
            puts = [cbor2.loads(p[8:]) for p in (bytes.fromhex(data) for way, data in lines if way == "up")
                    if is_put(p, CERTIFICATES)]
            self.recorded_certificates = b"".join(body["d"] for body in puts)
            self.recorded = next((p for p in packets if is_message(p, 3, CLAIM)), None)
            self.recorded_request = [p for p in packets
                                     if is_message(p, 3, MAKE) or is_message(p, 1, REQUEST)]

    def changed(self, up, packet):
        """What becomes of a packet: the packets that go on in its place."""
        self.count += 1
        if self.rule == "lose" and self.count % self.every == 0:
            return []
        if self.rule == "double":
            return [packet, packet]
        if self.rule == "late" and not up:
            key = packet[7]
            if key not in self.held:
                self.held[key] = packet
                return []
            return [self.held[key], packet]
        if self.rule == "tamper-possess" and up and is_message(packet, 2, POSSESS):
            return [flipped(packet, "c")]
        if self.rule == "replay" and not up and is_message(packet, 3, CLAIM):
            return [self.recorded[:6] + packet[6:7] + self.recorded[7:]]
        if self.rule == "replay-request" and not up and self.recorded_request \
                and (is_message(packet, 3, MAKE) or is_message(packet, 1, REQUEST)):
            other = self.recorded_request.pop(0)
            return [other[:6] + packet[6:7] + other[7:]]
        if self.rule == "replay-certificates" and up and self.recorded_certificates and is_put(packet, CERTIFICATES):
            body = cbor2.loads(packet[8:])
            end = body["off"] + len(body["d"])
            body["d"] = self.recorded_certificates[body["off"]:end].ljust(len(body["d"]), b"\0")
            if end >= body["len"]:
                self.recorded_certificates = b""
            return [rebuilt(packet, body)]
        if self.rule == "tamper-bundle" and up and not self.tampered and is_put(packet, OFFER):
            body = cbor2.loads(packet[8:])
            self.tampered = b"\x43\xa1\x01\x26" in body["d"]  # the bundle's protected header: ES256
            return [flipped(packet, "d")] if self.tampered else [packet]
        if self.rule.startswith("tamper-") and not up and packet[0] == 3:
            return [flipped(packet, self.rule[7:])]
        return [packet]

    def forward(self, up, packet):
        if self.seen:
            self.seen.write("%s %s\n" % ("up" if up else "down", packet.hex()))
        out = self.far if up else self.near
        for one in self.changed(up, packet):
            data = b"".join(lines_of(one))
            if self.rule == "damage" and self.count % self.every == 0:
                data = data[:9] + (b"A" if data[9:10] != b"A" else b"B") + data[10:]
            if self.rule == "noise":
                data = b"boot: ok\r\n\x06\x09////\n\x04\x14AAAA\n" + data + b"\x06\n"
            os.write(out, data)

    def serve(self):
        ends = {self.near: [True, Joiner(), b""], self.far: [False, Joiner(), b""]}
        while True:
            for fd in select.select(list(ends), [], [])[0]:
                up, joiner, _ = ends[fd]
                ends[fd][2] += os.read(fd, 4096)
                while b"\n" in ends[fd][2]:
                    line, ends[fd][2] = ends[fd][2].split(b"\n", 1)
                    packet = joiner.line(line)
                    if packet is not None:
                        self.forward(up, packet)


def main():
    parser = argparse.ArgumentParser(description="a serial line that misbehaves")
    parser.add_argument("device")
    parser.add_argument("--rule", default="pass")
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--seen")
    parser.add_argument("--replay")
    args = parser.parse_args()
    proxy = Proxy(args.device, args)
    print(proxy.path, flush=True)
    proxy.serve()


if __name__ == "__main__":
    main()
