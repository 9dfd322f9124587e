-- Tables that are not plain: lists and versions are written to partitioned tables and to tables without
-- a key in the same way as to any other table.
BEGIN;
CREATE SCHEMA not_plain;
SELECT set_config('search_path', 'not_plain, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(15);

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + hashint8extended(u * 1000 + i, 2) & 3)::real AS rating
FROM generate_series(1, 4000) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 5 = 0 OR i = 1;
CREATE VIEW features AS SELECT i AS item_id, i % 3 AS shelf, cos(i) AS size FROM generate_series(1, 60) i;
SELECT is(status, 'succeeded', 'trained') FROM fm_train('m', 'ratings', num_factors => 4, iterations => 3);
SELECT fm_write_top_x('plain', 40, 'm') \g /dev/null

CREATE FUNCTION differences(target regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('SELECT (SELECT count(*) FROM (TABLE plain EXCEPT ALL TABLE %1$s) a) +
        (SELECT count(*) FROM (TABLE %1$s EXCEPT ALL TABLE plain) b)', target) INTO result;
    RETURN result;
END $$;

-- Duplicate rows are removed, whether or not the old lists fit in memory.
CREATE TABLE keyless (user_id integer, rank integer, item_id integer, score real, rating real);
SELECT fm_write_top_x('keyless', 40, 'm') \g /dev/null
SELECT is(differences('keyless'), 0::bigint, 'a table without a key: written');
INSERT INTO keyless SELECT * FROM keyless WHERE user_id % 3 = 0;
INSERT INTO keyless SELECT user_id, rank, item_id, score + 1, rating FROM keyless WHERE user_id % 50 = 0;
SELECT is(fm_write_top_x('keyless', 40, 'm'), (SELECT count(*) FROM plain), 'duplicate rows: the number of rows');
SELECT is(differences('keyless'), 0::bigint, 'duplicate rows: removed');
INSERT INTO keyless SELECT * FROM keyless WHERE user_id % 3 = 0;
SET LOCAL maintenance_work_mem = '1MB';
SELECT fm_write_top_x('keyless', 40, 'm') \g /dev/null
SELECT is(differences('keyless'), 0::bigint, 'duplicate rows: removed, with little memory');
RESET maintenance_work_mem;

-- Partitions: no statement on the parent is a scan of the parent.
CREATE TABLE parts (user_id integer, rank integer, item_id integer, score real, rating real, PRIMARY KEY (user_id, rank))
    PARTITION BY HASH (user_id);
CREATE TABLE part_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT fm_write_top_x('parts', 40, 'm') \g /dev/null
SELECT is(differences('parts'), 0::bigint, 'partitions: written');
DELETE FROM parts WHERE user_id % 7 = 1;
UPDATE parts SET score = 1 WHERE user_id % 5 = 1;
UPDATE parts SET item_id = NULL WHERE user_id % 11 = 1;
INSERT INTO parts VALUES (100000, 1, 1, 1);
SELECT fm_write_top_x('parts', 40, 'm') \g /dev/null
SELECT is(differences('parts'), 0::bigint, 'partitions: corrected');
DELETE FROM parts WHERE user_id % 7 = 1;
UPDATE parts SET score = 1 WHERE user_id % 5 = 1;
INSERT INTO parts VALUES (100000, 1, 1, 1);
SET LOCAL maintenance_work_mem = '1MB';
SELECT fm_write_top_x('parts', 40, 'm') \g /dev/null
SELECT is(differences('parts'), 0::bigint, 'partitions: corrected, with little memory');
RESET maintenance_work_mem;

-- A model's tables replaced by others: the next version is written into these, in chunks.
CREATE TABLE texts AS SELECT 'u' || user_id AS user_id, item_id, rating FROM ratings WHERE user_id <= 500;
INSERT INTO texts SELECT 'w' || u, 1 + u % 60, 3 FROM generate_series(1, 12000) u;
SELECT is(status, 'succeeded', 'trained with features')
FROM fm_train('t', 'texts', num_factors => 4, iterations => 3, item_features => 'features');
CREATE FUNCTION make_parts(base text, key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %1$s RENAME TO old_%1$s;
        CREATE TABLE shape (LIKE old_%1$s INCLUDING DEFAULTS) PARTITION BY HASH (%2$s);
        CREATE TABLE %1$s_0 PARTITION OF shape FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE %1$s_1 PARTITION OF shape FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO shape SELECT * FROM old_%1$s;
        ALTER TABLE shape RENAME TO %1$s', base, key);
    EXECUTE format('UPDATE fm_model SET %s = %L::regclass WHERE model = ''t''', replace(base, 'fm_t_', '') || '_table',
        base);
END $$;
SELECT make_parts('fm_t_user', 'user_id'), make_parts('fm_t_item', 'item_id'), make_parts('fm_t_level', 'idx') \g /dev/null
SELECT is(status, 'succeeded', 'trained into partitions') FROM fm_train('t');
SELECT is(count(*), 0::bigint, 'the same users') FROM (
    SELECT idx, user_id, w, v, digest FROM fm_t_user WHERE version = 2
    EXCEPT SELECT idx, user_id, w, v, digest FROM old_fm_t_user) d;
SELECT is(count(*), 12500::bigint, 'as many users') FROM fm_t_user WHERE version = 2;
SELECT is(count(*), 0::bigint, 'the same levels') FROM (
    SELECT idx, name, side, feature, level, mean, w, v FROM fm_t_level WHERE version = 2
    EXCEPT SELECT idx, name, side, feature, level, mean, w, v FROM old_fm_t_level) d;
SELECT is(count(*), (SELECT count(*) FROM old_fm_t_level), 'as many levels') FROM fm_t_level WHERE version = 2;
SELECT is(count(*), 10::bigint, 'served') FROM fm_top_x('u7'::text, 10, 't');

SELECT * FROM finish();
ROLLBACK;
