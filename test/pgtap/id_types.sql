-- Integer ids of any width are compatible, and a training follows the type that ids have now.
BEGIN;
CREATE SCHEMA id_types;
SELECT set_config('search_path', 'id_types, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

CREATE TABLE numbers AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(101, 130) u, generate_series(201, 225) i WHERE hashint8extended(u * 1000 + i, 1) % 3 <> 0;

-- A model for ids of each type, whose relation gets ids of each other type.
CREATE FUNCTION made(type text, task text DEFAULT 'regression') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS ratings; CREATE TABLE ratings AS
                    SELECT user_id::%1$s, item_id::%1$s, rating FROM numbers; CREATE INDEX ON ratings (user_id)', type);
    PERFORM fm_drop(model) FROM fm_models WHERE model = 'm';
    EXECUTE $q$ SELECT fm_train('m', 'ratings', num_factors => 3, iterations => 5, workers => 0) $q$;
END $$;
CREATE FUNCTION retyped(type text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE ratings ALTER user_id TYPE %1$s, ALTER item_id TYPE %1$s', type);
END $$;
-- What a model says to every question, as text.
CREATE FUNCTION answers() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT format('top %s %s', u, t) FROM generate_series(100, 131) u, fm_top_x(u, 30, 'm') t;
    RETURN QUERY SELECT format('text %s %s', u, t) FROM generate_series(100, 131) u, fm_top_x(u::text, 30, 'm') t;
    RETURN QUERY SELECT format('candidates %s', t) FROM fm_top_x(101, 30, 'm', candidates => '{201,205,210,5000000000}') t;
    RETURN QUERY SELECT format('all %s', t) FROM fm_top_x_all(30, 'm') t;
    RETURN QUERY SELECT format('predict %s', fm_predict(101, 201, 'm'));
    RETURN QUERY SELECT format('similar %s', t) FROM fm_similar_items(201, 30, 'm') t;
    RETURN QUERY SELECT format('users %s', t) FROM fm_top_users(201, 30, 'm') t;
    RETURN QUERY SELECT format('evaluate %s %s', metric, round(value::numeric, 9)) FROM fm_evaluate('ratings', 'm');
END $$;

CREATE TABLE expected (type text, answer text);
DO $$
DECLARE type text;
BEGIN
    FOREACH type IN ARRAY '{smallint,integer,bigint}'::text[] LOOP
        PERFORM made(type);
        INSERT INTO expected SELECT type, answers();
    END LOOP;
END $$;
SELECT cmp_ok(count(*), '>', 800::bigint, 'there are answers') FROM expected WHERE type = 'integer';
SELECT is_empty($$SELECT answer FROM expected GROUP BY answer HAVING count(*) % 3 <> 0$$, 'the same for each type of ids');

CREATE TABLE changes AS
SELECT a AS made, b AS now FROM unnest('{smallint,integer,bigint}'::text[]) a, unnest('{smallint,integer,bigint}'::text[]) b
WHERE a <> b;
CREATE FUNCTION served_after(made text, now text) RETURNS TABLE (unlike bigint, folded text, written bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM made(made);
    PERFORM retyped(now);
    unlike := (SELECT count(*) FROM ((SELECT answers() EXCEPT ALL SELECT answer FROM expected e WHERE e.type = made)
        UNION ALL (SELECT answer FROM expected e WHERE e.type = made EXCEPT ALL SELECT answers())) d);
    -- a new user, and a new item, are folded in
    EXECUTE 'INSERT INTO ratings SELECT 1000, item_id, rating FROM numbers WHERE user_id = 105 UNION ALL VALUES (1000, 999, 2.0)';
    folded := (SELECT message FROM fm_fold_in('m'));
    DROP TABLE IF EXISTS lists;
    EXECUTE format('CREATE TABLE lists (user_id %1$s, rank int, item_id %1$s, score real)', now);
    PERFORM fm_write_top_x('lists', 5, 'm');
    EXECUTE 'UPDATE lists SET item_id = item_id + 1 WHERE user_id = 105';
    EXECUTE 'INSERT INTO lists VALUES (104, 77, 1, 1), (32000, 1, 1, 1)';
    PERFORM fm_write_top_x('lists', 5, 'm');
    written := (SELECT count(*) FROM ((SELECT user_id::text, rank, item_id::text, score FROM lists
        EXCEPT ALL SELECT user_id, rank, item_id, score FROM fm_top_x_all(5, 'm')) UNION ALL
        (SELECT user_id, rank, item_id, score FROM fm_top_x_all(5, 'm') EXCEPT ALL SELECT user_id::text, rank, item_id::text, score FROM lists)) d);
    RETURN NEXT;
END $$;
SELECT is(row(s.*)::text, row(0, 'folded into version 1; users: 1 added, 0 updated; items: 1 added, 0 updated', 0)::text,
          format('a model for ids of type %s serves ratings with ids of type %s', made, now))
FROM changes, served_after(made, now) s;

-- Ids that the model's type cannot hold are unknown to it, wherever they stand.
SELECT made('integer');
SELECT retyped('bigint');
CREATE TABLE before AS SELECT answers();
INSERT INTO ratings VALUES (101, 5000000202, 1), (5000000101, 201, 1), (5000000101, 5000000202, 1),
    (4294967397, 202, 1), (102, 4294967498, 1); -- 2^32 more than 101 and 202
SELECT is_empty($$(SELECT answers() EXCEPT ALL TABLE before) UNION ALL (TABLE before EXCEPT ALL SELECT answers()) EXCEPT
    SELECT a FROM answers() a WHERE a LIKE 'evaluate%'$$ || $$ EXCEPT SELECT b.answers FROM before b WHERE b.answers LIKE 'evaluate%'$$,
    'ids that do not fit change no list');
SELECT is((SELECT string_agg(t::text, ' ' ORDER BY rank) FROM fm_top_x(5000000101, 3, 'm') t),
          (SELECT string_agg(t::text, ' ' ORDER BY rank) FROM fm_top_x(77, 3, 'm') t), 'a user who does not fit is an unknown one');
SELECT is((SELECT string_agg(t::text, ' ' ORDER BY rank) FROM fm_top_x('5000000101'::text, 3, 'm') t),
          (SELECT string_agg(t::text, ' ' ORDER BY rank) FROM fm_top_x('77'::text, 3, 'm') t), 'by text, too');
SELECT is((SELECT string_agg(t::text, ' ' ORDER BY rank) FROM fm_top_x('99999999999999999999'::text, 3, 'm') t),
          (SELECT string_agg(t::text, ' ' ORDER BY rank) FROM fm_top_x('77'::text, 3, 'm') t), 'even if no integer type can hold it');
SELECT cmp_ok(value, '>', 0::double precision, 'they count in an evaluation: ' || metric)
FROM fm_evaluate('ratings', 'm') WHERE metric IN ('rmse', 'mae');
SELECT is(fm_predict(101, 5000000202, 'm'), fm_predict(101, 77, 'm'), 'so is an item');
SELECT is(version, 1, 'folding in passes over them') FROM fm_fold_in('m');

-- A retrain makes the tables anew, and keeps everything that belongs to the model.
CREATE ROLE id_types_reader;
SELECT fm_grant('m', 'id_types_reader');
SELECT fm_set('m', keep_versions => 3, max_worse => 0.5);
SELECT fm_write_top_x('kept_lists', 5, 'm');
CREATE TABLE was AS SELECT oid, relname, relowner, relacl, reltablespace, reloptions, obj_description(oid)
FROM pg_class WHERE relname LIKE 'fm\_m\_%' AND relkind = 'r';
SELECT fm_train('m', iterations => 6) \g /dev/null
SELECT is(format_type(atttypid, atttypmod), 'bigint', 'after a retrain ' || attname || ' is of the new type') FROM pg_attribute
WHERE attrelid IN ('fm_m_user'::regclass, 'fm_m_item'::regclass) AND attname IN ('user_id', 'item_id');
SELECT set_eq($$SELECT oid, relname, relowner, relacl, reltablespace, reloptions, obj_description(oid) FROM pg_class
    WHERE relname LIKE 'fm\_m\_%' AND relkind = 'r'$$, 'TABLE was', 'tables keep privileges and all else');
SELECT results_eq($$SELECT version, status FROM fm_runs WHERE model = 'm' ORDER BY 1$$,
    $$VALUES (1, 'succeeded'), (2, 'succeeded')$$, 'runs are kept');
SELECT is(keep_versions, 3, 'settings are kept') FROM fm_model WHERE model = 'm';
SELECT results_eq('SELECT DISTINCT version FROM fm_m_user UNION ALL SELECT DISTINCT version FROM fm_m_item
    UNION ALL SELECT version FROM fm_m_version', 'VALUES (2), (2), (2)', 'earlier versions are dropped');
SELECT throws_ok($$SELECT fm_activate('m', 1)$$, NULL, NULL, 'and cannot be activated');
SELECT is(count(*), 5::bigint, 'a user whom integer could not hold has a list') FROM fm_top_x(5000000101, 5, 'm');

-- A table of lists whose column is too narrow for an id.
SELECT throws_ok($$SELECT fm_write_top_x('kept_lists', 5, 'm')$$, '22003',
    'column "user_id" of table "kept_lists" is of type integer, which cannot hold the id 4294967397', 'a list that does not fit');
SELECT throws_ok($$CALL fm_refresh('m')$$, '22003', NULL, 'nor in a refresh');
ALTER TABLE kept_lists ALTER user_id TYPE bigint;
SELECT throws_ok($$SELECT fm_write_top_x('kept_lists', 5, 'm')$$, '22003',
    'column "item_id" of table "kept_lists" is of type integer, which cannot hold the id 4294967498', 'so for items');
ALTER TABLE kept_lists ALTER item_id TYPE bigint;
SELECT lives_ok($$CALL fm_refresh('m')$$, 'wider columns make room');
SELECT set_eq('SELECT user_id::text, rank, item_id::text, score, rating FROM kept_lists', $$SELECT * FROM fm_top_x_all(5, 'm')$$, 'the lists');
SELECT throws_ok($$ALTER TABLE kept_lists ALTER rank TYPE bigint; SELECT fm_write_top_x('kept_lists', 5, 'm')$$, '42804', NULL,
    'a rank is an integer');

-- Back, in a refresh.
DELETE FROM ratings WHERE user_id > 2147483647 OR item_id > 2147483647;
SELECT retyped('smallint');
CALL fm_refresh('m');
SELECT is(format_type(atttypid, atttypmod), 'smallint', 'after a refresh ' || attname || ' is of the new type') FROM pg_attribute
WHERE attrelid IN ('fm_m_user'::regclass, 'fm_m_item'::regclass) AND attname IN ('user_id', 'item_id');
SELECT set_eq('SELECT user_id::text, rank, item_id::text, score, rating FROM kept_lists', $$SELECT * FROM fm_top_x_all(5, 'm')$$, 'the lists');

-- Ids of any other type, if the training names the ratings.
CREATE VIEW words AS SELECT 'u' || user_id AS user_id, 'i' || item_id AS item_id, rating FROM ratings;
CREATE VIEW xids AS SELECT user_id::text::xid AS user_id, item_id, rating FROM ratings;
SELECT throws_ok($$SELECT fm_train('m', 'xids')$$, '42804', NULL, 'a type without an order cannot replace one with it');
SELECT is(status, 'succeeded', 'from integers to text') FROM fm_train('m', 'words');
SELECT set_eq($$SELECT DISTINCT user_id FROM fm_m_user$$, 'SELECT DISTINCT user_id FROM words', 'the ids are text');
SELECT is(count(*), 5::bigint, 'a list for a text') FROM fm_top_x('u105', 5, 'm');
SELECT throws_ok($$SELECT fm_write_top_x('kept_lists', 5, 'm')$$, '42804', NULL, 'a table of integers holds no text');
CREATE OR REPLACE VIEW source AS SELECT * FROM words;
SELECT is(status, 'succeeded', 'another relation of the same types') FROM fm_train('m', 'source');
SELECT is(count(*), 2::bigint, 'drops no version') FROM fm_m_version;
SELECT is(status, 'succeeded', 'from text to integers') FROM fm_train('m', 'ratings');
SELECT set_eq($$SELECT DISTINCT user_id FROM fm_m_user$$, 'SELECT DISTINCT user_id FROM ratings', 'the ids are integers');
ALTER TABLE ratings RENAME TO ratings_by_number;
SELECT throws_ok($$DROP VIEW xids, words CASCADE; ALTER TABLE ratings_by_number ALTER user_id TYPE text; SELECT fm_train('m')$$, '42804',
    NULL, 'without naming it, text is an error');

-- A refused training leaves the tables as they are.
SELECT is(status, 'succeeded', 'a good model') FROM fm_train('m', 'ratings_by_number', test_size => 0.2, iterations => 40);
SELECT fm_set('m', max_worse => 0);
CREATE TABLE noise AS SELECT user_id::bigint, item_id::bigint, random()::real * 100 AS rating FROM ratings_by_number;
SELECT is(status, 'refused', 'a worse one is refused') FROM fm_train('m', 'noise', test_size => 0.2, iterations => 2);
SELECT is(format_type(atttypid, atttypmod), 'smallint', 'and changes no type') FROM pg_attribute
WHERE attrelid = 'fm_m_user'::regclass AND attname = 'user_id';

SELECT * FROM finish();
ROLLBACK;
