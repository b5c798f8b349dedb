#!/usr/bin/env python3
"""Writes metrics.json: evaluation figures as scikit-learn computes them.

Run it in an environment with numpy, scipy and scikit-learn:

    python crates/model/tests/golden/make_metrics.py

Each case holds truth, scores and the expected figures. Figures that are not
defined (scikit-learn warns and returns 0 or nan) are written as null, because
that is what the program does. `tests/metrics_golden.rs` reads the file.
"""

import json
import platform
import sys
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

N_BINS = 15


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def random_case(seed, n, k, skill, classes=None, decimals=None):
    """Scores that lean towards the truth by `skill`; rounding makes ties."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.arange(k) if classes is None else np.asarray(classes), size=n)
    logits = rng.normal(size=(n, k)) + skill * np.eye(k)[truth]
    scores = softmax(logits).astype(np.float32)
    if decimals is not None:
        scores = scores.round(decimals)
    return truth, scores


def cases():
    yield "ten classes, fair skill", *random_case(1, 400, 10, 2.0)
    yield "two classes", *random_case(2, 101, 2, 1.0)
    yield "no skill", *random_case(3, 150, 5, 0.0)
    yield "ties from rounding to one decimal", *random_case(4, 200, 4, 1.5, decimals=1)
    yield "two classes absent from the truth", *random_case(5, 120, 6, 1.5, classes=[0, 2, 3, 5])
    # With great skill no clip is taken for the absent class either.
    yield "a class absent from truth and predictions", *random_case(6, 80, 4, 12.0, classes=[0, 1, 3])
    yield "one class only", *random_case(7, 30, 3, 1.0, classes=[1])
    yield "imbalanced", *random_case(8, 300, 3, 1.0, classes=[0] * 18 + [1] + [2])
    truth = np.arange(40) % 4
    yield "perfect", truth, np.eye(4, dtype=np.float32)[truth]
    yield "always wrong", truth, np.eye(4, dtype=np.float32)[(truth + 1) % 4]
    yield "constant", truth, np.full((40, 4), 0.25, dtype=np.float32)
    row = np.array([0.1, 0.2, 0.4, 0.3], dtype=np.float32)
    yield "always the same class", truth, np.tile(row, (40, 1))
    yield "a single clip", np.array([1]), np.array([[0.3, 0.6, 0.1]], dtype=np.float32)


def one_vs_rest(metric, truth, scores):
    """Per class, null where the class (or, for ROC, the rest) is absent."""
    values = []
    for c in range(scores.shape[1]):
        positive = truth == c
        absent = not positive.any() or (metric is roc_auc_score and positive.all())
        values.append(None if absent else float(metric(positive, scores[:, c].astype(np.float64))))
    return values


def mean_of_defined(values):
    defined = [v for v in values if v is not None]
    return float(np.mean(defined)) if defined else None


def top_k(truth, scores):
    """scikit-learn prefers the last of equal scores; the program, like argmax,
    the first. Reversing the classes turns the one into the other."""
    n_classes = scores.shape[1]
    out = []
    for k in range(1, n_classes):
        if n_classes == 2:  # takes the score of the positive class only
            value = accuracy_score(truth, scores.argmax(axis=1))
        else:
            value = top_k_accuracy_score(
                n_classes - 1 - truth, scores[:, ::-1], k=k, labels=np.arange(n_classes)
            )
        out.append({"k": k, "accuracy": float(value)})
    return out


def calibration_error(truth, scores):
    confidence = scores.max(axis=1).astype(np.float64)
    right = scores.argmax(axis=1) == truth
    accuracy, mean_confidence = calibration_curve(right, confidence, n_bins=N_BINS, pos_label=True)
    edges = np.linspace(0.0, 1.0, N_BINS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=N_BINS)
    share = counts[counts > 0] / len(truth)
    return {
        "expected_calibration_error": float((share * np.abs(accuracy - mean_confidence)).sum()),
        "bin_counts": counts.tolist(),
        "bin_accuracy": accuracy.tolist(),
        "bin_confidence": mean_confidence.tolist(),
    }


def temperature(truth, scores):
    """The temperature of least log loss between 0.05 and 20, and that loss;
    null where every clip is right or all scores of each clip are equal."""
    logs = np.log(np.maximum(scores.astype(np.float64), 1e-12))
    rows = np.arange(len(truth))
    if (scores[rows, truth] == scores.max(axis=1)).all() or np.ptp(scores, axis=1).max() == 0:
        return None

    def loss(log_t):
        scaled = logs / np.exp(log_t)
        return float((logsumexp(scaled, axis=1) - scaled[rows, truth]).mean())

    bounds = (np.log(0.05), np.log(20.0))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return {"temperature": float(np.exp(found.x)), "log_loss": float(found.fun)}


def averages(truth, predicted, average):
    p, r, f, _ = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
    return {f"{average}_precision": float(p), f"{average}_recall": float(r), f"{average}_f1": float(f)}


def expected(truth, scores):
    n_classes = scores.shape[1]
    labels = np.arange(n_classes)
    predicted = scores.argmax(axis=1)
    p, r, f, support = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    ap = one_vs_rest(average_precision_score, truth, scores)
    auc = one_vs_rest(roc_auc_score, truth, scores)
    # log_loss clips by the machine precision of the scores' type.
    eps = np.finfo(np.float32).eps
    chosen = scores[np.arange(len(truth)), truth].astype(np.float64)
    ours = float(-np.log(np.clip(chosen, eps, 1 - eps)).mean())
    if np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        theirs = log_loss(truth, scores, labels=labels)
        assert abs(ours - theirs) < 1e-5 * max(1.0, abs(theirs)), (ours, theirs)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, predicted)),
        **averages(truth, predicted, "macro"),
        **averages(truth, predicted, "weighted"),
        "log_loss": ours,
        "macro_average_precision": mean_of_defined(ap),
        "macro_roc_auc": mean_of_defined(auc),
        "precision": p.tolist(),
        "recall": r.tolist(),
        "f1": f.tolist(),
        "support": [int(n) for n in support],
        "average_precision": ap,
        "roc_auc": auc,
        "confusion_matrix": confusion_matrix(truth, predicted, labels=labels).tolist(),
        "top_k": top_k(truth, scores),
        "calibration": calibration_error(truth, scores),
        "temperature": temperature(truth, scores),
    }


def main():
    warnings.simplefilter("ignore")
    out = {
        "made_by": "crates/model/tests/golden/make_metrics.py",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit_learn": sklearn.__version__,
        "scipy": scipy.__version__,
        "n_bins": N_BINS,
        "cases": [
            {
                "name": name,
                "truth": truth.tolist(),
                # The shortest decimals that read back as the same floats.
                "scores": [[float(str(score)) for score in row] for row in scores],
                "expected": expected(truth, scores),
            }
            for name, truth, scores in cases()
        ],
    }
    path = Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps(out, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    print(f"{len(out['cases'])} cases written to {path.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
