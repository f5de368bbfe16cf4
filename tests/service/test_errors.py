import re
from pathlib import Path

from service import errors

DOCS = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


def test_documented_table_is_the_exception_tree() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    documented = {code: int(status) for code, status, when in rows if when.strip()}
    assert documented == {error.code: error.status for error in errors.all_errors()}
    assert len(rows) == len(documented)


def test_tree_drawn_at_the_top_is_complete() -> None:
    drawn = errors.__doc__ or ""
    for error in errors.all_errors():
        assert re.search(rf"\b{error.__name__}\b.*\b{error.code}\b", drawn), error.__name__


def test_every_status_of_the_contract_has_an_error() -> None:
    statuses = {error.status for error in errors.all_errors()}
    assert {400, 401, 404, 405, 409, 413, 415, 422, 429, 503, 504} <= statuses


def test_body_is_the_one_shape() -> None:
    body = errors.TooSmall("found this", "do that").body()
    assert body == {"error": {"code": "too_small", "message": "found this", "hint": "do that"}}
