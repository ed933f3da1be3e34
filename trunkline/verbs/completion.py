"""`trunkline completion`."""

from __future__ import annotations

import click

from trunkline.completion import script
from trunkline.text import say


@click.command(
    epilog="""\b
Examples:
  source <(trunkline completion bash)     # in ~/.bashrc
  source <(trunkline completion zsh)      # in ~/.zshrc
  trunkline completion fish > ~/.config/fish/completions/trunkline.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print the script that makes SHELL complete commands, flags, and names of objects.

    Names come from the control plane if it answers within a second.
    """
    say(script(shell), lines=True)
