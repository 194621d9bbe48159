"""`encroot image encrypt|measure|inspect` on small images with a real kernel and boot loader."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import small_guest
from program import BAD_INPUT, ENCROOT, FAILED, OK, USAGE, CommandTest
from small_guest import MIB, debugfs, run

HEADER = 16 * MIB
# What every command line of an encrypted image has.
FIXED = ("noresume systemd.import_credentials=no systemd.gpt_auto=no systemd.firstboot=no "
         "efi=noruntime random.trust_bootloader=off noinitrd")
BLOCK = 4096


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def file_sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else sha256(f.read())


def table(image):
    return {p["name"]: p for p in json.loads(run("sfdisk", "-J", image))["partitiontable"]["partitions"]}


def read_partition(image, name):
    p = table(image)[name]
    with open(image, "rb") as f:
        f.seek(p["start"] * 512)
        return f.read(p["size"] * 512)


def device(image, name):
    return f"{image}?offset={table(image)[name]['start'] * 512}"


def tree(root):
    """Everything about the files below `root` that must survive."""
    found, inodes = {}, {}
    for path in sorted(root.rglob("*")):
        st, name = path.lstat(), str(path.relative_to(root))
        if name.split("/")[0] == "lost+found":
            continue
        content = os.readlink(path) if path.is_symlink() else \
            file_sha256(path) if path.is_file() else None
        inodes.setdefault(st.st_ino, len(inodes))
        # debugfs gives symbolic links the time at which it writes them.
        mtime = None if path.is_symlink() else int(st.st_mtime)
        found[name] = (st.st_mode, st.st_uid, st.st_gid, mtime, inodes[st.st_ino] if
                       path.is_file() and st.st_nlink > 1 else None, content)
    return found


class ImageTest(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="encroot-image-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        cls.keys = cls.shared / "keys"
        subprocess.run([ENCROOT, "init", cls.keys], check=True, stdout=subprocess.DEVNULL)
        cls.small = cls.shared / "small.raw"
        cls.place = small_guest.make(cls.small)

    def encrypt(self, image, output, *options, status=OK, keys=None):
        return self.encroot("image", "encrypt", "-i", image, "-o", output, "-d", keys or self.keys,
                            *options, status=status)

    def raw_of(self, image):
        raw = self.folder / f"{image}.as-raw"
        run("qemu-img", "convert", "-O", "raw", self.folder / image, raw)
        return raw

    def root_of(self, raw):
        """The root partition of a raw image, as a file."""
        part = self.folder / f"{Path(raw).name}.root"
        p = table(raw)["root"]
        run("dd", f"if={raw}", f"of={part}", "bs=1M", "iflag=skip_bytes,count_bytes",
            f"skip={p['start'] * 512}", f"count={p['size'] * 512}", "conv=sparse", "status=none")
        return part

    def assert_opens(self, part, key=None):
        done = subprocess.run(["cryptsetup", "open", "--test-passphrase", "--type", "luks2",
                               "--key-file", str(key or self.keys / "rootfs_key.bin"), str(part)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def decrypt(self, part):
        """By cryptsetup alone, offline: needs neither device-mapper nor encroot."""
        header = f"{part}.header"
        key = self.keys / "rootfs_key.bin"
        run("cryptsetup", "reencrypt", "--decrypt", "--header", header, "--key-file", key,
            "--batch-mode", "--force-offline-reencrypt", part)
        return part

    def guest_with(self, name, grub_cfg=None, boot=(), root=()):
        """A small guest in which grub.cfg and files of /boot and / are others: (path, content)."""
        image = self.folder / name
        shutil.copy(self.small, image)
        files = [("boot", path, content) for path, content in boot]
        files += [("root", path, content) for path, content in root]
        if grub_cfg is not None:
            debugfs(device(image, "boot"), "rm /grub/grub.cfg", write=True)
            files.append(("boot", "/grub/grub.cfg", grub_cfg))
        for partition, path, content in files:
            (self.folder / "put").write_bytes(content)
            made = ""
            for part in path.split("/")[1:-1]:
                made += f"/{part}"
                debugfs(device(image, partition), f"mkdir {made}", write=True)
            debugfs(device(image, partition), f"write {self.folder / 'put'} {path}", write=True)
        return image

    def small_grub_cfg(self):
        return (small_guest.parts() / "boot/grub/grub.cfg").read_bytes()


class Encrypt(ImageTest):
    def test_cryptsetup_decrypts_to_the_same_files(self):
        for options in ([], ["--full"]):
            with self.subTest(options=options):
                shutil.rmtree(self.folder)
                self.folder.mkdir()
                self.encrypt(self.small, "out.raw", *options)
                part = self.root_of(self.folder / "out.raw")
                self.assert_opens(part)
                plain = self.decrypt(part)
                run("e2fsck", "-fn", plain)
                trees = []
                for name, source in (("a", device(self.small, "root")), ("b", plain)):
                    (self.folder / name).mkdir()
                    debugfs(source, f"rdump / {self.folder / name}")
                    trees.append(tree(self.folder / name))
                self.assertGreater(len(trees[0]), 100)
                self.assertEqual(trees[0], trees[1])
                if options:
                    size = table(self.small)["root"]["size"] * 512
                    with open(plain, "rb") as f:
                        self.assertEqual(sha256(f.read(size)),
                                         sha256(read_partition(self.small, "root")))

    def test_another_key_does_not_open_it(self):
        self.encrypt(self.small, "out.raw")
        other = self.folder / "other.bin"
        other.write_bytes(bytes(32))
        with self.assertRaises(AssertionError):
            self.assert_opens(self.root_of(self.folder / "out.raw"), other)

    def test_everything_else_stays(self):
        before = file_sha256(self.small)
        self.encrypt(self.small, "out.qcow2")
        self.assertEqual(file_sha256(self.small), before)
        info = json.loads(run("qemu-img", "info", "--output=json", self.folder / "out.qcow2"))
        self.assertEqual(info["format"], "qcow2")
        run("qemu-img", "check", self.folder / "out.qcow2")
        raw = self.raw_of("out.qcow2")
        old, new = table(self.small), table(raw)
        for name in ("esp", "boot"):
            self.assertEqual({k: v for k, v in old[name].items() if k != "node"},
                             {k: v for k, v in new[name].items() if k != "node"})
        for key in ("uuid", "type", "name", "start"):
            self.assertEqual(old["root"][key], new["root"][key])
        self.assertEqual(new["root"]["size"] * 512, old["root"]["size"] * 512 + HEADER)
        run("sgdisk", "--verify", raw) if shutil.which("sgdisk") else None
        self.assertEqual(read_partition(self.small, "esp"), read_partition(raw, "esp"))
        run("e2fsck", "-fn", self.boot_file(raw))
        trees = []
        for name, image in (("a", self.small), ("b", raw)):
            (self.folder / name).mkdir()
            debugfs(device(image, "boot"), f"rdump / {self.folder / name}")
            trees.append(tree(self.folder / name))
        added = set(trees[1]) - set(trees[0])
        self.assertEqual(added, {f"encroot-{small_guest.version()}.img"})
        for name in set(trees[0]) - {"grub", "grub/grub.cfg"}:
            self.assertEqual(trees[0][name], trees[1][name], name)

    def boot_file(self, raw):
        part = self.folder / "boot.part"
        part.write_bytes(read_partition(raw, "boot"))
        return part

    def grub_cfg(self, raw):
        return debugfs(device(raw, "boot"), "cat /grub/grub.cfg").decode()

    def test_boot_configuration(self):
        result = self.encrypt(self.small, "out.raw", "--ip", "dhcp", "--append", "audit=1")
        for words in ("(recovery mode)\": recovery mode", "\"UEFI Firmware Settings\": enters"):
            self.assertIn(words, result.stdout)
        text = self.grub_cfg(self.folder / "out.raw")
        v = small_guest.version()
        line = (f"\tlinux /vmlinuz-{v} root=/dev/mapper/encroot ro console=ttyS0,115200 {FIXED} "
                f"ip=dhcp audit=1\n\tinitrd /encroot-{v}.img\n")
        self.assertEqual(text.count(line), 2)
        self.assertEqual(text.count("menuentry "), 2)
        self.assertEqual(len(re.findall(r"^\tlinux ", text, re.M)), 2)
        self.assertIn('set superusers=""\n', text)
        self.assertNotRegex(text, r"\$|insmod|load_env|source|recovery|single")
        self.assertLess(text.index("set superusers"), text.index("menuentry"))
        if shutil.which("grub-script-check"):
            (self.folder / "grub.cfg").write_text(text)
            run("grub-script-check", self.folder / "grub.cfg")

    def initramfs(self, raw):
        packed = self.folder / "initramfs.img"
        debugfs(device(raw, "boot"), f"dump /encroot-{small_guest.version()}.img {packed}")
        plain = subprocess.run(["zstd", "-dcq", packed], check=True, stdout=subprocess.PIPE).stdout
        target = self.folder / "initramfs"
        target.mkdir()
        listing = subprocess.run(["cpio", "-tv", "--quiet"], input=plain, check=True,
                                 stdout=subprocess.PIPE).stdout.decode()
        subprocess.run(["cpio", "-id", "--quiet", "--no-absolute-filenames"], input=plain,
                       cwd=target, stderr=subprocess.PIPE)
        return target, listing

    def test_initramfs_holds_agent_modules_and_configuration(self):
        self.encrypt(self.small, "out.raw", "--deadline", 77, "--on-failure", "poweroff", "-p", 7221)
        target, listing = self.initramfs(self.folder / "out.raw")
        files = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
        others = {f for f in files if not re.fullmatch(r"lib/modules/[\w-]+\.ko", f)}
        self.assertEqual(others, {"init", "etc/encroot/agent.json"})
        self.assertRegex(listing, r"crw------- .* 5, +1 .* dev/console\n")
        self.assertEqual((target / "init").read_bytes(), (ENCROOT.parent / "encroot-agent").read_bytes())
        config = json.loads((target / "etc/encroot/agent.json").read_text())
        new = table(self.folder / "out.raw")["root"]
        self.assertEqual(config["volume"]["partition"], new["uuid"].lower())
        self.assertEqual(config["volume"]["data_offset"], HEADER)
        self.assertEqual(config["volume"]["data_size"], new["size"] * 512 - HEADER)
        self.assertEqual(config["volume"]["sector_size"], 4096)
        self.assertEqual(config["root"], {"type": "ext4", "read_only": True, "flags": ""})
        self.assertEqual((config["deadline"], config["on_failure"]), (77, "poweroff"))
        self.assertEqual(config["broker"]["listen_port"], 7221)
        der = subprocess.run("openssl x509 -in broker.crt -noout -pubkey | "
                             "openssl pkey -pubin -outform der", shell=True, cwd=self.keys,
                             check=True, stdout=subprocess.PIPE).stdout
        self.assertEqual(config["broker"]["pins"], [sha256(der)])
        dump = run("cryptsetup", "luksDump", self.root_of(self.folder / "out.raw")).decode()
        self.assertIn(config["volume"]["uuid"], dump)
        modules = [m["path"] for m in config["modules"]]
        self.assertEqual({m.lstrip("/") for m in modules}, files - others)
        for name in ("virtio_blk", "virtio_pci", "virtio_net", "virtio_console", "dm-crypt", "xts",
                     "aesni-intel"):
            self.assertIn(f"/lib/modules/{name}.ko", modules)
        kernel = small_guest.parts() / "root/usr/lib/modules" / small_guest.version() / "kernel"
        for path in modules:  # appended signatures included
            original = next(kernel.rglob(Path(path).name))
            self.assertEqual((target / path.lstrip("/")).read_bytes(), original.read_bytes())

    def test_brokers_to_dial(self):
        def broker(*options):
            self.encrypt(self.small, "out.raw", "--force", *options)
            target, _ = self.initramfs(self.folder / "out.raw")
            found = json.loads((target / "etc/encroot/agent.json").read_text())["broker"]
            shutil.rmtree(target)
            return found["listen_port"], [(e["host"], e["port"]) for e in found["endpoints"]]

        self.assertEqual(broker(), (7220, []))
        dialed = broker("--broker", "keys.example.org", "--broker", "192.0.2.7:8443", "--broker",
                        "[2001:db8::7]:443")
        self.assertEqual(dialed, (0, [("keys.example.org", 7221), ("192.0.2.7", 8443),
                                      ("2001:db8::7", 443)]))
        self.assertEqual(broker("--broker", "a", "--listen"), (7220, [("a", 7221)]))
        self.assertEqual(broker("--broker", "a", "-p", 99), (99, [("a", 7221)]))
        self.assertEqual(broker("--broker", "a", "--no-listen"), (0, [("a", 7221)]))

    def test_the_report_says_who_connects_to_whom(self):
        listens = self.encrypt(self.small, "a.raw").stdout
        self.assertRegex(listens, r"its console names an address(.|\n)*encroot unlock -i ADDRESS")
        dials = self.encrypt(self.small, "b.raw", "--broker", "keys.example.org").stdout
        self.assertIn("the agent dials 1 broker by itself", dials)
        self.assertNotIn("encroot unlock", dials)
        both = self.encrypt(self.small, "c.raw", "--json", "--broker", "[::1]", "--listen").stdout
        self.assertEqual(json.loads(both)["brokers"], [{"host": "::1", "port": 7221}])
        self.assertEqual(json.loads(both)["listen_port"], 7220)

    def test_reference_values_are_what_the_image_holds(self):
        self.encrypt(self.small, "out.raw")
        given = (self.folder / "out.hash.json").read_text()
        self.assertEqual(self.encroot("image", "measure", "-i", "out.raw").stdout, given)
        values = json.loads(given)
        boot = device(self.folder / "out.raw", "boot")
        v = small_guest.version()
        self.assertEqual(values["grub.cfg"], sha256(debugfs(boot, "cat /grub/grub.cfg")))
        self.assertEqual([f["path"] for f in values["grub_cfgs"]],
                         ["/EFI/debian/grub.cfg", "/grub/grub.cfg"])
        self.assertEqual(values["grub_cfgs"][1]["sha256"], values["grub.cfg"])
        self.assertEqual(len(values["kernels"]), 1)
        kernel = values["kernels"][0]
        self.assertEqual(kernel["version"], v)
        self.assertEqual(kernel["path"], f"/vmlinuz-{v}")
        self.assertEqual(kernel["kernel_file"], sha256(debugfs(boot, f"cat /vmlinuz-{v}")))
        self.assertEqual(kernel["initramfs"], sha256(debugfs(boot, f"cat /encroot-{v}.img")))
        self.assertEqual(kernel["cmdline"], [f"/vmlinuz-{v} root=/dev/mapper/encroot ro "
                                             f"console=ttyS0,115200 {FIXED}"])

    def test_commands_are_those_that_grub_measures(self):
        """As a boot under OVMF measured them; what depends on a variable has a *."""
        self.encrypt(self.small, "out.raw")
        values = json.loads((self.folder / "out.hash.json").read_text())
        boot, root = small_guest.fs_uuid("boot"), small_guest.fs_uuid("root")
        v = small_guest.version()
        linux = f"linux /vmlinuz-{v} root=/dev/mapper/encroot ro console=ttyS0,115200 {FIXED}"
        search = f"search --no-floppy --fs-uuid --set=root {boot}"
        initrd = f"initrd /encroot-{v}.img"
        block = f"--unrestricted {{\n\t{search}\n\t{linux}\n\t{initrd}\n}}"
        first, second = "Debian GNU/Linux", f"Debian GNU/Linux, with Linux {v}"
        self.assertEqual(values["grub_commands"], [
            # GRUB's own, from the disk in its image
            "[ -z * -o ! -e * ]", "! search --file --set=root /.disk/info",
            "search --file --set=root /.disk/mini-info", "set prefix=(*)/boot/grub",
            "[ -e */x86_64-efi/grub.cfg ]", "source */x86_64-efi/grub.cfg", "[ -e */grub.cfg ]",
            "source */grub.cfg",
            # the stub on the ESP
            f"search.fs_uuid {boot} root hd0,gpt2", "set prefix=(*)/grub", "configfile */grub.cfg",
            # the new configuration
            "set superusers=", "export superusers", "terminal_input console",
            "terminal_output console", "set timeout=1", "set default=0",
            f"menuentry {first} --id gnulinux-simple-{root} {block}", f"setparams {first}",
            search, linux, initrd,
            f"menuentry {second} --id gnulinux-{v}-advanced-{root} {block}", f"setparams {second}"])

    def test_commands_of_an_ordinary_image(self):
        values = json.loads(self.encroot("image", "measure", "-i", self.small).stdout)
        v, root = small_guest.version(), small_guest.fs_uuid("root")
        commands = values["grub_commands"]
        for command in ("[ -s */grubenv ]", "load_env", "set default=*", "[ x* = xy ]", "load_video",
                        "insmod gzio", "setparams Debian GNU/Linux", f"initrd /initrd.img-{v}",
                        f"linux /vmlinuz-{v} root=UUID={root} ro console=ttyS0,115200"):
            self.assertIn(command, commands)
        self.assertEqual(len(commands), len(set(commands)))
        entry, = [c for c in commands if c.startswith("menuentry Debian GNU/Linux --class debian ")]
        text = debugfs(device(self.small, "boot"), "cat /grub/grub.cfg").decode()
        self.assertIn(entry[entry.index(" {") + 1:], text)

    def test_reference_values_in_sha384(self):
        """Files by Python, programs by osslsigncode; the sample's keys stay SHA-256."""
        self.encrypt(self.small, "out.raw")
        for image, hash_json in (("out.raw", "out.hash.json"), (self.small, "small.json")):
            if not (self.folder / hash_json).exists():
                self.encroot("image", "measure", "-i", image, "-o", hash_json)
            values = json.loads((self.folder / hash_json).read_text())
            boot = device(self.folder / image, "boot")
            other, kernel = values["sha-384"], values["kernels"][0]
            kernel_file = debugfs(boot, f"cat {kernel['path']}")
            initramfs = debugfs(boot, f"cat {kernel['initramfs_path']}")
            grub_cfg = debugfs(boot, "cat /grub/grub.cfg")
            for name, values_of, size in (("sha256", values, 64), ("sha384", other, 96)):
                with self.subTest(image=image, hash=name):
                    def digest(data):
                        return hashlib.new(name, data).hexdigest()
                    k = values_of["kernels"][0]
                    self.assertEqual(k["kernel_file"], digest(kernel_file))
                    self.assertEqual(k["initramfs"], digest(initramfs))
                    self.assertEqual(len(k["kernel"]), size)
                    self.assertEqual(values_of["grub.cfg"], digest(grub_cfg))
                    self.assertEqual([f[name] for f in values_of["grub_cfgs"]],
                                     [digest(self.esp_file("EFI/debian/grub.cfg")),
                                      digest(grub_cfg)])
                    self.assertEqual(k["kernel_authenticode"],
                                     self.authenticode(name, kernel_file))
                    for key, path in (("shim", "EFI/BOOT/BOOTX64.EFI"),
                                      ("grub", "EFI/BOOT/grubx64.efi")):
                        self.assertEqual(values_of[key],
                                         self.authenticode(name, self.esp_file(path)))
            self.assertEqual(len(other["kernels"]), len(values["kernels"]))
            self.assertEqual(set(other), {"grub", "grub.cfg", "kernels", "shim", "grub_cfgs"})

    def esp_file(self, path):
        """Both images have the same ESP."""
        part = self.folder / "esp.part"
        if not part.exists():
            part.write_bytes(read_partition(self.small, "esp"))
        return run("mtype", "-i", part, f"::/{path}")

    def authenticode(self, hash_name, program):
        """By osslsigncode, from the DigestInfo of what it would sign."""
        (self.folder / "program.efi").write_bytes(program)
        (self.folder / "signed-data").unlink(missing_ok=True)
        run("osslsigncode", "extract-data", "-h", hash_name, "-in", self.folder / "program.efi",
            "-out", self.folder / "signed-data")
        size = hashlib.new(hash_name).digest_size
        data = (self.folder / "signed-data").read_bytes()
        found, = re.findall(rb"\x05\x00\x04" + bytes([size]) + rb"(.{%d})" % size, data, re.S)
        return found.hex()

    def test_same_input_and_key_same_measured_files(self):
        run("qemu-img", "convert", "-c", "-O", "qcow2", self.small, self.folder / "in.qcow2")
        self.encrypt(self.small, "a.raw")
        self.encrypt("in.qcow2", "b.qcow2", "--full")
        self.assertEqual((self.folder / "a.hash.json").read_bytes(),
                         (self.folder / "b.hash.json").read_bytes())
        b = self.raw_of("b.qcow2")
        for name in ("boot", "esp"):
            self.assertEqual(sha256(read_partition(self.folder / "a.raw", name)),
                             sha256(read_partition(b, name)), name)
        uuids = [re.search(r"UUID:\s+(\S+)", run("cryptsetup", "luksDump",
                                                 self.root_of(i)).decode())[1]
                 for i in (self.folder / "a.raw", b)]
        self.assertEqual(uuids[0], uuids[1])

    def test_no_plaintext_block_in_the_output(self):
        plain = read_partition(self.small, "root")
        zero = bytes(BLOCK)
        wanted = {plain[at:at + BLOCK] for at in range(0, len(plain), BLOCK)} - {zero}
        self.assertGreater(len(wanted), 5000)
        starts = {}
        for block in wanted:
            starts.setdefault(block[:16], set()).add(block)
        for output in ("full.raw", "sparse.qcow2"):
            self.encrypt(self.small, output, *(["--full"] if output == "full.raw" else []))
            data = (self.folder / output).read_bytes()
            found = [at for at in range(0, len(data) - BLOCK + 1, 512)
                     if data[at:at + 16] in starts and
                     data[at:at + BLOCK] in starts[data[at:at + 16]]]
            boot = read_partition(self.small, "boot") + read_partition(self.small, "esp")
            rightly = [at for at in found if data[at:at + BLOCK] in boot]
            for at in rightly:
                print(f"{output}: byte {at}: also in the boot partitions: "
                      f"{data[at:at + 16].hex()}...")
            self.assertEqual(set(found) - set(rightly), set())
        # The search finds what is there: the same on the input.
        data = self.small.read_bytes()
        at = self.place["root"][1]
        hits = sum(data[i:i + BLOCK] in wanted for i in range(at, at + len(plain), BLOCK))
        self.assertGreater(hits, 5000)

    def test_where_the_root_goes(self):
        cases = (("in place", dict(order=("esp", "root", "boot"), gap=HEADER), "grown in place", 0),
                 ("disk", dict(), "grown, with a larger disk", HEADER),
                 ("moved", dict(order=("root", "esp", "boot")), "moved to the end", 128 * MIB + HEADER))
        for name, how, says, growth in cases:
            with self.subTest(name):
                image = self.folder / f"{name}.raw"
                small_guest.make(image, **how)
                output = self.folder / f"{name}-out.raw"
                result = self.encrypt(image, output)
                self.assertIn(says, result.stdout)
                self.assertEqual(output.stat().st_size, image.stat().st_size + growth)
                self.assertEqual(read_partition(image, "esp"), read_partition(output, "esp"))
                self.assertEqual(table(image)["boot"]["start"], table(output)["boot"]["start"])
                self.assertEqual(run("sfdisk", "--part-uuid", output, "3"),
                                 run("sfdisk", "--part-uuid", image, "3"))
                part = self.root_of(output)
                self.assert_opens(part)
                run("e2fsck", "-fn", self.decrypt(part))
                image.unlink()
                output.unlink()

    def test_small_blocks_get_small_sectors(self):
        small_guest.make(self.folder / "k.raw", root_options=("-b", "1024"))
        result = self.encrypt("k.raw", "out.raw", "--json")
        self.assertEqual(json.loads(result.stdout)["root"]["sector_size"], 512)
        part = self.root_of(self.folder / "out.raw")
        self.assert_opens(part)
        run("e2fsck", "-fn", self.decrypt(part))

    def test_a_foreign_stub_is_replaced(self):
        image = self.folder / "stub.raw"
        place = small_guest.make(image)
        at = f"{image}@@{place['esp'][1]}"
        stub = self.folder / "stub.cfg"
        stub.write_text("search --label boot --set=root\nset prefix=($root)/grub\n"
                        "source /EFI/evil.cfg\nconfigfile $prefix/grub.cfg\n")
        run("mcopy", "-o", "-i", at, stub, "::EFI/debian/grub.cfg")
        run("mcopy", "-o", "-i", at, stub, "::EFI/BOOT/grub.cfg")
        self.encrypt(image, "out.raw")
        at = f"{self.folder / 'out.raw'}@@{place['esp'][1]}"
        for path in ("::EFI/debian/grub.cfg", "::EFI/BOOT/grub.cfg"):
            text = run("mtype", "-i", at, path).decode()
            self.assertNotIn("source", text)
            self.assertIn(f"search --no-floppy --fs-uuid --set=root {small_guest.fs_uuid('boot')}\n"
                          "configfile ($root)/grub/grub.cfg\n", text)
        values = json.loads((self.folder / "out.hash.json").read_text())
        self.assertEqual(values["grub_cfgs"][0]["sha256"], sha256(text.encode()))
        self.assertEqual(self.encroot("image", "measure", "-i", "out.raw").stdout,
                         (self.folder / "out.hash.json").read_text())

    def test_warnings(self):
        image = self.folder / "fb.raw"
        place = small_guest.make(image)
        (self.folder / "fb.efi").write_bytes(b"MZ")
        run("mcopy", "-i", f"{image}@@{place['esp'][1]}", self.folder / "fb.efi",
            "::EFI/BOOT/fbx64.efi")
        report = json.loads(self.encrypt(image, "out.raw", "--json").stdout)
        self.assertEqual(len(report["warnings"]), 1)
        self.assertIn("fallback loader", report["warnings"][0])
        report = json.loads(self.encrypt(self.small, "small.raw", "--json").stdout)
        self.assertEqual(report["warnings"], [])

    def test_no_initramfs_from_firmware(self):
        """On x86 the kernel does not look for one, unless GRUB hands over its own in that way."""
        v, guid = small_guest.version(), bytes.fromhex("27e46855fc683d4fac74ca555231cc68")
        self.encrypt(self.guest_with("own.raw", self.small_grub_cfg().replace(
            b" ro ", b" ro noinitrd ")), "own-out.raw")
        self.assertEqual(self.grub_cfg(self.folder / "own-out.raw").count("noinitrd"), 2)
        image = self.guest_with("lf2.raw", self.small_grub_cfg().replace(b" ro ", b" ro noinitrd "))
        at = f"{image}@@{self.place['esp'][1]}"
        grub = self.folder / "grub.efi"
        for path in ("::EFI/BOOT/grubx64.efi", "::EFI/debian/grubx64.efi"):
            if subprocess.run(["mcopy", "-o", "-i", at, path, grub],
                              stderr=subprocess.DEVNULL).returncode == 0:
                data = bytearray(grub.read_bytes())
                self.assertNotIn(guid, data)
                data[len(data) // 2:len(data) // 2 + 16] = guid
                grub.write_bytes(data)
                run("mcopy", "-o", "-i", at, grub, path)
        report = json.loads(self.encrypt(image, "lf2-out.raw", "--json").stdout)
        self.assertNotIn("noinitrd", self.grub_cfg(self.folder / "lf2-out.raw"))
        self.assertEqual(len(report["warnings"]), 1)
        self.assertIn(f"kernel {v} takes an initramfs from firmware", report["warnings"][0])

    def test_doors_that_encryption_does_not_close(self):
        image = self.folder / "doors.raw"
        place = small_guest.make(image)
        (self.folder / "agent").write_bytes(b"#!")
        at = f"{image}?offset={place['root'][1]}"
        for request in ("mkdir /usr/sbin", f"write {self.folder / 'agent'} /usr/sbin/qemu-ga"):
            small_guest.debugfs(at, request, write=True)
        report = json.loads(self.encrypt(image, "out.raw", "--json").stdout)
        self.assertEqual(len(report["warnings"]), 1)
        self.assertIn("qemu-guest-agent", report["warnings"][0])

    def test_two_kernels_of_one_version(self):
        v = small_guest.version()
        text, kernel = self.small_grub_cfg(), small_guest.parts() / f"boot/vmlinuz-{v}"
        last = f"menuentry 'Twin' {{\n\tlinux /vmlinux-{v} root=/dev/vda3 ro\n}}\n".encode()
        image = self.guest_with("twin.raw", text + last,
                                [(f"/vmlinux-{v}", kernel.read_bytes() + bytes(16))])
        report = json.loads(self.encrypt(image, "out.raw", "--json").stdout)
        self.assertEqual({e["title"]: e["reason"] for e in report["removed_entries"]}["Twin"],
                         "an entry before it boots another kernel of its version")
        self.assertEqual([k["version"] for k in report["kernels"]], [v])
        self.assertEqual(len(report["entries"]), 2)
        values = json.loads((self.folder / "out.hash.json").read_text())
        self.assertEqual([k["path"] for k in values["kernels"]], [f"/vmlinuz-{v}"])

    def test_updates_in_the_guest_are_warned_of(self):
        """B4: a kernel update in the guest would lock it out."""
        hook = ("/etc/kernel/postinst.d/zz-update-grub", b"#!")
        for root, text in (([hook], "kernel packages run update-grub"),
                           ([hook, ("/usr/bin/unattended-upgrade", b"#!")], "(unattended-upgrades)")):
            image = self.guest_with("updates.raw", root=root)
            report = json.loads(self.encrypt(image, "out.raw", "--force", "--json").stdout)
            self.assertEqual(len(report["warnings"]), 1)
            self.assertIn(text, report["warnings"][0])
            self.assertIn("hold these packages", report["warnings"][0])

    def test_measure_then_encrypt_with_the_values(self):
        self.encroot("image", "measure", "-i", self.small, "-o", "small.hash.json")
        values = json.loads((self.folder / "small.hash.json").read_text())
        v = small_guest.version()
        self.assertEqual(values["kernels"][0]["initramfs_path"], f"/initrd.img-{v}")
        self.assertIn("root=UUID=", values["kernels"][0]["cmdline"][0])
        self.encrypt(self.small, "out.qcow2", "-g", "small.hash.json")

    def test_inspect(self):
        plain = json.loads(self.encroot("image", "inspect", "-i", self.small, "--json").stdout)
        self.assertFalse(plain["encrypted_by_encroot"])
        self.assertEqual([p["use"] for p in plain["partitions"]], ["boot", "esp", "root"])
        self.assertEqual(len(plain["entries"]), 2)
        self.encrypt(self.small, "out.raw")
        done = json.loads(self.encroot("image", "inspect", "-i", "out.raw", "--json").stdout)
        self.assertTrue(done["encrypted_by_encroot"])
        self.assertEqual(done["partitions"][2]["type"], "crypto_LUKS")
        self.assertIn("yes, by encroot", self.encroot("image", "inspect", "-i", "out.raw").stdout)

    def test_values_that_stdout_did_not_take(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([ENCROOT, "image", "measure", "-i", self.small], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("standard output: No space left on device", done.stderr)

    def test_an_output_name_that_is_not_utf_8(self):
        for name, options in ((b"\xff.raw", ["--json"]), (b"\xfe.raw", [])):
            done = subprocess.run([ENCROOT, "image", "encrypt", "-i", self.small, "-o", name, "-d",
                                   self.keys, *options], cwd=self.folder, capture_output=True)
            self.assertEqual(done.returncode, OK, done.stderr)
            self.assertIn(b"\\xff.raw" if options else b"\\xfe.raw",
                          json.loads(done.stdout)["output"].encode() if options else done.stdout)
            self.assertTrue(os.path.exists(os.fsencode(self.folder) + b"/" + name))

    def test_escapes_do_not_reach_the_terminal(self):
        evil = b"\x1b]0;x\x07"
        text = self.small_grub_cfg().replace(b"menuentry 'Debian GNU/Linux'",
                                             b"menuentry 'Debian" + evil + b" GNU/Linux'")
        text += b"menuentry 'Left" + evil + b" out' { chainloader /x }\n"
        image = self.guest_with("evil.raw", text)
        outputs = [self.encrypt(image, "out.raw"), self.encroot("image", "inspect", "-i", image),
                   self.encroot("image", "measure", "-i", image)]
        for n, done in enumerate(outputs):
            self.assertNotRegex(done.stdout + done.stderr, "[\x1b\x07]")
            self.assertIn("Left\\x1b]0;x\\x07 out", done.stdout + done.stderr, n)

    def test_quiet_and_json(self):
        self.assertEqual(self.encrypt(self.small, "a.raw", "-q").stdout, "")
        report = json.loads(self.encrypt(self.small, "b.raw", "--json").stdout)
        self.assertEqual(report["hash_json"], "b.hash.json")
        self.assertEqual(len(report["removed_entries"]), 2)
        self.assertGreater(report["root"]["encrypted"], 10 * MIB)
        self.assertGreater(report["root"]["skipped"], 10 * MIB)


class BadInput(ImageTest):
    """Each: a clear error, another exit status than 0, the input untouched, nothing left."""

    def refuse(self, image, text, *options, status=BAD_INPUT, output="out.qcow2", keys=None):
        before = self.contents()
        result = self.encrypt(image, output, *options, status=status, keys=keys)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(self.contents(), before)

    def test_not_an_image(self):
        (self.folder / "text").write_text("hello\n" * 10000)
        self.refuse("text", "no partition table")
        (self.folder / "empty").write_bytes(b"")
        self.refuse("empty", "empty")
        self.refuse("missing.qcow2", "missing.qcow2: No such file")
        self.refuse(self.folder, "found a folder")

    def test_truncated_qcow2(self):
        image = self.folder / "t.qcow2"
        run("qemu-img", "convert", "-O", "qcow2", self.small, image)
        os.truncate(image, image.stat().st_size // 2)
        self.refuse("t.qcow2", "t.qcow2", status=self.any_failure)

    @property
    def any_failure(self):
        class Any:
            def __eq__(self, other):
                return other in (FAILED, BAD_INPUT)
        return Any()

    def test_qcow2_with_a_backing_file(self):
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.small,
            self.folder / "b.qcow2")
        self.refuse("b.qcow2", "backing file")

    def test_mbr(self):
        small_guest.make(self.folder / "mbr.raw", label="dos")
        self.refuse("mbr.raw", "MBR")
        self.refuse("mbr.raw", "sgdisk -g")
        run("sgdisk", "-g", self.folder / "mbr.raw")
        self.encrypt("mbr.raw", "converted.raw")

    def test_entries_of_the_boot_loader_specification(self):
        self.refuse(self.guest_with("bls.raw", b"insmod blscfg\nblscfg\n"),
                    "GRUB_ENABLE_BLSCFG=false")

    def test_no_root(self):
        empty = self.folder / "empty-tree"
        empty.mkdir()
        small_guest.make(self.folder / "no.raw", root=empty)
        self.refuse("no.raw", "no root filesystem found; it has partition 1 (ext4) boot; "
                              "partition 2 (vfat) esp; partition 3 (ext4) root")
        self.refuse("no.raw", "/etc/fstab", "--root-partition", 3)
        self.refuse("no.raw", "only ext4", "--root-partition", 2)
        self.refuse("no.raw", "no partition 9", "--root-partition", 9)

    def copy_of_root(self):
        tree = self.folder / "tree"
        shutil.copytree(small_guest.parts() / "root", tree, symlinks=True)
        return tree

    def test_modules_without_end(self):
        root = self.copy_of_root()
        modules = root / "usr/lib/modules" / small_guest.version()
        names = [f"kernel/huge-{n}.ko" for n in range(5)]
        for name in names:
            with (modules / name).open("wb") as f:
                f.write(b"\x7fELF")
                f.truncate(60 * MIB)
        lists = (modules / "modules.dep").read_text()
        lists = re.sub(r"^(\S*/virtio_blk\.ko):", rf"\1: {' '.join(names)}", lists, flags=re.M)
        (modules / "modules.dep").write_text(lists + "".join(f"{name}:\n" for name in names))
        small_guest.make(self.folder / "huge.raw", root=root)
        self.refuse("huge.raw", "together larger than the limit")

    def test_boot_inside_root(self):
        root = self.copy_of_root()
        (root / "etc/fstab").write_text(f"UUID={small_guest.fs_uuid('root')} / ext4 defaults 0 1\n")
        small_guest.make(self.folder / "in.raw", root=root)
        self.refuse("in.raw", "/boot is inside the root")

    def test_two_roots(self):
        small_guest.make(self.folder / "two.raw", boot=small_guest.parts() / "root",
                         root_size=160 * MIB)
        # The other one names itself "/" too.
        other = self.copy_of_root()
        (other / "etc/fstab").write_text(f"UUID={small_guest.fs_uuid('boot')} / ext4 defaults 0 1\n")
        small_guest.make(self.folder / "two.raw", boot=other)
        self.refuse("two.raw", "partitions 1 and 3 both are root filesystems")
        self.refuse("two.raw", "--root-partition N")

    def test_dirty_journal(self):
        for name in ("root", "boot"):
            image = self.folder / f"{name}.raw"
            small_guest.make(image)
            debugfs(device(image, name), "feature needs_recovery", write=True)
            self.refuse(image.name, "journal")
            image.unlink()

    def test_encrypted_already(self):
        self.encrypt(self.small, "once.raw")
        self.refuse("once.raw", "partition 3 is encrypted already (LUKS)")
        self.refuse("once.raw", "partition 3 is encrypted already (LUKS)", "--root-partition", 3)

    def test_output_exists(self):
        for name in ("out.qcow2", "out.hash.json"):
            (self.folder / name).write_text("precious")
            self.refuse(self.small, f"{name}: already exists")
            (self.folder / name).unlink()
        for name in ("out.qcow2", "out.hash.json"):
            (self.folder / name).symlink_to("nowhere")
            self.refuse("no such image", f"{name}: already exists")
            (self.folder / name).unlink()
        (self.folder / "out.qcow2").write_text("old")
        self.encrypt(self.small, "out.qcow2", "--force")
        run("qemu-img", "check", self.folder / "out.qcow2")

    def test_output_is_the_input(self):
        shutil.copy(self.small, self.folder / "same.raw")
        os.link(self.folder / "same.raw", self.folder / "link.raw")
        self.refuse("same.raw", "is the input", "--force", output="same.raw")
        self.refuse("same.raw", "is the input", "--force", output="link.raw")
        self.refuse("same.raw", "is the input", "--force", "--hash-out", "same.raw")

    def test_keys(self):
        keys = self.folder / "keys"
        shutil.copytree(self.keys, keys)
        (keys / "rootfs_key.bin").chmod(0o644)
        self.refuse(self.small, "rootfs_key.bin", keys="keys")
        (keys / "rootfs_key.bin").chmod(0o600)
        (keys / "rootfs_key.bin").write_bytes(bytes(31))
        self.refuse(self.small, "31", keys="keys")
        (keys / "rootfs_key.bin").unlink()
        self.refuse(self.small, "encroot init keys", keys="keys")
        (keys / "broker.crt").write_text("no certificate")
        self.refuse(self.small, "broker.crt", "-k", self.keys / "rootfs_key.bin", keys="keys")

    def test_reference_values_of_another_image(self):
        self.encroot("image", "measure", "-i", self.small, "-o", "g.json")
        values = json.loads((self.folder / "g.json").read_text())
        for change, text in ((lambda v: v.update({"grub.cfg": "00" * 32}), "grub.cfg (expected 0000"),
                             (lambda v: v.update(grub="11" * 32), "grub (expected 1111"),
                             (lambda v: v["kernels"][0].update(kernel="22" * 32), "kernel 6."),
                             (lambda v: v["kernels"][0].update(version="9.9"),
                              "kernel 9.9 (not in the image)")):
            changed = json.loads(json.dumps(values))
            change(changed)
            (self.folder / "g.json").write_text(json.dumps(changed))
            self.refuse(self.small, "reference values of another image", "-g", "g.json")
            self.refuse(self.small, text, "-g", "g.json")
        (self.folder / "g.json").write_text("{")
        self.refuse(self.small, "g.json: line 1", "-g", "g.json")

    def test_options(self):
        self.refuse(self.small, "init=/bin/sh", "--append", "quiet init=/bin/sh")
        self.refuse(self.small, "noinitrd is set by encroot", "--append", "noinitrd")
        self.refuse(self.small, "not an ip= value", "--ip", "dhcp x")
        self.refuse(self.small, "expected qcow2 or raw", "--format", "vmdk")
        self.refuse(self.small, "reboot or poweroff", "--on-failure", "shell")
        self.refuse(self.small, "the port must be a number", "--broker", "keys:0")
        self.refuse(self.small, "not an IPv6 address", "--broker", "1:2:3")
        self.refuse(self.small, "only letters, digits", "--broker", "keys/release")
        self.refuse(self.small, "--broker: A port 7221 is given twice", "--broker", "a", "--broker",
                    "A:7221")
        self.refuse(self.small, "given more than 8 times",
                    *(w for n in range(9) for w in ("--broker", f"b{n}")))
        self.refuse(self.small, "no broker could reach the agent", "--no-listen")
        self.refuse(self.small, "--no-listen contradicts --listen", "--no-listen", "--listen",
                    "--broker", "a")
        self.refuse(self.small, "--no-listen contradicts --port", "--no-listen", "-p", 1, "--broker",
                    "a")
        self.refuse(self.small, "not static", "--agent", "/bin/true")
        self.refuse(self.small, "not a 64-bit ELF", "--agent", "/etc/passwd")
        self.encroot("image", "encrypt", "-i", self.small, status=USAGE)

    def test_boot_partition_too_small(self):
        boot = self.folder / "boot-tree"
        shutil.copytree(small_guest.parts() / "boot", boot)
        (boot / "ballast").write_bytes(os.urandom(39 * MIB))
        small_guest.make(self.folder / "full.raw", boot=boot)
        self.refuse("full.raw", "partition 1", status=self.any_failure)

    def test_no_space(self):
        """A filesystem of 8 MiB, in a mount namespace of its own."""
        (self.folder / "tmp").mkdir()
        script = ('mount -t tmpfs -o size=8m none tmp || exit 77; "$@"; s=$?; '
                  'echo "left: $(ls -A tmp)" >&2; exit $s')
        for output in ("tmp/out.raw", "tmp/out.qcow2"):
            done = subprocess.run(
                ["unshare", "-m", *([] if os.geteuid() == 0 else ["-Ur"]), "sh", "-c", script, "sh",
                 ENCROOT, "image", "encrypt", "-i", self.small, "-o", output, "-d", self.keys],
                cwd=self.folder, capture_output=True, text=True)
            if done.returncode in (77, 1) and "unshare" in done.stderr or done.returncode == 77:
                self.skipTest("no mount namespaces here")
            self.assertEqual(done.returncode, FAILED, done.stderr)
            self.assertIn("No space left", done.stderr)
            self.assertEqual(done.stderr.splitlines()[-1], "left: ")


class Interrupted(ImageTest):
    def setUp(self):
        super().setUp()
        self.image = self.folder / "large.raw"
        small_guest.make(self.image, root_size=2048 * MIB)

    def start(self):
        """Until ciphertext is being written."""
        process = subprocess.Popen([ENCROOT, "image", "encrypt", "-i", self.image, "-o",
                                    "out.raw", "-d", self.keys, "--full"], cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if process.poll() is not None:
                self.fail(f"ended too early: {process.stderr.read()}")
            written = int(re.search(r"^wchar: (\d+)",
                                    Path(f"/proc/{process.pid}/io").read_text(), re.M)[1])
            if written > 150 * MIB:
                return process
            time.sleep(0.005)
        self.fail("nothing was written")

    def test_signals_leave_nothing(self):
        before = file_sha256(self.image)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                process = self.start()
                process.send_signal(number)
                status = process.wait(timeout=60)
                if number == signal.SIGKILL:
                    self.assertEqual(status, -signal.SIGKILL)
                else:
                    self.assertEqual(status, FAILED)
                    self.assertIn("interrupted", process.stderr.read())
                self.assertEqual([p.name for p in self.folder.iterdir()], ["large.raw"])
        self.assertEqual(file_sha256(self.image), before)


class Crash(ImageTest):
    """Both files appear, or neither, wherever it ends."""

    def encrypt_with(self, *options, **environment):
        return subprocess.run(
            [ENCROOT, "image", "encrypt", "-i", self.small, "-o", "out.raw", "-d", self.keys,
             *options], cwd=self.folder, capture_output=True, text=True,
            env={**os.environ, **environment,
                 "LD_PRELOAD": str(ENCROOT.parent / "tests/functional/die-at.so")})

    def outputs(self):
        return {p.name for p in self.folder.iterdir()}

    def test_killed_while_syncing(self):
        both = {"out.raw", "out.hash.json"}
        last = self.encrypt_with(DIE_AT_FSYNC="0").stderr.count("DIE_AT_FSYNC")
        self.assertEqual(self.outputs(), both)
        seen = []
        for n in range(last - 4, last + 1):
            for name in self.outputs():
                (self.folder / name).unlink()
            self.assertEqual(self.encrypt_with(DIE_AT_FSYNC=str(n)).returncode, -signal.SIGKILL)
            seen.append(self.outputs())
        # The contents, then the folder, once for each.
        self.assertEqual(seen, [set(), set(), set(), both, both])

    def test_references_that_replaced_others_stay(self):
        for name in ("out.raw", "out.hash.json"):
            (self.folder / name).write_text("old")
        done = self.encrypt_with("--force", FAIL_AT_RENAME="2")
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("out.raw: Input/output error", done.stderr)
        self.assertIn("out.hash.json was replaced already", done.stderr)
        self.assertEqual(self.outputs(), {"out.raw", "out.hash.json"})
        self.assertEqual((self.folder / "out.raw").read_text(), "old")


if __name__ == "__main__":
    unittest.main()
