"""Makes the golden values that `tests/golden.rs` compares with.

    pip install librosa==0.11.0
    python crates/audio/tests/golden/make.py

Writes `cases.json` (what was computed, and by which versions) and `values.f32`
(signals and results, little-endian) beside this file. Signals are stored, so
that no other program has to regenerate them bit by bit.
"""

import json
import pathlib
import platform
import warnings

import librosa
import numpy as np
import scipy
import scipy.signal

HERE = pathlib.Path(__file__).parent
warnings.filterwarnings("ignore")


class Blob:
    """One file of numbers, and where in it each array lies."""

    def __init__(self):
        self.parts, self.size = [], 0

    def add(self, array):
        flat = np.ascontiguousarray(array)
        if np.iscomplexobj(flat):
            flat = flat.astype(np.complex64).view(np.float32)
        flat = flat.astype("<f4").ravel()
        at = {"offset": self.size, "shape": list(np.shape(array))}
        self.parts.append(flat)
        self.size += flat.size
        return at


def signals():
    """Name to (sample rate, samples)."""
    rng = np.random.Generator(np.random.PCG64(20240607))

    def time(rate, seconds):
        return np.arange(int(rate * seconds)) / rate

    t = time(22050, 0.4)
    out = {}
    out["tone"] = (22050, 0.8 * np.sin(2 * np.pi * 440 * t))
    out["two_tones_70_db_apart"] = (
        22050,
        0.9 * np.sin(2 * np.pi * 937.3 * t) + 0.9 * 10 ** (-70 / 20) * np.sin(2 * np.pi * 6011.7 * t),
    )
    out["chirp"] = (22050, 0.7 * scipy.signal.chirp(t, 80, t[-1], 10500, method="logarithmic"))
    out["noise"] = (22050, 0.3 * rng.standard_normal(t.size))
    impulses = np.zeros(t.size)
    impulses[[0, 1000, 5017, t.size - 1]] = [1.0, -0.5, 0.25, 0.9]
    out["impulses"] = (22050, impulses)
    out["silence"] = (22050, np.zeros(6000))
    out["dc"] = (22050, np.full(6000, 0.5))
    out["tiny"] = (22050, 1e-6 * rng.standard_normal(6000))
    out["tiniest"] = (22050, 1e-15 * rng.standard_normal(6000))
    out["one_sample"] = (22050, np.array([0.3]))
    out["two_samples"] = (22050, np.array([0.3, -0.7]))
    out["short"] = (22050, 0.5 * rng.standard_normal(300))

    t = time(16000, 0.5)
    brown = np.cumsum(rng.standard_normal(t.size))
    out["brown_noise"] = (16000, 0.5 * (brown - brown.mean()) / np.abs(brown - brown.mean()).max())

    t = time(44100, 0.3)
    call = sum(np.sin(2 * np.pi * (700 * t + 900 * t**2) * k) / k**1.5 for k in range(1, 12))
    call *= np.exp(-((t - 0.15) ** 2) / 0.004)
    out["call"] = (44100, 0.4 * call + 3e-4 * rng.standard_normal(t.size))
    low = scipy.signal.sosfilt(
        scipy.signal.ellip(10, 0.5, 90, 4000, fs=44100, output="sos"), rng.standard_normal(t.size)
    )
    out["band_limited_noise"] = (44100, 0.3 * low)

    t = time(8000, 0.5)
    out["square"] = (8000, np.clip(20 * np.sin(2 * np.pi * 333 * t), -1, 1))
    return {name: (rate, np.asarray(y, np.float32)) for name, (rate, y) in out.items()}


DB = {"kind": "db", "ref": 1.0, "amin": 1e-10, "top_db": 80.0}
ALL_DB = {**DB, "top_db": "none"}
POWER = {"kind": "power"}


def feature_cases():
    """(signal, settings that differ from the defaults)."""
    for signal in signals():
        yield signal, {"scale": POWER}
        yield signal, {"scale": DB}
    for signal in ("tone", "chirp", "call", "square", "two_tones_70_db_apart", "brown_noise"):
        yield signal, {"scale": ALL_DB, "n_fft": 2048, "hop_length": 512, "n_mels": 128}
    for window in ("hamming", "blackman", "boxcar", "blackmanharris", "nuttall", "flattop", "bartlett", "cosine"):
        yield "call", {"window": window, "scale": ALL_DB}
    for pad_mode in ("constant", "reflect", "edge", "symmetric", "wrap"):
        yield "chirp", {"pad_mode": pad_mode, "scale": POWER}
        for signal in ("one_sample", "two_samples", "short"):
            yield signal, {"pad_mode": pad_mode, "scale": POWER, "n_fft": 512, "hop_length": 100, "n_mels": 20, "fmin": 0.0}
    # Whole numbers of hops, where librosa pads the last frame by itself, and what is next to that.
    for signal, n_fft, hop_length in (
        ("noise", 1024, 630), ("noise", 1024, 1764), ("noise", 1024, 8820), ("noise", 1024, 4410), ("noise", 400, 441),
        ("noise", 882, 441), ("noise", 884, 441), ("noise", 883, 441), ("noise", 1024, 631), ("short", 64, 50),
    ):
        for pad_mode in ("reflect", "edge", "symmetric"):
            yield signal, {"n_fft": n_fft, "hop_length": hop_length, "pad_mode": pad_mode, "window": "boxcar", "n_mels": 20, "fmin": 0.0, "scale": ALL_DB}
    for power in (1.0, 1.5, 3.0):
        for signal in ("chirp", "two_tones_70_db_apart"):
            yield signal, {"power": power, "scale": POWER}
    for mel_scale in ("slaney", "htk"):
        for norm in ("slaney", "none"):
            yield "noise", {"mel_scale": mel_scale, "norm": norm, "n_mels": 40, "fmin": 0.0, "scale": POWER}
            yield "call", {"mel_scale": mel_scale, "norm": norm, "n_mels": 96, "scale": DB}
    for fmin, fmax in ((0.0, 4000.0), (500.0, 8000.0), (1000.0, 1200.0)):
        yield "chirp", {"fmin": fmin, "fmax": fmax, "scale": DB}
    for ref, amin, top_db in (("max", 1e-10, 80.0), ("max", 1e-10, "none"), (20.0, 1e-5, 60.0), (1e-6, 1e-8, 30.0), (0.0, 1e-10, 0.0)):
        for signal in ("call", "noise", "silence"):
            yield signal, {"scale": {"kind": "db", "ref": ref, "amin": amin, "top_db": top_db}}
    for n_fft, hop_length, win_length in (
        (256, 64, 256), (400, 160, 400), (512, 160, 400), (1024, 1500, 600), (1000, 250, 999),
        (1023, 256, 1023), (2048, 512, 1), (4096, 1024, 4096), (64, 16, 32), (1021, 300, 500),
    ):
        base = {"n_fft": n_fft, "hop_length": hop_length, "win_length": win_length, "n_mels": 20}
        yield "chirp", {**base, "scale": POWER}
        yield "call", {**base, "scale": ALL_DB, "pad_mode": "reflect"}
    for signal in ("chirp", "noise", "brown_noise"):
        yield signal, {"center": False, "scale": DB}
        yield signal, {"center": False, "n_fft": 400, "hop_length": 160, "n_mels": 32, "scale": POWER}


def defaults(rate):
    """The settings a case starts from: the crate's defaults at this rate."""
    return {
        "sample_rate": rate, "n_fft": 1024, "hop_length": 512, "win_length": None, "window": "hann",
        "center": True, "pad_mode": "constant", "power": 2.0, "n_mels": 64, "fmin": 50.0, "fmax": None,
        "mel_scale": "slaney", "norm": "slaney", "scale": DB,
    }


def padded(y, s):
    """librosa refuses `wrap`, so it is padded by hand and analyzed uncentered."""
    if s["center"] and s["pad_mode"] == "wrap":
        return np.pad(y, s["n_fft"] // 2, mode="wrap"), {**s, "center": False, "pad_mode": "constant"}
    return y, s


def framing(s):
    names = ("n_fft", "hop_length", "win_length", "window", "center", "pad_mode")
    return {name: s[name] for name in names}


def features(y, s):
    y, s = padded(y, s)
    mel = librosa.feature.melspectrogram(
        y=y, sr=s["sample_rate"], power=s["power"], n_mels=s["n_mels"], fmin=s["fmin"], fmax=s["fmax"],
        htk=s["mel_scale"] == "htk", norm=None if s["norm"] == "none" else s["norm"], **framing(s),
    )
    scale = s["scale"]
    if scale["kind"] == "power":
        return mel
    return librosa.power_to_db(
        mel,
        ref=np.max if scale["ref"] == "max" else scale["ref"],
        amin=scale["amin"],
        top_db=None if scale["top_db"] == "none" else scale["top_db"],
    )


def filterbank(s):
    return librosa.filters.mel(
        sr=s["sample_rate"], n_fft=s["n_fft"], n_mels=s["n_mels"], fmin=s["fmin"], fmax=s["fmax"],
        htk=s["mel_scale"] == "htk", norm=None if s["norm"] == "none" else s["norm"],
    )


def main():
    blob, sounds = Blob(), signals()
    index = {
        "made_by": "crates/audio/tests/golden/make.py",
        "librosa": librosa.__version__, "numpy": np.__version__, "scipy": scipy.__version__,
        "python": platform.python_version(),
        "signals": {name: {"sample_rate": rate, **blob.add(y)} for name, (rate, y) in sounds.items()},
    }

    def settings(signal, changes):
        return {**defaults(sounds[signal][0]), **changes}

    def case(signal, changes, values, **more):
        return {"signal": signal, "settings": settings(signal, changes), **more, **blob.add(values)}

    index["features"] = [
        case(name, changes, features(sounds[name][1], settings(name, changes))) for name, changes in feature_cases()
    ]
    index["stft"] = []
    for name, changes in (
        ("chirp", {"n_fft": 256, "hop_length": 700}),
        ("short", {"n_fft": 128, "hop_length": 50, "window": "hamming", "pad_mode": "reflect"}),
        ("short", {"n_fft": 75, "hop_length": 25, "win_length": 60, "center": False}),
    ):
        s = settings(name, changes)
        index["stft"].append(case(name, changes, librosa.stft(sounds[name][1], **framing(s))))

    index["filterbanks"] = []
    for changes in (
        {"n_fft": 256, "n_mels": 20, "fmin": 0.0},
        {"n_fft": 256, "n_mels": 20, "mel_scale": "htk", "norm": "none"},
        {"n_fft": 128, "n_mels": 60, "fmin": 0.0},
        {"n_fft": 401, "n_mels": 13, "fmin": 300.0, "fmax": 9000.0, "norm": "none"},
    ):
        index["filterbanks"].append(case("tone", changes, filterbank(settings("tone", changes))))

    index["mfcc"] = []
    small = {"n_mels": 32, "scale": DB}
    for signal in ("call", "noise", "silence"):
        db = features(sounds[signal][1], settings(signal, small))
        for dct_type in (2, 3):
            for norm in ("ortho", "none"):
                for n_mfcc, lifter in ((13, 0.0), (20, 22.0), (32, 40.5)):
                    values = librosa.feature.mfcc(
                        S=db, n_mfcc=n_mfcc, dct_type=dct_type, norm=None if norm == "none" else norm, lifter=lifter
                    )
                    mfcc = {"n_mfcc": n_mfcc, "dct_type": dct_type, "norm": norm, "lifter": lifter}
                    index["mfcc"].append(case(signal, small, values, mfcc=mfcc))

    index["pcen"] = []
    linear = {"n_mels": 24, "power": 1.0, "scale": POWER}
    for signal in ("call", "noise", "silence"):
        S = features(sounds[signal][1], settings(signal, linear))
        for changes in (
            {}, {"gain": 0.8, "bias": 10.0, "power": 0.25}, {"time_constant": 0.06, "eps": 1e-3}, {"b": 0.1},
            {"power": 0.0}, {"bias": 0.0}, {"max_size": 3}, {"max_size": 4, "gain": 0.5}, {"zi": True},
        ):
            arguments = dict(changes)
            zi = None
            if arguments.pop("zi", False):
                zi = np.linspace(0, 2, S.shape[0])[:, np.newaxis]
            if changes.get("bias") == 0.0:
                S = np.maximum(S, np.float32(1e-12))
            rate = sounds[signal][0]
            scaled = S * np.float32(2**15)
            values, zf = librosa.pcen(scaled, sr=rate, hop_length=512, zi=zi, return_zf=True, **arguments)
            index["pcen"].append({
                "signal": signal, "sample_rate": rate, "pcen": arguments,
                "input": blob.add(scaled), "zi": None if zi is None else blob.add(zi[:, 0]),
                "zf": blob.add(zf[:, 0]), **blob.add(values),
            })

    (HERE / "cases.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")
    np.concatenate(blob.parts).tofile(HERE / "values.f32")
    print(sum(len(index[k]) for k in ("features", "stft", "filterbanks", "mfcc", "pcen")), "cases")


if __name__ == "__main__":
    main()
