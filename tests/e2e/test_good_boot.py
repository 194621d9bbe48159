"""One guest from power on to its second boot, with all that the network throws at it before the
operator comes: C1 C2 C4 (channel), D7 K5 (the key shows nowhere), B1 (no shell)."""
import base64
import hmac
import os
import signal
import socket
import subprocess
import threading
import time
import unittest
import uuid

import disk
import lab
from vm import VM, free_port


class StallingProxy:
    """Passes bytes to the guest until `limit` of them have come back from it, then nothing."""

    def __init__(self, target, limit):
        self.target, self.limit = target, limit
        self.port = free_port()
        self.stalled = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.target))
        self.sockets = client, server
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        seen = 0
        while data := server.recv(4096):
            seen += len(data)
            if seen >= self.limit:
                self.stalled.set()
                return  # the operator waits for the rest for ever
            client.sendall(data)

    def _pump(self, source, target):
        try:
            while data := source.recv(4096):
                target.sendall(data)
        except OSError:
            pass

    def close(self):
        for s in (*getattr(self, "sockets", ()), self.listener):
            s.close()


def dial(vm):
    return socket.create_connection(("127.0.0.1", vm.port), 10)


class GoodBoot(unittest.TestCase):
    """The tests run in the order of their names, on one guest."""

    @classmethod
    def setUpClass(cls):
        cls.operator = lab.shared("lab")
        cls.stranger = lab.shared("host")
        cls.work = lab.WORK / "GoodBoot"
        disk.remove(cls.work)
        cls.work.mkdir(parents=True)
        cls.image = disk.overlay(cls.work / "disk.qcow2", cls.operator.image, "qcow2")
        cls.vm = VM(cls.work, cls.image, "qcow2", tmm=cls.operator.tmm())
        cls.addClassCleanup(lambda: cls.vm.stop())
        cls.vm.start()
        cls.vm.wait_for(lab.LISTENING, lab.BOOT_TIMEOUT)
        cls.held = []

    @classmethod
    def tearDownClass(cls):
        disk.remove(cls.image)

    def assert_waiting(self):
        self.assertTrue(self.vm.alive())
        self.assertNotIn("starting the guest", self.vm.console.text())

    def test_01_console_names_address_and_port(self):
        _, _, found = self.vm.console.find(lab.LISTENING)
        self.assertEqual(found[2], "7220")
        self.assertRegex(found[1], r"10\.0\.2\.15")

    def test_02_port_scan(self):
        """C4: connections that are closed or reset at once."""
        for i in range(60):
            s = dial(self.vm)
            if i % 2:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        self.assert_waiting()

    def test_03_garbage(self):
        """C4: what is no TLS server is dropped."""
        for data in (os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x03\xff\xff",
                     b"\x16\x03\x03\x00\x04\x02\x00\x00\x00" + bytes(1000), bytes(100000)):
            with dial(self.vm) as s:
                try:
                    s.sendall(data)
                    s.settimeout(15)
                    while s.recv(4096):
                        pass
                except OSError:
                    pass
        self.assert_waiting()

    def test_04_another_brokers_key(self):
        """C2: the host's own broker is not served, and is told nothing that it could use."""
        done = lab.command(*self.stranger.unlock_command(self.vm), check=False,
                           timeout=lab.UNLOCK_TIMEOUT)
        (self.work / "stranger.log").write_text(done.stdout)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("not accept this broker's key", done.stdout)
        self.assert_waiting()

    def test_05_killed_in_mid_release(self):
        """The operator's program dies when half of the evidence has come."""
        proxy = StallingProxy(self.vm.port, 2500)
        self.addCleanup(proxy.close)
        line = self.operator.unlock_command(self.vm, port=proxy.port)
        with (self.work / "killed.log").open("w") as log:
            unlock = subprocess.Popen([str(w) for w in line], stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log)
        try:
            self.assertTrue(proxy.stalled.wait(60), "the evidence never came")
            self.assertIsNone(unlock.poll())
        finally:
            unlock.send_signal(signal.SIGKILL)
            unlock.wait()
        self.assert_waiting()

    def test_06_half_open(self):
        """C4: connections on which nobody ever says a word do not keep the operator out."""
        self.held.extend(dial(self.vm) for _ in range(3))
        time.sleep(1)
        self.assert_waiting()

    def test_07_unlock(self):
        start = time.monotonic()
        done = self.operator.unlock(self.vm, "--save-evidence", self.work / "evidence.json")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT)
        self.assertLess(time.monotonic() - start, lab.BOOT_TIMEOUT)
        for s in self.held:
            s.close()

    def test_08_root_is_the_encrypted_volume(self):
        text = self.vm.run("lsblk")
        self.assertRegex(text, r"encroot\s.*\bcrypt\s+/\s")
        self.assertIn("/dev/mapper/encroot", self.vm.run("findmnt -n -o SOURCE /"))
        # The mapping's UUID as cryptsetup would have made it.
        self.assertRegex(self.vm.run("cat /sys/class/block/dm-0/dm/uuid"),
                         r"^CRYPT-LUKS2-[0-9a-f]{32}-encroot$")

    def test_09_the_guest_is_as_its_unencrypted_self(self):
        """No failed unit, no missing unit, no missing link that the plain image does not lack."""
        plain, now = lab.baseline(), lab.guest_facts(self.vm)
        self.assertEqual(set(now["failed"]) - set(plain["failed"]), set())
        # Devices have other names on the mapper; all else must be there.
        missing = {u for u in set(plain["active"]) - set(now["active"])
                   if not u.endswith((".device", ".scope", ".slice")) and "fsck" not in u}
        self.assertEqual(missing, set())
        self.assertEqual(set(plain["by_uuid"]) - set(now["by_uuid"]), set())
        self.assertEqual(self.vm.run("systemctl is-active dev-mapper-encroot.device").strip(),
                         "active")

    def test_10_the_key_shows_nowhere(self):
        """D7, K5: not in files, logs, arguments, the kernel's messages, or the guest's memory."""
        secret = self.operator.secret()
        memory = self.work / "memory"
        self.addCleanup(disk.remove, memory)
        self.vm.memory_image(memory)
        inside = self.work / "inside.log"
        inside.write_text(self.vm.run("dmesg; journalctl -b; cat /proc/[0-9]*/cmdline "
                                      "/proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"))
        # dm-crypt must hold the volume key, which proves that the search would find the other.
        self.assertTrue(disk.contains(memory, self.volume_key(secret)), "not all of its memory")
        for path in (memory, *self.work.glob("*.log"), *self.work.glob("evidence*"),
                     self.operator.image, self.operator.reference):
            for form in (secret, secret.hex().encode(), secret.hex().upper().encode(),
                         base64.b64encode(secret)):
                self.assertFalse(disk.contains(path, form), f"the key is in {path}")

    def volume_key(self, secret):
        """DESIGN, 4: HKDF-SHA-512 (RFC 5869) with the LUKS UUID as salt; 64 bytes are one block."""
        _, _, found = self.vm.console.find(r"volume ([0-9a-f-]{36}) is on")
        prk = hmac.digest(uuid.UUID(found[1]).bytes, secret, "sha512")
        return hmac.digest(prk, b"encroot volume key v1\x01", "sha512")

    def test_11_nothing_of_the_agent_stays(self):
        self.assertEqual(self.vm.run("readlink /proc/1/exe").strip(), "/usr/lib/systemd/systemd")
        self.assertNotRegex(self.vm.run("readlink /proc/[0-9]*/exe || true"), r"/init\b|deleted")
        self.assertEqual(self.vm.run("ss -Htln 'sport = :7220'").strip(), "")
        self.assertEqual(self.vm.run("find / -xdev -name agent.json -o -xdev -name 'rootfs_key*'")
                         .strip(), "")

    def test_12_second_boot(self):
        """The same disk again; what was written is there. This time by a policy that knows the
        first boot: the machine, its key, its firmware and tables, the commands of its GRUB."""
        policy = self.operator.policy(self.work / "evidence.json", self.work / "policy.json")
        self.vm.run("echo written in the first boot > /root/note; sync")
        self.vm.power_off()
        self.vm.stop()
        type(self).vm = VM(self.work / "second", self.image, "qcow2", tmm=self.operator.tmm())
        self.vm.start()
        self.vm.wait_for(lab.LISTENING, lab.BOOT_TIMEOUT)
        done = self.operator.unlock(self.vm, policy=policy)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotIn("accepted unseen", done.stdout)
        self.vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT)
        self.assertEqual(self.vm.run("cat /root/note"), "written in the first boot\n")
        self.assertRegex(self.vm.run("lsblk"), r"encroot\s.*\bcrypt\s+/\s")
        self.vm.power_off()


if __name__ == "__main__":
    unittest.main()
