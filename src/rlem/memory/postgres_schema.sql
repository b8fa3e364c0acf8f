CREATE TABLE rlem_memory (
    the_only boolean PRIMARY KEY DEFAULT true CHECK (the_only),
    schema_version integer NOT NULL,
    revision bigint NOT NULL,
    rewritten bigint NOT NULL DEFAULT 0
);

CREATE TABLE commits (slot integer PRIMARY KEY, revision bigint NOT NULL, token bytea NOT NULL);

CREATE TABLE views (name bytea PRIMARY KEY, settings text NOT NULL, mark text, image text);

CREATE TABLE texts (digest bytea PRIMARY KEY, text bytea NOT NULL);

CREATE TABLE situations (
    key bytea PRIMARY KEY,
    task bytea NOT NULL,
    observation bytea NOT NULL,
    actions bytea NOT NULL,
    subtask bytea NOT NULL
);
CREATE INDEX situations_task ON situations (task);
CREATE INDEX situations_observation ON situations (observation);
CREATE INDEX situations_actions ON situations (actions);
CREATE INDEX situations_subtask ON situations (subtask);

CREATE TABLE episodes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id bytea NOT NULL,
    sequence bigint NOT NULL,
    recorded_s double precision NOT NULL,
    task bytea NOT NULL,
    task_id bytea NOT NULL,
    source bytea NOT NULL,
    split bytea NOT NULL,
    model bytea NOT NULL,
    trust text NOT NULL,
    status text NOT NULL,
    cause bytea NOT NULL,
    start text NOT NULL,
    final bytea,
    revision bigint NOT NULL,
    corrections text NOT NULL DEFAULT '[]'
);
CREATE UNIQUE INDEX episodes_id ON episodes (sha256(id));
CREATE INDEX episodes_order ON episodes (sequence);
CREATE INDEX episodes_task ON episodes (task);
CREATE INDEX episodes_final ON episodes (final);

CREATE TABLE transitions (
    episode bigint NOT NULL,
    step integer NOT NULL,
    situation bytea NOT NULL,
    action bytea,
    reward double precision NOT NULL,
    reason bytea NOT NULL,
    PRIMARY KEY (episode, step)
);
CREATE INDEX transitions_situation ON transitions (situation);

CREATE TABLE history (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision bigint NOT NULL,
    recorded_s double precision NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL
);

CREATE TABLE experiences (
    situation bytea NOT NULL,
    view bytea NOT NULL,
    revision bigint NOT NULL,
    state text,
    PRIMARY KEY (situation, view)
);
CREATE INDEX experiences_changed ON experiences (view, revision);

CREATE TABLE images (
    view bytea NOT NULL,
    part text NOT NULL,
    chunk integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (view, part, chunk)
);

CREATE TABLE features (
    fingerprint text NOT NULL,
    digest bytea NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (fingerprint, digest)
);

-- The server's statistics would keep samples of what is later forgotten.
ALTER TABLE texts ALTER text SET STATISTICS 0;
ALTER TABLE views ALTER mark SET STATISTICS 0;
ALTER TABLE episodes ALTER id SET STATISTICS 0, ALTER task_id SET STATISTICS 0, ALTER source SET STATISTICS 0,
    ALTER split SET STATISTICS 0, ALTER model SET STATISTICS 0, ALTER cause SET STATISTICS 0,
    ALTER start SET STATISTICS 0, ALTER corrections SET STATISTICS 0;
ALTER TABLE transitions ALTER action SET STATISTICS 0, ALTER reason SET STATISTICS 0;
ALTER TABLE experiences ALTER state SET STATISTICS 0;
ALTER TABLE images ALTER data SET STATISTICS 0;
ALTER TABLE features ALTER data SET STATISTICS 0
