"""Rows of settings, and the store's own name among them. Works inside a given transaction."""

import uuid

import sqlalchemy as sa

from agentkit_storage.schema import SettingRow

STORE_ID = "store_id"


def get(conn: sa.Connection, key: str) -> str | None:
    return conn.scalar(sa.select(SettingRow.value).where(SettingRow.key == key))


def put(conn: sa.Connection, key: str, value: str) -> None:
    conn.execute(sa.delete(SettingRow).where(SettingRow.key == key))
    conn.execute(sa.insert(SettingRow).values(key=key, value=value))


def store_id(conn: sa.Connection) -> str:
    """Return the store's own name, which its snapshots carry; made up once."""
    known = get(conn, STORE_ID)
    if known is None:
        known = uuid.uuid4().hex
        put(conn, STORE_ID, known)
    return known
