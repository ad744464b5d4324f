"""What domains found out about a video, as JSON. Works inside a given transaction.

It can always be made again: what is damaged, or of another version, is as good as not there.
"""

import json
from typing import Any

import sqlalchemy as sa

from agentkit_storage.errors import RecordError
from agentkit_storage.schema import AnalysisRow
from agentkit_storage.sealed import SealError, check_row, row_seal

SEALED = ("video_id", "name", "version", "body")
MAX_NAME = 200


def get(conn: sa.Connection, video_id: str, name: str, version: str) -> str | None:
    """Return the JSON of this version, or None."""
    mine = (AnalysisRow.video_id == video_id, AnalysisRow.name == name)
    row = conn.execute(
        sa.select(AnalysisRow).where(*mine, AnalysisRow.version == version)
    ).one_or_none()
    return row.body if row is not None and problem(row) is None else None


def put(conn: sa.Connection, video_id: str, name: str, version: str, body: str) -> None:
    """Keep the JSON, in place of what another version made.

    Raises:
        RecordError: a name or version is empty or longer than 200 letters.
    """
    for what in (name, version):
        if not 0 < len(what) <= MAX_NAME:
            raise RecordError(f"{what[:40]!r} is no name of an analysis: 1 to {MAX_NAME} letters")
    row: dict[str, Any] = {"video_id": video_id, "name": name, "version": version, "body": body}
    mine = (AnalysisRow.video_id == video_id, AnalysisRow.name == name)
    conn.execute(sa.delete(AnalysisRow).where(*mine))
    conn.execute(sa.insert(AnalysisRow).values(**row, seal=row_seal(row, SEALED)))


def problem(row: "sa.Row[*tuple[Any, ...]]") -> str | None:
    """Return what is wrong with a row, or None."""
    try:
        check_row(row._mapping, SEALED)
        json.loads(row.body)
    except (SealError, ValueError) as error:
        return f"the analysis {row.name!r} is damaged ({error})"
    return None
