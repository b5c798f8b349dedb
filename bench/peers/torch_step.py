"""One training step in PyTorch: torch_step.py reference|mobile BATCH channels-last|as-installed"""

import sys

import torch
from torch import nn

from serve import serve


def conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def block(inputs, outputs, kernel, stride=1, groups=1):
    return [
        conv(inputs, outputs, kernel, stride, groups),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def reference():
    layers, inputs = [], 1
    for index, outputs in enumerate([32, 64, 128, 128]):
        layers += block(inputs, outputs, 3)
        if index < 3:
            layers.append(nn.MaxPool2d(2))
        inputs = outputs
    return with_head(layers, inputs)


def mobile():
    layers, inputs = block(1, 16, 3, 2), 16
    for outputs, stride in [(24, 2), (40, 2), (80, 2), (112, 1)]:
        inner = 4 * inputs
        layers += block(inputs, inner, 1)
        layers += block(inner, inner, 3, stride, inner)
        layers += [conv(inner, outputs, 1), nn.BatchNorm2d(outputs)]
        inputs = outputs
    return with_head(layers, inputs)


def with_head(layers, channels):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def main():
    network, batch, layout = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    torch.manual_seed(1)
    model = {"reference": reference, "mobile": mobile}[network]().train()
    inputs = torch.randn(batch, 1, 128, 216)
    targets = torch.arange(batch) % 10
    if layout == "channels-last":
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
        # Fused Adam is quicker than the default; "as installed" keeps the default.
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(inputs), targets).backward()
        optimizer.step()

    serve(step, {"torch": torch.__version__, "threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
