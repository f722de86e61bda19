"""Settings: every mistake is named, all at once, and nothing is guessed."""

import re
import tomllib

import pytest

from bot.config import Config, load_config
from bot.errors import ConfigError
from tests.house import HERE


def test_the_shipped_file_shows_every_default():
    """What stands in config.toml is what holds without it, and nothing is missing from it."""
    shipped = tomllib.loads((HERE / "config.toml").read_text(encoding="utf-8"))

    assert Config.model_validate(shipped) == Config()
    assert leaves(shipped) == leaves(Config().model_dump())


def leaves(table, before=""):
    found = set()
    for key, value in table.items():
        found |= leaves(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}"}
    return found


def test_every_setting_has_a_reason_beside_it():
    lines = (HERE / "config.toml").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if re.match(r"\w+ = ", line)]

    assert [line for line in settings if "#" not in line] == []


def test_every_wrong_key_is_named_at_once(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[engine]\ncontext_tokens = 12\nmodle = "x"\n[web]\nport = "many"\n[kitchen]\n')

    with pytest.raises(ConfigError) as caught:
        load_config(file)

    sentence = str(caught.value)
    assert str(file) in sentence
    for part in ("engine.context_tokens", "engine.modle: Extra inputs are not permitted", "web.port", "kitchen"):
        assert part in sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"[engine", "not valid TOML"), (b"\xff\xfe", "not valid TOML"), (None, "there is no such file")],
    ids=["broken", "not UTF-8", "missing"],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, sentence):
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=sentence):
        load_config(file)


def test_paths_start_at_the_folder_of_the_file(tmp_path):
    file = tmp_path / "my troupe" / "config.toml"
    file.parent.mkdir()
    file.write_text('[paths]\ndata = "elsewhere"\n')

    assert load_config(file).paths.data == tmp_path / "my troupe" / "elsewhere"
