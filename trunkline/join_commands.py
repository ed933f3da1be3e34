"""What the owner of a machine types to make it a node."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

#: The image of deploy/node, unless another registry has it.
IMAGE = "trunkline-node"

_TITLES = {
    "linux_macos": "Linux, macOS",
    "installer": "Linux, macOS, as a service that starts with the machine (deploy/node/install.sh)",
    "windows": "Windows (PowerShell)",
    "docker": "Docker",
}


@dataclass(frozen=True, slots=True)
class Invitation:
    """`url` is `https://host:port`; `expires` is ISO 8601."""

    token: str = field(repr=False)
    url: str
    expires: str
    image: str = IMAGE

    def commands(self) -> Mapping[str, str]:
        """One line each, for whom it is for."""
        join = f"join {shlex.quote(self.url)} --token {self.token}"
        # The identity is in the volume: the container joins once, and what serves may be restarted for ever.
        docker = f"-v trunkline-node:/state -e TRUNKLINE_NODE_STATE_DIR=/state --network host {self._image()}"
        return {
            "linux_macos": f"pip install 'trunkline[node]' && trunkline-node {join}",
            "installer": f"sh install.sh {shlex.quote(self.url)} --token {self.token}",
            "windows": f"py -m pip install 'trunkline[node]'; if ($?) {{ trunkline-node {join} }}",
            "docker": (
                f"docker run --rm {docker} {join} --no-run && "
                f"docker run -d --name trunkline-node --restart unless-stopped {docker} run"
            ),
        }

    def text(self) -> str:
        """All of them, each under its title."""
        return "\n".join(f"{_TITLES[name]}:\n  {command}" for name, command in self.commands().items())

    def _image(self) -> str:
        return f"--entrypoint trunkline-node {shlex.quote(self.image)}"
