"""Shell completion of values that the control plane knows: the names of objects.

It answers within a second or not at all, and never with an error, because the user is typing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

_SECONDS = 1.0

#: Like click's own, but with words as they appear on the line: bash splits words at colons, which names of models
#: and holders of limits contain.
BASH = """\
_trunkline_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" cur index prefix="" kind value
    local -a words
    read -ra words <<< "$line"
    cur="${line##*[[:space:]]}"
    index=$(( ${#words[@]} - 1 ))
    [[ -z "$cur" ]] && index=${#words[@]}
    [[ "$cur" == *:* && "$COMP_WORDBREAKS" == *:* ]] && prefix="${cur%"${cur##*:}"}"
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case "$kind" in
            plain) COMPREPLY+=("${value#"$prefix"}") ;;
            file | dir) compopt -o default 2> /dev/null ;;
        esac
    done <<< "$(COMP_WORDS="$line" COMP_CWORD="$index" _TRUNKLINE_COMPLETE=bash_complete "$1" 2> /dev/null)"
}
complete -F _trunkline_completion trunkline
"""

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def of(kind: str) -> Complete:
    """Completes the names of the objects of one kind of `names.KINDS`."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return matching(known(ctx, kind), incomplete)

    return complete


PROVIDERS, ROUTES, ORGS, KEYS, NODES, USERS = map(of, ("provider", "route", "organisation", "key", "node", "user"))


def known(ctx: click.Context, kind: str) -> list[str]:
    """Returns the names that the control plane knows; no names if it cannot be reached."""
    # Imported here because it would delay every other completion.
    from trunkline import names  # noqa: PLC0415
    from trunkline.client import Control  # noqa: PLC0415

    try:
        control = Control.find(Path(ctx.params.get("data_dir") or "data"), limit=_SECONDS)
        with control.connect() as api:
            return names.KINDS[kind](api)
    except Exception:  # noqa: BLE001 - a shell that completes has no place for errors
        return []


def matching(values: list[str], incomplete: str) -> list[CompletionItem]:
    """Returns the names that begin with `incomplete`, or whose part within an organisation does."""
    return [
        CompletionItem(each)
        for each in sorted(values)
        if each.startswith(incomplete)
        or ("/" not in incomplete and each.rpartition("/")[2].startswith(incomplete))
    ]


def script(shell: str) -> str:
    """Returns the script for the shell. Raises KeyError for an unknown shell."""
    from click.shell_completion import FishComplete, ZshComplete  # noqa: PLC0415

    if shell == "bash":
        return BASH
    shells: dict[str, Any] = {"zsh": ZshComplete, "fish": FishComplete}
    source: str = shells[shell](None, {}, "trunkline", "_TRUNKLINE_COMPLETE").source()
    return source
