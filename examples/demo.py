"""make demo: fetch what is missing, ingest three real clips, ask, report, show what it rests on."""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agentkit import Session, Settings, models
from agentkit.contact_sheet import contact_sheet
from agentkit.paths import home
from agentkit.types import Answer, IngestEvent, StoredVideo

sys.path.insert(0, str(Path(__file__).parent))
from clips import clip  # stands beside this file

QUESTIONS = (
    ("obama_speech.mp4", "What does the caption on the banner say?"),
    ("bikes.mp4", "What vehicles are seen?"),
    ("bigbuckbunny.mp4", "Is a submarine shown?"),
)
OUT = Path("demo-out")
console = Console(highlight=False)


def main() -> None:
    fetch_models()
    with Session.open(Settings.load(store=home() / "demo-store"), domain="media") as session:
        videos = {name: ingest(session, clip(name)) for name, _ in QUESTIONS}
        answers = [ask(session, videos[name], question) for name, question in QUESTIONS]
        sheet = draw(session, answers, {v.video_id: v for v in videos.values()})
        page = report(session, videos["bikes.mp4"])
    console.print(f"\nContact sheet of the cited frames: {sheet.resolve()}")
    console.print(f"Report of the media domain, a page: {page.resolve()}")
    console.print(f"Models and store: {home()}")
    console.print("Your own video:   .venv/bin/agentkit ingest FILE, then agentkit ask QUESTION")


def fetch_models() -> None:
    """Fetch the default models, once a machine; each file is checked by its hash."""
    console.print("Models: fetching what is not here yet (0.7 GB in all)")
    with progress() as bar:
        task = bar.add_task("models", total=None)

        def show(state: models.PullProgress) -> None:
            bar.update(task, description=state.name, completed=state.done, total=state.total)

        models.pull_defaults(progress=show)


def ingest(session: Session, path: Path) -> StoredVideo:
    console.print(f"Ingesting {path.name}, unless the store has it")
    with progress() as bar:
        task = bar.add_task(path.name, total=1.0)

        def show(event: IngestEvent) -> None:
            share = event.chunk / event.of if event.of else event.share
            bar.update(task, completed=share, description=f"{path.name} {event.stage}")

        return session.ingest(path, on_event=show)


def ask(session: Session, video: StoredVideo, question: str) -> Answer:
    name = Path(video.path).name
    console.print(f"\n[bold]{name}[/bold]  {question}")
    answer = session.ask(question, video)
    console.print(f"  {answer.text}")
    for cite in answer.citations:
        console.print(f"  [{name} {cite.start_s:.1f}-{cite.end_s:.1f} s]  {cite.why}", markup=False)
    return answer


def draw(session: Session, answers: list[Answer], videos: dict[str, StoredVideo]) -> Path:
    frames, captions = [], []
    for cite in [cite for answer in answers for cite in answer.citations]:
        video = videos[cite.video_id]
        frames += session.frames(video, [cite.frame_s or cite.start_s])
        captions.append(f"{Path(video.path).name}  {cite.frame_s:.1f} s\n{cite.why}")
    return contact_sheet(frames, captions, OUT / "contact-sheet.png")


def report(session: Session, video: StoredVideo) -> Path:
    console.print("\nReporting on bikes.mp4: shots, scenes, people, highlights, by rules")
    return session.report(video, summary=False).save(OUT / "bikes.html")


def progress() -> Progress:
    columns = TextColumn("{task.description:40.40}"), BarColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


if __name__ == "__main__":
    main()
