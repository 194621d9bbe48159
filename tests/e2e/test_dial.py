"""Dial mode: the guest calls its brokers, and comes up as soon as one of them is there. The broker is
`encroot unlock`, which dials too: between the two stands a switchboard. TLS and HTTP have the same
roles whoever opened the connection, so it passes bytes on and knows no more."""
import socket
import threading
import unittest

import disk
import lab
from guest_test import GuestTest

HOST = "10.0.2.2"  # the host in QEMU's user network


class Switchboard:
    """Two ports on loopback, one for the guest and one for the broker, and a cable."""

    def __init__(self):
        # Bound but not listening: calls are refused, and nobody else takes the port.
        self.guest, self.broker = socket.socket(), socket.socket()
        for side in (self.guest, self.broker):
            side.bind(("127.0.0.1", 0))
        self.guest_port = self.guest.getsockname()[1]
        self.broker_port = self.broker.getsockname()[1]

    def await_guest(self, timeout):
        self.guest.listen(8)
        self.guest.settimeout(timeout)
        return self.guest.accept()[0]

    def connect(self, guest):
        """Plug a guest that called to the broker that calls next."""
        self.broker.listen(1)

        def run():
            broker, _ = self.broker.accept()
            other = threading.Thread(target=pass_on, args=(broker, guest), daemon=True)
            other.start()
            pass_on(guest, broker)
            other.join()
            guest.close()
            broker.close()
        threading.Thread(target=run, daemon=True).start()

    def close(self):
        self.guest.close()
        self.broker.close()


def pass_on(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Dial(GuestTest):
    def setUp(self):
        super().setUp()
        self.board = Switchboard()
        self.addCleanup(self.board.close)
        self.down = socket.socket()
        self.addCleanup(self.down.close)
        self.down.bind(("127.0.0.1", 0))
        self.down_port = self.down.getsockname()[1]
        self.image = self.work / "disk.qcow2"
        self.addCleanup(disk.remove, self.image)

    def unlock(self, vm, port):
        line = self.operator.unlock_command(vm, port=port)
        line[line.index("-f") + 1] = self.image.with_suffix(".hash.json")
        done = lab.command(*line, check=False, timeout=lab.UNLOCK_TIMEOUT)
        with (vm.work / "unlock.log").open("a") as log:
            print(f"{done.stdout}[{done.returncode}]", file=log)
        return done

    def assert_comes_up(self, vm, port):
        done = self.unlock(vm, port)
        self.assertEqual(done.returncode, 0, done.stdout)
        vm.wait_for(lab.LOGIN, lab.BOOT_TIMEOUT)
        self.assertRegex(vm.run("lsblk"), r"encroot\s.*\bcrypt\s+/\s")

    def test_two_brokers_are_down_and_the_third_comes_up(self):
        brokers = ["nobody.invalid", f"{HOST}:{self.down_port}", f"{HOST}:{self.board.guest_port}"]
        self.operator.encrypt(self.image, *(w for b in brokers for w in ("--broker", b)))
        vm = self.boot(self.image, "qcow2")
        vm.wait_for(rf"encroot: dialing broker 3 of 3: {HOST} port {self.board.guest_port}",
                    lab.BOOT_TIMEOUT)
        # Each fails in its own way, and says so. (DNS: whatever the host's answers for .invalid.)
        vm.wait_for(r"broker 1 of 3 \(nobody\.invalid port 7221\): .*; next try in \d+ s", 120)
        for n, port in ((2, self.down_port), (3, self.board.guest_port)):
            vm.wait_for(rf"broker {n} of 3 \({HOST} port {port}\): connection refused; "
                        r"next try in \d+ s", 120)
        self.assertIsNone(vm.console.find(lab.LISTENING), "it listens, and was not told to")
        self.board.connect(self.board.await_guest(120))
        self.assert_comes_up(vm, self.board.broker_port)

    def test_listening_too(self):
        """The broker to dial is down: an operator gets in by the other door."""
        self.operator.encrypt(self.image, "--broker", f"{HOST}:{self.down_port}", "--listen")
        vm = self.boot_to_agent(self.image, "qcow2")
        vm.wait_for(r"broker 1 of 1 .*: connection refused; next try in \d+ s", 120)
        self.assert_comes_up(vm, vm.port)


if __name__ == "__main__":
    unittest.main()
