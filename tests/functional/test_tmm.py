"""encroot-tmm as a whole: what its guest gets, and that nothing of it stays behind."""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
TMM = TOP / "build" / "encroot-tmm"
OVMF = pathlib.Path("/usr/share/OVMF")
CHALLENGE = "42" * 64
ZERO = bytes(32)


def rem(*digests):
    value = ZERO
    for digest in digests:
        value = hashlib.sha256(value + bytes.fromhex(digest)).digest()
    return value


def running(word):
    """Processes with `word` in their command line, but for this one."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes():
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state != "Z" and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
    return found


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{seconds} s passed: {what}")
        time.sleep(0.05)


@unittest.skipUnless(shutil.which("swtpm"), "swtpm is not installed")
class Tmm(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="encroot-tmm-")
        self.addCleanup(folder.cleanup)
        self.work = pathlib.Path(folder.name)
        self.state = self.work / "state"
        self.firmware = self.work / "firmware.fd"
        self.firmware.write_bytes(os.urandom(8192))
        self.started = 0
        self.fake = pathlib.Path(__file__).with_name("fake_guest.py")

    def machine(self, *more):
        return [self.work / "qemu-system-x86_64", "-M", "q35", "-drive",
                f"if=pflash,unit=0,format=raw,readonly=on,file={self.firmware}", *more]

    def start(self, steps, *options, machine=None, environment=None):
        qemu = self.work / "qemu-system-x86_64"
        if not qemu.exists():
            qemu.write_text(f"#!/bin/sh\nexec {sys.executable} {self.fake} \"$@\"\n")
            qemu.chmod(0o755)
        self.started += 1  # each guest its own steps: an earlier one may not have read its yet
        script = self.work / f"steps-{self.started}"
        script.write_text("\n".join(steps) + "\n")
        process = subprocess.Popen(
            [TMM, "run", "--state", self.state, *options, "--", *(machine or self.machine())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "FAKE_GUEST": str(script), **(environment or {})})
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def boot(self, steps, *options, status=0):
        """Run a fake guest to its end; returns [(status, token), ...] and what was said."""
        process = self.start(steps, *options)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, said)
        lines = (self.work / f"steps-{self.started}.out").read_text().split("\n")[:-1]
        answers = [line.split(" ") for line in lines]
        return [(int(code), bytes.fromhex(token)) for code, token in answers], said

    def test_token_holds_what_was_extended(self):
        a, b, c = "aa" * 32, "bb" * 32, "cc" * 32
        (answer, later), said = self.boot([
            "init", "startup 0", f"extend 4 {a}", f"extend 2 {b}", f"extend 9 {c}",
            f"extend 0 {a}", f"extend 10 {a}", f"token {CHALLENGE}",
            f"extend 7 {a}", f"token {CHALLENGE}"])
        self.assertEqual(answer[0], 0)
        for value in (ZERO, rem(a, b), rem(c), bytes.fromhex(CHALLENGE)):
            self.assertIn(value, answer[1])
        for value in (rem(a), rem(b), rem(b, a)):
            self.assertNotIn(value, answer[1])
        self.assertIn(rem(a), later[1])
        self.assertIn("DEVELOPMENT", said)

    def test_a_guest_that_lies_gets_the_truth(self):
        """The good history is known to everyone; a guest cannot have it by saying so."""
        good = ["11" * 32, "22" * 32]
        evil = "ee" * 32
        claim = (rem(*good)).hex()
        answers, _ = self.boot([
            "init", "startup 0", f"extend 4 {evil}",
            # once more from the start, without a power-on
            *[f"extend 4 {digest}" for digest in good],
            f"garbage {claim}", f"garbage {b'TMMR'.hex()}{claim}", f"token {CHALLENGE}"])
        self.assertEqual(answers[0][0], 0)
        self.assertIn(rem(evil, *good), answers[0][1])
        self.assertNotIn(rem(*good), answers[0][1].replace(bytes.fromhex(CHALLENGE), b""))

    def test_no_token_without_a_known_history(self):
        answers, _ = self.boot([
            f"token {CHALLENGE}",                                     # never powered on
            "init", f"token {CHALLENGE}",                             # TPM not started
            "startup 0", f"token {CHALLENGE}",                        # known: nothing was extended
            "shutdown", "init", "startup 1", f"extend 4 {'11' * 32}",  # resumed
            f"token {CHALLENGE}"])
        self.assertEqual([status for status, _ in answers], [1, 1, 0, 1])
        self.assertEqual([len(token) > 0 for _, token in answers], [False, False, True, False])

    def test_reset_starts_over(self):
        answers, _ = self.boot([
            "init", "startup 0", f"extend 4 {'ee' * 32}", "init", "startup 0",
            f"extend 4 {'11' * 32}", f"token {CHALLENGE}"])
        self.assertIn(rem("11" * 32), answers[0][1])

    def test_status_and_log(self):
        log = self.work / "log"
        self.boot(["init", "startup 0", f"extend 4 {'11' * 32}", f"token {CHALLENGE}", "exit 7"],
                  "--log", log, status=7)
        text = log.read_text()
        for line in ("power-on", "startup clear", f"extend pcr=4 rem=1 digest={'11' * 32}",
                     "token issued"):
            self.assertIn(line, text)

    def test_rim_is_predicted(self):
        _, said = self.boot(["init"])
        out = subprocess.run([TMM, "rim", "--", *self.machine()], capture_output=True, text=True,
                             check=True).stdout
        self.assertRegex(out, r"\ARIM-HASH: [0-9A-F]{64}\n\Z")
        self.assertIn(f"RIM {out.split()[1].lower()}", said)
        out = subprocess.run([TMM, "rim", "--json", "--", *self.machine("-smp", "3")],
                             capture_output=True, text=True, check=True).stdout
        described = json.loads(out)
        self.assertEqual(described["vcpus"], 3)
        self.assertIn("\nsmp 3\n", described["machine"])
        self.assertNotIn(described["rim"], said)

    def test_second_guest_needs_its_own_tpm(self):
        first = self.start(["init", "sleep 60"])
        wait_until((self.state / "tpm").exists, 20, "no TPM state")
        wait_until(lambda: running(f"dir={self.state}/tpm"), 20, "no swtpm")
        second = subprocess.run([TMM, "run", "--state", self.state, "--", *self.machine()],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(second.returncode, 125)
        self.assertIn("--fresh-tpm", second.stderr)
        self.boot(["init", "startup 0"], "--fresh-tpm")
        self.assertEqual(sorted(p.name for p in self.state.iterdir()), ["p521", "tpm"])
        first.terminate()
        self.assertEqual(first.wait(20), 128 + signal.SIGTERM)

    def test_nothing_outlives_a_kill(self):
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.subTest(how.name):
                process = self.start(["init", "sleep 60"])
                wait_until(lambda: running("fake_guest.py") and running(f"dir={self.state}"), 20,
                           "not running")
                process.send_signal(how)
                process.wait(20)
                wait_until(lambda: not running(str(self.work)), 10, "something is still running")

    def test_tpm_that_dies_ends_the_guest(self):
        process = self.start(["init", "sleep 60"])
        wait_until(lambda: running(f"dir={self.state}/tpm"), 20, "no swtpm")
        os.kill(running(f"dir={self.state}/tpm")[0], signal.SIGKILL)
        _, said = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 125)
        self.assertIn("swtpm has ended", said)
        self.assertFalse(running(str(self.work)))

    def test_refusals(self):
        cases = {
            ("run", "--", "qemu-system-x86_64"): (2, "--state"),
            ("run", "--state", "s"): (2, "command line is missing"),
            ("run", "--state", "s", "--", "qemu-system-x86_64"): (125, "no firmware"),
            ("run", "--state", "s", "--", *map(str, self.machine("-tpmdev", "passthrough"))):
                (125, "-tpmdev"),
            ("rim", "--", "qemu-system-x86_64", "-bios", "/nonexistent"): (125, "/nonexistent"),
            ("nonsense",): (2, "Usage"),
        }
        for arguments, (status, text) in cases.items():
            with self.subTest(arguments):
                done = subprocess.run([TMM, *arguments], capture_output=True, text=True,
                                      cwd=self.work)
                self.assertEqual(done.returncode, status)
                self.assertIn(text, done.stderr)

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "QEMU is not installed")
    @unittest.skipUnless((OVMF / "OVMF_CODE_4M.ms.fd").exists(), "OVMF is not installed")
    def test_real_firmware_is_measured(self):
        """OVMF with Secure Boot and no disk: its measurements arrive, QEMU's status too."""
        shutil.copy(OVMF / "OVMF_VARS_4M.ms.fd", self.work / "vars.fd")
        log = self.work / "log"
        process = self.start([], "--log", log, machine=[
            "qemu-system-x86_64", "-nodefaults", "-display", "none", "-M", "q35,smm=on",
            "-m", "256M", "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.ms.fd",
            "-drive", f"if=pflash,unit=1,format=raw,file={self.work}/vars.fd"])
        # PCR 7: the five Secure Boot variables, then the separator.
        separator = hashlib.sha256(bytes(4)).hexdigest()
        wanted = f"extend pcr=7 rem=0 digest={separator}"
        wait_until(lambda: log.exists() and wanted in log.read_text(), 120, "no separator")
        process.terminate()
        self.assertEqual(process.wait(20), 0)
        lines = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
        self.assertEqual(lines[:2], ["power-on", "startup clear"])
        self.assertEqual([line for line in lines if line.startswith("extend pcr=7 ")].index(wanted), 5)
        self.assertTrue(any(line.startswith("extend pcr=0 rem=none") for line in lines))
        self.assertFalse([line for line in lines if line.startswith("unknown")])

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "QEMU is not installed")
    def test_a_guest_cannot_sleep_through_its_measurement(self):
        """Even if the command line allows it: after S3 the registers would be empty."""
        self.firmware.write_bytes(bytes(65536))  # QEMU takes nothing smaller
        for machine, device in (("q35", "ICH9-LPC"), ("pc", "PIIX4_PM")):
            with self.subTest(machine), socket.socket(socket.AF_UNIX) as listener:
                path = self.work / f"{machine}.sock"
                listener.bind(str(path))
                listener.listen(1)
                listener.settimeout(60)
                process = self.start([], "--fresh-tpm", machine=[
                    "qemu-system-x86_64", "-nodefaults", "-display", "none", "-M", machine,
                    "-m", "64M", "-global", f"{device}.disable_s3=0", "-bios", self.firmware,
                    "-chardev", f"socket,id=mon,path={path}", "-mon", "chardev=mon,mode=control"])
                connection, _ = listener.accept()
                with connection, connection.makefile("rw") as monitor:
                    def ask(command, **arguments):
                        print(json.dumps({"execute": command, "arguments": arguments}),
                              file=monitor, flush=True)
                        while "return" not in (answer := json.loads(monitor.readline())):
                            self.assertNotIn("error", answer)
                        return answer["return"]
                    connection.settimeout(60)
                    ask("qmp_capabilities")
                    devices = ask("qom-list", path="/machine/unattached")
                    found = [d["name"] for d in devices if d["type"] == f"child<{device}>"]
                    self.assertEqual(len(found), 1)
                    self.assertEqual(ask("qom-get", path=f"/machine/unattached/{found[0]}",
                                         property="disable_s3"), 1)
                process.terminate()
                self.assertEqual(process.wait(20), 0)


if __name__ == "__main__":
    unittest.main()
