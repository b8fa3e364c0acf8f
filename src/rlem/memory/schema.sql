CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE texts (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, text NOT NULL);

CREATE TABLE situations (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    task INTEGER NOT NULL REFERENCES texts,
    observation INTEGER NOT NULL REFERENCES texts,
    actions INTEGER NOT NULL REFERENCES texts,
    subtask INTEGER NOT NULL REFERENCES texts
);
CREATE INDEX situations_task ON situations (task);
CREATE INDEX situations_observation ON situations (observation);
CREATE INDEX situations_actions ON situations (actions);
CREATE INDEX situations_subtask ON situations (subtask);

CREATE TABLE episodes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id NOT NULL UNIQUE,
    sequence INTEGER NOT NULL,
    recorded_s REAL NOT NULL,
    task INTEGER NOT NULL REFERENCES texts,
    task_id NOT NULL,
    source NOT NULL,
    split NOT NULL,
    model NOT NULL,
    trust TEXT NOT NULL,
    status TEXT NOT NULL,
    cause NOT NULL,
    start TEXT NOT NULL,
    final INTEGER REFERENCES situations,
    revision INTEGER NOT NULL DEFAULT 0,
    corrections TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX episodes_order ON episodes (sequence, id);
CREATE INDEX episodes_task ON episodes (task);
CREATE INDEX episodes_final ON episodes (final);

CREATE TABLE transitions (
    episode INTEGER NOT NULL REFERENCES episodes ON DELETE CASCADE,
    step INTEGER NOT NULL,
    situation INTEGER NOT NULL REFERENCES situations,
    action,
    reward REAL NOT NULL,
    reason NOT NULL,
    PRIMARY KEY (episode, step)
) WITHOUT ROWID;
CREATE INDEX transitions_situation ON transitions (situation);

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
);

CREATE TABLE features (
    fingerprint TEXT NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (fingerprint, digest)
) WITHOUT ROWID;
