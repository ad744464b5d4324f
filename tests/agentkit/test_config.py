"""Settings: what wins, what is refused, and how it is said."""

import itertools
from pathlib import Path

import pytest
from pydantic import ValidationError

from agentkit.config import Settings, describe
from agentkit.errors import UnknownNameError, UsageError
from agentkit.types import SamplingPlan


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give an empty home and an empty working folder; return the latter."""
    for name in ("STORE", "CONFIG", "OFFLINE", "DISABLE_PLUGINS"):
        monkeypatch.delenv(f"AGENTKIT_{name}", raising=False)
    monkeypatch.setenv("AGENTKIT_HOME", str(tmp_path / "home"))
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "agentkit.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("in_file", "in_environment", "as_flag"), list(itertools.product([False, True], repeat=3))
)
def test_flag_over_environment_over_file_over_default(
    clean: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool, in_environment: bool, as_flag: bool
) -> None:
    if in_file:
        write(clean, 'store = "/of/file"')
    if in_environment:
        monkeypatch.setenv("AGENTKIT_STORE", "/of/environment")
    store = Settings.load(store="/of/flag" if as_flag else None).store
    given = {"/of/file": in_file, "/of/environment": in_environment, "/of/flag": as_flag}
    last = [path for path, is_given in given.items() if is_given]
    assert store == (Path(last[-1]) if last else clean.parent / "home" / "store")


def test_the_working_folder_is_read_before_the_home(clean: Path) -> None:
    write(clean.parent / "home", 'domain = "of-home"')
    assert Settings.load().domain == "of-home"
    write(clean, 'domain = "of-cwd"')
    assert Settings.load().domain == "of-cwd"


def test_a_named_file_is_the_only_one_read(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(clean, 'domain = "of-cwd"')
    named = write(clean / "named", "threads = 3")
    by_variable = write(clean / "variable", "threads = 4")
    monkeypatch.setenv("AGENTKIT_CONFIG", str(by_variable))
    assert (Settings.load().threads, Settings.load().domain) == (4, "general")
    assert (Settings.load(named).threads, Settings.load(str(named)).domain) == (3, "general")


def test_paths_in_a_file_are_relative_to_it(clean: Path) -> None:
    file = write(
        clean / "sub", 'store = "data"\nvideoxl2_path = "weights"\nallowed_roots = ["in", "/abs"]'
    )
    settings = Settings.load(file)
    sub = clean / "sub"
    assert settings.store == sub / "data"
    assert settings.videoxl2_path == sub / "weights"
    assert settings.allowed_roots == (sub / "in", Path("/abs"))


def test_a_database_url_stays_text(clean: Path) -> None:
    url = "postgresql+psycopg://me@here/videos"
    assert Settings.load(write(clean, f'store = "{url}"')).store == url
    assert Settings.load(store=url).store == url


def test_flags_reach_into_sections_and_leave_the_rest(clean: Path) -> None:
    write(clean, "[sampling]\nfps = 2.0\nmax_frames = 50")
    sampling = Settings.load(sampling={"fps": 0.5}).sampling
    assert sampling.plan() == SamplingPlan("fps", 0.5, 50, None)


@pytest.mark.parametrize(
    ("value", "is_on"), [("1", True), ("true", True), ("0", False), ("", False)]
)
def test_switches_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, is_on: bool
) -> None:
    monkeypatch.setenv("AGENTKIT_OFFLINE", value)
    monkeypatch.setenv("AGENTKIT_DISABLE_PLUGINS", value)
    settings = Settings.load()
    assert (settings.offline, settings.disable_plugins) == (is_on, is_on)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('domian = "media"', "unknown setting 'domian'; did you mean 'domain'?"),
        (
            "[ask]\nmax_citation = 1",
            "unknown setting 'ask.max_citation'; did you mean 'ask.max_citations'?",
        ),
        ("[asking]\nk = 1", "unknown setting 'asking'; did you mean 'ask'?"),
    ],
)
def test_an_unknown_key_names_the_nearest(clean: Path, text: str, message: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        Settings.load(write(clean, text))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threads = 0", "setting 'threads': input should be greater than or equal to 1, not 0"),
        (
            'encoder = "nots"',
            "setting 'encoder': input should be 'auto', 'notes' or 'videoxl2', not 'nots'",
        ),
        (
            "[ask]\nmin_score = nan",
            "setting 'ask.min_score': input should be a finite number, not nan",
        ),
        (
            'device = "gpu"',
            "setting 'device': string should match pattern '^(auto|cpu|cuda(:\\d+)?)$', not 'gpu'",
        ),
        (
            "[sampling]\nfps = -1",
            "setting 'sampling.fps': input should be greater than 0, not -1",
        ),
    ],
)
def test_a_wrong_value_is_one_line_with_the_file(clean: Path, text: str, message: str) -> None:
    file = write(clean, text)
    with pytest.raises(UsageError) as error:
        Settings.load(file)
    assert str(error.value) == f"{message} (settings read from {file})"


def test_a_missing_file_and_no_toml_are_said(clean: Path) -> None:
    with pytest.raises(
        UsageError, match=r"nowhere\.toml: cannot be read as settings: No such file"
    ):
        Settings.load("nowhere.toml")
    with pytest.raises(UsageError, match=r"agentkit\.toml: not a TOML file"):
        Settings.load(write(clean, "domain = "))


def test_settings_are_frozen_and_know_their_names() -> None:
    settings = Settings.load()
    with pytest.raises(ValidationError):
        settings.domain = "media"  # type: ignore[misc]  # what is tested
    with pytest.raises(ValidationError):
        Settings(domian="media")  # type: ignore[call-arg]  # what is tested


def test_every_setting_is_described() -> None:
    described = {name: text for name, _, _, text in describe()}
    assert all(described.values())
    assert {"store", "sampling.fps", "ask.sparse", "prefill.kv_dtype"} <= set(described)
    assert "ask" not in described


def test_a_domains_own_settings_come_from_the_file_and_from_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("agentkit.toml").write_text(
        'domain = "security"\n[plugins.security]\nrules = "zones.toml"\ntrack_fps = 5\n'
        "[plugins.media]\nsport = true\n",
    )
    settings = Settings.load().with_options(
        ["track_fps=2.5", 'names=["Ann", "Ben"]', "rules=a = b.toml", "judge = 3"]
    )
    assert settings.plugins == {
        "security": {
            "rules": "a = b.toml",
            "track_fps": 2.5,
            "names": ["Ann", "Ben"],
            "judge": 3,
        },
        "media": {"sport": True},
    }


@pytest.mark.parametrize("pair", ["rules", "=3", " = 3"])
def test_a_pair_that_sets_nothing_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match="--set KEY=VALUE"):
        Settings.load().with_options([pair])


def test_settings_that_are_equal_have_one_hash() -> None:
    one, same, other = (
        Settings.load(plugins={"security": {"zones": [1, {"a": 2}], "judge": judge}})
        for judge in (1, 1, 2)
    )
    assert (one == same, hash(one) == hash(same), one == other) == (True, True, False)
