"""`make fuzz`: runs every target for a while, and reports failures.

python -m fuzz [TARGET…] [--seconds 60] [--list] [--input FILE]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from fuzz import corpus, engine, native, targets

#: Extra seconds that a target may take to start and to end.
_GRACE = 60
_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
_RUNS = re.compile(r"(\d+) runs")
#: The number of lines of a failing target's output to show.
_SHOWN = 40


def main() -> None:
    """Runs the command; exits with 1 if a target failed or could not run."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "60")), help="each")
    parser.add_argument("--list", action="store_true", help="print the targets")
    parser.add_argument("--input", type=Path, help="run one target on this file alone")
    given = parser.parse_args()
    every = [*targets.names(), *(f"c/{name}" for name in native.targets())]
    unknown = sorted(set(given.target) - set(every))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(every)}")
    if given.list:
        print(*every, sep="\n")
        return
    chosen = given.target or every
    if given.input is not None:
        if len(chosen) != 1:
            parser.error("--input is for one target")
        sys.exit(_replay(chosen[0], given.input))
    print(f"{len(chosen)} targets, {given.seconds:g} s each. C: {native.libfuzzer() or 'without guidance'}; "
          f"Python: {'atheris' if engine.has_atheris() else 'guided by lines'}")  # fmt: skip
    broken = [target for target in chosen if not _run(target, given.seconds)]
    if broken:
        sys.exit(f"found something: {', '.join(broken)}; inputs are in {corpus.FINDINGS}")


def _run(target: str, seconds: float) -> bool:
    """Runs the targets. Returns whether all passed."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            _command(target, seconds),
            env=os.environ | _OPTIONS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + _GRACE,
            check=False,
        )
    except native.CompilerError as error:
        print(f"{target:12} not built\n{error}")
        return False
    except subprocess.TimeoutExpired as error:
        print(f"{target:12} did not end\n{_last_lines(error.stdout or b'')}")
        return False
    text = done.stdout.decode(errors="replace")
    runs = _RUNS.findall(text)
    print(f"{target:12} {'ok' if done.returncode == 0 else 'FOUND'}  {runs[-1] if runs else '?':>9} runs  "
          f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
    if done.returncode != 0:
        print(_last_lines(done.stdout))
    return done.returncode == 0


def _command(target: str, seconds: float) -> list[str]:
    kind, _, name = target.rpartition("/")
    if not kind:
        return [sys.executable, "-m", "fuzz.engine", target, str(seconds)]
    seeds, findings, found = corpus.SEEDS / target, corpus.FINDINGS / target, corpus.FOUND / target
    findings.mkdir(parents=True, exist_ok=True)
    if native.libfuzzer() is None:
        program = native.program(name, guided=False)
        return [str(program), f"-seconds={seconds:g}", f"-last={findings}/last", str(seeds)]
    found.mkdir(parents=True, exist_ok=True)
    dictionary = corpus.dictionary(target)
    flags = [f"-dict={dictionary}"] if dictionary else []
    flags += [f"-max_total_time={round(seconds)}", f"-artifact_prefix={findings}/", "-max_len=4096"]
    return [str(native.program(name, guided=True)), *flags, str(found), str(seeds)]


def _replay(target: str, path: Path) -> int:
    kind, _, name = target.rpartition("/")
    if not kind:
        targets.load(target).check(path.read_bytes())
        return 0
    command = [native.program(name, guided=False), path]
    return subprocess.run(command, env=os.environ | _OPTIONS, check=False).returncode


def _last_lines(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-_SHOWN:])


if __name__ == "__main__":
    main()
