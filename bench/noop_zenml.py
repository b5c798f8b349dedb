"""Times five steps that do nothing: ZenML's local run beside our pipeline.

usage: noop_zenml.py --noop PROGRAM [--repetitions N] [--out FILE]

Run it with the interpreter of an environment that has zenml (and no server):

    cargo build --release -p biophony-pipeline --example noop
    scripts/check_zenml.sh     # makes target/check-zenml/venv
    target/check-zenml/venv/bin/python bench/noop_zenml.py --noop target/release/examples/noop

Four rows: a fresh process or one that is warm, each with steps that run and with
steps that are cached. The sides take turns. A fresh process of ours is timed from
its start to its end, as ZenML's is; in a warm process ours is timed by itself,
from its first line to its last (opening the store is in it, which ZenML's warm
process has done before). Everything lies in a temporary folder, ZenML's
configuration too, and analytics are off.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BAR = 50
PEER = pathlib.Path(__file__).resolve().parent / "peers" / "zenml_noop.py"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--noop", type=pathlib.Path, required=True)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--out", default="bench/results-zenml.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for results in measure(args.noop.resolve(), pathlib.Path(folder), args.repetitions):
            # After each repetition: what was measured outlives an interruption.
            pathlib.Path(args.out).write_text(json.dumps(results, indent=2) + "\n")
    print(f"load average {min(results['load_average']):.1f} to {max(results['load_average']):.1f}")
    print("| five no-op steps | ZenML, ms | ours, ms | times faster | bar |\n|---|---|---|---|---|")
    for row in results["rows"]:
        print(
            f"| {row['row']} | {row['zenml_ms']:.0f} | {row['ours_ms']:.2f} |"
            f" {row['times_faster']:.0f} | {'holds' if row['times_faster'] >= BAR else 'MISSED'} |"
        )


def measure(noop, folder, repetitions):
    """Yields the results so far, repetition by repetition."""
    environment = os.environ | {
        "ZENML_CONFIG_PATH": str(folder / "config"),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "ERROR",
        "ZENML_ENABLE_REPO_INIT_WARNINGS": "false",
    }
    zenml = ZenML(folder, environment)
    times, load = {}, []
    for number in range(1, repetitions + 1):
        home = folder / "home"
        load.append(os.getloadavg()[0])
        for kind in ("fresh", "warm"):
            shutil.rmtree(home, ignore_errors=True)
            for mode, n_ran in (("first", 5), ("cached", 0)):
                theirs = zenml.fresh(mode) if kind == "fresh" else zenml.warm(mode)
                whole, inside = ours(noop, home, n_ran)
                own = whole if kind == "fresh" else inside
                sides = times.setdefault(f"{kind} process, {mode}", {"zenml": [], "ours": []})
                sides["zenml"].append(theirs)
                sides["ours"].append(own)
                print(f"{kind} {mode}: ZenML {theirs:.0f} ms, ours {own:.2f} ms", file=sys.stderr)
        yield {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "zenml": zenml.version,
            "load_average": load,
            "repetitions": number,
            "rows": [summarized(row, sides) for row, sides in times.items()],
        }
    zenml.stop()


def summarized(row, sides):
    theirs, own = (statistics.median(sides[side]) for side in ("zenml", "ours"))
    return {
        "row": row,
        "zenml_ms": theirs,
        "ours_ms": own,
        "times_faster": theirs / own,
        "least": {side: min(times) for side, times in sides.items()},
        "greatest": {side: max(times) for side, times in sides.items()},
    }


def ours(noop, home, n_ran):
    """One run; returns the milliseconds from outside and from inside."""
    begun = time.perf_counter()
    done = subprocess.run([noop, home], capture_output=True, text=True, check=True)
    whole = (time.perf_counter() - begun) * 1e3
    inside, ran = re.fullmatch(r"([\d.]+) ms, (\d+) steps ran\n", done.stdout).groups()
    assert int(ran) == n_ran, done.stdout
    return whole, float(inside)


class ZenML:
    """ZenML on the other side of a pipe: one process that stays, and fresh ones."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment
        self.fresh("first")  # makes the database, and warms up
        self.loop = subprocess.Popen(
            [sys.executable, PEER, "loop"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, cwd=folder, env=environment,
        )
        self.version = self.answer()
        self.warm("first")

    def fresh(self, mode):
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, PEER, mode],
            cwd=self.folder, env=self.environment, capture_output=True, text=True,
        )
        if done.returncode:
            raise SystemExit(f"ZenML's {mode} run failed: {done.stdout[-4000:]}{done.stderr[-4000:]}")
        return (time.perf_counter() - begun) * 1e3

    def warm(self, mode):
        self.loop.stdin.write(f"{mode}\n")
        self.loop.stdin.flush()
        return float(self.answer())

    def answer(self):
        for line in self.loop.stdout:
            if line.startswith("answer "):
                return line.split()[1]
        raise SystemExit("ZenML's process has ended")

    def stop(self):
        self.loop.stdin.close()
        self.loop.wait(timeout=30)


if __name__ == "__main__":
    main()
