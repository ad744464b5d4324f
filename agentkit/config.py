"""Settings: read once, checked, frozen, handed to the object that needs them. Knows no torch.

Precedence: flag, environment, `agentkit.toml`, default.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from agentkit.errors import UnknownNameError, UsageError
from agentkit.paths import home

if TYPE_CHECKING:
    from agentkit.types import SamplingPlan

CONFIG_NAME = "agentkit.toml"
ENVIRONMENT = {  # variable -> field; AGENTKIT_HOME and AGENTKIT_CONFIG say where to look
    "AGENTKIT_STORE": "store",
    "AGENTKIT_OFFLINE": "offline",
    "AGENTKIT_DISABLE_PLUGINS": "disable_plugins",
}


def _folder_or_url(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) and "://" not in value else value


def _expanded(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


FolderOrUrl = Annotated[Path | str, BeforeValidator(_folder_or_url)]
UserPath = Annotated[Path, BeforeValidator(_expanded)]
Relevance = Literal["search", "attention", "all", "none"]
Sparse = Literal["pooled", "time_only", "left_out"]
ExecutorName = Literal["local", "ray"]
KVDtype = Literal["float32", "float16", "int8"]
TokensDtype = Literal["lossless", "int8"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SamplingSettings(_Strict):
    """Which frames an ingest looks at, where neither a flag nor the domain says otherwise."""

    mode: Literal["fps", "reference", "keyframes", "uniform"] = Field(
        default="fps",
        description="`fps`, `uniform`, `keyframes`, or `reference` (the checkpoint's rule)",
    )
    fps: float = Field(default=1.0, gt=0, description="frames looked at per second of video")
    max_frames: int | None = Field(default=None, ge=1, description="most frames of one video")
    max_fps: float | None = Field(
        default=None, gt=0, description="upper bound of `fps` for short videos"
    )

    def plan(self) -> "SamplingPlan":
        """Return these settings as the plan that an ingest takes."""
        from agentkit.types import SamplingPlan

        return SamplingPlan(self.mode, self.fps, self.max_frames, self.max_fps)


class NotesSettings(_Strict):
    """What the notes encoder looks with, and how much it writes."""

    budget_tokens: int = Field(
        default=25, ge=4, description="about this many tokens a group of frames"
    )
    instruments: tuple[str, ...] = Field(
        default=("objects", "colours", "scene", "ocr", "speech", "shots", "motion"),
        description="what looks and listens; an instrument that is missing is named, never hidden",
    )


class IngestSettings(_Strict):
    """Who looks at the frames of an ingest."""

    executor: ExecutorName = Field(
        default="local",
        description="`local`: processes of this machine; `ray`: those of a Ray cluster, which is"
        " started here where none is (docs/scale-out.md)",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="processes that decode and look; 1 is this process itself; left open: a"
        " quarter of the cores, 4 at most",
    )
    encoders: int = Field(
        default=1, ge=1, le=64, description="videos encoded at once, with `ray`: one model each"
    )


class PrefillSettings(_Strict):
    """How a video goes into the language model's cache."""

    block_groups: int = Field(default=4, ge=1, description="groups prefilled together")
    lookback_blocks: int = Field(
        default=3, ge=1, description="blocks that a block sees before itself"
    )
    min_block_rows: int = Field(
        default=128, ge=1, description="fewest rows in a block of short groups"
    )
    max_segment_positions: int | None = Field(
        default=None,
        ge=0,
        description="positions of one independent prefill; a longer video has several; 0: no limit;"
        " left open: 30000 with notes, no limit with videoxl2",
    )
    kv_dtype: KVDtype | None = Field(
        default=None,
        description="number type of the stored cache; left open: float32 with notes, float16 with"
        " videoxl2",
    )


class TierSettings(_Strict):
    """What the store keeps of a video, and how much."""

    kv_budget_gb: float | None = Field(
        default=None,
        ge=0,
        description="most that stored caches take, in 10^9 bytes; the one that was used longest ago"
        " goes first and is made anew from tokens when its video is asked; left open: no limit",
    )
    tokens_dtype: TokensDtype = Field(
        default="lossless",
        description="how the rows of videoxl2 are kept: as they are, or in `int8`, half the bytes",
    )

    @property
    def kv_budget_bytes(self) -> int | None:
        return None if self.kv_budget_gb is None else int(self.kv_budget_gb * 1e9)


class AskSettings(_Strict):
    """What of a video a question sees, and what its answer shows."""

    context: Literal["dense", "bilevel", "retrieval"] = Field(
        default="bilevel",
        description="`dense`: all of it; `bilevel`: relevant chunks whole, the others as `sparse` "
        "says; `retrieval`: relevant chunks alone in a fresh prompt",
    )
    relevance: Relevance = Field(
        default="search",
        description="which chunks are relevant: `search`: those with notes near the question;"
        " `attention`: those that the model looks at, which reads the whole cache; `all`; `none`",
    )
    sparse: Sparse | None = Field(
        default=None,
        description="what stays of a chunk that is not relevant (bilevel); left open: `left_out`"
        " with notes, `pooled` with videoxl2",
    )
    pool_step: int = Field(default=4, ge=2, description="keys averaged into one (sparse = pooled)")
    k: int = Field(default=4, ge=1, description="relevant chunks kept whole")
    budget_tokens: int | None = Field(
        default=None, ge=1, description="in place of `k`: most tokens kept whole"
    )
    budget_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="in place of `k`: largest share of the tokens kept whole",
    )
    min_score: float = Field(
        default=0.33,
        description="cosine below which a passage is no hit, unless it has what is asked for",
    )
    max_new_tokens: int = Field(default=96, ge=1, description="longest answer")
    max_citations: int = Field(default=3, ge=0, description="most citations of one answer")
    max_citation_s: float = Field(default=32.0, gt=0, description="longest citation, in seconds")
    keep_ends: bool | None = Field(
        default=None,
        description="the first and last chunk always stay whole (bilevel); left open: false with"
        " notes, true with videoxl2",
    )
    evidence_lines: bool | None = Field(
        default=None,
        description="repeat the note lines of the relevant chunks beside the question; left open:"
        " true with notes, false with videoxl2, which sees the pictures",
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = self.model_fields_set & {"k", "budget_tokens", "budget_share"}
        if len([name for name in given if getattr(self, name) is not None]) > 1:
            raise PydanticCustomError("budget", "give one of k, budget_tokens and budget_share")
        return self


class ReportSettings(_Strict):
    """What a report holds."""

    summary: bool = Field(
        default=True, description="the language model writes a summary of each video"
    )
    general: bool = Field(
        default=True,
        description="sections made from the notes by rules follow those of the domain",
    )
    max_frames: int = Field(
        default=60, ge=0, description="most key frames in the appendix of evidence"
    )
    frame_px: int = Field(
        default=640, ge=64, le=4096, description="longer side of a key frame, in pixels"
    )
    max_rows: int = Field(
        default=200, ge=1, description="most rows of a table that rules made; it says what is left"
    )


class Settings(_Strict):
    """Everything a session is given. Build it with `Settings.load`."""

    store: FolderOrUrl = Field(
        default_factory=lambda: home() / "store",
        description="the folder of the store; default `AGENTKIT_HOME/store`",
    )
    domain: str = Field(
        default="general", description="the plugin that speaks for this kind of video"
    )
    collection: str = Field(
        default="default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="where an ingest puts videos that are new",
    )
    encoder: Literal["auto", "notes", "videoxl2"] = Field(
        default="auto", description="`auto`: videoxl2 where its weights and a GPU are, else notes"
    )
    language_model: str = Field(
        default="qwen2.5-coder-0.5b",
        description="the model that reads notes (`agentkit models list`)",
    )
    videoxl2_path: UserPath | None = Field(
        default=None,
        description="a folder with the Video-XL-2 checkpoint; default the model folder",
    )
    videoxl2_weights: Literal["model", "int8", "int4"] = Field(
        default="model",
        description="how the weights of videoxl2 are held: as they are, or in 8 or 4 bits",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto` (for videoxl2 a GPU where one is, for notes the CPU), `cpu`, `cuda`,"
        " `cuda:1`, ...",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads; default the cores there are"
    )
    allowed_roots: tuple[UserPath, ...] | None = Field(
        default=None, description="folders that videos may be read from; default any"
    )
    offline: bool = Field(default=False, description="never use the network")
    disable_plugins: bool = Field(
        default=False, description="load no plugin that is installed beside us"
    )
    language: Literal["auto", "en", "zh"] = Field(
        default="auto",
        description="of prompts and reports; `auto`: that of the question, English for reports",
    )
    plugins: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="one section for each domain: `[plugins.security]`; the domain says which keys",
    )
    sampling: SamplingSettings = SamplingSettings()
    notes: NotesSettings = NotesSettings()
    ingest: IngestSettings = IngestSettings()
    prefill: PrefillSettings = PrefillSettings()
    tiers: TierSettings = TierSettings()
    ask: AskSettings = AskSettings()
    report: ReportSettings = ReportSettings()

    def __hash__(self) -> int:
        """Hash all but the domains' own settings, which may hold lists; workers are kept by it."""
        names = (name for name in type(self).model_fields if name != "plugins")
        return hash(tuple(getattr(self, name) for name in names))

    @classmethod
    def load(cls, path: str | Path | None = None, **flags: Any) -> Self:
        """Return the settings in force; a flag that is None was not given.

        Relative paths in the file are relative to the file.

        Raises:
            UnknownNameError: a key that no setting has; names the nearest.
            UsageError: the file is missing, is no TOML, or a value does not fit.
        """
        file = _config_file(path)
        values = _read(file) if file else {}
        given = {name: value for name, value in flags.items() if value is not None}
        values = _merged(_merged(values, _environment()), given)
        _refuse_unknown(cls, values, "")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(_in_one_line(error, file)) from None

    def with_options(self, pairs: Sequence[str]) -> Self:
        """Return these settings with `KEY=VALUE` laid over those of the domain.

        A value is read as TOML (a number, true, a list) where it is one, else as text.

        Raises:
            UsageError: one of the pairs has no "=", or no key.
        """
        if not pairs:
            return self
        own = dict(self.plugins.get(self.domain, {}))
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not key.strip() or not equals:
                raise UsageError(f"{pair!r} sets nothing; write --set KEY=VALUE")
            own[key.strip()] = _from_toml(value.strip())
        return self.model_copy(update={"plugins": {**self.plugins, self.domain: own}})


def _from_toml(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _config_file(path: str | Path | None) -> Path | None:
    """Return the file to read: the one that was named, else the first that exists."""
    named = path or os.environ.get("AGENTKIT_CONFIG")
    if named:
        return Path(named).expanduser()
    places = (Path.cwd() / CONFIG_NAME, home() / CONFIG_NAME)
    return next((place for place in places if place.is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read as settings: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not a TOML file: {error}") from error
    for name in ("store", "videoxl2_path"):
        if isinstance(values.get(name), str):
            values[name] = _from_file(values[name], file)
    roots = values.get("allowed_roots")
    if isinstance(roots, list):
        values["allowed_roots"] = [_from_file(root, file) for root in roots]
    return values


def _from_file(value: str, file: Path) -> str:
    if not isinstance(value, str) or "://" in value:
        return value
    return str(file.resolve().parent / Path(value).expanduser())


def _environment() -> dict[str, Any]:
    """Return what the environment sets; an empty variable sets nothing."""
    return {field: os.environ[name] for name, field in ENVIRONMENT.items() if os.environ.get(name)}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with the values of `above` laid over it, section by section."""
    out = dict(below)
    for name, value in above.items():
        old = out.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[name] = _merged(old, value) if both else value  # type: ignore[arg-type]  # both says so
    return out


def _section_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    kind = model.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _refuse_unknown(model: type[BaseModel], values: Mapping[str, Any], prefix: str) -> None:
    for name, value in values.items():
        if name not in model.model_fields:
            known = [prefix + field for field in model.model_fields]
            raise UnknownNameError("setting", prefix + name, known)
        section = _section_of(model, name)
        if section and isinstance(value, Mapping):
            _refuse_unknown(section, value, f"{prefix}{name}.")


def _in_one_line(error: ValidationError, file: Path | None) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    where = f" (settings read from {file})" if file else ""
    return f"setting {name!r}: {first['msg'].lower()}, not {first['input']!r}{where}"


def describe() -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, type, default, description) of every setting, for the documentation."""
    yield from _describe(Settings, "")


def _describe(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        section = _section_of(model, name)
        if section:
            yield from _describe(section, f"{prefix}{name}.")
        else:
            default = "" if field.default_factory else _as_toml(field.default)
            yield prefix + name, _kind(field.annotation), default, field.description or ""


def _kind(annotation: Any) -> str:
    names = {float: "number", int: "integer", bool: "true or false", str: "text", Path: "path"}
    if annotation in names:
        return names[annotation]
    parts = [part for part in get_args(annotation) if part not in (type(None), Ellipsis)]
    if all(isinstance(part, str) for part in parts):
        return " or ".join(f'"{part}"' for part in parts)
    if parts[:2] == [Path, str]:
        return "path"
    inner = " or ".join(_kind(part) for part in parts if isinstance(part, type) or get_args(part))
    return f"list of {inner}" if getattr(annotation, "__origin__", None) is tuple else inner


def _as_toml(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_as_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
