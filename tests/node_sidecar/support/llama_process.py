"""llama.cpp's own HTTP server with a model, in its own process: `python llama_process.py MODEL SLEEP_SECONDS
[CONTEXT SLOTS]`, where all slots together have CONTEXT tokens.

Prints its address on one line, and ends with its standard input.
"""

from __future__ import annotations

import sys

import xllamacpp


def main(model: str, sleep_idle_seconds: int, context: int = 512, slots: int = 2) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {"tiny"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = context
    parameters.n_parallel = slots
    parameters.n_threads_http = 4
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    parameters.sampling.ignore_eos = True  # so that answers have as many tokens as a test asks for
    parameters.endpoint_slots = True
    parameters.endpoint_metrics = False
    parameters.sleep_idle_seconds = sleep_idle_seconds
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
