"""Generates the modules of `proto/trunkline_proto`.

The generator is pinned in proto/generator.lock and runs in its own environment. It generates code for the oldest
protobuf and grpcio that pyproject.toml allows, and needs an old protobuf itself (docs/dependencies.md).

With `--check` it generates into a temporary directory, and fails if a committed file differs.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.locked_environment import ROOT, python_of

PROTO = ROOT / "proto"
GENERATOR = PROTO / "generator.lock"


def generate(out: Path) -> list[Path]:
    """Writes every generated file below `out`. Returns their paths relative to it."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    google_api = next(path for path in map(Path, sys.path) if (path / "google/api/annotations.proto").is_file())
    plugins = Path(sys.executable).parent
    done = subprocess.run(
        [
            *(python_of(GENERATOR), "-m", "grpc_tools.protoc"),
            f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
            f"--proto_path={PROTO}",
            f"--proto_path={google_api}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out={out}",
            f"--mypy_grpc_out={out}",
            *sources,
        ],
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"protoc failed with status {done.returncode}")
    for stub in out.rglob("*_pb2_grpc.py*"):
        if "Stub" not in stub.read_text():  # a file without a service
            stub.unlink()
    return sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file())


def main() -> None:
    """Writes the generated files, or exits with a message if some are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        generated = generate(out)
        if check:
            stale = [p for p in generated if not _same(out / p, PROTO / p)]
            if stale:
                sys.exit(f"generated code is stale, run `make proto`: {', '.join(map(str, stale))}")
            return
        for path in generated:
            shutil.copyfile(out / path, PROTO / path)


def _same(a: Path, b: Path) -> bool:
    return b.is_file() and filecmp.cmp(a, b, shallow=False)


if __name__ == "__main__":
    main()
