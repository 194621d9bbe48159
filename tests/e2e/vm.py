"""One guest in QEMU, as the tests, the demo and the bench start it.

OVMF with Secure Boot, a TPM (swtpm alone, or the software TMM, which starts QEMU itself), a disk, a
network with one forwarded port. Everything that the guest's console prints is kept with host time
stamps in WORK/console.log. Two more channels serve the test, not the guest: QMP, and a
virtio-serial port on which the test guest runs commands.
"""
import base64
import json
import os
import pathlib
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time

OVMF = pathlib.Path("/usr/share/OVMF")
AGENT_PORT = 7220
MEMORY = 1 << 30


class Failure(Exception):
    """The guest did not do what was waited for; the text says what it did instead."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Console:
    """The guest's serial console: QEMU connects to us, so that nothing is lost."""

    def __init__(self, listener, log):
        self.lines = []  # (seconds since power on, text), escape sequences removed
        self.start = time.monotonic()
        self.partial = ""
        self.closed = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(listener, log), daemon=True)
        self.thread.start()

    def _read(self, listener, log):
        decoder_rest = b""
        try:
            self.connection, _ = listener.accept()
            with self.connection, log.open("w", errors="replace") as out:
                while data := self.connection.recv(65536):
                    decoder_rest = self._take(decoder_rest + data, out)
        except OSError:
            pass
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _take(self, data, out):
        now = time.monotonic() - self.start
        drawn = re.sub(rb"\x1b\[\d+;\d+H", b"\n", data.replace(b"\r", b""))
        *complete, rest = drawn.split(b"\n")
        with self.changed:
            for raw in complete:
                text = clean(raw)
                if not text:
                    continue
                self.lines.append((now, text))
                print(f"[{now:9.3f}] {text}", file=out)
            self.partial = clean(rest)
            out.flush()
            self.changed.notify_all()
        return rest

    def type(self, text):
        try:
            self.connection.sendall(text.encode())
        except OSError:
            pass  # it has powered itself off

    def text(self, since=0):
        with self.changed:
            return "\n".join([t for _, t in self.lines[since:]] + [self.partial])

    def find(self, pattern, since=0):
        """The first line at or after `since` that matches: (index, seconds, match) or None."""
        with self.changed:
            for i, (when, text) in enumerate(self.lines[since:], since):
                if m := re.search(pattern, text):
                    return i, when, m
            if m := re.search(pattern, self.partial):
                return len(self.lines), time.monotonic() - self.start, m
        return None

    def wait_for(self, pattern, timeout, since=0):
        end = time.monotonic() + timeout
        while True:
            with self.changed:
                if found := self.find(pattern, since):
                    return found
                left = end - time.monotonic()
                if self.closed or left <= 0:
                    break
                self.changed.wait(min(left, 1))
        tail = "\n    ".join(self.text(since).splitlines()[-12:])
        what = "QEMU ended" if self.closed else f"{timeout} s passed"
        raise Failure(f"{what}, and the console never said /{pattern}/; its end:\n    {tail}")


def clean(raw):
    """A line as text, without what moves the cursor or colours (firmware and GRUB draw)."""
    text = raw.decode("utf-8", "replace")
    return re.sub(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>78cM])", "", text).rstrip()


class Qmp:
    """QEMU's monitor: pull the network cable, press the buttons."""

    def __init__(self, listener):
        listener.settimeout(60)
        self.connection, _ = listener.accept()
        self.file = self.connection.makefile("r")
        json.loads(self.file.readline())
        self.command("qmp_capabilities")

    def command(self, execute, **arguments):
        try:
            self.connection.sendall(json.dumps({"execute": execute,
                                                "arguments": arguments}).encode() + b"\n")
            while line := self.file.readline():
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise Failure(f"QMP {execute}: {answer['error']}")
        except OSError:
            pass
        raise Failure(f"QMP {execute}: QEMU ended")

    def close(self):
        self.file.close()
        self.connection.close()


class GuestCommands:
    """Runs commands in the test guest (tests/guest/overlay/usr/local/sbin/encroot-test)."""

    def __init__(self, listener):
        self.answers = queue.Queue()
        self.counter = 0
        self.connection = None
        self.ready = threading.Event()
        threading.Thread(target=self._read, args=(listener,), daemon=True).start()

    def _read(self, listener):
        try:
            self.connection, _ = listener.accept()
            self.ready.set()
            for line in self.connection.makefile("r", errors="replace"):
                self.answers.put(line.split())
        except OSError:
            pass
        self.answers.put(None)  # the guest is gone: nobody need wait for it

    def run(self, command, timeout):
        """(exit status, output)"""
        if not self.ready.wait(60):
            raise Failure("QEMU did not connect the command port")
        self.counter += 1
        ident = f"c{self.counter}"
        text = base64.b64encode(command.encode()).decode()
        try:
            self.connection.sendall(f"{ident} {text}\n".encode())
        except OSError:
            raise Failure(f"the guest is gone, and did not run `{command}`") from None
        end = time.monotonic() + timeout
        while True:
            try:
                answer = self.answers.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise Failure(f"the guest did not run `{command}` in {timeout} s") from None
            if answer is None:
                self.answers.put(None)
                raise Failure(f"the guest ended before it answered `{command}`")
            if answer and answer[0] == ident:
                output = base64.b64decode(answer[2]) if len(answer) > 2 else b""
                return int(answer[1]), output.decode(errors="replace")

    def close(self):
        if self.connection:
            self.connection.close()


class VM:
    """A guest. `tmm` = None: a plain TPM; else the command that starts QEMU under the TMM."""

    guest_port = AGENT_PORT  # to which `port` of this machine leads

    def __init__(self, work, disk, disk_format, tmm=None, network=True,
                 variables=OVMF / "OVMF_VARS_4M.ms.fd"):
        self.work = pathlib.Path(work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.disk, self.format = pathlib.Path(disk).resolve(), disk_format
        self.tmm = tmm
        self.network = network
        self.port = free_port()
        self.processes = []
        self.listeners = []
        self.console = self.qmp = self.guest = None
        shutil.copyfile(variables, self.work / "vars.fd")

    # -- the machine

    def firmware(self):
        """OVMF with Secure Boot."""
        return [
            "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.ms.fd",
            "-drive", "if=pflash,unit=1,format=raw,file=vars.fd",
        ]

    def qemu_command(self):
        """The same for every boot but for file names and the forwarded port."""
        command = [
            "qemu-system-x86_64", "-nodefaults", "-display", "none",
            "-machine", "q35,smm=on", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
            "-m", f"{MEMORY >> 20}M",
            *self.firmware(),
            "-drive", f"if=none,id=root,format={self.format},file={self.disk},cache=unsafe",
            "-device", "virtio-blk-pci,drive=root",
            "-chardev", "socket,id=console,path=console.sock", "-serial", "chardev:console",
            "-chardev", "socket,id=qmp,path=qmp.sock", "-mon", "chardev=qmp,mode=control",
            "-device", "virtio-serial-pci,id=test",
            "-chardev", "socket,id=test,path=test.sock",
            "-device", "virtserialport,bus=test.0,chardev=test,name=org.encroot.test.0",
        ]
        if self.network:
            # romfile= : an option ROM would be measured, and nothing needs one.
            forward = f"tcp:127.0.0.1:{self.port}-:{self.guest_port}"
            command += ["-netdev", f"user,id=net0,hostfwd={forward}",
                        "-device", "virtio-net-pci,id=nic0,netdev=net0,romfile="]
        return command

    def _listen(self, name):
        """A UNIX socket in the work folder, whose path may be longer than sun_path allows."""
        path = self.work / name
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        folder = os.open(self.work, os.O_PATH | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{name}")
        finally:
            os.close(folder)
        listener.listen(1)
        self.listeners.append(listener)
        return listener

    def _start(self, command, log):
        with (self.work / log).open("ab") as out:
            process = subprocess.Popen([str(c) for c in command], cwd=self.work,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       start_new_session=True)
        self.processes.append(process)
        return process

    def start(self):
        command = self.qemu_command()
        if self.tmm is None:
            state = self.work / "tpm"
            state.mkdir(exist_ok=True)
            self._start(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl",
                         "type=unixio,path=tpm.sock", "--terminate", "--flags",
                         "not-need-init,startup-clear"], "swtpm.log")
            wait_until(lambda: (self.work / "tpm.sock").exists(), 10, "swtpm's socket")
            command += ["-chardev", "socket,id=tpm,path=tpm.sock",
                        "-tpmdev", "emulator,id=tpm0,chardev=tpm",
                        "-device", "tpm-crb,tpmdev=tpm0"]
        else:
            command = [*self.tmm, *command]
        (self.work / "command").write_text(shlex.join(str(c) for c in command) + "\n")
        self.console = Console(self._listen("console.sock"), self.work / "console.log")
        qmp = self._listen("qmp.sock")
        self.guest = GuestCommands(self._listen("test.sock"))
        self.qemu = self._start(command, "qemu.log")
        try:
            self.qmp = Qmp(qmp)
        except OSError:
            raise Failure("QEMU did not start:\n" + self.log("qemu.log")) from None
        return self

    def log(self, name):
        path = self.work / name
        return path.read_text(errors="replace") if path.exists() else ""

    # -- what a test does with it

    def wait_for(self, pattern, timeout, since=0):
        return self.console.wait_for(pattern, timeout, since)

    def run(self, command, timeout=120):
        """Run a command in the booted guest; returns its output, raises if it fails."""
        status, output = self.guest.run(command, timeout)
        if status != 0:
            raise Failure(f"in the guest, `{command}` ended with {status}:\n{output}")
        return output

    def set_link(self, up):
        self.qmp.command("set_link", name="nic0", up=up)

    def memory_image(self, path):
        """All of the guest's memory, as the host sees it."""
        self.qmp.command("pmemsave", val=0, size=MEMORY, filename=str(path))

    def alive(self):
        return self.qemu.poll() is None

    def wait_off(self, timeout):
        """Wait until the guest has powered itself off."""
        try:
            self.qemu.wait(timeout)
        except subprocess.TimeoutExpired:
            tail = "\n    ".join(self.console.text().splitlines()[-8:])
            raise Failure(f"the guest did not power off in {timeout} s; its console:\n    {tail}") \
                from None

    def power_off(self):
        """As an administrator would, from inside, so that everything is written. The guest may be
        off before it has answered: only being off counts."""
        try:
            self.guest.run("systemctl --no-block poweroff", 20)
        except Failure:
            pass
        self.wait_off(120)

    def reboot(self):
        """As an administrator would, from inside; returns once the machine has gone. Memory of a
        confidential guest is never reused: its next boot is a new machine, on the same disk."""
        self.qmp.command("set-action", reboot="shutdown")
        try:
            self.guest.run("systemctl --no-block reboot", 20)
        except Failure:
            pass
        self.wait_off(240)

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    pass
            try:
                os.killpg(process.pid, signal.SIGKILL)  # whatever it left behind
            except ProcessLookupError:
                pass
            process.wait()
        for thing in (self.qmp, self.guest, *self.listeners):
            if thing:
                thing.close()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()


def wait_until(condition, timeout, what):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {timeout} s")
        time.sleep(0.05)
