"""Lets our tracking server and MLflow's take turns at the same requests.

usage: PYTHON bench/tracking_mlflow.py [--readme bench/README.md] [--rounds N]

PYTHON is an interpreter of an environment with mlflow in it. Our server is
`biophony serve` as people start it, built here unless --biophony names the program.
MLflow runs twice, as `mlflow server` comes and with `--workers 1`. Our store is
filled and exported to the SQLite databases of both, so all three hold the same.
They stay up; in each round each of them in turn gets some requests of a kind, whose
median is its time in that round, and its time is the median of the rounds. The bars
hold against the faster of the two.

The client is a bare one over one connection that stays open, so that little of
what is measured is the client's.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from run import cpu_name, rustc_version

HERE = pathlib.Path(__file__).resolve().parent
API = "/api/2.0/mlflow/"
NOW = 1_790_000_000_000
# The work, how often a round asks each side (ours, MLflow's), and how many times
# faster than MLflow's faster setting ours must be.
WORK = [
    ("bare round trip (/health)", "health", (300, 100), None),
    ("log_metric, one after the other", "log_metric", (500, 50), 30),
    ("log_batch of 1,000, one metric", "batch_one_key", (20, 3), 100),
    ("log_batch of 1,000, 20 metrics", "batch_20_keys", (20, 3), 100),
    ("create_run", "create_run", (100, 20), None),
    ("get_run", "get_run", (100, 20), None),
    ("search: 1,000 runs x 20 metrics", "search_all", (5, 1), 50),
    ("search: a page of 100 of them", "search_page", (20, 2), None),
    ("search: filtered, sorted, 100 of them", "search_filtered", (20, 2), None),
    ("history of 20,000 points", "history", (3, 1), None),
]
TABLE_HEAD = (
    "| work | ours, ms | MLflow, ms | MLflow, 1 worker, ms | times faster | bar | |\n"
    "|---|---|---|---|---|---|---|"
)
FIGURES_HEAD = "| what | ours | MLflow | MLflow, 1 worker | bar | |\n|---|---|---|---|---|---|"


def main():
    options = read_options()
    with tempfile.TemporaryDirectory() as folder:
        try:
            results = measure(options, pathlib.Path(folder))
        finally:
            Server.stop_all()
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(description(results))
    if options.readme:
        insert_results(options.readme, results)
    sys.exit(not all(row["holds"] for row in results["rows"] + results["figures"]))


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--biophony", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results-mlflow.json")
    parser.add_argument("--readme", type=pathlib.Path)
    return parser.parse_args()


def measure(options, folder):
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    load_before = os.getloadavg()[0]
    servers = [Ours(options.biophony or built(), folder), MLflow(folder, None), MLflow(folder, 1)]
    ours = servers[0]
    ready = ours.ready_times(11)
    ours.start()
    after_start = [ours.memory()]
    state = fill(ours.client)
    for server in servers[1:]:
        ours.export(server.folder / "m.db")
        # The first start brings the database up to date.
        server.start()
        server.stop()
        server.start()
    time.sleep(5)
    after_start += [server.memory() for server in servers[1:]]
    rows = [time_work(servers, state, options.rounds, *work) for work in WORK]
    for server in servers[1:]:
        server.stop()
    many = many_runs(servers[0], options.many)
    after_load = [servers[0].memory()] + [server.last_memory for server in servers[1:]]
    servers[0].stop()
    readiness = [statistics.median(ready)] + [server.ready_ms for server in servers[1:]]
    return {
        "started": started,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_average": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "versions": {"rustc": rustc_version(), "mlflow": mlflow_version()},
        "rows": rows,
        "figures": figures(readiness, after_start, after_load, rows, many, options.many),
    }


def figures(readiness, after_start, after_load, rows, many, n_many):
    def figure(what, unit, values, bar):
        holds = bar is None or values[0] <= bar
        return {"what": what, "unit": unit, "values": values, "bar": bar, "holds": holds}

    metric = next(row for row in rows if row["work"].startswith("log_metric"))
    health = next(row for row in rows if "/health" in row["work"])
    overhead = [metric["ms"][i] - health["ms"][i] for i in range(3)]
    return [
        figure("ready after", "ms", readiness, 50),
        figure("resident after the start", "MB", after_start, 40),
        figure("resident after the load", "MB", after_load, 100),
        figure("log_metric beyond a bare round trip", "ms", overhead, None),
        figure(f"{n_many:,} runs: first page of 100", "ms", [many["page_100"]], 50),
        figure(f"{n_many:,} runs: first page of 1,000", "ms", [many["page_1000"]], None),
        figure(f"{n_many:,} runs: page of 100, filtered by a parameter", "ms",
               [many["filtered"]], None),
        figure(f"{n_many:,} runs: page of 100, sorted by a metric", "ms", [many["sorted"]], None),
    ]


def time_work(servers, state, rounds, work, name, repetitions, bar):
    times = [[] for _ in servers]
    for round_ in range(rounds):
        for server, values in zip(servers, times, strict=True):
            server.wake()
            prepare = getattr(Requests(state, round_), name)
            n = repetitions[0] if server is servers[0] else repetitions[1]
            turn = [timed(server.client, prepare(i)) for i in range(n)]
            values.append(statistics.median(turn))
    ms = [statistics.median(values) for values in times]
    faster = min(ms[1:]) / ms[0]
    row = {
        "work": work, "ms": ms, "times_faster": faster, "bar": bar,
        "holds": bar is None or faster >= bar,
        "least": [min(values) for values in times], "greatest": [max(values) for values in times],
    }
    print(table_line(row), flush=True)
    return row


def timed(client, request):
    """Milliseconds from the first byte sent to the last received: what the client
    does to write a request and to read an answer does not count."""
    method, path, body, check = request
    body = None if body is None else json.dumps(body).encode()
    message = client.message(method, path, body)
    begun = time.perf_counter()
    answer = client.exchange(message)
    taken = (time.perf_counter() - begun) * 1e3
    check(content(answer, path))
    return taken


def anything(_):
    pass


class Requests:
    """The kinds of requests, the same for every server."""

    def __init__(self, state, round_):
        self.state, self.round = state, round_

    def health(self, _):
        return "GET", "/health", None, anything

    def log_metric(self, i):
        step = self.round * 1000 + i
        return post("runs/log-metric", {
            "run_id": self.state["run"], "key": "loss", "value": 1 / (step + 1),
            "timestamp": NOW + step, "step": step,
        })

    def batch_one_key(self, i):
        first = (self.round * 20 + i) * 1000
        return self.batch([("one", first + j) for j in range(1000)])

    def batch_20_keys(self, i):
        first = (self.round * 20 + i) * 50
        return self.batch([(f"k{j % 20}", first + j // 20) for j in range(1000)])

    def batch(self, points):
        metrics = [
            {"key": key, "value": step * 0.5, "timestamp": NOW + step, "step": step}
            for key, step in points
        ]
        return post("runs/log-batch", {"run_id": self.state["run"], "metrics": metrics})

    def create_run(self, i):
        return post("runs/create", new_run(self.state["other"], i))

    def get_run(self, _):
        run = self.state["run"]
        return "GET", f"{API}runs/get?run_id={run}", None, has("run")

    def search_all(self, _):
        return search(self.state["filled"], has("runs", 1000), max_results=1000)

    def search_page(self, _):
        return search(self.state["filled"], has("runs", 100), max_results=100)

    def search_filtered(self, _):
        return search(
            self.state["filled"], has("runs"), max_results=100,
            filter="metrics.m0 > 0.5 and params.p1 = '3'", order_by=["metrics.m1 DESC"],
        )

    def history(self, _):
        query = f"run_id={self.state['run']}&metric_key=history"
        return "GET", f"{API}metrics/get-history?{query}", None, has("metrics", 20_000)


def post(route, body, check=anything):
    return "POST", API + route, body, check


def search(experiment, check, **body):
    return post("runs/search", {"experiment_ids": [experiment], **body}, check)


def has(name, n=None):
    def check(text):
        found = json.loads(text)[name]
        assert found if n is None else len(found) == n, (name, len(found))

    return check


def fill(client):
    """A run to log to, with a long history, and an experiment with 1,000 runs."""
    names = ["filled", "other"]
    state = {
        name: client.post("experiments/create", {"name": name})["experiment_id"] for name in names
    }
    state["run"] = create_run(client, state["other"], 0)
    for first in range(0, 20_000, 1000):
        client.post("runs/log-batch", {"run_id": state["run"], "metrics": [
            {"key": "history", "value": step / 7, "timestamp": NOW + step, "step": step}
            for step in range(first, first + 1000)
        ]})
    chance = random.Random(0)
    for i in range(1000):
        fill_run(client, state["filled"], i, chance, n_metrics=20, n_params=10)
    return state


def fill_run(client, experiment, i, chance, n_metrics, n_params):
    client.post("runs/log-batch", {
        "run_id": create_run(client, experiment, i),
        "metrics": [
            {"key": f"m{j}", "value": chance.random(), "timestamp": NOW, "step": 0}
            for j in range(n_metrics)
        ],
        "params": [{"key": f"p{j}", "value": str(chance.randint(0, 9))} for j in range(n_params)],
    })


def create_run(client, experiment, i):
    return client.post("runs/create", new_run(experiment, i))["run"]["info"]["run_id"]


def new_run(experiment, i):
    return {"experiment_id": experiment, "start_time": NOW + i, "run_name": f"r{i}"}


def many_runs(server, n_runs):
    """Times of searches among very many runs."""
    client = server.client
    experiment = client.post("experiments/create", {"name": "many"})["experiment_id"]

    def fill_share(share):
        own, chance = Client(server.port), random.Random(share)
        for i in range(share, n_runs, 4):
            fill_run(own, experiment, i, chance, n_metrics=5, n_params=3)

    threads = [threading.Thread(target=fill_share, args=(share,)) for share in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def median_search(**body):
        request = search(experiment, has("runs"), **body)
        return statistics.median(timed(client, request) for _ in range(9))

    return {
        "page_100": median_search(max_results=100),
        "page_1000": median_search(max_results=1000),
        "filtered": median_search(max_results=100, filter="params.p1 = '3'"),
        "sorted": median_search(max_results=100, order_by=["metrics.m1 DESC"]),
    }


class Client:
    """HTTP over one connection that stays open. It is no library's so that a request
    can be written before the clock runs, and an answer read after it."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def post(self, route, body):
        return json.loads(self.answer("POST", API + route, json.dumps(body).encode()))

    def answer(self, method, path, body):
        return content(self.exchange(self.message(method, path, body)), path)

    def message(self, method, path, body):
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "\r\n"]).encode() + (body or b"")

    def exchange(self, message):
        """The answer to a message, as it came."""
        try:
            return self.sent(message)
        except ConnectionError:
            # It idled for too long while others had their turn.
            self.connection = None
            return self.sent(message)

    def sent(self, message):
        if self.connection is None:
            self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=600)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(message)
        # Otherwise a server that sends an answer in two pieces waits 40 ms for the
        # client's acknowledgement of the first.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        received, length = bytearray(), None
        while length is None or len(received) < length:
            piece = self.connection.recv(1 << 16)
            if not piece:
                raise ConnectionResetError("the server hung up")
            received += piece
            if length is None:
                length = length_of(received)
        return received


def length_of(answer):
    """How long an answer will be, once its head is there."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return None
    return head + 4 + int(re.search(rb"\ncontent-length: *(\d+)", answer[:head], re.I)[1])


def content(answer, path):
    head, body = bytes(answer).split(b"\r\n\r\n", 1)
    assert head.split()[1] == b"200", (path, head, body[:300])
    return body


class Server:
    """A server process on a free port."""

    last_memory = None
    running = []

    @staticmethod
    def stop_all():
        for server in list(Server.running):
            server.stop()

    def start(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        log = open(self.folder / "log", "a")
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            self.command(), stdout=log, stderr=log, cwd=self.folder, env=self.environment(),
            start_new_session=True,
        )
        Server.running.append(self)
        while not self.is_well():
            if self.process.poll() is not None:
                sys.exit(f"{self.command()[0]} has ended, see {self.folder / 'log'}")
            time.sleep(self.poll_seconds)
        self.ready_ms = (time.perf_counter() - begun) * 1e3
        self.client = Client(self.port)

    def is_well(self):
        try:
            Client(self.port).answer("GET", "/health", None)
        except (OSError, AssertionError):
            return False
        return True

    def wake(self):
        """Sees to it that the connection is open."""
        self.client.answer("GET", "/health", None)

    def memory(self):
        """Resident MB of the process and of those that it started, shared pages once."""
        pending, total = [self.process.pid], 0
        while pending:
            pid = pending.pop()
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text()
                    pending += map(int, children.split())
                total += share_of_memory(pid)
            except OSError:
                continue  # It has ended meanwhile.
        return total

    def stop(self):
        self.last_memory = self.memory()
        Server.running.remove(self)
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
        self.process.wait()

    def environment(self):
        return None


def share_of_memory(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0


class Ours(Server):
    poll_seconds = 0.0005

    def __init__(self, program, folder):
        self.program, self.folder = program.resolve(), folder / "ours"
        self.folder.mkdir()

    def command(self):
        address = f"127.0.0.1:{self.port}"
        return [str(self.program), "serve", "--addr", address, "--home", str(self.folder / "data")]

    def export(self, file):
        home = self.folder / "data"
        command = [self.program, "export", "mlflow-sqlite", file, "--home", home]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def ready_times(self, n):
        """From a new folder each time."""
        times = []
        for _ in range(n):
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            self.start()
            times.append(self.ready_ms)
            self.stop()
        return times


class MLflow(Server):
    poll_seconds = 0.02

    def __init__(self, folder, workers):
        self.workers = workers
        self.folder = folder / f"mlflow-{workers or 'default'}"
        self.folder.mkdir()

    def command(self):
        program = pathlib.Path(sys.executable).parent / "mlflow"
        workers = ["--workers", str(self.workers)] if self.workers else []
        return [
            str(program), "server", "--port", str(self.port),
            "--backend-store-uri", f"sqlite:///{self.folder}/m.db",
            "--artifacts-destination", f"{self.folder}/artifacts", *workers,
        ]

    def environment(self):
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        return {**os.environ, **quiet}


def built():
    root = HERE.parent
    subprocess.run(["cargo", "build", "--release", "-q", "-p", "biophony"], cwd=root, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"), "release/biophony")


def mlflow_version():
    from importlib.metadata import version

    return version("mlflow")


def table_line(row):
    bar, verdict = ("", "") if row["bar"] is None else (row["bar"], verdict_of(row))
    times = " | ".join(short(ms) for ms in row["ms"])
    return f"| {row['work']} | {times} | {short(row['times_faster'])} | {bar} | {verdict} |"


def figure_line(figure):
    bar = "" if figure["bar"] is None else f"{figure['bar']} {figure['unit']}"
    verdict = "" if figure["bar"] is None else verdict_of(figure)
    values = [f"{short(value)} {figure['unit']}" for value in figure["values"]]
    values += [""] * (3 - len(values))
    return f"| {figure['what']} | {' | '.join(values)} | {bar} | {verdict} |"


def verdict_of(row):
    return "holds" if row["holds"] else "MISSED"


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def description(results):
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    loads = results["load_average"]
    # MLflow's own processes are most of the load afterwards.
    busy = " **The machine was busy with other work.**" if loads[0] > 1.5 else ""
    rows = "\n".join([TABLE_HEAD, *map(table_line, results["rows"])])
    lines = "\n".join([FIGURES_HEAD, *map(figure_line, results["figures"])])
    return (
        f"{results['started']}: {results['cpu']}, {results['cores']} cores; {versions}. "
        f"Load average {loads[0]} before, {loads[1]} after.{busy}\n\n{rows}\n\n{lines}\n"
    )


def insert_results(readme, results):
    """Replaces what lies between the marks of a page."""
    text = readme.read_text()
    before, rest = text.split("<!-- tracking results -->\n")
    after = rest.split("<!-- end of tracking results -->\n")[1]
    marks = ("<!-- tracking results -->\n", "<!-- end of tracking results -->\n")
    readme.write_text(before + marks[0] + description(results) + marks[1] + after)


if __name__ == "__main__":
    main()
