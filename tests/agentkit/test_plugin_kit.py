"""A new plugin works as it is written, and the contract sees every way in which one can fail."""

import json
import re
import subprocess
import sys
import textwrap
import venv
from collections.abc import Callable, Iterator, Mapping
from importlib import invalidate_caches
from pathlib import Path
from unittest import SkipTest

import pytest

from agentkit import new_plugin
from agentkit.cli import main
from agentkit.errors import PluginError, UsageError
from agentkit.new_plugin import FILES, check_name, install_command, write_plugin
from agentkit.testing import PluginContract
from agentkit.testing.contract import examine
from agentkit.testing.contract.loading import foreign_imports

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
Put = Callable[..., type[PluginContract]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, whose modules are forgotten afterwards."""
    monkeypatch.delenv("AGENTKIT_DISABLE_PLUGINS", raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0].startswith("agentkit_tried")]:
        del sys.modules[name]
    invalidate_caches()


def put_metadata(site: Path, name: str, commands: Mapping[str, str] | None = None) -> None:
    """Write what pip writes beside a plugin that it installs."""
    info = site / f"agentkit_{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: agentkit-{name}\nVersion: 1.2\n")
    lines = [f"[agentkit]\n{name} = agentkit_{name}\n", "[agentkit.commands]"]
    lines += [f"{command} = {module}" for command, module in (commands or {}).items()]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


IMPORTS = """
import json
from agentkit.hookspecs import hookimpl
from agentkit.types import *
"""


@pytest.fixture
def put(site: Path) -> Put:
    """Install a plugin of the given source and prompts, and return its contract."""

    def put_one(
        source: str, prompts: Mapping[str, str] | None = None, **commands: str
    ) -> type[PluginContract]:
        package = site / "agentkit_tried"
        package.mkdir()
        (package / "__init__.py").write_text(IMPORTS + textwrap.dedent(source))
        for language, text in (prompts or {}).items():
            (package / "prompts").mkdir(exist_ok=True)
            (package / "prompts" / f"{language}.toml").write_text(text, encoding="utf-8")
        put_metadata(site, "tried", commands)
        return type("Tried", (PluginContract,), {"plugin": "tried"})

    return put_one


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Cooking", "did you mean 'cooking'"),
        ("surf-spots", "did you mean 'surf_spots'"),
        ("SurfSpots!", "did you mean 'surf_spots'"),
        ("2nd_unit", "did you mean 'nd_unit'"),
        ("a__b", "did you mean 'a_b'"),
        ("", "begins with a letter, up to 40 long"),
        ("烹饪", "begins with a letter, up to 40 long"),
        ("x" * 41, f"did you mean '{'x' * 40}'"),
        ("class", "is a word of Python's own; 'class_video' would do"),
        ("match", "is a word of Python's own; 'match_video' would do"),
        ("media", r"is taken by agentkit-media .*, which is installed"),
        ("general", "is taken by agentkit itself"),
        ("storage", "is taken by the module agentkit_storage"),
    ],
)
def test_a_name_that_cannot_be_is_told_with_one_that_can(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_name(name)


def test_all_files_are_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_plugin("tried_it", tmp_path / "new" / "plugin")
    written = [str(path.relative_to(made.folder)) for path in made.folder.rglob("*.*")]
    assert sorted(path for path, _ in made.files) == sorted(written)
    assert "@" not in "".join(path.read_text("utf-8") for path in made.folder.rglob("*.toml"))
    with pytest.raises(UsageError, match="is there already; name another with --folder"):
        write_plugin("tried_it", made.folder)
    monkeypatch.setattr(new_plugin, "FILES", (*FILES, ("more", "no_such_template", "")))
    with pytest.raises(FileNotFoundError):
        write_plugin("tried_it", tmp_path / "half")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


@pytest.mark.parametrize("name", ["tried", "t", "a_name_that_is_as_long_as_a_name_may_be4"])
def test_what_is_written_is_formatted_and_clean(name: str, tmp_path: Path) -> None:
    made = write_plugin(name, tmp_path / "plugin")
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    for command in (["format", "--check"], ["check"]):
        run = subprocess.run(
            [BIN / "ruff", *command, *config, made.folder], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout


@pytest.mark.long
def test_what_is_written_has_types_that_hold(tmp_path: Path) -> None:
    made = write_plugin("tried", tmp_path / "plugin")
    run = subprocess.run(
        [BIN / "mypy", "--config-file", ROOT / "pyproject.toml", "agentkit_tried", "tests"],
        cwd=made.folder,
        env={"MYPYPATH": f"{ROOT}:{ROOT / 'storage'}:."},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, which sees all that is installed in ours."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    outer = [path for path in sys.path if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in outer]
    (packages / "outer.pth").write_text("\n".join(lines))
    return folder


def test_a_new_plugin_is_installed_listed_and_passes_its_own_test(
    environment: Path, tmp_path: Path
) -> None:
    def run(*arguments: str) -> str:
        command = [str(environment / "bin" / "python"), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    agentkit = ("-c", "import sys; from agentkit.cli import main; sys.exit(main())", "plugins")
    said = run(*agentkit, "new", "tried_here")
    assert said.splitlines()[0] == (
        f"tried_here: a new domain, in {tmp_path / 'agentkit-tried-here'}"
    )
    assert "installed as agentkit-tried-here; what you edit counts at once" in said
    listed = json.loads(run(*agentkit, "list", "--json"))["plugins"]
    assert {
        "name": "tried_here",
        "distribution": "agentkit-tried-here 0.1.0",
        "hooks": ["parse_answer", "report_sections", "segments", "user_prompt"],
        "error": "",
    } in [{**one, "hooks": list(one["hooks"])} for one in listed]
    passed = run("-m", "pytest", "-p", "no:cacheprovider", "agentkit-tried-here")
    assert re.search(r"\b10 passed, 6 skipped\b", passed), passed


def test_the_contract_holds_untouched_and_each_check_is_a_line(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_plugin("tried", site.parent / "plugin")
    (made.folder / "agentkit_tried").rename(site / "agentkit_tried")
    put_metadata(site, "tried")
    assert main(["plugins", "check", "tried"]) == 0
    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head == "      CHECK                FOUND"
    assert last == "tried passes; 6 had nothing to look at"
    tests = [name for name in vars(PluginContract) if name.startswith("test_")]
    names = [name.removeprefix("test_").replace("_", " ") for name in tests]
    assert [line[6:25].strip() for line in lines] == [*names, "import time"]
    assert {line[:4].strip() for line in lines} == {"ok", "-"}


def test_a_plugin_that_fails_is_told_as_text_and_as_json(
    put: Put, capsys: pytest.CaptureFixture[str]
) -> None:
    put("@hookimpl\ndef notices(language):\n    return [' ']\n")
    assert main(["plugins", "check", "tried"]) == 1
    said = capsys.readouterr().out
    assert "FAIL  notices              notices: an empty one in 'en'\n" in said
    assert said.splitlines()[-1].startswith("tried fails 1 of its checks; ")
    assert main(["plugins", "check", "tried", "--json"]) == 1
    form = json.loads(capsys.readouterr().out)
    assert form["plugin"] == "tried"
    failed = [check for check in form["checks"] if check["ok"] is False]
    assert failed == [{"name": "notices", "ok": False, "found": "notices: an empty one in 'en'"}]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("@hookimpl\ndef user_promt(): ...\n", "unknown hook 'user_promt'"),
        ("@hookimpl\ndef user_prompt(vidoe): ...\n", "vidoe"),
    ],
)
def test_what_does_not_load_fails_once_and_the_rest_is_left(
    put: Put, source: str, said: str
) -> None:
    put(source)
    first, *others = examine("tried")
    assert (first.name, first.ok) == ("hooks", False)
    assert said in first.found
    assert {(one.ok, one.found) for one in others} == {(None, "it does not load")}


def test_an_unknown_plugin_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "medai"]) == 2
    assert capsys.readouterr().err == "error: unknown domain 'medai'; did you mean 'media'?\n"


QUESTION = '[task.step]\nquestion = "Which step is it?"\n[prompt]\ninstruction = "Say {what}."\n'
STEP = """
@hookimpl
def parse_answer(question, text, evidence):
    return Answer(question, text, {cites}, evidence.coverage, fields={fields})
"""
SEGMENTS = """
@hookimpl
def segments(video, session):
    return {parts}
"""
SECTIONS = """
@hookimpl
def report_sections(video, session):
    return [Section("Found", {parts})]
"""
EVALUATOR = """
from pathlib import Path

class Recall:
    name = "recall"
    source = "set recall"
    ranges = {{"recall": (0.0, 1.0)}}

    def evaluate(self, predictions, ground_truth):
        found, true = (set({read}) for path in (predictions, ground_truth))
        return Evaluation({{"recall": {value}}})

    def words(self, path):
        try:
            return path.read_text("utf-8").replace("\\0", " 0 ").split()
        except UnicodeDecodeError:
            raise UsageError(f"{{path}}: not text") from None

    def examples(self, folder):
        for name, text in (("true", "salt flour"), ("perfect", "salt flour"), ("bad", "sugar")):
            (folder / name).write_text(text)
        return Examples(folder / "true", folder / "perfect", folder / "bad")

@hookimpl
def register_evaluators(register):
    register(Recall())
"""
RECALL = {"read": "self.words(path)", "value": "len(found & true) / max(len(true), 1)"}


def evaluator(**changes: str) -> str:
    return EVALUATOR.format(**RECALL | changes)


EXPORTER = """
@hookimpl
def register_exporters(register):
    register({name!r}, lambda video, session: {gives})
"""
TOOL = """
@hookimpl
def register_tools(session):
    {tool}
    return [tool]
"""

FAULTS = [
    ("hooks", "def user_prompt(question): ...", "user_prompt is a hook's name, but it is not mark"),
    ("hooks", "", "it answers no hook"),
    ("import", "import sqlalchemy", "its import loads sqlalchemy; import it inside the function"),
    (
        "imports_of_agentkit",
        "def f():\n    from agentkit import Session\n",
        r"__init__.py:6 imports agentkit.Session; import from agentkit.types",
    ),
    ("imports_of_agentkit", "import agentkit_storage.types", "imports agentkit_storage.types;"),
    (
        "questions",
        "@hookimpl\ndef user_prompt(question):\n"
        "    return (question.text + ' '.join(question.options)).format(0)\n",
        r"hook user_prompt: .* \(question '",
    ),
    (
        "questions",
        "@hookimpl\ndef user_prompt(question):\n    return question.text\n",
        "'a dog' of the question is not in it",
    ),
    (
        "questions",
        "@hookimpl\ndef user_prompt(question):\n"
        "    return question.text + str([('AB'[i], o) for i, o in enumerate(question.options)])\n",
        "IndexError",
    ),
    (
        "questions",
        "@hookimpl\ndef user_prompt(question, encoder):\n"
        "    return f'{question.text} {question.options} </s>' if encoder == 'notes' else None\n",
        "'</s>' is a control word",
    ),
    (
        "rubbish_answers",
        STEP.format(cites="evidence.citations", fields="json.loads(text)"),
        "JSONDecodeError.*the model wrote ''",
    ),
    ("rubbish_answers", STEP.format(cites="()", fields="{'a': {1}}"), "fields are no JSON"),
    (
        "rubbish_answers",
        STEP.format(cites="()", fields="{'a': float('nan')}"),
        "fields are no JSON",
    ),
    ("rubbish_answers", STEP.format(cites="()", fields="{1: 2}"), "keys of fields are texts"),
    (
        "rubbish_answers",
        STEP.format(cites="(Citation('ab', 1.0, 2.0, ''),)", fields="{}"),
        "a citation is of another video",
    ),
    (
        "rubbish_answers",
        STEP.format(
            cites="tuple(Citation(n.video_id, 0.1, 23.9, '') for n in evidence.citations)",
            fields="{}",
        ),
        "a citation of 0.1 s to 23.9 s is not in the evidence",
    ),
    (
        "rubbish_answers",
        STEP.format(cites="()", fields="{}").replace("Answer(question", "Answer(Question('?')"),
        "gives another question",
    ),
    (
        "ingest",
        "@hookimpl\ndef describe_chunk(chunk):\n"
        "    return [Note(chunk.start_s, chunk.end_s, 'x', '')]\n",
        "describe_chunk: a note has no text",
    ),
    (
        "ingest",
        "class Nameless:\n    name, listen = '', None\n"
        "@hookimpl\ndef register_instruments(register):\n"
        "    register(Nameless())\n",
        "has no name",
    ),
    (
        "ingest",
        "class Deaf:\n    name = 'deaf'\n@hookimpl\ndef register_instruments(register):\n"
        "    register(Deaf())\n",
        "registered Deaf; it must have name and start and observe, or name and listen",
    ),
    (
        "ingest",
        "class Late:\n    name = 'late'\n    def start(self, video): ...\n"
        "    def observe(self, batch, first_of_chunk):\n"
        "        return [Note(batch.end_s, batch.end_s + 9, 'x', 'late')]\n"
        "@hookimpl\ndef register_instruments(register):\n    register(Late())\n",
        "instrument late, 'late': 16 s to 25 s is not in the video",
    ),
    (
        "segments",
        SEGMENTS.format(parts="[Note(8.0, 9.0, 'a', 'a'), Note(1.0, 2.0, 'a', 'b')]"),
        "not in order of time",
    ),
    ("segments", SEGMENTS.format(parts="[Note(1.0, 99.0, 'a', 'a')]"), "is not in the video"),
    ("segments", SEGMENTS.format(parts="[Note(1.0, 1.0, 'a', 'a')]"), "'a' has no length"),
    (
        "segments",
        SEGMENTS.format(parts="[Note(n.start_s, n.end_s, 'a', '') for n in session.notes(video)]"),
        "a note has no text",
    ),
    ("segments", SEGMENTS.format(parts="[session.notes(video)[0]]"), "IndexError"),
    (
        "report_sections",
        SECTIONS.format(parts="findings=(Finding('It is so', 'supported'),)"),
        "'It is so' is called supported and cites nothing",
    ),
    (
        "report_sections",
        SECTIONS.format(parts="findings=(Finding('It is so', 'maybe'),)"),
        "'maybe' is not of",
    ),
    (
        "report_sections",
        SECTIONS.format(parts="figures=(Citation(video.video_id, 1.0, 99.0, ''),)"),
        "1 s to 99 s is not in the video",
    ),
    (
        "report_sections",
        SECTIONS.format(parts="tables=(Table('T', ('a', 'b'), (Row(('1',)),)),)"),
        "1 cells under 2 heads",
    ),
    (
        "report_sections",
        SECTIONS.format(parts="timelines=(Timeline('L', 24.0, (), (Curve('c', 1.0, (2.0,)),)),)"),
        r"\[2.0\] is not in 0..1",
    ),
    (
        "report_sections",
        SECTIONS.format(parts="{'en': 'Yes'}[session.language]"),
        "KeyError: 'zh'",
    ),
    (
        "report_sections",
        SECTIONS.format(parts="json.loads(session.ask('What?').text)"),
        "JSONDecodeError",
    ),
    (
        "redaction",
        "@hookimpl\ndef redact_frames(images):\n"
        "    for image in images:\n        image[:] = 0\n    return list(images)\n",
        "changes what it was given; copy it",
    ),
    (
        "redaction",
        "@hookimpl\ndef redact_frames(images):\n    return [image[1:] for image in images]\n",
        "gave other sizes",
    ),
    (
        "redaction",
        "@hookimpl\ndef redact_frames(images):\n    return [image / 2 for image in images]\n",
        "gives float64, not uint8",
    ),
    (
        "redaction",
        "@hookimpl\ndef redact_text(text):\n    return text.encode('ascii').decode()\n",
        "UnicodeEncodeError",
    ),
    ("evaluators", evaluator(value="0.5 * len(found & true)/2"), "perfect predictions get 0.5"),
    ("evaluators", evaluator(value="1.0"), "bad predictions get the best value, 1"),
    ("evaluators", evaluator(value="len(found & true) or -1"), "recall is 2, not in 0..1"),
    (
        "evaluators",
        evaluator(read="path.read_text('utf-8').split()"),
        "UnicodeDecodeError, not UsageError",
    ),
    (
        "evaluators",
        evaluator(read="path.read_text('latin-1').split()"),
        "is taken; raise UsageError where a file is not text",
    ),
    (
        "evaluators",
        evaluator().replace('"recall": (', '"r": ('),
        "ranges has r, metrics has not",
    ),
    ("evaluators", evaluator().replace('"set recall"', '""'), "source does not say where"),
    ("evaluators", evaluator().replace('not text"', 'not\\ntext"'), "UsageError has several lines"),
    ("exporters", EXPORTER.format(name="steps", gives="'text'"), "gives str, not bytes"),
    ("exporters", EXPORTER.format(name="steps-json", gives="b'{'"), "is no json: Expecting"),
    ("exporters", EXPORTER.format(name="csv", gives="b'a,b\\n1\\n'"), "is no csv: rows have"),
    ("exporters", EXPORTER.format(name="x.vtt", gives="b'00:01 --> 00:02'"), "first line is not W"),
    ("exporters", EXPORTER.format(name="srt", gives="b'1\\n0:1 --> 2\\na\\n'"), "no time of a cue"),
    ("exporters", EXPORTER.format(name="srt", gives="b'7\\n'"), "cue 1 is numbered '7'"),
    ("exporters", EXPORTER.format(name="A b", gives="b''"), "'A b' is no name of a format"),
    (
        "exporters",
        "@hookimpl\ndef render_report(report):\n    return b'always'\n",
        "writes the format 'no-such-format', which is none",
    ),
    ("tools", TOOL.format(tool="def tool(a: str) -> str: ..."), "tool tool: it has no docstring"),
    ("tools", TOOL.format(tool="def tool(a) -> str: 'Do.'"), "argument 'a' has no type"),
    ("tools", TOOL.format(tool="def tool(a: str): 'Do.'"), "does not say what it returns"),
    ("tools", TOOL.format(tool="def tool(*a: str) -> str: 'Do.'"), r"\*a names no argument"),
]


@pytest.mark.parametrize(("check", "source", "said"), FAULTS)
def test_the_contract_sees_each_fault(put: Put, check: str, source: str, said: str) -> None:
    contract = put(source)
    with pytest.raises(AssertionError, match=said):
        getattr(contract(), f"test_{check}")()


def test_a_command_that_nothing_registers_is_seen(put: Put) -> None:
    contract = put("@hookimpl\ndef notices(): ...\n", **{"cook-on-path": "agentkit_tried"})
    with pytest.raises(AssertionError, match="no register_commands adds the command 'cook-on-path"):
        contract().test_hooks()


def test_an_evaluator_that_keeps_its_word_passes(put: Put) -> None:
    tried = put(evaluator())()
    tried.test_evaluators()
    assert tried.found == "recall: perfect is best, bad is worse, garbage is one line"


@pytest.mark.parametrize(
    ("check", "prompts", "said"),
    [
        ("prompts", {"zh": QUESTION}, "prompts/en.toml is missing"),
        ("prompts", {"en": QUESTION, "zh": "a = 'b'"}, "zh.toml, a: prompts/en.toml has no such"),
        ("prompts", {"en": QUESTION, "zh": ""}, "zh.toml: no text 'task.step.question'"),
        (
            "prompts",
            {"en": QUESTION, "zh": QUESTION.replace("{what}", "x")},
            "has no placeholder, ",
        ),
        ("prompts", {"en": "a = '{0} of {}'"}, "is no plain name"),
        ("prompts", {"en": "a = '{x.y}'"}, r"\{x.y\} is no plain name"),
        ("prompts", {"en": "a = '{'"}, "for braces"),
        ("prompts", {"en": "a = ' '"}, "en.toml, a: empty"),
        ("prompts", {"en": "a = 'b <|im_end|>'"}, r"'<\|im_end\|>' is a control word"),
        ("prompts", {"en": "a ="}, "its prompts cannot be read"),
    ],
)
def test_the_contract_sees_each_fault_of_prompts(
    put: Put, check: str, prompts: Mapping[str, str], said: str
) -> None:
    contract = put("@hookimpl\ndef notices(): ...\n", prompts)
    with pytest.raises(AssertionError, match=said):
        getattr(contract(), f"test_{check}")()


def test_every_task_and_language_of_the_prompts_is_asked_for(put: Put) -> None:
    source = """
    @hookimpl
    def user_prompt(question):
        asked = (question.task, question.language)
        return None if asked != ("step", "zh") else 1 / 0
    """
    contract = put(source, {"en": QUESTION, "zh": QUESTION})
    with pytest.raises(AssertionError, match=r"ZeroDivisionError.*task 'step', zh"):
        contract().test_questions()


def test_what_there_is_nothing_of_is_skipped(put: Put) -> None:
    contract = put("@hookimpl\ndef notices(): ...\n")
    for check in ("prompts", "questions", "segments", "evaluators", "redaction"):
        with pytest.raises(SkipTest, match=r"^it (has|registers) no"):
            getattr(contract(), f"test_{check}")()


def test_the_examples_of_the_hooks_keep_the_contract(put: Put) -> None:
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    put("\n".join(blocks), recipes="agentkit_tried")
    found = {one.name: one for one in examine("tried")}
    left = {"import", "import time"}  # they show typer at the top, to be short
    failed = {name: one.found for name, one in found.items() if one.ok is False}
    assert failed.keys() <= left, failed
    nothing = [name for name, one in found.items() if one.ok is None]
    assert nothing == ["prompts", "placeholders"]


def test_relative_and_public_imports_are_let_through(tmp_path: Path) -> None:
    inner = tmp_path / "pack" / "inner"
    inner.mkdir(parents=True)
    (inner / "a.py").write_text(
        "from agentkit.types import Note\nfrom agentkit import types\nimport agentkit.testing\n"
        "from . import b\nfrom ..c import d\nimport numpy\nfrom agentkit.types.reports import Row\n"
        "from agentkit.hookspecs import hookimpl\nimport agentkit_other\n"
    )
    assert list(foreign_imports(inner / "a.py", tmp_path / "pack", "pack")) == []


def without(*names: str) -> Callable[[str], object]:
    """Stand in for `find_spec` where some modules are not there."""
    return lambda name: None if name in names else object()


def test_uv_installs_where_pip_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("/plugins/agentkit-tried")
    alone = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", str(folder)]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    assert install_command(folder) == [*pip, *alone]
    monkeypatch.setattr(new_plugin, "find_spec", without("pip"))
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    uv = ["/bin/uv", "pip", "install", "--python", sys.executable]
    assert install_command(folder) == [*uv, *alone]
    for too_old in ("65.5.0", "76", "of my own"):  # 65.5 comes with `python -m venv` of 3.11
        with monkeypatch.context() as patch:
            patch.setattr(new_plugin, "version", lambda name, is_=too_old: is_)
            assert "--no-build-isolation" not in install_command(folder)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(PluginError, match="neither pip nor uv is here to install /plugins/agentk"):
        install_command(folder)


def test_what_cannot_be_installed_is_written_and_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_PREFIX", "/dev/null/nowhere")
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "tried"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"error: {tmp_path}/agentkit-tried is written, but not installed: ")
    assert said.err.endswith(f"pip install --editable {tmp_path}/agentkit-tried\n")
    assert (tmp_path / "agentkit-tried" / "pyproject.toml").is_file()


def test_a_new_plugin_may_be_left_uninstalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "tried", "--no-install", "--folder", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "tried",
        "distribution": "agentkit-tried",
        "folder": str(tmp_path / "here"),
        "files": [path.replace("@PACKAGE@", "agentkit_tried").replace("@NAME@", "tried")
                  for path, _, _ in FILES],
        "installed": False,
    }  # fmt: skip
    assert main(["plugins", "new", "tried", "--no-install"]) == 0
    said = capsys.readouterr().out
    assert "not installed; when you want it:\n" in said
    assert said.splitlines()[-2:] == [
        "  agentkit plugins check tried",
        '  agentkit --domain tried ask "What happens?" VIDEO',
    ]


WITHOUT_HYPOTHESIS = """
import sys
import agentkit.testing
assert "hypothesis" not in sys.modules, "the contract is imported when it is asked for"
sys.modules["hypothesis"] = None
from agentkit.cli import main
sys.exit(main(["plugins", "check", "media"]))
"""


def test_where_hypothesis_is_missing_one_line_says_so() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_HYPOTHESIS], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr == ("error: checking a plugin needs hypothesis; pip install hypothesis\n")
