"""What searches read: words that can be checked against the texts; PostgreSQL's words and vectors.

On PostgreSQL the server keeps how many words there are in all, which bm25 needs.
"""

from alembic import op

from agentkit_storage.postgres_search import fill

revision = "0005"
down_revision = "0004"

_SQLITE = (
    "DROP TRIGGER segment_words_added",
    "DROP TRIGGER segment_words_removed",
    "DROP TABLE words",
    "CREATE VIEW word_source AS SELECT id, text FROM segment WHERE text <> ''",
    """CREATE VIRTUAL TABLE words USING fts5(
        text, content='word_source', content_rowid='id',
        tokenize='porter unicode61 remove_diacritics 2'
    )""",
    """CREATE TRIGGER segment_words_added AFTER INSERT ON segment WHEN new.text <> '' BEGIN
        INSERT INTO words (rowid, text) VALUES (new.id, new.text);
    END""",
    """CREATE TRIGGER segment_words_removed AFTER DELETE ON segment WHEN old.text <> '' BEGIN
        INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
    END""",
    "INSERT INTO words (words) VALUES ('rebuild')",
)
_KINDS = (  # of tokens that PostgreSQL's parser may make of letters and digits
    "asciiword, word, numword, int, uint, float, sfloat, version, host, file, email, url,"
    " url_path, protocol, hword, hword_part, asciihword, hword_asciipart, numhword, hword_numpart"
)
_POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE TEXT SEARCH DICTIONARY agentkit_stem (TEMPLATE = snowball, LANGUAGE = porter)",
    "CREATE TEXT SEARCH CONFIGURATION agentkit (PARSER = default)",
    f"ALTER TEXT SEARCH CONFIGURATION agentkit ADD MAPPING FOR {_KINDS} WITH agentkit_stem",
    """CREATE TABLE segment_search (
        segment_id bigint PRIMARY KEY REFERENCES segment (id) ON DELETE CASCADE,
        space varchar(64) NOT NULL,
        words tsvector,
        num_words integer NOT NULL,
        embedding halfvec
    )""",
    "CREATE INDEX ix_segment_search_words ON segment_search USING gin (words)",
    "CREATE INDEX ix_segment_search_space ON segment_search (space, segment_id)",
    "CREATE TABLE word_total (texts bigint NOT NULL, words bigint NOT NULL)",
    "INSERT INTO word_total VALUES (0, 0)",
    """CREATE FUNCTION word_total_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    BEGIN
        UPDATE word_total SET
            texts = texts + sign * (SELECT count(*) FROM changed WHERE num_words > 0),
            words = words + sign * (SELECT coalesce(sum(num_words), 0) FROM changed);
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER word_total_more AFTER INSERT ON segment_search
        REFERENCING NEW TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION word_total_changed()""",
    """CREATE TRIGGER word_total_less AFTER DELETE ON segment_search
        REFERENCING OLD TABLE AS changed
        FOR EACH STATEMENT EXECUTE FUNCTION word_total_changed()""",
)


def upgrade() -> None:
    conn = op.get_bind()
    if conn.dialect.name == "sqlite":
        for statement in _SQLITE:
            op.execute(statement)
        return
    for statement in _POSTGRESQL:
        conn.exec_driver_sql(statement)
    fill(conn)
