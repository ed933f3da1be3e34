"""Command groups that suggest the intended command."""

from __future__ import annotations

import difflib

import click

#: Names in other tools → names here; the first one that a group has is suggested.
_SYNONYMS = {
    "create": ("add", "invite", "set"),
    "add": ("create", "invite", "set"),
    "new": ("create", "add", "invite", "set"),
    "delete": ("remove", "revoke"),
    "del": ("remove", "revoke"),
    "rm": ("remove", "revoke"),
    "remove": ("revoke",),
    "revoke": ("remove",),
    "ls": ("list",),
    "get": ("show", "describe", "list"),
    "show": ("describe", "list"),
    "describe": ("show", "list"),
    "info": ("show", "describe", "status"),
    "edit": ("update", "set"),
    "update": ("set",),
    "set": ("update",),
    "organisations": ("orgs",),
    "organizations": ("orgs",),
    "models": ("routes",),
    "users": ("orgs", "keys"),
    "start": ("up",),
    "serve": ("up",),
    "logs": ("audit", "status"),
    "cost": ("usage",),
}


class SuggestingGroup(click.Group):
    """Suggests the probably intended command for an unknown one, including synonyms."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command '{word}'. {self._hint(ctx, word)}")
        return super().resolve_command(ctx, args)

    def _hint(self, ctx: click.Context, word: str) -> str:
        known = self.list_commands(ctx)
        synonym = next((each for each in _SYNONYMS.get(word.lower(), ()) if each in known), None)
        close = [synonym] if synonym else difflib.get_close_matches(word.lower(), known, n=1)
        if close:
            return f"Did you mean {close[0]!r}?"
        return f"There are: {', '.join(known)}."
