"""Measures retrieval on the labelled set, on a Postgres of its own. python -m evals.retrieval [--weights FOLDER]"""

import argparse
import asyncio
import os
import sys
from pathlib import Path


def main() -> int:
    """Prints the figures as Markdown, and writes them question by question as JSON."""
    parser = argparse.ArgumentParser(prog="python -m evals.retrieval", description=__doc__)
    parser.add_argument("--weights", type=Path, help="folder with MiniLM's model.safetensors and vocab.txt")
    parser.add_argument("--json", type=Path, default=Path(".dormouse/retrieval-eval.json"), help="where to write JSON")
    options = parser.parse_args()
    if options.weights is not None and not (options.weights / "model.safetensors").is_file():
        parser.error(f"--weights: there is no model.safetensors in {options.weights}; `make retrieval-eval` loads it")
    # Read when numpy is loaded. Several threads that wait for each other by spinning are slower on few cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from evals.retrieval.run import run

    return asyncio.run(run(options.weights, options.json))


if __name__ == "__main__":
    sys.exit(main())
