-- Lists for all users: all ways of computing them give the same, and a rewrite makes a table right
-- whatever it held, without touching rows that are right already.
BEGIN;
CREATE SCHEMA batch;
SELECT set_config('search_path', 'batch, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(33);

CREATE FUNCTION differences(target regclass, model text, x integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('WITH wanted AS (SELECT * FROM fm_top_x_all(%s, %L)),
        got AS (SELECT user_id::text, rank, item_id::text, score, rating FROM %s)
        SELECT (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE got) a) +
            (SELECT count(*) FROM (TABLE got EXCEPT ALL TABLE wanted) b)', x, model, target) INTO result;
    RETURN result;
END $$;

-- Ids without gaps, with wide gaps, negative, and text: each kind is looked up in its own way. More
-- users than fit into a block.
CREATE TABLE dense AS
SELECT u AS user_id, i AS item_id, (1 + hashint8extended(u * 1000 + i, 2) & 3)::real AS rating
FROM generate_series(1, 700) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 5 = 0 OR i = 1;
CREATE VIEW sparse AS SELECT (user_id - 300) * 10000000000 AS user_id, item_id * -77777777777 AS item_id, rating FROM dense;
CREATE VIEW words AS SELECT 'user ' || to_char(user_id, 'FM0000') AS user_id, 'item ' || item_id AS item_id, rating FROM dense;
SELECT is(status, 'succeeded', m || ': trained') FROM (VALUES ('dense'), ('sparse'), ('words')) n (m),
    fm_train(m, m::regclass, num_factors => 4, iterations => 3);

-- Rows with unknown users or items, NULLs and duplicates.
INSERT INTO dense VALUES (100000, 1, 3), (1, 100000, 3), (NULL, 1, 3), (2, NULL, 3), (3, 1, 3), (3, 1, 4);
SELECT is((SELECT count(*) FROM (
        SELECT * FROM fm_top_x_all(7, m)
        EXCEPT ALL
        SELECT u.id, t.* FROM fm_user_vectors(m) u, fm_top_x(u.id, 7, m) t) d),
    0::bigint, m || ': all users as each of them')
FROM (VALUES ('dense'), ('sparse'), ('words')) n (m);
SELECT is((SELECT count(*) FROM fm_top_x_all(7, m)), 4900::bigint, m || ': and none left out')
FROM (VALUES ('dense'), ('sparse'), ('words')) n (m);
SELECT is((SELECT count(*) FROM fm_top_x_all(7, 'dense') t JOIN dense d
    ON d.user_id::text = t.user_id AND d.item_id::text = t.item_id), 0::bigint, 'no list has a seen item');
SELECT is((SELECT count(*) FROM fm_top_x_all(100, 'dense', false)), 42000::bigint, 'without exclude_seen, a list has all items');

-- A rewrite after random damage of every kind.
CREATE FUNCTION damage(target text, users text, items text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM %s WHERE random() < 0.05', target);
    EXECUTE format('UPDATE %s SET score = score + 1 WHERE random() < 0.05', target);
    EXECUTE format('UPDATE %s SET score = ''NaN'' WHERE random() < 0.01', target);
    EXECUTE format('UPDATE %s SET rating = rating + 1 WHERE random() < 0.05', target);
    EXECUTE format('UPDATE %s SET rating = NULL WHERE random() < 0.01', target);
    EXECUTE format('UPDATE %s SET rating = ''NaN'' WHERE random() < 0.01', target);
    EXECUTE format('UPDATE %s SET item_id = (SELECT item_id FROM %s LIMIT 1) WHERE random() < 0.05', target, target);
    EXECUTE format('UPDATE %s SET rank = rank + 1000 WHERE random() < 0.05', target);
    EXECUTE format('UPDATE %s SET rank = -rank WHERE random() < 0.01', target);
    EXECUTE format('INSERT INTO %s (user_id, rank, item_id, score) SELECT %s, n, %s, 1 FROM generate_series(1, 40) n',
        target, users, items);
END $$;
-- Rows that were right before a rewrite and have another ctid or xmin after it.
CREATE FUNCTION touched(target text, x integer, model text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('CREATE TEMP TABLE was ON COMMIT DROP AS SELECT t.ctid AS at, t.cmin::text AS by, t.tableoid AS part, t.user_id, t.rank
        FROM %s t JOIN fm_top_x_all(%s, %L) w ON w.user_id = t.user_id::text AND w.rank = t.rank
            AND w.item_id = t.item_id::text AND w.score = t.score AND w.rating = t.rating', target, x, model);
    EXECUTE format('SELECT fm_write_top_x(%L, %s, %L)', target, x, model);
    EXECUTE format('SELECT count(*) FROM was LEFT JOIN %s t
        ON t.ctid = was.at AND t.tableoid = was.part AND t.cmin::text = was.by AND t.user_id = was.user_id AND t.rank = was.rank
        WHERE t.rank IS NULL', target) INTO result;
    DROP TABLE was;
    RETURN result;
END $$;

SELECT setseed(0.25) \g /dev/null
SELECT fm_write_top_x('dense_lists', 7, 'dense'), fm_write_top_x('sparse_lists', 7, 'sparse'), fm_write_top_x('words_lists', 7, 'words') \g /dev/null
SELECT is(differences((m || '_lists')::regclass, m, 7), 0::bigint, m || ': a new table')
FROM (VALUES ('dense'), ('sparse'), ('words')) n (m);
SELECT damage('dense_lists', '90000 + n', '1'), damage('sparse_lists', '-n', 'n'), damage('words_lists', '''x'' || n', '''item 1''') \g /dev/null
SELECT isnt(differences((m || '_lists')::regclass, m, 7), 0::bigint, m || ': damaged')
FROM (VALUES ('dense'), ('sparse'), ('words')) n (m);
SELECT is(touched(m || '_lists', 7, m), 0::bigint, m || ': what was right is not touched')
FROM (VALUES ('dense'), ('sparse'), ('words')) n (m);
SELECT is(differences((m || '_lists')::regclass, m, 7), 0::bigint, m || ': the rest is put right')
FROM (VALUES ('dense'), ('sparse'), ('words')) n (m);

-- Tables that are partitioned, have no key or more columns, rows without a user, and a trigger that
-- counts changes.
CREATE TABLE parts (note text DEFAULT 'new', score real, rating real, item_id int, rank int, user_id int) PARTITION BY HASH (user_id);
CREATE TABLE part0 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE part1 (rating real, user_id int, rank int, item_id int, note text DEFAULT 'new', score real);
ALTER TABLE parts ATTACH PARTITION part1 FOR VALUES WITH (modulus 2, remainder 1);
SELECT is(fm_write_top_x('parts', 7, 'dense'), 4900::bigint, 'a partitioned table');
UPDATE parts SET note = 'kept';
SELECT damage('parts', '90000 + n', '1') \g /dev/null
INSERT INTO parts (user_id, rank, item_id, score) VALUES (NULL, 1, 1, 1), (5, NULL, 1, 1), (NULL, NULL, NULL, NULL);
UPDATE parts SET item_id = NULL WHERE user_id = 9;
UPDATE parts SET score = NULL WHERE user_id = 10;
CREATE TABLE counted (n bigint);
INSERT INTO counted VALUES (0);
CREATE FUNCTION count_row() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE batch.counted SET n = n + 1; RETURN NULL; END $$;
CREATE TABLE right_before AS
SELECT t.* FROM parts t JOIN fm_top_x_all(7, 'dense') w ON w.user_id = t.user_id::text AND w.rank = t.rank
    AND w.item_id = t.item_id::text AND w.score = t.score AND w.rating = t.rating;
CREATE TABLE before AS TABLE parts;
CREATE TRIGGER count_row AFTER INSERT OR UPDATE OR DELETE ON parts FOR EACH ROW EXECUTE FUNCTION count_row();
SELECT is(touched('parts', 7, 'dense'), 0::bigint, 'partitions: rows that are right are not touched');
SELECT is(differences('parts', 'dense', 7), 0::bigint, 'partitions: the rest is corrected');
-- wrong rows are updated or deleted and missing ones inserted, each once
SELECT is((SELECT n FROM counted),
    (SELECT count(*) FROM before) - (SELECT count(*) FROM right_before) +
    (SELECT count(*) FROM parts p WHERE NOT EXISTS (SELECT FROM before b WHERE b.user_id = p.user_id AND b.rank = p.rank)),
    'a trigger sees each change once, and nothing else');
SELECT is((SELECT count(*) FROM parts WHERE note = 'kept' AND item_id IS NOT NULL) > 4000, true, 'other columns keep their values');

-- More than maintenance_work_mem: seen pairs are sorted, and lists are compared by statements.
CREATE TABLE many AS
SELECT u AS user_id, i AS item_id, (1 + (u * 7 + i * 3) % 5)::real AS rating
FROM generate_series(1, 9000) u, generate_series(1, 80) i WHERE hashint8extended(u * 1000 + i, 1) % 5 = 0 OR i = 1;
SELECT fm_train('many', 'many', num_factors => 2, iterations => 1, solver => 'als') \g /dev/null
SELECT fm_write_top_x('many_lists', 10, 'many') \g /dev/null
CREATE TABLE at_ease AS TABLE many_lists;
SET LOCAL maintenance_work_mem = '1MB';
SELECT fm_write_top_x('many_spilled', 10, 'many') \g /dev/null
SELECT bag_eq('TABLE many_spilled', 'TABLE at_ease', 'little memory: the same rows');
SELECT damage('many_lists', '900000 + n', '1') \g /dev/null
SELECT is(touched('many_lists', 10, 'many'), 0::bigint, 'little memory: rows that are right are not touched');
SELECT bag_eq('TABLE many_lists', 'TABLE at_ease', 'little memory: the rest is corrected');
RESET maintenance_work_mem;

-- A table that an event trigger alters as soon as it is created.
CREATE FUNCTION add_column() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('batch.altered') IS NOT NULL THEN
        ALTER TABLE batch.altered ADD note text DEFAULT 'by default';
    END IF;
END $$;
CREATE EVENT TRIGGER add_column ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION add_column();
SELECT is(fm_write_top_x('altered', 3, 'dense'), 2100::bigint, 'a table altered by an event trigger');
DROP EVENT TRIGGER add_column;
SELECT is((SELECT count(*) FROM altered WHERE note = 'by default'), 2100::bigint, 'the column added by the event trigger has its default');

SELECT * FROM finish();
ROLLBACK;
