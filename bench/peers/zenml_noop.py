"""Five steps that do nothing, as a ZenML pipeline.

usage: zenml_noop.py first|cached|loop

Runs once, or, as `loop`, once for each line of its input, which says `first` or
`cached`; the answers are ZenML's version and then milliseconds. It fails unless
all five steps ended as they were meant to.
"""

import sys
import time

import zenml
from zenml import pipeline, step


@step
def one() -> int:
    return 0


@step
def more(n: int) -> int:
    return n + 1


@pipeline
def noop():
    n = one()
    for number in range(2, 6):
        n = more(n, id=f"step-{number}")


def run(mode):
    done = noop.with_options(enable_cache=mode == "cached")()
    statuses = [step.status.value for step in done.steps.values()]
    expected = "cached" if mode == "cached" else "completed"
    assert statuses == [expected] * 5, statuses


if __name__ == "__main__":
    if sys.argv[1] != "loop":
        sys.exit(run(sys.argv[1]))
    print("answer", zenml.__version__, flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        run(line.strip())
        print("answer", (time.perf_counter() - begun) * 1e3, flush=True)
