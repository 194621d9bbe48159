"""Figures of encrootd: releases a second, CPU time a release, latency, memory; tang as a peer."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "functional"), str(TESTS)]
from broker import Broker, Owner, figures, load, until  # noqa: E402
from postgres import PostgresServer  # noqa: E402
from program import ENCROOT  # noqa: E402

RUNS = 7
CLIENTS = 16
SECONDS = 3  # of one run: many short ones, as the machine may be busy with other things
IDLE = 10000
TANG = pathlib.Path("/usr/libexec/tangd")


class Bench:
    """What brokers and guests of the tests' harness need, without a test."""

    def __init__(self, folder):
        self.folder = folder
        self.ends = contextlib.ExitStack()

    def encroot(self, *words, **_):
        return subprocess.run([str(w) for w in (ENCROOT, *words)], cwd=self.folder, check=True,
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def addCleanup(self, call, *arguments):
        self.ends.callback(call, *arguments)


def cpu_seconds(broker):
    """{role: user and system time of its processes, so far}"""
    seconds = {}
    for pid, title in {**broker.children(), broker.process.pid: "- - supervisor"}.items():
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks = int(fields[11]) + int(fields[12])
            role = title.split()[2]
            seconds[role] = seconds.get(role, 0) + ticks / os.sysconf("SC_CLK_TCK")
    return seconds


def measure(broker, volume, *options):
    before = cpu_seconds(broker)
    result = load([broker], [volume], "--clients", CLIENTS, "--seconds", SECONDS, *options)
    if result["attempts"] != result["released"]:
        raise SystemExit(f"bench: not every request was released: {result}")
    result["roles"] = {role: (seconds - before[role]) / result["released"]
                       for role, seconds in cpu_seconds(broker).items()}
    result["cpu"] = sum(result["roles"].values())
    return result


def bare_seconds():
    """The cryptography that one release cannot do without: signing the handshake with P-256, a key
    pair and a secret on X25519, and the two P-521 signatures of the token. CPU time, with all cores
    busy, as brokers and guests keep them (openssl's own -multi goes by the clock on the wall)."""
    line = ["openssl", "speed", "-mr", "-seconds", "1", "ecdsap256", "ecdsap521", "ecdhx25519"]
    processes = [subprocess.Popen(line, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) for _ in range(os.cpu_count())]
    texts = [p.communicate()[0] for p in processes]
    if any(p.returncode for p in processes):
        raise SystemExit(f"bench: {' '.join(line)} failed")
    return statistics.mean(map(bare_of, texts))


def bare_of(text):
    sign = float(re.search(r"(?m)^\+F4:\d+:256:([\d.]+):", text)[1])
    verify = float(re.search(r"(?m)^\+F4:\d+:521:[\d.]+:([\d.]+)", text)[1])
    exchange = float(re.search(r"(?m)^\+F5:\d+:253:([\d.]+):", text)[1])
    return 1 / sign + 2 / exchange + 2 / verify


# ---------------------------------------------------------------- tang

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def tang(folder):
    """Debian's tangd, one process a connection as its socket unit starts it; yields a wrk command
    that recovers a key over a new connection each time."""
    keys, port = folder / "tang", free_port()
    keys.mkdir()
    subprocess.run([TANG.with_name("tangd-keygen"), keys], check=True)

    def jose(*words, **kwargs):
        return subprocess.run(["jose", *map(str, words)], check=True, text=True,
                              stdout=subprocess.PIPE, **kwargs).stdout
    exchange = next(k for k in keys.glob("*.jwk") if json.loads(k.read_text())["alg"] == "ECMR")
    body = jose("jwk", "pub", "-i-", input=jose("jwk", "gen", "-i", '{"alg":"ECMR"}'))
    script = folder / "tang.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [[{body}]]\n"
                      "wrk.headers['Content-Type'] = 'application/jwk+json'\n"
                      "wrk.headers['Connection'] = 'close'\n")
    server = subprocess.Popen(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,"
                               "backlog=512", f"EXEC:{TANG} {keys}"], stderr=subprocess.DEVNULL,
                              start_new_session=True)
    try:
        until("tangd listens", lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        yield ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "-s", script,
               f"http://127.0.0.1:{port}/rec/{jose('jwk', 'thp', '-i', exchange)}"]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def tang_rate(command):
    text = subprocess.run([str(w) for w in command], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    if "Non-2xx" in text:
        raise SystemExit(f"bench: tangd refused:\n{text}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])


# ---------------------------------------------------------------- all of it

def throughput(note, verdict, brokers, volumes, peer):
    samples = {name: [] for name in brokers}
    bare, tangs = [], []
    for _ in range(RUNS):
        for name, broker in brokers.items():
            samples[name].append(measure(broker, volumes[name]))
        bare.append(bare_seconds())
        tangs.append(tang_rate(peer))
    base, other = statistics.median(bare), statistics.median(tangs)
    rates = {}
    for name, runs in samples.items():
        rates[name] = statistics.median(r["released_per_second"] for r in runs)
        cpu = statistics.median(r["cpu"] for r in runs)
        roles = {role: statistics.median(r["roles"][role] for r in runs) for role in runs[0]["roles"]}
        ratio = cpu / base
        note(f"broker {name}", {"releases": rates[name], "cpu": cpu, "ratio": ratio, "roles": roles},
             f"{name:11} {rates[name]:6.0f} releases a second with {CLIENTS} guests at once; broker's "
             f"CPU {cpu * 1e6:.0f} µs a release; bare cryptography {base * 1e6:.0f} µs; ratio "
             f"{ratio:.2f} (aim: at most 1.4: {verdict(ratio <= 1.4)})")
        print(f"{'':14}" + ", ".join(f"{role} {seconds * 1e6:.0f} µs" for role, seconds in
                                     sorted(roles.items(), key=lambda r: -r[1]) if seconds >= 1e-6))
    note("tang", other, f"tang        {other:6.0f} recoveries a second, {CLIENTS} clients at once "
         f"(no TLS, no evidence, no record); ours with SQLite / tang: {rates['SQLite'] / other:.2f}")
    return rates


def latency(note, brokers, volumes, rates):
    for name, broker in brokers.items():
        for share in 0.5, 0.8:
            r = measure(broker, volumes[name], "--rate", max(1, round(rates[name] * share)))
            note(f"latency {name} {share}", {"p50": r["p50_ms"], "p99": r["p99_ms"]},
                 f"{name:11} at {share:.0%} of capacity: p50 {r['p50_ms']:.1f} ms, p99 "
                 f"{r['p99_ms']:.1f} ms")


def memory(note, broker, volume, idle):
    running = load([broker], [volume], "--clients", CLIENTS, "--seconds", SECONDS, wait=False)
    time.sleep(SECONDS / 2)
    loaded = broker.resident()
    figures(running)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seen = broker.metrics()["encroot_connections_total"]
    running = load([broker], [volume], "--clients", 1, "--seconds", SECONDS, "--idle", IDLE,
                   wait=False)
    until("all are connected",
          lambda: broker.metrics()["encroot_connections_total"] > seen + IDLE, 120)
    crowded = broker.resident()
    figures(running)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for name, size in (("idle", idle), ("under load", loaded), (f"{IDLE:,} idle connections",
                                                               crowded)):
        note(f"broker memory {name}", size, f"memory of all processes, {name}: {size / 2**20:.1f} "
             f"MiB, {size / idle:.2f} of idle")


def bench(note, verdict):
    print(f"broker: complete releases (handshake, appraisal, durable record, secret), P-521 evidence, "
          f"guests on the same {os.cpu_count()} cores, medians of {RUNS}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="encroot-bench-"))
    b = Bench(folder)
    with b.ends:
        b.addCleanup(shutil.rmtree, folder)
        server = PostgresServer()
        b.addCleanup(server.remove)
        owner = Owner(b)
        settings = {"log_level": "warning", "max_connections": 12000, "handshake_seconds": 120,
                    "request_seconds": 300}
        brokers = {"SQLite": Broker(owner, "a", **settings).start(),
                   "PostgreSQL": Broker(owner, "b", store=server.url, **settings).start()}
        volumes = {name: owner.new_volume(broker) for name, broker in brokers.items()}
        idle = brokers["SQLite"].resident()
        peer = b.ends.enter_context(tang(folder))
        rates = throughput(note, verdict, brokers, volumes, peer)
        latency(note, brokers, volumes, rates)
        memory(note, brokers["SQLite"], volumes["SQLite"], idle)
