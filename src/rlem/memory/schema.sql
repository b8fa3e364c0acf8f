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
    final INTEGER REFERENCES situations
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

CREATE TABLE experiences (
    situation INTEGER PRIMARY KEY REFERENCES situations ON DELETE CASCADE,
    state TEXT NOT NULL
);

CREATE TABLE features (
    fingerprint TEXT NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (fingerprint, digest)
) WITHOUT ROWID;
