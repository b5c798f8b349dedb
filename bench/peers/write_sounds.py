"""Writes the minute of sound that features are timed on: write_sounds.py FOLDER

noise-RATE.wav is white noise; calls-RATE.wav is a call that sweeps and fades each
second over faint noise, so that quiet bands lie beside loud ones.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

SECONDS = 60


def main():
    folder = Path(sys.argv[1])
    for rate in [22050, 44100]:
        random = np.random.default_rng(1)
        noise = random.uniform(-1, 1, SECONDS * rate)
        t = np.arange(SECONDS * rate) % rate / rate
        sweep = np.exp(-8 * t) * np.sin(2 * np.pi * (1500 + 1200 * t) * t)
        write(folder / f"noise-{rate}.wav", 0.5 * noise, rate)
        write(folder / f"calls-{rate}.wav", 0.5 * (sweep + 1e-3 * noise), rate)


def write(path, samples, rate):
    soundfile.write(path, samples, rate, subtype="PCM_16")


if __name__ == "__main__":
    main()
