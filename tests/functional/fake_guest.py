#!/usr/bin/env python3
"""Stands in for QEMU under encroot-tmm: speaks to the TPM and the port as QEMU and a guest would.

What it does is read from the file that FAKE_GUEST names, one step a line:
  init | startup N | extend PCR HEX | token HEX64 | garbage HEX | sleep SECONDS | exit STATUS
For each token one line goes to FAKE_GUEST.out: the status, then the token in hexadecimal.
"""
import os
import re
import socket
import struct
import sys
import time


def inherited(name):
    """The socket that encroot-tmm's -chardev NAME names."""
    found = [re.search(r"\bfd=(\d+)", a) for a in sys.argv if f"id={name}," in a]
    return socket.socket(fileno=int(found[0].group(1)))


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise SystemExit("the other side is gone")
        data += more
    return data


class Guest:
    def __init__(self):
        self.control = inherited("encroot-tpm")
        self.port = inherited("encroot-tmm")
        self.data, theirs = socket.socketpair()
        socket.send_fds(self.control, [struct.pack(">I", 0x10)], [theirs.fileno()])
        theirs.close()
        assert exactly(self.control, 4) == bytes(4)
        self.out = open(os.environ["FAKE_GUEST"] + ".out", "w")

    def init(self):
        self.control.sendall(struct.pack(">II", 2, 0))
        assert exactly(self.control, 4) == bytes(4)

    def tpm(self, tag, code, body):
        self.data.sendall(struct.pack(">HII", tag, 10 + len(body), code) + body)
        header = exactly(self.data, 10)
        exactly(self.data, struct.unpack(">HII", header)[1] - 10)
        return struct.unpack(">HII", header)[2]

    def startup(self, kind):
        assert self.tpm(0x8001, 0x144, struct.pack(">H", int(kind))) == 0

    def shutdown(self):
        assert self.tpm(0x8001, 0x145, struct.pack(">H", 1)) == 0

    def extend(self, pcr, digest):
        password = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
        body = struct.pack(">I", int(pcr)) + password + struct.pack(">IH", 1, 0x000b)
        assert self.tpm(0x8002, 0x182, body + bytes.fromhex(digest)) == 0

    def garbage(self, text):
        self.port.sendall(bytes.fromhex(text))

    def token(self, challenge):
        self.port.sendall(b"TMMQ" + struct.pack("<I", 64) + bytes.fromhex(challenge))
        magic, status, token, certificate = struct.unpack("<4sIII", exactly(self.port, 16))
        assert magic == b"TMMA"
        print(status, exactly(self.port, token).hex(), file=self.out, flush=True)
        exactly(self.port, certificate)

    def sleep(self, seconds):
        time.sleep(float(seconds))

    def exit(self, status):
        sys.exit(int(status))


guest = Guest()
for line in open(os.environ["FAKE_GUEST"]):
    step, *arguments = line.split()
    getattr(guest, step)(*arguments)
