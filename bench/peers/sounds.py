"""Sounds in librosa and PyTorch: sounds.py librosa-log-mel|torch-log-mel|librosa-load FILE"""

import sys

import librosa
import numpy as np
import soundfile

from serve import serve

RATE, N_FFT, HOP, N_MELS = 22050, 2048, 512, 128


def librosa_log_mel(file):
    samples, _ = soundfile.read(file, dtype="float32")

    def work():
        power = librosa.feature.melspectrogram(
            y=samples, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS
        )
        return librosa.power_to_db(power)

    return work, {"librosa": librosa.__version__}


def torch_log_mel(file):
    import torch

    samples = torch.from_numpy(soundfile.read(file, dtype="float32")[0])
    window = torch.hann_window(N_FFT)
    mel = torch.from_numpy(librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=N_MELS))

    def work():
        with torch.inference_mode():
            spectrum = torch.stft(
                samples,
                N_FFT,
                HOP,
                window=window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            )
            power = mel @ (spectrum.real.square() + spectrum.imag.square())
            decibels = 10 * torch.log10(power.clamp_min(1e-10))
            return torch.maximum(decibels, decibels.max() - 80)

    return work, {"torch": torch.__version__, "threads": torch.get_num_threads()}


def librosa_load(file):
    return lambda: librosa.load(file, sr=RATE, res_type="soxr_hq"), {"librosa": librosa.__version__}


def main():
    work, about = {
        "librosa-log-mel": librosa_log_mel,
        "torch-log-mel": torch_log_mel,
        "librosa-load": librosa_load,
    }[sys.argv[1]](sys.argv[2])
    serve(work, {**about, "numpy": np.__version__})


if __name__ == "__main__":
    main()
