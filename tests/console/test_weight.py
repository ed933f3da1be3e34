"""The size of a first visit."""

from __future__ import annotations

from tests.console.conftest import Window

#: Bytes on the wire, without headers.
MOST_BYTES = 150 * 1024
_LOADED = """performance.getEntries()
    .filter(each => ["navigation", "resource"].includes(each.entryType))
    .map(each => [each.name, each.encodedBodySize, each.transferSize])"""


def test_a_first_visit_is_light_and_a_second_one_lighter(admin: Window) -> None:
    first: list[tuple[str, int, int]] = admin.page.evaluate(_LOADED)
    assert 20 * 1024 < sum(size for _, size, _ in first) < MOST_BYTES, first
    admin.page.reload()
    admin.page.get_by_role("heading", name="Start", level=1).wait_for()
    admin.settled()
    second: list[tuple[str, int, int]] = admin.page.evaluate(_LOADED)
    assert [name for name, _, sent in second if sent and "/console/" in name and "/admin/" not in name] == []
