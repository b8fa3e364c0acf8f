-- From schema 1: the settings become those of the view "main"; what is derived is made anew from the log.
CREATE TABLE views (name bytea PRIMARY KEY, settings text NOT NULL, mark text, image text);
ALTER TABLE views ALTER mark SET STATISTICS 0;
INSERT INTO views SELECT 'main', settings FROM rlem_memory WHERE settings IS NOT NULL;

ALTER TABLE rlem_memory ADD rewritten bigint NOT NULL DEFAULT 0, DROP settings, DROP derived_fingerprint,
    DROP derived_revision, DROP derived_replaced;
UPDATE rlem_memory SET rewritten = revision;

ALTER TABLE episodes ADD revision bigint, ADD corrections text NOT NULL DEFAULT '[]';
UPDATE episodes SET revision = (SELECT revision FROM rlem_memory);
ALTER TABLE episodes ALTER revision SET NOT NULL, ALTER corrections SET STATISTICS 0;
CREATE INDEX episodes_task ON episodes (task);
CREATE INDEX episodes_final ON episodes (final);
CREATE INDEX situations_task ON situations (task);
CREATE INDEX situations_observation ON situations (observation);
CREATE INDEX situations_actions ON situations (actions);
CREATE INDEX situations_subtask ON situations (subtask);
ALTER TABLE transitions DROP CONSTRAINT transitions_episode_fkey;

CREATE TABLE history (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision bigint NOT NULL,
    recorded_s double precision NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL
);

DROP TABLE experiences;
CREATE TABLE experiences (
    situation bytea NOT NULL,
    view bytea NOT NULL,
    revision bigint NOT NULL,
    state text,
    PRIMARY KEY (situation, view)
);
CREATE INDEX experiences_changed ON experiences (view, revision);
ALTER TABLE experiences ALTER state SET STATISTICS 0;

CREATE TABLE images (
    view bytea NOT NULL,
    part text NOT NULL,
    chunk integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (view, part, chunk)
);
ALTER TABLE images ALTER data SET STATISTICS 0
