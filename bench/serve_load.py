"""Puts `biophony serve` under load, and writes what it took to results-serve.json.

Needs nothing but Python's standard library and the built programs:

    cargo build --release -p biophony -p biophony-bench
    python3 bench/serve_load.py --programs target/release [--readme bench/README.md]

What is measured: how soon the server answers after its start and what it holds
then, without and with a model; the rate of 200 classify requests at once beside
that of the bare predictor, both sides in turn; the memory at its peak; an hour of
live sound, fed as fast as it is heard, and the memory along the way.
"""

import argparse
import base64
import json
import os
import platform
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import wave
from pathlib import Path

HERE = Path(__file__).resolve().parent
BARS = {
    "ready_ms": 100,
    "ready_without_model_ms": 50,
    "idle_mb": 60,
    "without_model_mb": 40,
    "ratio": 1.3,
}


def main():
    options = read_options()
    program = options.programs / "biophony"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        home = options.home or folder / "home"
        result = {
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": {"cores": os.cpu_count(), "cpu": processor(), "system": platform.platform()},
            "load_average": os.getloadavg(),
        }
        result["without_model"] = start_often(program, folder / "empty", options.starts)
        say("without a model", result["without_model"])
        if not options.home:
            train_demo(program, home)
        result["with_model"] = start_often(program, home, options.starts)
        say("with a model", result["with_model"])
        sound = folder / "five_seconds.wav"
        write_wav(sound, seconds=5, rate=44_100)
        with Server(program, home) as server:
            result["load"] = load(options, server, home, sound)
            say("load", result["load"])
            result["live"] = live(server, options.live_seconds)
            say("live", result["live"])
        result["bars"] = judge(result)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
        print(description(result), end="")
        if options.readme:
            insert_results(options.readme, description(result))


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--home", type=Path, help="a home folder with a model in use")
    parser.add_argument("--starts", type=int, default=9)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--requests", type=int, default=600, help="in each turn")
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--live-seconds", type=int, default=3600)
    parser.add_argument("--out", type=Path, default=HERE / "results-serve.json")
    parser.add_argument("--readme", type=Path, help="a page with marks for the results")
    return parser.parse_args()


def processor():
    with open("/proc/cpuinfo") as facts:
        names = [line.split(":")[1].strip() for line in facts if line.startswith("model name")]
    return names[0] if names else platform.machine()


def say(what, value):
    print(f"{what}: {json.dumps(value)}", file=sys.stderr)


class Server:
    """A server on a free port of this machine."""

    def __init__(self, program, home):
        self.started = time.perf_counter()
        command = [program, "serve", "--addr", "127.0.0.1:0", "--home", home]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self.process.stdout.readline()
        self.address = line.split("http://")[1].strip()
        self.ready = self.get("/ready")
        self.ready_ms = (time.perf_counter() - self.started) * 1e3

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
            return json.load(answer)

    def memory_mb(self, field="VmRSS"):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1000


def start_often(program, home, times):
    ready, memory = [], []
    for _ in range(times):
        with Server(program, home) as server:
            ready.append(server.ready_ms)
            time.sleep(0.2)
            memory.append(server.memory_mb())
            model = server.ready["model"]
    return {
        "model": model,
        "ready_ms": round(statistics.median(ready), 1),
        "ready_ms_least": round(min(ready), 1),
        "resident_mb": round(statistics.median(memory), 1),
    }


def train_demo(program, home):
    subprocess.run(
        [program, "demo", "--home", home],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def write_wav(path, seconds, rate):
    noise = random.Random(1)
    samples = [int(3000 * noise.uniform(-1, 1)) for _ in range(seconds * rate)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


class Side:
    """A program that does its work as often as it is told to: see src/main.rs."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        json.loads(self.process.stdout.readline())

    def turn(self):
        self.process.stdin.write("1\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())[0]

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit("a request was not answered")


def load(options, server, home, sound):
    bench = options.programs / "biophony-bench"
    n = options.requests
    bare = Side(bench, "bare", champion(server, home), sound, n)
    asked = Side(bench, "requests", server.address, sound, n, options.at_once)
    for side in (bare, asked):
        side.turn()
    turns = [(bare.turn(), asked.turn()) for _ in range(options.turns)]
    for side in (bare, asked):
        side.close()
    bare_ms, asked_ms = (statistics.median(side) for side in zip(*turns))
    return {
        "requests_a_turn": n,
        "at_once": options.at_once,
        "bare_files_per_second": round(1e3 * n / bare_ms, 1),
        "requests_per_second": round(1e3 * n / asked_ms, 1),
        "ratio": round(asked_ms / bare_ms, 3),
        "failures": 0,
        "peak_mb": round(server.memory_mb("VmHWM"), 1),
        "after_mb": round(server.memory_mb(), 1),
    }


def champion(server, home):
    """The folder of the model in use, as the registry knows it."""
    query = "name=biophony&alias=champion"
    version = server.get(f"/api/2.0/mlflow/registered-models/alias?{query}")["model_version"]
    return Path(home) / "mlartifacts" / version["source"].removeprefix("mlflow-artifacts:/")


class Live:
    """A WebSocket client that sends sound, in as few lines as will do."""

    def __init__(self, address, rate):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /api/v1/live?rate={rate} HTTP/1.1\r\nHost: {address}\r\n"
            f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.stream = self.socket.makefile("rb")
        if b"101" not in self.stream.readline():
            sys.exit("the server did not upgrade")
        while self.stream.readline() != b"\r\n":
            pass

    def send(self, opcode, payload):
        # A mask of zeros changes nothing and is one.
        self.socket.sendall(
            struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, len(payload)) + bytes(4) + payload
        )

    def messages(self):
        while True:
            head = self.stream.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return
            length = head[1] & 127
            if length == 126:
                length = struct.unpack("!H", self.stream.read(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", self.stream.read(8))[0]
            yield json.loads(self.stream.read(length))


def live(server, seconds, rate=48_000, ahead=4.0):
    """Feeds sound as fast as it is heard: at most `ahead` seconds before the answers."""
    client = Live(server.address, rate)
    heard = {"until": 0.0, "windows": 0, "dropped": 0.0}
    more = threading.Condition()

    def listen():
        for message in client.messages():
            with more:
                if message["type"] == "window":
                    heard["windows"] += 1
                    heard["until"] = message["end_seconds"]
                elif message["type"] == "dropped":
                    heard["dropped"] += message["seconds"]
                more.notify()

    listener = threading.Thread(target=listen)
    listener.start()
    noise = random.Random(2)
    second = struct.pack(f"<{rate}f", *(0.1 * noise.uniform(-1, 1) for _ in range(rate)))
    started, memory = time.perf_counter(), []
    for index in range(seconds):
        with more:
            more.wait_for(lambda: index - heard["until"] < ahead, timeout=60)
        client.send(2, second)
        if index % max(1, seconds // 60) == 0:
            memory.append(server.memory_mb())
    client.send(1, b'{"type":"stop"}')
    listener.join()
    took = time.perf_counter() - started
    settled = memory[len(memory) // 4:]
    half = len(settled) // 2
    return {
        "sound_seconds": seconds,
        "took_seconds": round(took, 1),
        "times_real_time": round(seconds / took, 1),
        "windows": heard["windows"],
        "dropped_seconds": round(heard["dropped"], 1),
        "memory_mb_start": round(memory[0], 1),
        "memory_mb_end": round(memory[-1], 1),
        "memory_mb_most": round(max(memory), 1),
        # The medians of the later two quarters but one: their difference is growth.
        "growth_mb": round(
            statistics.median(settled[half:]) - statistics.median(settled[:half]), 2
        ),
    }


def judge(result):
    load = result["load"]
    return {
        "ready_ms": result["with_model"]["ready_ms"] <= BARS["ready_ms"],
        "ready_without_model_ms":
            result["without_model"]["ready_ms"] <= BARS["ready_without_model_ms"],
        "idle_mb": result["with_model"]["resident_mb"] <= BARS["idle_mb"],
        "without_model_mb": result["without_model"]["resident_mb"] <= BARS["without_model_mb"],
        "no_failure_at_200": load["failures"] == 0 and load["at_once"] >= 200,
        "throughput": load["ratio"] <= BARS["ratio"],
        "live_does_not_grow": result["live"]["growth_mb"] < 1.0,
    }


def description(result):
    """The results as a page shows them."""
    machine, load, live = result["machine"], result["load"], result["live"]
    empty, full, bars = result["without_model"], result["with_model"], result["bars"]
    rows = [
        ("answers after its start, without a model", f"{empty['ready_ms']} ms",
         f"{BARS['ready_without_model_ms']} ms", "ready_without_model_ms"),
        ("answers after its start, with a model", f"{full['ready_ms']} ms",
         f"{BARS['ready_ms']} ms", "ready_ms"),
        ("resident then, without a model", f"{empty['resident_mb']} MB",
         f"{BARS['without_model_mb']} MB", "without_model_mb"),
        ("resident then, with a model", f"{full['resident_mb']} MB",
         f"{BARS['idle_mb']} MB", "idle_mb"),
        (f"{load['at_once']} requests at once, 5 s of sound each: failures",
         str(load["failures"]), "0", "no_failure_at_200"),
        ("their rate, beside the bare predictor's",
         f"{load['requests_per_second']} a second, bare {load['bare_files_per_second']}: "
         f"{load['ratio']} times as long", f"{BARS['ratio']} times", "throughput"),
        ("resident at the peak of them, and afterwards",
         f"{load['peak_mb']} MB, {load['after_mb']} MB", "", None),
        (f"{live['sound_seconds']} s of live sound, {live['times_real_time']} times as fast as "
         "it lasts: growth", f"{live['growth_mb']} MB", "1 MB", "live_does_not_grow"),
        ("sound dropped meanwhile", f"{live['dropped_seconds']} s", "", None),
    ]
    lines = [
        f"{result['made']}: {machine['cpu']}, {machine['cores']} cores; load average before "
        f"{result['load_average'][0]:.2f}.",
        "",
        "| what | measured | bar | |",
        "|---|---|---|---|",
    ]
    for what, measured, bar, judged in rows:
        holds = "" if judged is None else "holds" if bars[judged] else "MISSED"
        lines.append(f"| {what} | {measured} | {bar} | {holds} |")
    return "\n".join(lines) + "\n"


def insert_results(readme, text):
    """Replaces what lies between the marks of a page."""
    first, last = "<!-- serving results -->\n", "<!-- end of serving results -->\n"
    before, rest = readme.read_text().split(first)
    readme.write_text(before + first + text + last + rest.split(last)[1])


if __name__ == "__main__":
    main()
