"""Reads an initramfs: any number of cpio archives, each plain or compressed."""
import gzip
import io
import lzma
import subprocess

COMPRESSED = {
    b"\x1f\x8b": lambda data: gzip.GzipFile(fileobj=io.BytesIO(data)).read(),
    b"\xfd7zXZ": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x28\xb5\x2f\xfd": lambda data: subprocess.run(["zstd", "-dcq"], input=data, check=True,
                                                     capture_output=True).stdout,
}


def members(data):
    """(name, mode, content) of every member."""
    at = 0
    while at < len(data):
        for magic, decompress in COMPRESSED.items():
            if data.startswith(magic, at):
                yield from members(decompress(data[at:]))
                return
        if data[at] == 0:
            at += 1
            continue
        if data[at:at + 6] != b"070701":
            raise ValueError(f"no cpio header at {at}")
        fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110:at + 110 + fields[11] - 1].decode()
        start = at + (110 + fields[11] + 3) // 4 * 4
        content = data[start:start + fields[6]]
        at = start + (fields[6] + 3) // 4 * 4
        if name != "TRAILER!!!":
            yield name, fields[1], content


def is_file(mode):
    return mode & 0o170000 == 0o100000


def count_files(data):
    return sum(is_file(mode) for _, mode, _ in members(data))


def file_size(data, wanted):
    return next(len(content) for name, mode, content in members(data)
                if is_file(mode) and name.lstrip("./") == wanted)
