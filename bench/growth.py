"""How time and memory grow with batch size, clip length, number of clips and threads.

    python bench/growth.py --programs target/release [--out bench/growth.json]

Needs the two programs (cargo build --release -p biophony -p biophony-bench) and
nothing but Python. Each line of the table is one program of its own: the median of
a few repetitions and the peak of its memory. The last column is the time for one
unit of what grows (an example, a minute, a clip) or, for threads, the time times
their number: where it stays the same, growth is a straight line.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import tempfile
import time
import wave
from array import array
from pathlib import Path

HERE = Path(__file__).resolve().parent
RATE = 22050
HEAD = "| what grows | | ms | peak MiB | ms for each |\n|---|---|---|---|---|"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "growth.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(HEAD, flush=True)
        results = []
        for row in rows(options.programs, Path(folder)):
            results.append(row)
            print(table_line(row), flush=True)
    document = {"cores": os.cpu_count(), "load_after": os.getloadavg()[0], "rows": results}
    options.out.write_text(json.dumps(document, indent=1) + "\n")


def rows(programs, folder):
    bench = programs / "biophony-bench"
    for network in ["reference", "mobile"]:
        for batch in [4, 8, 16, 32, 64]:
            found = timed([bench, "train", network, batch], 2, repetitions=5)
            yield row(f"training step, {network} net: batch", batch, found, found[0] / batch)
    for threads in range(1, os.cpu_count() + 1):
        found = timed([bench, "train", "reference", 32], threads, repetitions=5)
        yield row("training step, reference net, batch 32: threads", threads, found, found[0] * threads)
    for minutes in [1, 2, 4, 8]:
        sound = folder / f"{minutes}.wav"
        write_sound(sound, 60 * minutes, seed=minutes)
        found = timed([bench, "log-mel", sound], 1, repetitions=9)
        yield row("log-mel: minutes", minutes, found, found[0] / minutes)
        found = timed([bench, "classify", sound], 1, repetitions=9)
        yield row("file to scores, mobile net: minutes", minutes, found, found[0] / minutes)
    for clips in [50, 100, 200, 400]:
        collection = folder / f"clips-{clips}"
        write_collection(collection, clips)
        home = folder / f"home-{clips}"
        found = whole_run([programs / "biophony", "--home", home, "train", collection, "--epochs", "3"])
        yield row("whole run of 3 epochs: clips of 3 s", clips, found, found[0] / clips)


def row(what, n, found, each):
    return {"what": what, "n": n, "ms": found[0], "peak_mib": found[1], "ms_for_each": each}


def timed(command, threads, repetitions):
    """Median milliseconds of one piece of work, and MiB of memory at the peak."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAYON_NUM_THREADS": str(threads)},
    )
    process.stdin.write(f"{repetitions + 1}\n")
    process.stdin.close()
    lines = process.stdout.read().splitlines()
    _, _, usage = os.wait4(process.pid, 0)
    return statistics.median(json.loads(lines[1])[1:]), usage.ru_maxrss / 1024


def whole_run(command):
    started = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(list(map(str, command)), **quiet)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit("training failed")
    return (time.perf_counter() - started) * 1e3, usage.ru_maxrss / 1024


def write_collection(folder, clips):
    """Four classes of tones over noise."""
    for index in range(clips):
        label = index % 4
        path = folder / f"class {label}" / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sound(path, 3, seed=index, hertz=500 * (label + 1) + 20 * (index % 13))


def write_sound(path, seconds, seed, hertz=1000):
    """A tone that swells over noise; noise is drawn once and shifted, which is quicker."""
    source = random.Random(seed)
    noise = [source.randint(-3000, 3000) for _ in range(RATE)]
    tone = [9000 * math.sin(math.pi * i / RATE) * math.sin(2 * math.pi * hertz * i / RATE) for i in range(RATE)]
    samples = array("h")
    for _ in range(seconds):
        shift = source.randrange(RATE)
        samples.extend(int(t + n) for t, n in zip(tone, noise[shift:] + noise[:shift]))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def table_line(row):
    return (
        f"| {row['what']} | {row['n']} | {row['ms']:.4g} "
        f"| {row['peak_mib']:.0f} | {row['ms_for_each']:.3g} |"
    )


if __name__ == "__main__":
    main()
