"""The sections of a report on one video, from its scene breakdown to its script."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentkit.types import Citation, Row, Section, SessionView, StoredVideo, Table
from agentkit_media.appearance import Group, groups_of
from agentkit_media.breakdown import Breakdown, break_down
from agentkit_media.characters import Character
from agentkit_media.highlights import Highlight
from agentkit_media.judging import judged
from agentkit_media.material import Material
from agentkit_media.names import CAPTIONED, INTRODUCED, SAID, TITLED
from agentkit_media.scenes import Scene
from agentkit_media.script import (
    ACTION,
    DIALOGUE,
    SLUG,
    ScriptLine,
    action_of,
    script_of,
)
from agentkit_media.themes import marks_of, parts_of, themes_of
from agentkit_media.timeline import timeline_section
from agentkit_media.wording import Words, clock, short, span

FIGURES = 24  # key frames of scenes that are worth a look, at most
SCRIPT_ROWS = 200
QUOTES = 3  # of a scene
MENTIONS = 6  # cited of a character
Judged = Mapping[tuple[str, float], Mapping[str, Any]]


def sections_of(video: StoredVideo, session: SessionView) -> list[Section]:
    """Return the sections of a report on one video, in the report's language."""
    found = break_down(video, session)
    words, answers = found.words, judged(found, session)
    return [
        _scenes(found, words, answers),
        timeline_section(found, words),
        _characters(found, session, words),
        _themes(found, words),
        _highlights(found, words, answers),
        _script(found, words),
    ]


def _scenes(found: Breakdown, words: Words, answers: Judged) -> Section:
    shots = found.material.found
    values = {"shots": len(shots.shots), "scenes": len(found.scenes)}
    if shots.exact:
        lines = [words("shots_exact", **values)]
    else:
        step = f"{found.material.video.step_s:g}"
        lines = [words("shots_noted", **values, reason=shots.reason, step=step)]
    if len(shots.shots) == 1:
        lines = [words("one_shot")] if shots.exact else [*lines, words("one_shot")]
    names = "number time shots place people action said written mood".split()
    rows = [
        _scene_row(scene, words, answers.get(("scene", scene.start_s))) for scene in found.scenes
    ]
    head, kept = _without_empty([words(f"head_{name}") for name in names], rows)
    longest = sorted(found.scenes, key=lambda scene: scene.start_s - scene.end_s)[:FIGURES]
    figures = [_scene_cite(s, words) for s in sorted(longest, key=lambda s: s.start_s)]
    body = "\n\n".join([*lines, words("noted_places")])
    table = Table(words("table_scenes"), head, kept)
    return Section(words("scenes"), body, tables=(table,), figures=tuple(figures))


def _scene_cite(scene: Scene, words: Words) -> Citation:
    key = scene.key
    why = words("scene", number=scene.number)
    return Citation(key.video_id, key.start_s, key.end_s, why, key.frame_s)


def _scene_row(scene: Scene, words: Words, answer: Mapping[str, Any] | None) -> Row:
    people = str(scene.people) if scene.people else ""
    said = [f"\u201c{short(note.text)}\u201d" for note in scene.dialogue[:QUOTES]]
    rest = len(scene.dialogue) - QUOTES
    said += [words("more", count=rest)] if rest > 0 else []
    cells = (
        str(scene.number),
        span(scene.start_s, scene.end_s),
        str(len(scene.shots)),
        _place(scene, words, answer),
        words.listed([part for part in (people, *scene.names) if part]),
        _action(scene, words, answer),
        "\n".join(said),
        words.listed([short(note.text, 40) for note in scene.written[:4]]),
        _mood(scene, words, answer),
    )
    return Row(cells, (_scene_cite(scene, words),))


def _action(scene: Scene, words: Words, answer: Mapping[str, Any] | None) -> str:
    """Return what was noted but for the people, who have their column, then the model's words."""
    noted = action_of(scene, words).removeprefix(_people_text(scene, words)).lstrip(",\u3001 ")
    return "; ".join(filter(None, (noted, _told(answer, "action", words))))


def _told(answer: Mapping[str, Any] | None, field: str, words: Words) -> str:
    """Return what the model says of a field, marked as such; nothing where it was not asked."""
    value = (answer or {}).get(field)
    return "" if value is None else words("judged", what=short(str(value)))


def _people_text(scene: Scene, words: Words) -> str:
    if scene.people > 1:
        return words("people", count=scene.people)
    return words("one_person") if scene.people else ""


def _place(scene: Scene, words: Words, answer: Mapping[str, Any] | None) -> str:
    return f"{scene.doors} {scene.place}".strip() or _told(answer, "place", words)


def _mood(scene: Scene, words: Words, answer: Mapping[str, Any] | None) -> str:
    reasons = words.listed([words(f"fact_{reason}") for reason in scene.mood.reasons])
    mood = words(f"mood_{scene.mood.name}") + (f" ({reasons})" if reasons else "")
    told = (answer or {}).get("mood")
    judged = words("judged", what=words(f"mood_{told}")) if told else ""
    return "; ".join(filter(None, (mood, judged)))


def _without_empty(
    head: Sequence[str], rows: Sequence[Row]
) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """Leave out the columns in which nothing stands."""
    kept = [i for i in range(len(head)) if any(row.cells[i] for row in rows)]
    return tuple(head[i] for i in kept), tuple(
        Row(tuple(row.cells[i] for i in kept), row.citations) for row in rows
    )


def _characters(found: Breakdown, session: SessionView, words: Words) -> Section:
    rows = tuple(_character_row(found.material, one, words) for one in found.characters)
    head = tuple(words(f"head_{name}") for name in "name how named first last".split())
    tables = [Table(words("table_characters"), head, rows)] if rows else []
    body = [] if rows else [words("no_characters")]
    groups, reason = groups_of(found.material, session)
    if groups:
        tables.append(_groups_table(found.material, groups, words))
    elif reason and found.material.options.looks:
        body.append(words("no_looks", reason=short(reason, 160)))
    return Section(words("characters"), "\n\n".join(body), tables=tuple(tables))


def _groups_table(material: Material, groups: Sequence[Group], words: Words) -> Table:
    rows = []
    for group in groups[:8]:
        seen = list(zip(group.times_s, group.places, strict=True))[:MENTIONS]
        name = words("look", number=group.number)
        where = [f"{clock(t)} ({words(f'place_{place}')})" for t, place in seen]
        cites = [material.cite_span(t, t + 0.04, w) for (t, _), w in zip(seen, where, strict=True)]
        rows.append(Row((name, words.listed(where)), tuple(cites)))
    head = words("head_group"), words("head_seen")
    return Table(words("looks_alike"), head, tuple(rows))


def _character_row(material: Material, one: Character, words: Words) -> Row:
    kind = words("person" if one.is_person else "maybe_person")
    hows = [
        how for how in (INTRODUCED, TITLED, CAPTIONED, SAID) if how in {m.how for m in one.mentions}
    ]
    how = words.listed([words(name) for name in hows])
    name = f"{one.name} ({words.listed(one.other_names)})" if one.other_names else one.name
    cells = (
        name,
        f"{kind}; {how}",
        str(len(one.mentions)),
        clock(one.first_s),
        clock(one.last_s),
    )
    cites = [
        material.cite_span(mention.start_s, mention.end_s, short(mention.text))
        for mention in one.mentions[:MENTIONS]
    ]
    return Row(cells, tuple(cites))


def _themes(found: Breakdown, words: Words) -> Section:
    material = found.material
    themes = themes_of(material)
    if not themes:
        return Section(words("themes"), words("no_themes"))
    head = tuple(words(f"head_{name}") for name in ("theme", "notes", "spread"))
    rows = [
        Row(
            (words.listed(theme.terms), str(theme.notes), f"{theme.share:.0%}"),
            tuple(material.cite(note, short(note.text)) for note in theme.moments),
        )
        for theme in themes
    ]
    spans = parts_of(
        material.video.duration_s, [(scene.start_s, scene.end_s) for scene in found.scenes]
    )
    marks = [
        Row(
            (span(mark.start_s, mark.end_s), words.listed(mark.terms)),
            tuple(material.cite(note, short(note.text)) for note in mark.moments),
        )
        for mark in marks_of(material, spans)
    ]
    tables = [Table(words("table_themes"), head, tuple(rows))]
    if marks:
        tables.append(Table(words("part"), (words("head_time"), words("head_terms")), tuple(marks)))
    return Section(words("themes"), tables=tuple(tables))


def _highlights(found: Breakdown, words: Words, answers: Judged) -> Section:
    title, moments = words("highlights"), found.highlights.moments
    if not moments:
        return Section(title, words("no_highlights"))
    best_first = sorted(moments, key=lambda moment: (-moment.score, moment.start_s))
    rows = [
        _highlight_row(found.material, moment, words, answers.get(("highlight", moment.start_s)))
        for moment in best_first
    ]
    head = tuple(words(f"head_{name}") for name in ("time", "score", "reasons"))
    figures = tuple(row.citations[0] for row in rows)
    return Section(
        title, tables=(Table(words("table_highlights"), head, tuple(rows)),), figures=figures
    )


def _highlight_row(
    material: Material, moment: Highlight, words: Words, answer: Mapping[str, Any] | None
) -> Row:
    reasons = reasons_of(moment, words)
    score = "; ".join(filter(None, (f"{moment.score:.1f}", _told(answer, "score", words))))
    cells = (span(moment.start_s, moment.end_s), score, reasons)
    last_s = max(material.video.duration_s - 0.05, 0.0)
    why = short(reasons, 120)
    cite = Citation(
        material.video.video_id, moment.start_s, moment.end_s, why, min(moment.peak_s, last_s)
    )
    return Row(cells, (cite,))


def reasons_of(moment: Highlight, words: Words) -> str:
    """Return a highlight's reasons for people: "motion 55 %, people 34 % (2)"."""
    return words.listed(
        [
            f"{words(f'sign_{reason.sign}')} {reason.share:.0%}"
            + (f" ({reason.detail})" if reason.detail else "")
            for reason in moment.reasons
        ]
    )


def _script(found: Breakdown, words: Words) -> Section:
    material = found.material
    scene_at = {scene.start_s: scene for scene in found.scenes}
    lines = script_of(found.scenes, found.characters, words, material.options.names_language)
    rows: list[Row] = []
    for line in lines:
        if line.kind == SLUG:
            scene = scene_at[line.start_s]
            said = " \u2014 ".join(filter(None, (line.text, action_of(scene, words))))
            text, cite = f"{scene.number}. {said}", _scene_cite(scene, words)
        elif line.start_s in scene_at and line.kind == ACTION and line.end_s == scene.end_s:
            continue  # stands in the heading's row
        else:
            text = f"\u201c{line.text}\u201d" if line.kind == DIALOGUE else line.text
            cite = material.cite_span(line.start_s, line.end_s, short(line.text))
        rows.append(Row((clock(line.start_s), _speaker(line, words), text), (cite,)))
    body = words("script_note")
    if len(rows) > SCRIPT_ROWS:
        body += "\n\n" + words("more", count=len(rows) - SCRIPT_ROWS)
    head = words("head_time"), words("head_name"), words("script")
    kept_head, kept = _without_empty(head, rows[:SCRIPT_ROWS])
    return Section(words("script"), body, tables=(Table(words("table_script"), kept_head, kept),))


def _speaker(line: ScriptLine, words: Words) -> str:
    if line.kind != DIALOGUE:
        return ""
    caption = f" ({words('captioned')})" if line.by_caption else ""
    return (line.speaker or words("unknown_speaker")) + caption
