"""Keys: what is stored, what is accepted, and what the command and the start say."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from service import __main__ as command
from service.access import hash_key, identify, new_key, read_keys
from service.errors import Unauthorized
from tests.helpers.servers import ROOT

SECRET = "a-secret-of-some-length"


def hash_key_command(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", "hash-key", *arguments]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)


def test_only_a_salted_hash_is_stored() -> None:
    first, second = hash_key("lab", SECRET), hash_key("lab", SECRET)
    assert first != second
    assert SECRET not in first
    for entry in (first, second):
        (key,) = read_keys([entry], None)
        assert SECRET not in repr(key)
        assert identify((key,), f"Bearer {SECRET}") is key


def test_the_right_one_of_several_keys_is_found(tmp_path: Path) -> None:
    secrets = {name: new_key() for name in ("a", "b", "c")}
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{hash_key('b', secrets['b'], 30)}  # the lab\n\n{hash_key('c', secrets['c'])}\n")
    keys = read_keys([hash_key("a", secrets["a"])], file)
    for name, secret in secrets.items():
        assert identify(keys, f"Bearer {secret}").name == name
    assert [key.per_minute for key in keys] == [None, 30, None]
    for header in ("", "Bearer", "Bearer ", f"Bearer {secrets['a'][:-1]}", f"Basic {secrets['a']}", secrets["a"]):
        with pytest.raises(Unauthorized):
            identify(keys, header)


def header(key: bytes) -> str:
    """The header as the server decodes it."""
    return (b"Bearer " + key).decode("latin-1")


@pytest.mark.parametrize("secret", ["schlüssel-für-das-prüflabor", "une-clé-de-l'école-là-à"])
def test_a_key_is_the_bytes_that_the_client_sends(secret: str) -> None:
    (key,) = keys = read_keys([hash_key("lab", secret)], None)
    assert identify(keys, header(secret.encode())) is key
    assert identify(keys, header(b" \t" + secret.encode() + b"\t ")) is key
    with pytest.raises(Unauthorized):
        identify(keys, header(secret.encode("latin-1")))


@pytest.mark.parametrize("secret", [f" {SECRET}", f"{SECRET} ", f"{SECRET}\t", f"{SECRET}\r"])
def test_white_space_around_a_key_would_not_arrive(secret: str) -> None:
    with pytest.raises(ValueError, match="key: expected no white space"):
        hash_key("lab", secret)


def test_the_stored_hash_is_no_key() -> None:
    entry = hash_key("lab", SECRET)
    keys = read_keys([entry], None)
    for guess in (entry, entry.partition(":")[2], entry.rpartition(".")[2]):
        with pytest.raises(Unauthorized):
            identify(keys, f"Bearer {guess}")


@pytest.mark.parametrize("entry", ["plain-key-that-nobody-hashed", "lab:sha256.00.11", "lab", "a b:sha256.x.y", ":"])
def test_a_plain_key_is_refused_and_not_repeated(entry: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="POLYVIEW_KEYS: entry 1") as refused:
        read_keys([entry], None)
    assert len(entry) < 5 or entry not in str(refused.value)
    file = tmp_path / "keys"
    file.write_text(f"\n{entry}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_keys([], file)


def test_names_are_unique_and_the_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lab stands twice"):
        read_keys([hash_key("lab", SECRET), hash_key("lab", new_key())], None)
    with pytest.raises(ValueError, match=r"POLYVIEW_KEYS_FILE.*nowhere"):
        read_keys([], tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "key", "rate"), [("lab", "short", None), ("", SECRET, None), ("a b", SECRET, None), ("lab", SECRET, 0)]
)
def test_what_cannot_be_hashed(name: str, key: str, rate: int | None) -> None:
    with pytest.raises(ValueError, match="rate" if rate == 0 else r"key|name"):
        hash_key(name, key, rate)


def test_the_command_prints_what_the_setting_takes() -> None:
    done = hash_key_command("lab", "--rate", "60")
    assert done.returncode == 0, done.stderr
    secret = done.stderr.split()[-1]
    assert secret not in done.stdout
    (key,) = read_keys([done.stdout.strip()], None)
    assert (key.name, key.per_minute) == ("lab", 60)
    assert identify((key,), f"Bearer {secret}") is key
    for ending in ("", "\n", "\r\n"):
        done = hash_key_command("lab", "--stdin", text=f"{SECRET}{ending}")
        assert identify(read_keys([done.stdout.strip()], None), f"Bearer {SECRET}").name == "lab"
    for text, says in (("short\n", "at least 20"), (f"{SECRET} \n", "no white space")):
        refused = hash_key_command("lab", "--stdin", text=text)
        assert refused.returncode == 1
        assert says in refused.stderr


def test_standard_input_that_is_not_utf8_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"schl\xfcssel-" * 3), "utf-8"))
    assert command.main(["hash-key", "lab", "--stdin"]) == 1
    assert "codec can't decode" in capsys.readouterr().err


def test_a_service_that_others_can_reach_without_keys_says_so(
    perceive_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POLYVIEW_BUNDLES", str(perceive_bundle))
    monkeypatch.setenv("POLYVIEW_JOBS", str(tmp_path))
    served: list[str] = []
    monkeypatch.setattr(command, "_become_bentoml", lambda host, port: served.append(host))
    monkeypatch.setattr(command, "_check_address", lambda host, port: None)  # any machine may run this
    for host in ("127.0.0.1", "::1", "localhost"):
        assert command.main(["serve", "--host", host]) == 0
        assert "WARNING" not in capsys.readouterr().err
    for host in ("0.0.0.0", "::", "example.org"):
        assert command.main(["serve", "--host", host]) == 0
        assert f"WARNING: {host} can be reached from other machines" in capsys.readouterr().err
    monkeypatch.setenv("POLYVIEW_KEYS", hash_key("lab", SECRET))
    assert command.main(["serve", "--host", "0.0.0.0"]) == 0
    assert "WARNING" not in capsys.readouterr().err
    assert len(served) == 7
