"""How an older SQLite memory becomes one of today: SQL from each schema version to the next."""

from __future__ import annotations

_TO_2 = """
ALTER TABLE episodes ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE episodes ADD COLUMN corrections TEXT NOT NULL DEFAULT '[]';
UPDATE episodes SET id = CAST(id AS BLOB), revision = (SELECT value FROM meta WHERE name = 'revision');
CREATE TABLE history (
    revision INTEGER NOT NULL,
    recorded_s REAL NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TABLE views (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    settings TEXT NOT NULL,
    mark TEXT,
    image TEXT
);
INSERT INTO views (name, settings) SELECT 'main', value FROM meta WHERE name = 'settings';
DELETE FROM meta WHERE name != 'revision';
INSERT INTO meta VALUES ('rewritten', 0), ('deleted', 0);
DROP TABLE experiences;
CREATE TABLE experiences (
    situation INTEGER NOT NULL REFERENCES situations ON DELETE CASCADE,
    view INTEGER NOT NULL REFERENCES views ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    state TEXT,
    PRIMARY KEY (situation, view)
) WITHOUT ROWID;
CREATE INDEX experiences_revision ON experiences (view, revision);
CREATE TABLE images (
    view INTEGER NOT NULL REFERENCES views ON DELETE CASCADE,
    part TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (view, part, chunk)
)
"""
"""Many views, history, images and arrivals. What was derived is dropped and made anew from the log; ids
become bytes, which stand in one order whatever is in them."""

UPGRADES: dict[int, str] = {1: _TO_2}
"""By the version that it starts from. One transaction runs all that are needed."""
