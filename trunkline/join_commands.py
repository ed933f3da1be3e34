"""The commands with which the owner of a machine makes it a node."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline.text import visible

#: The URL at which nodes join: https://HOST[:PORT].
TUNNEL_URL = re.compile(r"https://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?")
#: The image of deploy/node, unless it is in another registry.
IMAGE = "trunkline-node"
#: The volume with the identity.
IMAGE_STATE = "/var/lib/trunkline-node"

#: The wheel, copied to the folder in which a command runs. No package registry has it.
_WHEEL = '"$(ls ./trunkline-*.whl)[node]"'
_WINDOWS_WHEEL = '"$((Get-Item ./trunkline-*.whl).FullName)[node]"'
_BEFORE = (
    "First copy the gateway's wheel into the folder in which you run the command: `make wheel` in the gateway's "
    "source folder makes dist/trunkline-*.whl. Docker needs an image instead, built there by "
    "`docker build -f deploy/node/Dockerfile -t trunkline-node .`"
)
_TITLES = {
    "linux_macos": "Linux, macOS",
    "installer": "Linux, macOS, as a service that starts with the machine (deploy/node/install.sh)",
    "windows": "Windows (PowerShell)",
    "docker": "Docker",
}


@dataclass(frozen=True, slots=True)
class JoinCommands:
    """`url` is `https://host:port`; `expires` is ISO 8601."""

    token: str = field(repr=False)
    url: str
    expires: str
    image: str = IMAGE

    def commands(self) -> Mapping[str, str]:
        """Formats each command with its platform."""
        join = f"join {shlex.quote(self.url)} --token {self.token}"
        return {
            "linux_macos": f"pip install {_WHEEL} && trunkline-node {join}",
            "installer": f"sh install.sh --package {_WHEEL} --url {shlex.quote(self.url)} --token {self.token}",
            "windows": f"py -m pip install {_WINDOWS_WHEEL}; if ($?) {{ trunkline-node {join} }}",
            # The identity is in the volume: a restarted container finds it and only serves.
            "docker": (
                "docker run -d --name trunkline-node --restart unless-stopped --network host "
                f"-v trunkline-node:{IMAGE_STATE} {shlex.quote(self.image)} {join} --if-needed"
            ),
        }

    def text(self) -> str:
        """Returns what comes first, then all commands, each under its title."""
        each = (f"{_TITLES[name]}:\n  {visible(command)}" for name, command in self.commands().items())
        return "\n".join((_BEFORE, *each))
