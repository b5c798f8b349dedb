"""Lets ours and theirs take turns at the same work, and writes the table and results.json.

Started by run.sh. Both sides of a row are programs that stay up, wait for a
number of repetitions on their standard input and answer with the milliseconds of
each; so neither pays for its start, and neither computes while the other is
timed. A turn is one repetition to warm up and some that count, whose median is
the turn's time; the sides alternate, and a row's times are the medians of the
turns. Whole training runs are started anew each time.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Makes PyTorch keep its memory instead of asking for fresh pages at each step.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "1000000000",
}
TURN_MS = 300
PAUSE_SECONDS = 0.05
MINUTE_MS = 60_000


def main():
    options = read_options()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        bench.write_sounds()
        for row in rows(folder):
            if options.only in row["work"]:
                bench.attempt(row["work"], lambda row=row: bench.time_row(**row))
        if options.data and options.only in "whole training run":
            bench.attempt("whole training run", bench.time_runs)
        bench.write()
    if bench.failed:
        raise SystemExit(f"failed: {', '.join(bench.failed)}")


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument("--readme", type=Path)
    return parser.parse_args()


def rows(folder):
    """Every row but the whole runs: what is done, by whom, on how many threads."""
    for network, bar in [("reference", 0.80), ("mobile", 0.80)]:
        step = {
            "work": f"training step, {network} net, batch 32",
            "ours": ["train", network, "32"],
            "threads": 2,
        }
        yield {
            **step,
            "peer": "PyTorch channels-last, memory kept",
            "theirs": ["torch_step.py", network, "32", "channels-last"],
            "environment": KEEP_MEMORY,
            "bar": bar,
        }
        if network == "reference":
            yield {
                **step,
                "peer": "PyTorch as installed",
                "theirs": ["torch_step.py", network, "32", "as-installed"],
                "bar": 0.27,
            }
    for network in ["reference", "mobile"]:
        for batch in ["32", "1"]:
            yield {
                "work": f"inference, {network} net, batch {batch}",
                "peer": "onnxruntime",
                "ours": ["infer", network, batch],
                "theirs": ["onnx_infer.py", network, batch, "2"],
                "threads": 2,
                "bar": 1.0,
            }
    for sound in ["noise", "calls"]:
        file = f"{folder}/{sound}-22050.wav"
        log_mel = {"work": f"log-mel of 60 s of {sound}", "ours": ["log-mel", file], "threads": 1}
        for peer, name in [("librosa", "librosa"), ("torch.stft", "torch")]:
            theirs = ["sounds.py", f"{name}-log-mel", file]
            yield {**log_mel, "peer": peer, "theirs": theirs, "bar": 0.25}
        yield {
            **log_mel,
            "peer": "its 2,584 real FFTs alone",
            "theirs": "transforms",
            "file": file,
            "bar": 1.8,
        }
    file = f"{folder}/noise-44100.wav"
    yield {
        "work": "load 60 s of 44.1 kHz WAV at 22.05 kHz",
        "peer": "librosa.load, soxr_hq",
        "ours": ["load", file],
        "theirs": ["sounds.py", "librosa-load", file],
        "threads": 1,
        "bar": 0.6,
    }
    yield {
        "work": "44.1 kHz WAV on disk to scores, mobile net, 60 s",
        "peer": "the clock",
        "ours": ["classify", f"{folder}/calls-44100.wav"],
        "theirs": None,
        "threads": 1,
        "bar": 1 / 2500,
    }


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.rows, self.versions = [], {"python": platform.python_version()}
        self.failed = []
        self.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def attempt(self, name, time):
        """One row that fails does not take the others along."""
        try:
            time()
        except Exception as error:
            self.failed.append(name)
            print(f"{name}: {error!r}", file=sys.stderr, flush=True)

    def write_sounds(self):
        script = HERE / "peers" / "write_sounds.py"
        subprocess.run([sys.executable, script, self.folder], check=True)

    def time_row(self, work, peer, ours, theirs, threads, bar, environment=None, file=None):
        program = self.options.programs / "biophony-bench"
        if theirs == "transforms":
            theirs_command = [program, "transforms", file]
        elif theirs:
            theirs_command = [sys.executable, HERE / "peers" / theirs[0], *theirs[1:]]
        sides = [Side([program, *ours], threads)]
        if theirs:
            sides.append(Side(theirs_command, threads, environment))
            if theirs != "transforms":
                self.versions |= {k: v for k, v in sides[1].about.items() if k != "threads"}
        load = os.getloadavg()[0]
        turns = [side.turns() for side in sides]
        times = list(zip(*(tuple(next(turn) for turn in turns) for _ in range(self.options.turns))))
        for side in sides:
            side.stop()
        mine = statistics.median(times[0])
        other = statistics.median(times[1]) if theirs else MINUTE_MS
        self.add(work, peer, mine, other, bar, threads, load, times)

    def add(self, work, peer, mine, other, bar, threads, load, times, unit="ms"):
        row = {
            "work": work,
            "peer": peer,
            f"ours_{unit}": round(mine, 4),
            f"theirs_{unit}": round(other, 4),
            "ratio": round(mine / other, 5),
            "bar": bar,
            "holds": mine / other <= bar,
            "threads": threads,
            "turns": len(times[0]),
            "load_before": round(load, 2),
            "spread": [[round(min(side), 3), round(max(side), 3)] for side in times],
        }
        self.rows.append(row)
        print(table_line(row), flush=True)

    def time_runs(self):
        """Whole training runs with the default settings, and their peak memory."""
        biophony = self.options.programs / "biophony"
        settings, data = self.folder / "settings.json", self.options.data
        values = json.loads(subprocess.check_output([biophony, "config", "--json"]))
        changed = []
        if self.options.epochs:
            changed = ["--epochs", self.options.epochs]
            for row in values:
                if row["key"] == "train.epochs":
                    row["value"] = self.options.epochs
        settings.write_text(json.dumps(values))
        theirs = [sys.executable, HERE / "recipe_torch.py", data, settings]
        load, times, memory = os.getloadavg()[0], ([], []), ([], [])
        for index in range(self.options.runs):
            # Each run has a home of its own: what one has done, the next would find done.
            ours = [biophony, "--home", self.folder / f"home-{index}", "--threads", "2"]
            ours += ["train", data, *changed]
            for side, (command, extra) in enumerate([(ours, {}), (theirs, KEEP_MEMORY)]):
                seconds, peak = whole_run(command, {**extra, "OMP_NUM_THREADS": "2"})
                times[side].append(seconds * 1e3)
                memory[side].append(peak)
        for values, bar, unit, what in [(times, 0.5, "ms", ""), (memory, 0.4, "mib", ", peak memory")]:
            mine, other = map(statistics.median, values)
            epochs = f" of {self.options.epochs} epochs" if self.options.epochs else ""
            work, peer = f"whole training run{epochs}{what}", "the same recipe in PyTorch and librosa"
            self.add(work, peer, mine, other, bar, 2, load, values, unit)

    def write(self):
        results = {
            "started": self.started,
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "versions": {"rustc": rustc_version(), **self.versions},
            "load_after": [round(load, 2) for load in os.getloadavg()],
            "rows": self.rows,
        }
        self.options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        print("\n" + description(results))
        if self.options.readme:
            insert_results(self.options.readme, results)


class Side:
    """A program that does one piece of work whenever it is told to."""

    def __init__(self, command, threads, environment=None):
        names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
        limits = dict.fromkeys(names, str(threads))
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **limits, **(environment or {})},
        )
        self.about = json.loads(self.process.stdout.readline())

    def work(self, repetitions):
        self.process.stdin.write(f"{repetitions}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def turns(self):
        """Medians of turns without end; the first call finds out how long the work takes."""
        expected = min(self.work(4)[1:])
        repetitions = max(1, min(1000, round(TURN_MS / expected)))
        while True:
            time.sleep(PAUSE_SECONDS)
            yield statistics.median(self.work(1 + repetitions)[1:])

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def whole_run(command, environment):
    """Seconds and MiB of memory at its peak."""
    started = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def table_line(row):
    unit = "ms" if "ours_ms" in row else "mib"
    mine, other = (short(row[f"{side}_{unit}"]) for side in ["ours", "theirs"])
    shown = "" if unit == "ms" else " MiB"
    verdict = "holds" if row["holds"] else "MISSED"
    return (
        f"| {row['work']} | {row['peer']} | {mine}{shown} | {other}{shown} "
        f"| {row['ratio']:.3g} | {row['bar']:.3g} | {verdict} |"
    )


def short(value):
    """Three digits, and all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


TABLE_HEAD = "| work | peer | ours, ms | theirs, ms | ratio | bar | |\n|---|---|---|---|---|---|---|"


def description(results):
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    loads = [row["load_before"] for row in results["rows"]] or [0]
    # What a row leaves behind for the next is no more than its own threads.
    busy = " **The machine was busy with other work.**" if max(loads) > 2.5 else ""
    return (
        f"{results['started']}: {results['cpu']}, {results['cores']} cores, {results['system']}; "
        f"{versions}. Load average before the rows: {min(loads)} to {max(loads)}.{busy}"
    )


def insert_results(readme, results):
    """Replaces what lies between the marks of a page."""
    text = readme.read_text()
    before, rest = text.split("<!-- results -->\n")
    after = rest.split("<!-- end of results -->\n")[1]
    table = "\n".join([TABLE_HEAD, *map(table_line, results["rows"])])
    block = f"<!-- results -->\n{description(results)}\n\n{table}\n<!-- end of results -->\n"
    readme.write_text(before + block + after)


def cpu_name():
    flags = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":")[1].strip()
        if line.startswith("flags") and "avx512f" in line:
            flags = " with AVX-512"
    return name + flags


def rustc_version():
    return subprocess.check_output(["rustc", "--version"], text=True).split()[1]


if __name__ == "__main__":
    print(TABLE_HEAD)
    main()
