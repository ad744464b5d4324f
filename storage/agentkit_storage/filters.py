"""A `Filter` as conditions of SQL. Works on both databases, for any number of videos."""

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from agentkit_storage.schema import SegmentRow, TagRow, VideoRow
from agentkit_storage.types import Filter

EVERYTHING = Filter()


def any_of(
    conn: sa.Connection, column: Any, values: Iterable[str] | Iterable[int]
) -> sa.ColumnElement[bool]:
    """Return `column IN values` as one parameter: databases limit how many a statement has."""
    wanted = list(values)
    if conn.dialect.name == "postgresql":
        is_number = isinstance(column.type, sa.Integer)
        kind = ARRAY[Any](sa.BigInteger if is_number else sa.Text)
        array: sa.ColumnElement[bool] = column == sa.any_(sa.literal(wanted, kind))
        return array
    rows = sa.func.json_each(json.dumps(wanted)).table_valued("value")
    listed: sa.ColumnElement[bool] = column.in_(sa.select(rows.c.value))
    return listed


def of_videos(conn: sa.Connection, where: Filter) -> list[sa.ColumnElement[bool]]:
    """Return what a filter asks of a video's row; nothing where it asks nothing."""
    conditions: list[sa.ColumnElement[bool]] = []
    if where.video_ids is not None:
        conditions.append(any_of(conn, VideoRow.id, where.video_ids))
    if where.collection is not None:
        conditions.append(VideoRow.collection == where.collection)
    if where.domain is not None:
        conditions.append(VideoRow.domain == where.domain)
    for tag in where.tags:
        has = sa.exists().where(TagRow.video_id == VideoRow.id, TagRow.tag == tag)
        conditions.append(has)
    return conditions


def of_segments(conn: sa.Connection, where: Filter) -> list[sa.ColumnElement[bool]]:
    """Return what a filter asks of a segment's row; nothing where it asks nothing."""
    conditions: list[sa.ColumnElement[bool]] = []
    if videos := of_videos(conn, where):
        inside = sa.select(VideoRow.id).where(*videos)
        conditions.append(SegmentRow.video_id.in_(inside))
    if where.start_s is not None:
        touches = (SegmentRow.end_s > where.start_s) | (SegmentRow.start_s >= where.start_s)
        conditions.append(touches)
    if where.end_s is not None:
        conditions.append(SegmentRow.start_s < where.end_s)
    return conditions
