"""The default training run of biophony, written for PyTorch and librosa.

    biophony config --json > settings.json
    python recipe_torch.py DIR settings.json

The same front end, network, augmentations, optimizer, schedule, moving average,
number of steps and number of members, written as one would write a quick PyTorch program for a set
that fits in memory: features are computed once, batches are cut from tensors, no
DataLoader, channels-last, fused AdamW. Unlike `biophony train` it does not look
for copies, judge with intervals, or write a report and a model.
"""

import json
import math
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import torch
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F


def main():
    started = time.perf_counter()
    folder, settings = Path(sys.argv[1]), read_settings(sys.argv[2])
    paths, labels, classes = scan(folder)
    features, labels = prepare(paths, labels, settings)
    parts = split(labels, settings)
    prepared = time.perf_counter()
    members = []
    for member in range(settings["train.members"]):
        torch.manual_seed(settings["train.seed"] + member)
        np.random.seed(settings["train.seed"] + member)
        trainer = Trainer(features, labels, parts, len(classes), settings)
        for epoch in range(settings["train.epochs"]):
            trainer.train_epoch(epoch)
            trainer.score(parts["validation"], [trainer.average])
        members.append(trainer.average)
    truth = labels[parts["test"]].numpy()
    found = trainer.score(parts["test"], members).argmax(1).numpy()
    print(
        json.dumps(
            {
                "clips": len(labels),
                "train": len(parts["train"]),
                "accuracy": float((truth == found).mean()),
                "macro_f1": float(f1_score(truth, found, average="macro")),
                "prepare_seconds": prepared - started,
                "seconds": time.perf_counter() - started,
            }
        )
    )


def read_settings(path):
    return {row["key"]: row["value"] for row in json.loads(Path(path).read_text())}


def scan(folder):
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    paths, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).rglob("*")):
            if path.is_file():
                paths.append(path)
                labels.append(label)
    return paths, labels, classes


def prepare(paths, labels, settings):
    """Log-mel spectrograms of whole clips, and the labels of those that could be read."""
    n_window = round(settings["clip.clip_seconds"] * settings["features.sample_rate"])

    def one(path):
        try:
            return log_mel(load(path, settings, n_window), settings)
        except Exception as error:
            print(f"{path}: {error!r}", file=sys.stderr)
            return None

    warnings.filterwarnings("ignore")
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        features = list(pool.map(one, paths))
    read = [index for index, one in enumerate(features) if one is not None]
    return [features[index] for index in read], torch.tensor([labels[index] for index in read])


def load(path, settings, n_window):
    samples, _ = librosa.load(path, sr=settings["features.sample_rate"], res_type="soxr_hq")
    if samples.size == 0:
        raise ValueError("no sound")
    if samples.size >= n_window:
        return samples
    if settings["clip.pad"] == "repeat":
        return np.resize(samples, n_window)
    return librosa.util.fix_length(samples, size=n_window)


def log_mel(samples, settings):
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=settings["features.sample_rate"],
        n_fft=settings["features.n_fft"],
        hop_length=settings["features.hop_length"],
        window=settings["features.window"],
        center=settings["features.center"],
        pad_mode=settings["features.pad_mode"],
        power=settings["features.power"],
        n_mels=settings["features.n_mels"],
        fmin=settings["features.fmin"],
        fmax=settings["features.fmax"],
        htk=settings["features.mel_scale"] == "htk",
        norm="slaney" if settings["features.norm"] == "slaney" else None,
    )
    reference, top_db = settings["features.scale.ref"], settings["features.scale.top_db"]
    decibels = librosa.power_to_db(
        power,
        ref=np.max if reference == "max" else reference,
        amin=settings["features.scale.amin"],
        top_db=None if top_db == "none" else top_db,
    )
    return torch.from_numpy(decibels)


def split(labels, settings):
    share = {name: settings[f"split.{name}"] for name in ["validation", "test"]}
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=share["test"], stratify=labels, random_state=0
    )
    train, validation = train_test_split(
        rest,
        test_size=share["validation"] / (1 - share["test"]),
        stratify=labels[rest],
        random_state=0,
    )
    return {"train": train, "validation": validation, "test": test}


class MeanPlusMax(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) + x.amax((2, 3))


def cnn_bn(n_classes, settings):
    """`cnn-bn` of crates/model/src/architecture.rs."""
    scale = settings["train.width"]

    def channels(usual):
        return max(1, math.floor(usual * scale / 8 + 0.5)) * 8

    def block(inputs, outputs, kernel, stride=1):
        return [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]

    width = channels(24)
    layers = block(1, width, 5, 2) + block(width, width, 3)
    for usual in [48, 96, 192]:
        layers.append(nn.MaxPool2d(2))
        layers += block(width, channels(usual), 3)
        width = channels(usual)
        layers += block(width, width, 3)
    head = [nn.Dropout(settings["train.dropout"]), nn.Linear(width, n_classes)]
    return nn.Sequential(*layers, MeanPlusMax(), *head)


class Trainer:
    def __init__(self, features, labels, parts, n_classes, settings):
        assert settings["train.architecture"] == "cnn-bn", "only the default network is written here"
        assert settings["train.optimizer"] == "adamw" and settings["train.schedule"] == "cosine"
        self.settings, self.features, self.labels = settings, features, labels
        self.n_classes, self.train = n_classes, parts["train"]
        seconds = settings["clip.clip_seconds"]
        self.n_frames = self.frames(settings["train.crop_seconds"] or seconds)
        self.n_scored = self.frames(seconds)
        self.fit_normalizer()
        self.model = cnn_bn(n_classes, settings).to(memory_format=torch.channels_last)
        self.average = cnn_bn(n_classes, settings).to(memory_format=torch.channels_last).eval()
        self.average.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings["train.learning_rate"],
            weight_decay=settings["train.weight_decay"],
            fused=True,
        )
        self.per_epoch = math.ceil(len(self.train) / settings["train.batch_size"])
        self.step = 0

    def frames(self, seconds):
        samples = round(seconds * self.settings["features.sample_rate"])
        return 1 + samples // self.settings["features.hop_length"]

    def fit_normalizer(self):
        clips = [self.features[index] for index in self.train]
        mean = torch.stack([clip.mean(1) for clip in clips]).mean(0)
        square = torch.stack([clip.square().mean(1) for clip in clips]).mean(0)
        self.mean = mean[:, None]
        self.scale = 1 / (square - mean.square()).clamp_min(1e-6).sqrt()[:, None]

    def train_epoch(self, epoch):
        self.model.train()
        for batch in np.array_split(self.epoch_order(), self.per_epoch):
            inputs, targets = self.assemble(batch)
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate()
            self.optimizer.zero_grad(set_to_none=True)
            smoothing = self.settings["train.label_smoothing"]
            loss = F.cross_entropy(self.model(inputs), targets, label_smoothing=smoothing)
            loss.backward()
            if self.settings["train.max_gradient_norm"] > 0:
                limit = self.settings["train.max_gradient_norm"]
                nn.utils.clip_grad_norm_(self.model.parameters(), limit)
            self.optimizer.step()
            self.step += 1
            self.update_average()

    def epoch_order(self):
        """As many examples as there are, rare classes more often than they come."""
        labels = self.labels[self.train].numpy()
        members = [self.train[labels == label] for label in range(self.n_classes)]
        shares = np.array([len(m) ** (1 - self.settings["train.balanced_sampling"]) for m in members])
        edges = np.cumsum(len(labels) * shares / shares.sum()) + np.random.rand()
        quotas = np.diff(np.floor(edges).astype(int), prepend=0)
        drawn = []
        for own, quota in zip(members, quotas):
            while quota > 0:
                drawn.append(np.random.permutation(own)[:quota])
                quota -= len(drawn[-1])
        return np.random.permutation(np.concatenate(drawn))

    def learning_rate(self):
        total = self.settings["train.epochs"] * self.per_epoch
        warm = self.settings["train.warmup"] * total
        if self.step < warm:
            return self.settings["train.learning_rate"] * (self.step + 1) / warm
        done = (self.step - warm) / max(1, total - warm)
        return self.settings["train.learning_rate"] * 0.5 * (1 + math.cos(math.pi * done))

    @torch.no_grad()
    def assemble(self, batch):
        """Varied windows `[batch, 1, bands, frames]` and their mixed labels."""
        augment = {
            key.removeprefix("train.augment."): value
            for key, value in self.settings.items()
            if key.startswith("train.augment.")
        }
        assert augment["noise_probability"] == 0 and augment["background_probability"] == 0
        windows = torch.stack([self.window(self.features[index], augment) for index in batch])
        if augment["gain_probability"] > 0 and self.settings["features.scale.ref"] != "max":
            gain = (torch.rand(len(batch)) * 2 - 1) * augment["gain_db"]
            gain *= happens(augment["gain_probability"], len(batch))
            floor = 10 * math.log10(self.settings["features.scale.amin"])
            windows = (windows + gain[:, None, None]).clamp_min_(floor)
        windows = (windows - self.mean) * self.scale
        wanted = happens(augment["mask_probability"], len(batch))
        for axis, name in [(2, "time"), (1, "band")]:
            for _ in range(augment[f"{name}_masks"]):
                share = augment[f"{name}_mask_share"]
                windows.masked_fill_(stretches(windows, axis, share, wanted), 0)
        targets = F.one_hot(self.labels[batch], self.n_classes).float()
        windows, targets = mixup(windows, targets, augment)
        return windows[:, None].contiguous(memory_format=torch.channels_last), targets

    def window(self, features, augment):
        pace = shift = None
        if np.random.rand() < augment["pace_probability"]:
            greatest = math.log(augment["pace_factor"])
            pace = math.exp(np.random.uniform(-greatest, greatest))
        if np.random.rand() < augment["pitch_probability"]:
            greatest = augment["pitch_share"] * len(features)
            shift = np.random.uniform(-greatest, greatest)
        span = 1 + math.ceil((self.n_frames - 1) * (pace or 1))
        last = max(0, features.shape[1] - span)
        first = np.random.randint(last + 1) if augment["random_crop"] else last // 2
        if pace is None:
            window = features[:, first : first + self.n_frames]
        else:
            places = first + torch.arange(self.n_frames) * pace
            window = between(features, 1, places, lambda place: place % features.shape[1])
        if shift is not None:
            places = (torch.arange(len(window)) - shift).clamp(0, len(window) - 1)
            window = between(window, 0, places, lambda place: place.clamp(max=len(window) - 1))
        if np.random.rand() < augment["roll_probability"]:
            window = window.roll(np.random.randint(self.n_frames), 1)
        return window

    @torch.no_grad()
    def update_average(self):
        wanted = self.settings["train.average_decay"]
        decay = min(wanted, (1 + self.step) / (10 + self.step))
        ours, theirs = self.average.state_dict().values(), self.model.state_dict().values()
        floats = [(a, b) for a, b in zip(ours, theirs) if a.is_floating_point()]
        torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1 - decay)

    @torch.inference_mode()
    def score(self, clips, members):
        """The mean probabilities of each clip's windows, from the members' mean logits."""
        hop = max(1, round(self.n_scored * (1 - self.settings["clip.overlap"])))
        windows, owners = [], []
        for owner, index in enumerate(clips):
            features = self.features[index]
            last = features.shape[1] - self.n_scored
            firsts = sorted({*range(0, last + 1, hop), last})
            windows += [features[:, first : first + self.n_scored] for first in firsts]
            owners += [owner] * len(firsts)
        scores = []
        for start in range(0, len(windows), 64):
            inputs = (torch.stack(windows[start : start + 64]) - self.mean) * self.scale
            inputs = inputs[:, None].contiguous(memory_format=torch.channels_last)
            logits = torch.stack([member(inputs) for member in members]).mean(0)
            scores.append(logits.softmax(1))
        owners = torch.tensor(owners)
        sums = torch.zeros(len(clips), self.n_classes).index_add_(0, owners, torch.cat(scores))
        return sums / owners.bincount(minlength=len(clips))[:, None]


def between(values, axis, places, inside):
    """Values along an axis at fractional places, interpolated between neighbours."""
    low = places.floor()
    neighbours = [values.index_select(axis, inside(low.long() + step)) for step in (0, 1)]
    share = (places - low).float()
    return torch.lerp(*neighbours, share if axis == 1 else share[:, None])


def happens(probability, n):
    return torch.rand(n) < probability


def stretches(windows, axis, share, wanted):
    """A random stretch of each window along one axis, as a mask that broadcasts."""
    n, extent = len(windows), windows.shape[axis]
    length = (torch.rand(n) * (int(extent * share) + 1)).floor() * wanted
    first = (torch.rand(n) * (extent - length + 1)).floor()
    place = torch.arange(extent)[None]
    inside = (place >= first[:, None]) & (place < (first + length)[:, None])
    return inside[:, None, :] if axis == 2 else inside[:, :, None]


def mixup(windows, targets, augment):
    n, alpha = len(windows), augment["mixup_alpha"]
    share = torch.distributions.Beta(alpha, alpha).sample((n,))
    share = torch.where(happens(augment["mixup_probability"], n), torch.maximum(share, 1 - share), 1)
    partners = torch.randperm(n)
    windows = torch.lerp(windows[partners], windows, share[:, None, None])
    targets = torch.lerp(targets[partners], targets, share[:, None])
    return windows, targets


if __name__ == "__main__":
    main()
