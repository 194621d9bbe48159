"""The operator's side: keys, the encrypted image, its reference values, and the commands.

Everything lies under build/e2e. What all tests share (build/e2e/lab) is made once and made anew
when a program or the guest changes.
"""
import fcntl
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "e2e"))

import disk  # noqa: E402
from vm import Failure, VM  # noqa: E402

BUILD = pathlib.Path(os.environ.get("ENCROOT_BUILD", TOP / "build"))
WORK = BUILD / "e2e"
GUEST = BUILD / "guest"
ENCROOT, TMM, AGENT = BUILD / "encroot", BUILD / "encroot-tmm", BUILD / "encroot-agent"
ENCROOTD = BUILD / "encrootd"

REFUSED = 3  # exit status of a refusal (encroot(1))
# Generous: two guests at a time under emulation, on a machine that may be busy.
BOOT_TIMEOUT = 600
UNLOCK_TIMEOUT = 120
LISTENING = r"encroot: listening on (\S+) port (\d+)"
LOGIN = r"login: ?$"


def command(*words, cwd=None, check=True, timeout=600):
    """Run one of the project's commands as an operator would; output as text."""
    done = subprocess.run([str(w) for w in words], cwd=cwd, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(str(w) for w in words)}\nended with {done.returncode}:\n"
                      f"{done.stdout}")
    return done


class Operator:
    """One image owner: a folder of keys, one encrypted image with its reference values."""

    def __init__(self, folder):
        self.folder = folder
        self.keys = folder / "keys"
        self.key_file = self.keys / "rootfs_key.bin"
        self.state = folder / "tmm"
        self.plain_reference = folder / "debian.hash.json"
        self.image = folder / "debian-enc.qcow2"
        self.raw = folder / "debian-enc.raw"
        self.reference = folder / "debian-enc.hash.json"

    def make(self):
        disk.remove(self.folder)
        self.folder.mkdir(parents=True)
        command(TMM, "init", "--state", self.state)
        trust = self.state / "p521" / "trust"
        command(ENCROOT, "init", self.keys, "--trust", trust / "root.pem",
                "--trust", trust / "intermediate.pem")
        command(ENCROOT, "image", "measure", "-i", GUEST / "debian-12.qcow2",
                "-o", self.plain_reference)
        self.encrypt(self.image)
        disk.convert(self.image, self.raw, "raw")

    def encrypt(self, output, *options):
        command(ENCROOT, "image", "encrypt", "-d", self.keys, "-i", GUEST / "debian-12.qcow2",
                "-g", self.plain_reference, "-o", output, "--on-failure", "poweroff", *options)

    def secret(self):
        return self.key_file.read_bytes()

    def tmm(self):
        """The start of a command that runs QEMU under the software TMM."""
        return [TMM, "run", "--state", self.state, "--fresh-tpm", "--log", "tmm.log", "--"]

    def rim(self, vm):
        done = command(TMM, "rim", "--", *vm.qemu_command(), cwd=vm.work)
        return re.search(r"RIM-HASH: ([0-9A-F]{64})\b", done.stdout)[1]

    def unlock_command(self, vm, *options, port=None, policy=None):
        expected = ["--policy", policy] if policy else ["-m", self.rim(vm), "-f", self.reference]
        return [ENCROOT, "unlock", "-d", self.keys, "-i", "127.0.0.1", "-p", port or vm.port,
                *expected, *options]

    def policy(self, evidence, output):
        """The policy that pins all that the evidence of a good boot shows."""
        command(ENCROOT, "policy", "new", "--from-image", self.image, "-e", evidence,
                "--pin-instance", "-d", self.keys, "-o", output)
        return output

    def unlock(self, vm, *options, **kwargs):
        """`encroot unlock`; its output is kept beside the guest's console."""
        line = self.unlock_command(vm, *options, **kwargs)
        done = command(*line, check=False, timeout=UNLOCK_TIMEOUT)
        with (vm.work / "unlock.log").open("a") as log:
            print(f"$ {' '.join(str(w) for w in line)}\n{done.stdout}[{done.returncode}]", file=log)
        return done


def stamp():
    digest = hashlib.sha256((GUEST / "recipe").read_bytes())
    for program in (ENCROOT, TMM, AGENT, pathlib.Path(__file__)):
        digest.update(program.read_bytes())
    return digest.hexdigest()


def make_guest():
    """The unencrypted guest, made by whichever test comes first."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "guest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command(TOP / "tests/guest/make-guest", "--output", GUEST, timeout=1800)


def shared(name):
    """The operator `name`, made by whichever test comes first."""
    make_guest()
    with (WORK / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        operator = Operator(WORK / name)
        key = operator.folder / "stamp"
        if not key.exists() or key.read_text() != stamp():
            operator.make()
            key.write_text(stamp())
        return operator


def baseline():
    """Facts of the unencrypted guest's own boot, to compare with: booted once, then kept."""
    folder = WORK / "baseline"
    folder.mkdir(parents=True, exist_ok=True)
    facts_file = folder / "facts.json"
    recipe = (GUEST / "recipe").read_text()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if facts_file.exists():
            facts = json.loads(facts_file.read_text())
            if facts["recipe"] == recipe:
                return facts
        image = disk.overlay(folder / "disk.qcow2", GUEST / "debian-12.raw", "raw")
        with VM(folder, image, "qcow2") as vm:
            vm.wait_for(LOGIN, BOOT_TIMEOUT)
            facts = {"recipe": recipe, **guest_facts(vm)}
            vm.power_off()
        disk.remove(image)
        facts_file.write_text(json.dumps(facts, indent=2))
        return facts


def guest_facts(vm):
    vm.guest.run("systemctl is-system-running --wait", 180)
    return {
        "failed": vm.run("systemctl --failed --no-legend --plain | cut -d' ' -f1").split(),
        "active": vm.run("systemctl list-units --no-legend --plain --state=active "
                         "| cut -d' ' -f1").split(),
        "by_uuid": vm.run("ls /dev/disk/by-uuid").split(),
    }
