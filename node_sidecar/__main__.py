"""`trunkline-node`, or `python -m node_sidecar`."""

from __future__ import annotations

from node_sidecar.cli import main

if __name__ == "__main__":
    main()
