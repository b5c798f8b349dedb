"""Writes torch.json: what PyTorch computes for the networks in ../golden.rs.

    python make.py > torch.json

Inputs, weights and targets come from a hash of their index, which the test
repeats, so that the file holds results only: whole outputs, and of each gradient
its norm, its largest magnitude and a few values.
"""

import json
import platform

import numpy as np
import torch
from torch import nn

SAMPLES = 8


def noise(n, seed):
    """Values in [-1, 1) from a hash of index and seed."""
    x = (np.arange(n, dtype=np.uint64) + np.uint64(seed * 7919)) * np.uint64(2654435761)
    x &= np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    x = (x * np.uint64(0x45D9F3B)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return ((x >> np.uint64(8)).astype(np.float64) / 2**23 - 1).astype(np.float32)


class GlobalPool(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        mean, largest = x.mean((2, 3)), x.amax((2, 3))
        # amax spreads the gradient over equal values; max gives it to the first, as we do.
        largest = x.flatten(2).max(2).values
        kinds = {"average": mean, "max": largest, "average_plus_max": mean + largest}
        return kinds[self.kind]


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = nn.ModuleList(body), nn.ModuleList(shortcut)

    def forward(self, x):
        long, short = x, x
        for layer in self.body:
            long = layer(long)
        for layer in self.shortcut:
            short = layer(short)
        return long + short


class Network(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x.flatten(1)


def build(layers, channels):
    """PyTorch modules for the layers of a specification, and the channels they end in."""
    modules = []
    for layer in layers:
        kind = layer["layer"]
        if kind == "conv2d":
            kernel = layer["kernel"]
            same = layer["padding"] == "same"
            padding = [(k - 1) // 2 if same else 0 for k in kernel]
            modules.append(
                nn.Conv2d(
                    channels, layer["outputs"], kernel, layer["stride"], padding,
                    groups=layer["groups"], bias=layer["bias"],
                )
            )
            channels = layer["outputs"]
        elif kind == "batch_norm":
            modules.append(nn.BatchNorm2d(channels, layer["epsilon"], layer["momentum"]))
        elif kind == "relu":
            modules.append(nn.ReLU())
        elif kind == "max_pool":
            modules.append(nn.MaxPool2d(layer["kernel"], layer["stride"]))
        elif kind == "average_pool":
            modules.append(nn.AvgPool2d(layer["kernel"], layer["stride"]))
        elif kind == "global_pool":
            modules.append(GlobalPool(layer["kind"]))
        elif kind == "flatten":
            modules.append(nn.Flatten())
            channels = layer["flat"]
        elif kind == "dense":
            modules.append(nn.Linear(channels, layer["outputs"]))
            channels = layer["outputs"]
        elif kind == "residual":
            body, after = build(layer["body"], channels)
            shortcut, _ = build(layer["shortcut"], channels)
            modules.append(Residual(body, shortcut))
            channels = after
    return modules, channels


def conv(outputs, kernel=3, stride=1, groups=1, bias=False, padding="same"):
    return {
        "layer": "conv2d", "outputs": outputs, "kernel": [kernel] * 2, "stride": [stride] * 2,
        "padding": padding, "groups": groups, "bias": bias,
    }


def pool(kind, kernel, stride):
    return {"layer": kind, "kernel": [kernel] * 2, "stride": [stride] * 2}


def residual(body, shortcut):
    return {"layer": "residual", "body": body, "shortcut": shortcut}


def global_pool(kind):
    return {"layer": "global_pool", "kind": kind}


def dense(outputs):
    return {"layer": "dense", "outputs": outputs}


NORM = {"layer": "batch_norm", "epsilon": 1e-5, "momentum": 0.1}
RELU = {"layer": "relu"}
POOL = pool("max_pool", 2, 2)


def reference_net():
    layers = []
    for outputs in [32, 64, 128]:
        layers += [conv(outputs), NORM, RELU, POOL]
    return layers + [conv(128), NORM, RELU, global_pool("average"), dense(10)]


def mobile_net():
    layers, inputs = [conv(16, stride=2), NORM, RELU], 16
    for outputs, stride in [(24, 2), (40, 2), (80, 2), (112, 1)]:
        inner = 4 * inputs
        layers += [conv(inner, 1), NORM, RELU]
        layers += [conv(inner, 3, stride, inner), NORM, RELU]
        layers += [conv(outputs, 1), NORM]
        inputs = outputs
    return layers + [global_pool("average"), dense(10)]


def residual_net():
    body = [conv(12, stride=2), NORM, RELU, conv(12), NORM]
    first = residual(body, [conv(12, 1, 2), NORM])
    second = residual([NORM, RELU, conv(12, groups=4, bias=True)], [])
    head = [global_pool("average_plus_max"), dense(10)]
    return [conv(8, 5, 2), NORM, RELU, first, RELU, second, pool("average_pool", 2, 1)] + head


def classic_net():
    layers = [conv(8, bias=True), RELU, POOL, conv(20, bias=True, padding="valid"), RELU]
    layers += [pool("max_pool", 3, 2), {"layer": "flatten", "flat": 20 * 2 * 4}]
    return layers + [dense(30), RELU, dense(10)]


ADAM = {"optimizer": "adam", "betas": [0.9, 0.999], "epsilon": 1e-8, "weight_decay": 0.0}
CASES = [
    ("reference", reference_net(), [32, 54], {}, ADAM, 1e-3, None),
    # In this network batch-norm follows batch-norm without ReLU between, so that some
    # gradients are zero but for rounding, which Adam would blow up to whole steps.
    ("mobile", mobile_net(), [32, 54], {"weights": True},
     {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, 0.05, 0.5),
    ("residual", residual_net(), [21, 24], {"label_smoothing": 0.1},
     {"optimizer": "adam_w", "betas": [0.9, 0.99], "epsilon": 1e-7, "weight_decay": 0.05}, 1e-2, None),
    ("classic", classic_net(), [14, 23], {"soft": True, "weights": True, "label_smoothing": 0.2},
     {"optimizer": "sgd", "momentum": 0.8, "nesterov": False, "weight_decay": 0.0}, 0.05, 1e3),
]


def optimizer_for(config, parameters, rate):
    if config["optimizer"] == "sgd":
        keys = ["momentum", "nesterov", "weight_decay"]
        return torch.optim.SGD(parameters, rate, **{key: config[key] for key in keys})
    kind = {"adam": torch.optim.Adam, "adam_w": torch.optim.AdamW}[config["optimizer"]]
    return kind(parameters, rate, config["betas"], config["epsilon"], config["weight_decay"])


def digest(tensor):
    values = tensor.detach().numpy().ravel().astype(np.float64)
    places = np.linspace(0, len(values) - 1, SAMPLES).astype(int)
    return {
        "norm": float(np.sqrt((values**2).sum())),
        "largest": float(np.abs(values).max()),
        "samples": [float(np.float32(v)) for v in values[places]],
    }


def run(name, layers, extent, loss_options, optimizer_config, rate, max_norm):
    n, classes, steps = 4, 10, 3
    network = Network(build(layers, 1)[0])
    state = [(k, t) for k, t in network.state_dict().items() if t.is_floating_point()]
    for index, (key, tensor) in enumerate(state):
        values = torch.from_numpy(noise(tensor.numel(), index)).reshape(tensor.shape)
        if key.endswith("running_var"):
            values = 1 + 0.5 * values
        elif tensor.dim() == 1 and key.endswith("weight"):
            values = 1 + 0.3 * values
        elif tensor.dim() == 1:
            values = 0.2 * values
        else:
            values = values * np.float32((6 / tensor[0].numel()) ** 0.5)
        tensor.copy_(values)
    batch = torch.from_numpy(noise(n * extent[0] * extent[1], 1000)).reshape(n, 1, *extent)
    targets = torch.eye(classes)[[i * 3 % classes for i in range(n)]]
    if loss_options.get("soft"):
        mixed = torch.eye(classes)[[i * 7 % classes for i in range(n)]]
        targets = 0.75 * targets + 0.25 * mixed
    weights = None
    if loss_options.get("weights"):
        weights = 1 + 0.5 * torch.from_numpy(noise(classes, 2000))
    smoothing = loss_options.get("label_smoothing", 0.0)

    network.eval()
    with torch.no_grad():
        inference = network(batch)
    network.train()
    optimizer = optimizer_for(optimizer_config, network.parameters(), rate)
    result = {
        "name": name,
        "spec": {"input": {"height": extent[0], "width": extent[1], "channels": 1},
                 "layers": strip(layers)},
        "n": n, "label_smoothing": smoothing,
        "weights": loss_options.get("weights", False), "soft": loss_options.get("soft", False),
        "optimizer": optimizer_config, "learning_rate": rate, "max_norm": max_norm,
        "inference": inference.ravel().tolist(),
        "losses": [], "gradient_norms": [],
    }
    for step in range(steps):
        optimizer.zero_grad()
        logits = network(batch)
        loss = nn.functional.cross_entropy(
            logits, targets, weight=weights, label_smoothing=smoothing
        )
        loss.backward()
        if step == 0:
            result["logits"] = logits.ravel().tolist()
            result["gradients"] = {k: digest(p.grad) for k, p in network.named_parameters()}
        result["losses"].append(loss.item())
        bound = max_norm if max_norm is not None else float("inf")
        norm = nn.utils.clip_grad_norm_(network.parameters(), bound)
        result["gradient_norms"].append(float(norm))
        optimizer.step()
    result["after"] = {key: digest(tensor) for key, tensor in state}
    return result


def strip(layers):
    """Leaves out what only this script needs."""
    return [{k: v for k, v in layer.items() if k != "flat"} for layer in layers]


def schedules():
    """Learning rates of 20 steps with a base rate of 0.1."""
    total, rates = 20, {}
    parameter = nn.Parameter(torch.zeros(1))

    def follow(make):
        optimizer = torch.optim.SGD([parameter], 0.1)
        schedule = make(optimizer)
        found = []
        for _ in range(total):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    lr = torch.optim.lr_scheduler
    rates["one_cycle"] = follow(lambda o: lr.OneCycleLR(o, 0.1, total))
    rates["cosine"] = follow(lambda o: lr.CosineAnnealingLR(o, total))
    rates["step"] = follow(lambda o: lr.StepLR(o, 5, 0.3))
    return rates


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    versions = {"torch": torch.__version__, "numpy": np.__version__,
                "python": platform.python_version()}
    cases = ",\n".join(json.dumps(run(*case)) for case in CASES)
    print(f'{{"versions": {json.dumps(versions)},\n"schedules": {json.dumps(schedules())},')
    print(f'"cases": [\n{cases}\n]}}')
