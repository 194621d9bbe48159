"""A small disk image with a real kernel, boot loader and modules: what `encroot image` works on,
without the 300 MB of a whole distribution. Its parts are taken from the guest of tests/guest."""

import hashlib
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

from program import TOP

BUILD = Path(os.environ.get("ENCROOT_BUILD", TOP / "build"))
GUEST = BUILD / "guest"
PARTS = BUILD / "tests" / "small-guest"
MIB = 1 << 20
MODULE_FOLDERS = ["drivers/virtio", "drivers/block", "drivers/md", "drivers/scsi", "drivers/net/virtio_net.ko",
                  "drivers/net/net_failover.ko", "drivers/char/virtio_console.ko", "net/core",
                  "crypto", "arch/x86/crypto"]
TYPES = {"esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
         "boot": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
         "root": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"}
GUIDS = {name: f"11111111-2222-4333-8444-5555555555{n:02x}" for n, name in enumerate(TYPES)}


def run(*command, **kwargs):
    kwargs.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([str(c) for c in command], check=True, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, **kwargs).stdout


def debugfs(device, request, write=False):
    done = subprocess.run(["debugfs", *(["-w"] if write else []), "-R", request, str(device)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return done.stdout


def facts():
    return json.loads((GUEST / "guest.json").read_text())


def fs_uuid(name):
    return facts()["partitions"][name]["fsuuid"]


def version():
    return facts()["kernel_version"]


def make_root_tree(root, source):
    v = version()
    (root / "etc").mkdir(parents=True)
    modules = root / "usr/lib/modules" / v
    (modules / "kernel").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    for name in ("modules.dep", "modules.alias", "modules.softdep", "modules.builtin"):
        (modules / name).write_bytes(debugfs(source, f"cat /usr/lib/modules/{v}/{name}"))
    for folder in MODULE_FOLDERS:
        target = modules / "kernel" / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        debugfs(source, f"rdump /usr/lib/modules/{v}/kernel/{folder} {target.parent}")
    (root / "usr/lib/os-release").write_text("ID=debian\nPRETTY_NAME=Small\n")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    (root / "etc/fstab").write_text(
        f"UUID={fs_uuid('root')} / ext4 errors=remount-ro 0 1\n"
        f"UUID={fs_uuid('boot')} /boot ext4 defaults 0 2\n"
        f"UUID={fs_uuid('esp')} /boot/efi vfat umask=0077 0 1\n")
    data = root / "srv"
    data.mkdir()
    noise = random.Random(1)
    for i in range(20):
        (data / f"noise-{i}").write_bytes(noise.randbytes(noise.randrange(600000)))
    (data / "text").write_text("".join(f"line {i}\n" for i in range(100000)))
    with (data / "sparse").open("wb") as f:
        f.truncate(30 * MIB)
        f.seek(20 * MIB)
        f.write(b"in the middle" * 1000)
    os.link(data / "noise-1", data / "hard")
    (data / "link").symlink_to("noise-2")
    (data / "suid").write_bytes(b"x")
    (data / "suid").chmod(0o4711)


def parts():
    """A folder with root/, boot/ and esp.img; made once."""
    if not (GUEST / "guest.json").exists():
        run("/usr/bin/python3", TOP / "tests/guest/make-guest", "--output", GUEST)
    key = hashlib.sha256(Path(__file__).read_bytes() + (GUEST / "recipe").read_bytes()).hexdigest()
    if (PARTS / "key").exists() and (PARTS / "key").read_text() == key:
        return PARTS
    shutil.rmtree(PARTS, ignore_errors=True)
    (PARTS / "boot/grub").mkdir(parents=True)
    (PARTS / "boot/efi").mkdir()
    raw, where = GUEST / "debian-12.raw", facts()["partitions"]
    boot = f"{raw}?offset={where['boot']['start']}"
    for name in (f"vmlinuz-{version()}", f"config-{version()}", "grub/grub.cfg"):
        (PARTS / "boot" / name).write_bytes(debugfs(boot, f"cat /{name}"))
    initrd = debugfs(boot, f"cat /initrd.img-{version()}")
    (PARTS / f"boot/initrd.img-{version()}").write_bytes(initrd[:MIB])
    make_root_tree(PARTS / "root", f"{raw}?offset={where['root']['start']}")
    with raw.open("rb") as f, (PARTS / "esp.img").open("wb") as out:
        f.seek(where["esp"]["start"])
        for _ in range(where["esp"]["size"] // MIB):
            block = f.read(MIB)
            if block.strip(b"\0"):
                out.write(block)
            else:
                out.seek(MIB, os.SEEK_CUR)
        out.truncate()
    (PARTS / "key").write_text(key)
    return PARTS


def ext4(image, start, size, tree, uuid, options=()):
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, "-U", uuid, *options, "-E",
        f"offset={start},root_owner=0:0,hash_seed={uuid}", image, f"{size // 1024}k",
        env=dict(os.environ, E2FSPROGS_FAKE_TIME="1735689600", SOURCE_DATE_EPOCH="1735689600"))


def make(image, order=("esp", "boot", "root"), gap=0, root=None, boot=None, root_size=128 * MIB,
         label="gpt", root_options=("-b", "4096"), tail=MIB):
    """An image with the partitions in this order on the disk; their numbers are those of `order`
    sorted by name. `gap`: bytes behind the root. Returns {name: (number, start, size)}."""
    source = parts()
    sizes = {"esp": (source / "esp.img").stat().st_size, "boot": 64 * MIB, "root": root_size}
    place, at = {}, MIB
    for name in order:
        place[name] = (sorted(order).index(name) + 1, at, sizes[name])
        at += sizes[name] + (gap if name == "root" else 0)
    with open(image, "wb") as f:
        f.truncate(at + tail)
    table = [f"label: {label}", "unit: sectors"]
    for name, (number, start, size) in sorted(place.items(), key=lambda p: p[1][0]):
        line = f"{number}: start={start // 512}, size={size // 512}"
        table.append(line + (f", type={TYPES[name]}, uuid={GUIDS[name]}, name={name}"
                             if label == "gpt" else ", type=83"))
    subprocess.run(
        ["sfdisk", "-q", str(image)], input="\n".join(table) + "\n", text=True, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for name, (_, start, size) in place.items():
        if name == "esp":
            run("dd", f"if={source / 'esp.img'}", f"of={image}", "bs=1M", f"seek={start // MIB}",
                "conv=notrunc,sparse", "status=none")
        else:
            tree = {"root": root, "boot": boot}[name] or source / name
            ext4(image, start, size, tree, fs_uuid(name),
                 root_options if name == "root" else ("-b", "1024"))
    return place
