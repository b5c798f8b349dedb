"""Inference in onnxruntime: onnx_infer.py reference|mobile BATCH THREADS

The graph has batch-norms folded into convolutions, as every exporter would have
it, and a fixed batch, which is what onnxruntime optimizes best.
"""

import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from serve import serve


class Graph:
    def __init__(self):
        self.nodes, self.weights, self.last, self.random = [], [], "input", np.random.default_rng(1)

    def add(self, kind, *weights, **attributes):
        names = [f"w{len(self.weights) + index}" for index in range(len(weights))]
        tensors = [numpy_helper.from_array(w, name) for w, name in zip(weights, names)]
        self.weights += tensors
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.last, *names], [output], **attributes))
        self.last = output

    def conv(self, inputs, outputs, kernel, stride=1, groups=1, relu=True):
        shape = (outputs, inputs // groups, kernel, kernel)
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        weight = self.random.normal(0, deviation, shape).astype(np.float32)
        bias = self.random.normal(0, 0.1, outputs).astype(np.float32)
        self.add(
            "Conv",
            weight,
            bias,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=groups,
        )
        if relu:
            self.add("Relu")

    def head(self, channels):
        self.add("GlobalAveragePool")
        self.add("Flatten")
        weight = self.random.normal(0, 0.1, (10, channels)).astype(np.float32)
        self.add("Gemm", weight, np.zeros(10, np.float32), transB=1)

    def model(self, batch):
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 1, 128, 216])],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, [batch, 10])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def reference(graph):
    inputs = 1
    for index, outputs in enumerate([32, 64, 128, 128]):
        graph.conv(inputs, outputs, 3)
        if index < 3:
            graph.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        inputs = outputs
    graph.head(inputs)


def mobile(graph):
    graph.conv(1, 16, 3, 2)
    inputs = 16
    for outputs, stride in [(24, 2), (40, 2), (80, 2), (112, 1)]:
        inner = 4 * inputs
        graph.conv(inputs, inner, 1)
        graph.conv(inner, inner, 3, stride, inner)
        graph.conv(inner, outputs, 1, relu=False)
        inputs = outputs
    graph.head(inputs)


def main():
    network, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    graph = Graph()
    {"reference": reference, "mobile": mobile}[network](graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    model = graph.model(batch).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = graph.random.normal(0, 1, (batch, 1, 128, 216)).astype(np.float32)
    about = {"onnxruntime": onnxruntime.__version__, "threads": threads}
    serve(lambda: session.run(None, {"input": inputs}), about)


if __name__ == "__main__":
    main()
