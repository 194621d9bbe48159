"""encrootd.service under a live systemd: installed as `make install` does it, set up with the
commands that encrootd(8) prints, and used, inside the unit's sandbox and the broker's filters."""
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import types
import unittest

import disk
import lab
from vm import VM, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "functional"))
from broker import load  # noqa: E402
from test_encrootd import HEAD, tls  # noqa: E402
from test_service import EXPOSURE_MAX  # noqa: E402

SOFTWARE = "software"  # the serial number of the disk that it comes on
VOLUME = "5e1f0a52-3c7e-4d55-9a0b-6c1d2e3f4a5b"
# What the unit's filter forbids fails with EPERM there, which may go unnoticed. Here it kills.
STRICT = "[Service]\nSystemCallErrorNumber=kill\n"
DROP_INS = "/etc/systemd/system/encrootd.service.d"
PATIENCE = 180


class Machine(VM):
    """Started by QEMU itself, without firmware, which is quicker: nobody attests its boot."""

    guest_port = 7221

    def __init__(self, work, image, software):
        super().__init__(work, image, "raw")
        self.software = software
        boot = disk.Boot(image)
        for name, pattern in ("vmlinuz", r"vmlinuz-.*"), ("initrd", r"initrd\.img-.*"):
            (self.work / name).write_bytes(boot.read(boot.find(pattern)))
        root = json.loads((lab.GUEST / "guest.json").read_text())["partitions"]["root"]["fsuuid"]
        self.command_line = f"root=UUID={root} console=ttyS0,115200"

    def firmware(self):
        return ["-kernel", "vmlinuz", "-initrd", "initrd", "-append", self.command_line,
                "-drive", f"if=none,id=software,format=raw,readonly=on,file={self.software}",
                "-device", f"virtio-blk-pci,drive=software,serial={SOFTWARE}"]


def libraries(program):
    """Where the loader finds them; they are those of Debian's packages."""
    return set(re.findall(r"=> (/\S+)", lab.command("ldd", program).stdout))


def pack(target, installed, extra):
    """A tar, which the guest reads as a disk: everything that is installed, the libraries that it
    needs, and in /root what guests of the broker are made of."""
    with tarfile.open(target, "w") as tar:
        needed = set()
        for path in sorted(p for p in installed.rglob("*") if p.is_file()):
            tar.add(path, path.relative_to(installed))
            if path.parent.name == "bin":
                needed |= libraries(path)
        for name in sorted(needed):
            tar.add(pathlib.Path(name).resolve(), name.lstrip("/"))
        for path in extra:
            tar.add(path, pathlib.Path("root") / path.name)


def printed_commands(page, section):
    """The commands that a manual page prints in a section, as its reader sees them."""
    text = page.read_text().split(f"\n.SH {section}\n")[1].split("\n.SH ")[0]
    lines = [line for block in re.findall(r"^\.nf\n(.*?)^\.fi$", text, re.MULTILINE | re.DOTALL)
             for line in block.splitlines() if not line.startswith(".")]
    text = "\n".join(lines)
    for escape, character in (r"\-", "-"), (r"\(aq", "'"), (r"\(ha", "^"), (r"\e", "\\"):
        text = text.replace(escape, character)
    return text


class Service(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.work = lab.WORK / cls.__name__
        disk.remove(cls.work)
        cls.work.mkdir(parents=True)
        lab.make_guest()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="encroot-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.start_machine(cls.install())
        cls.set_up_service()
        cls.register()

    @classmethod
    def install(cls):
        """Returns the disk; cls.page is the installed manual page."""
        installed, cls.tmm, target = cls.folder / "installed", cls.folder / "tmm", cls.work / "tar"
        lab.command("meson", "install", "-C", lab.BUILD, "--no-rebuild", "--quiet", "--destdir",
                    installed)
        [cls.page] = installed.rglob("encrootd.8")
        values = [cls.folder / "hash.json", cls.folder / "rim"]
        lab.command(lab.BUILD / "encroot-load", "--state", cls.tmm, "--prepare", cls.folder)
        pack(target, installed, [*values, cls.tmm / "p521" / "trust"])
        cls.addClassCleanup(disk.remove, target)
        return target

    @classmethod
    def start_machine(cls, software):
        image = disk.sparse_copy(lab.GUEST / "debian-12.raw", cls.work / "disk.raw")
        cls.addClassCleanup(disk.remove, image)
        cls.vm = Machine(cls.work, image, software)
        cls.addClassCleanup(cls.vm.stop)
        cls.vm.start()
        cls.vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT)
        cls.addClassCleanup(cls.keep_journal)

    @classmethod
    def keep_journal(cls):
        (cls.work / "journal").write_text(cls.vm.guest.run("journalctl -q", PATIENCE)[1])

    @classmethod
    def set_up_service(cls):
        cls.vm.run("tar -x --no-same-owner --skip-old-files -C / "
                   f"-f /dev/disk/by-id/virtio-{SOFTWARE}")
        cls.vm.run(f"mkdir {DROP_INS}; echo '{STRICT}' >{DROP_INS}/strict.conf")
        commands = printed_commands(cls.page, "SERVICE")
        (cls.work / "commands").write_text(commands)
        cls.said = cls.vm.run(f"set -ex\n{commands}", PATIENCE)

    @classmethod
    def register(cls):
        """A volume, from inside, for guests outside."""
        cls.vm.run(f"""set -ex; cd /root
            encroot init /etc/encroot --trust trust/root.pem --trust trust/intermediate.pem
            encroot policy new -f hash.json -m "$(cat rim)" -d /etc/encroot -o policy.json
            encroot volume add --uuid {VOLUME} --name web-1 -k /etc/encroot/rootfs_key.bin \\
                -f hash.json -p policy.json""", PATIENCE)
        (cls.folder / "broker.crt").write_text(cls.vm.run("cat /etc/encroot/broker.crt"))

    def tearDown(self):
        """It serves, no filter ended any process, and the journal understood all levels."""
        self.assertEqual(self.run_in(
            "systemctl is-active encrootd;"
            "journalctl -q -o cat -k | grep -E 'type=1326|SIGSYS';"
            "journalctl -q -o cat -u encrootd | grep -E '^<[0-9]>|31/SYS|signal 31' || :"),
            "active")

    # -- what is asked of it

    def run_in(self, command):
        return self.vm.run(command, PATIENCE).strip()

    def journal(self):
        text = self.run_in("journalctl -u encrootd -q -o json")
        return [json.loads(line) for line in text.splitlines()]

    def logged(self, pattern):
        """The newest line that matches: its priority."""
        found = [m["PRIORITY"] for m in self.journal() if re.search(pattern, m["MESSAGE"])]
        self.assertTrue(found, f"{pattern} is not in the journal")
        return int(found[-1])

    def property(self, name):
        return self.run_in(f"systemctl show -P {name} encrootd")

    def generation(self):
        found = re.fullmatch(r"Serving, generation (\d+)", self.property("StatusText"))
        return int(found[1]) if found else 0

    def release(self, count=2):
        """Guests outside get the key: fresh evidence, appraised, recorded."""
        broker = types.SimpleNamespace(port=self.vm.port, owner=types.SimpleNamespace(
            tmm=self.tmm, keys=self.folder, test=self))
        figures = load([broker], [VOLUME], "--clients", 1, "--count", count, "--limit", PATIENCE)
        self.assertEqual((figures["released"], figures["attempts"]), (count, count), figures)

    def half_a_request(self):
        """A connection of a guest that has begun to speak."""
        connection = tls().wrap_socket(
            socket.create_connection(("127.0.0.1", self.vm.port), PATIENCE))
        self.addCleanup(connection.close)
        connection.sendall(f"{HEAD}Content-Length: 2\r\n\r\n{{".encode())
        return connection

    def assert_answers(self, connection):
        connection.sendall(b"}")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        self.assertRegex(answer, rb"\AHTTP/1\.1 400 ")

    # -- tests: each leaves it serving

    def test_ready_when_started(self):
        """Type=notify: once `systemctl enable --now` had returned, everything answered."""
        self.assertEqual(self.property("Type"), "notify")
        self.assertEqual(self.property("NRestarts"), "0", self.said)
        self.assertEqual(self.run_in("systemctl is-enabled encrootd"), "enabled")
        self.assertEqual(self.logged("generation 1 serves"), 6)
        health = self.run_in("exec 3<>/dev/tcp/127.0.0.1/7222;"
                             r"printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3; cat <&3")
        self.assertRegex(health, r"\AHTTP/1.0 200 [\s\S]*\nok\Z")

    def test_a_release(self):
        self.assertRegex(self.run_in("encroot volume list"), rf"web-1 +{VOLUME} +enabled")
        before = len(self.audit())
        self.release()
        self.assertEqual([r["verdict"] for r in self.audit()[before:]], ["granted"] * 2)
        self.run_in("encroot audit verify --broker")
        self.assertEqual(self.logged("^keeper: released volume="), 6)

    def audit(self):
        return json.loads(self.run_in("encroot audit export --broker"))

    def test_what_is_whose(self):
        """The state is the broker's alone; the key-encryption key on disk is root's."""
        expected = {"/var/lib/encrootd": "700 encrootd encrootd",
                    "/var/lib/encrootd/broker.db": "600 encrootd encrootd",
                    "/etc/encroot": "750 root encrootd",
                    "/etc/encroot/broker.key": "600 encrootd encrootd",
                    "/etc/encroot/rootfs_key.bin": "600 root root",
                    "/etc/encroot/vault.kek": "600 root root"}
        self.assertEqual(self.run_in(f"stat -c '%n: %a %U %G' {' '.join(expected)}"),
                         "\n".join(f"{path}: {what}" for path, what in expected.items()))
        self.assertEqual(self.run_in("find / -xdev -user encrootd -not -path '/var/lib/encrootd*'"),
                         "/etc/encroot/broker.key")

    def test_reload(self):
        """A connection that there is stays; the new configuration holds: a group may administer."""
        self.run_in("getent group keepers || { groupadd keepers; useradd -G keepers alice; }")
        self.assertEqual(self.run_in("runuser -u alice encroot volume list || echo refused")
                         .splitlines()[-1], "refused")
        connection, generation = self.half_a_request(), self.generation()
        self.run_in("echo 'admin-group = keepers' >>/etc/encroot/encrootd.conf;"
                    "systemctl reload encrootd")
        wait_until(lambda: self.generation() > generation, PATIENCE, "a new generation")
        self.assert_answers(connection)
        self.assertIn(VOLUME, self.run_in("runuser -u alice encroot volume list"))
        self.release(1)

    def test_a_bad_reload_is_told(self):
        conf = "/etc/encroot/encrootd.conf"
        self.run_in(f"cp {conf} /root/good; echo 'wrokers = 3' >>{conf}; systemctl reload encrootd")
        wait_until(lambda: "reload failed" in self.property("StatusText"), PATIENCE, "the status")
        self.assertEqual(self.logged("reload failed.*unknown key"), 3)
        self.release(1)
        self.run_in(f"cat /root/good >{conf}; systemctl reload encrootd")
        wait_until(self.generation, PATIENCE, "a good generation")

    def test_a_killed_worker(self):
        for role in "front", "keeper":
            generation = self.generation()
            self.run_in(f"kill -KILL $(pgrep -u encrootd -x {role})")
            wait_until(lambda: self.generation() > generation, PATIENCE, "a new generation")
            self.assertEqual(self.logged(f"generation {generation} failed: {role}"), 3)
        self.release(1)
        self.assertEqual(self.property("NRestarts"), "0")

    def test_stop(self):
        """Whoever has begun is answered; then it ends by itself, and nothing is left."""
        connection = self.half_a_request()
        self.run_in("systemctl stop --no-block encrootd")
        wait_until(lambda: "Finishing" in self.property("StatusText"), PATIENCE, "the stop")
        self.assert_answers(connection)
        self.run_in("systemctl stop encrootd")
        self.assertEqual(self.property("ActiveState"), "inactive")
        self.assertEqual((self.property("Result"), self.property("ExecMainStatus")),
                         ("success", "0"))
        self.assertEqual(self.run_in("pgrep -u encrootd || :"), "")
        self.run_in("systemctl start encrootd")
        self.release(1)

    def test_exposure(self):
        """As systemd sees the running unit, with all drop-ins."""
        text = self.run_in("systemd-analyze security --no-pager encrootd")
        found = re.search(r"Overall exposure level for encrootd.service: ([\d.]+)", text)
        self.assertLessEqual(float(found[1]), EXPOSURE_MAX, text)


if __name__ == "__main__":
    unittest.main()
