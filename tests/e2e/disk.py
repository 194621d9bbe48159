"""What a hostile host does to a disk at rest: raw images, changed without mounting them."""
import hashlib
import json
import pathlib
import re
import shutil
import struct
import subprocess

CHUNK = 1 << 20


def run(*command, **kwargs):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True,
                          **kwargs).stdout


def convert(source, target, target_format):
    run("qemu-img", "convert", "-O", target_format, source, target)


def overlay(target, backing, backing_format):
    """A disk that starts as `backing` and leaves it untouched."""
    target.unlink(missing_ok=True)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", backing_format, "-b", backing, target)
    return target


def sparse_copy(source, target):
    run("cp", "--sparse=always", source, target)
    return target


def partitions(raw):
    """[{start, size, uuid, name}] in bytes."""
    table = json.loads(run("sfdisk", "-J", raw))["partitiontable"]
    return [{"start": p["start"] * 512, "size": p["size"] * 512, "uuid": p["uuid"],
             "name": p.get("name", "")} for p in table["partitions"]]


def partition(raw, name):
    return next(p for p in partitions(raw) if p["name"] == name)


class Boot:
    """The ext4 /boot partition of a raw image."""

    def __init__(self, raw):
        self.device = f"{raw}?offset={partition(raw, 'boot')['start']}"
        self.scratch = pathlib.Path(f"{raw}.file")

    def _debugfs(self, request):
        done = subprocess.run(["debugfs", "-w", "-R", request, self.device], capture_output=True,
                              text=True, check=True)
        said = [line for line in done.stderr.splitlines() if not line.startswith("debugfs ")]
        if any("not found" in line or "rror" in line for line in said):
            raise RuntimeError(f"debugfs: {request}: {' '.join(said)}")
        return done.stdout

    def names(self, folder="/"):
        return [line.split("/")[5] for line in self._debugfs(f"ls -p {folder}").splitlines()
                if line.startswith("/")]

    def find(self, pattern):
        """The one file of / whose name matches."""
        found = [name for name in self.names() if re.fullmatch(pattern, name)]
        if len(found) != 1:
            raise RuntimeError(f"/boot has {found} for {pattern}")
        return "/" + found[0]

    def read(self, path):
        self._debugfs(f"dump {path} {self.scratch}")
        data = self.scratch.read_bytes()
        self.scratch.unlink()
        return data

    def write(self, path, data):
        self.scratch.write_bytes(data)
        self._debugfs(f"rm {path}")
        self._debugfs(f"write {self.scratch} {path}")
        self.scratch.unlink()
        if self.read(path) != data:
            raise RuntimeError(f"{path} was not written")


class Esp:
    """The FAT ESP of a raw image."""

    def __init__(self, raw):
        self.image = f"{raw}@@{partition(raw, 'esp')['start']}"
        self.scratch = pathlib.Path(f"{raw}.file")

    def read(self, path):
        run("mcopy", "-n", "-o", "-i", self.image, "::" + path, self.scratch)
        data = self.scratch.read_bytes()
        self.scratch.unlink()
        return data

    def write(self, path, data):
        self.scratch.write_bytes(data)
        run("mcopy", "-o", "-i", self.image, self.scratch, "::" + path)
        self.scratch.unlink()


def copy_partition(source, target, name):
    """Put the partition of another image in the place of the one with the same name."""
    a, b = partition(source, name), partition(target, name)
    if a["size"] != b["size"]:
        raise RuntimeError(f"{name}: {a['size']} and {b['size']} bytes")
    with open(source, "rb") as src, open(target, "r+b") as dst:
        src.seek(a["start"])
        dst.seek(b["start"])
        left = a["size"]
        while left:
            left -= dst.write(src.read(min(CHUNK, left)))


def null_cipher_header(raw, start):
    """Rewrite both LUKS2 headers so that the data is said to be in the clear (CVE-2025-59054).

    LUKS2 On-Disk Format Specification 1.1.3, 2.1: the checksum covers the binary header, with its
    own field zero, and the JSON area.
    """
    with open(raw, "r+b") as f:
        offset = start
        for magic in (b"LUKS\xba\xbe", b"SKUL\xba\xbe"):
            f.seek(offset)
            binary = bytearray(f.read(4096))
            if not binary.startswith(magic):
                raise RuntimeError(f"no LUKS2 header at {offset}")
            size, = struct.unpack_from(">Q", binary, 8)
            area = f.read(size - 4096)
            header = json.loads(area.rstrip(b"\0"))
            for segment in header["segments"].values():
                segment["encryption"] = "cipher_null-ecb"
            text = json.dumps(header).encode()
            if len(text) >= len(area):
                raise RuntimeError("no room for the forged header")
            area = text.ljust(len(area), b"\0")
            binary[448:512] = bytes(64)
            digest = hashlib.sha256(bytes(binary) + area).digest()
            binary[448:448 + len(digest)] = digest
            f.seek(offset)
            f.write(bytes(binary) + area)
            offset += size


def contains(path, needle, start=0, size=None):
    """Whether the bytes occur in the file (or in `size` bytes of it from `start`)."""
    with open(path, "rb") as f:
        f.seek(start)
        left = size if size is not None else float("inf")
        tail = b""
        while left > 0 and (data := f.read(int(min(CHUNK, left)))):
            left -= len(data)
            if needle in tail + data:
                return True
            tail = data[-(len(needle) - 1):]
    return False


def newc(files):
    """A cpio archive in the form that Linux takes as (a further part of) an initramfs."""
    out = bytearray()
    for ino, (name, mode, data) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        fields = [ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % v for v in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out + bytes(-len(out) % 512))


def remove(*paths):
    for path in paths:
        if pathlib.Path(path).is_dir():
            shutil.rmtree(path)
        else:
            pathlib.Path(path).unlink(missing_ok=True)
