"""The other half of the conversation that run.py leads: see src/main.rs."""

import json
import sys
import time


def serve(work, about):
    """Says what the peer is, then does the work as often as each line of input says."""
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            started = time.perf_counter()
            work()
            times.append((time.perf_counter() - started) * 1e3)
        print(json.dumps(times), flush=True)
