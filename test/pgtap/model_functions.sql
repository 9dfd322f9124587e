-- The functions of a model's own: typed as its ids, inlined, equal to the general ones, made and dropped with the model.
BEGIN;
CREATE SCHEMA own;
SELECT set_config('search_path', 'own, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = error;
SELECT no_plan();

CREATE TABLE numbers AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(101, 130) u, generate_series(201, 225) i WHERE hashint8extended(u * 1000 + i, 1) % 3 <> 0;
CREATE TABLE films AS SELECT i AS item_id, 'film ' || i AS title FROM generate_series(201, 225) i;

CREATE TABLE few AS SELECT DISTINCT user_id FROM numbers WHERE user_id < 105 UNION ALL VALUES (999);
DELETE FROM films WHERE item_id > 220;

-- Which functions a model has, with their types.
CREATE FUNCTION signatures(model text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s(%s) -> %s', p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid))
    FROM pg_proc p WHERE p.proname IN (format('fm_%s_top_x', model), format('fm_%s_top_x_all', model)) ORDER BY 1
$$;
SELECT fm_train('m', 'numbers', num_factors => 3, iterations => 5, workers => 0) \g /dev/null
SELECT results_eq($$SELECT signatures('m')$$, ARRAY[
    'fm_m_top_x(user_id bigint, x bigint, exclude_seen boolean, candidates bigint[], exclude bigint[], context jsonb, novelty double precision) -> TABLE(rank integer, item_id integer, score real, rating real)',
    'fm_m_top_x_all(x bigint, exclude_seen boolean, users regclass, items regclass, context jsonb, novelty double precision) -> TABLE(user_id integer, rank integer, item_id integer, score real, rating real)'],
    'a model for integers has functions for integers');
SELECT is(p.pronamespace::regnamespace::text || ' ' || p.proowner::regrole, c.relnamespace::regnamespace || ' ' || c.relowner::regrole,
          p.proname || ' stands beside the tables, and belongs to their owner')
FROM pg_proc p, pg_class c WHERE p.proname LIKE 'fm\_m\_%' AND c.oid = 'fm_m_version'::regclass;
SELECT matches(obj_description(oid, 'pg_proc'), 'model "m"', proname || ' has a comment') FROM pg_proc WHERE proname LIKE 'fm\_m\_%';
SELECT is(proacl, NULL, proname || ' has the privileges that PostgreSQL gives') FROM pg_proc WHERE proname LIKE 'fm\_m\_%';

-- Equal to the general functions, with any argument.
CREATE FUNCTION differ(general text, own text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; rows bigint;
BEGIN
    EXECUTE format('WITH a AS (%1$s), b AS (%2$s) SELECT count(*), (SELECT count(*) FROM a) FROM
        ((SELECT a::text FROM a EXCEPT ALL SELECT b::text FROM b) UNION ALL (SELECT b::text FROM b EXCEPT ALL SELECT a::text FROM a)) d',
        general, own) INTO n, rows;
    RETURN CASE WHEN rows > 0 THEN n ELSE -1 END;
END $$;
SELECT is(differ('SELECT u, t.* FROM generate_series(99, 131) u, fm_top_x(u, 6, ''m'' ' || g || ') t',
                 'SELECT u, t.* FROM generate_series(99, 131) u, fm_m_top_x(u, 6 ' || g || ') t'), 0::bigint, 'fm_m_top_x(u, 6' || g || ')')
FROM unnest('{"",", false",", exclude_seen => false",", candidates => ''{203,205,NULL,999}''",", exclude => ARRAY[203, 205]",
              ", novelty => 3.5",", context => NULL"}'::text[]) g;
SELECT is(differ('SELECT * FROM fm_top_x_all(6, ''m'' ' || g || ')', 'SELECT * FROM fm_m_top_x_all(6' || g || ')'), 0::bigint,
          'fm_m_top_x_all(6' || g || ')')
FROM unnest('{"",", false",", novelty => 3.5",", users => ''few''",", items => ''films''",", true, ''few'', ''films''"}'::text[]) g;
SELECT is(count(*), 10::bigint, 'x has its default') FROM fm_m_top_x(101, exclude_seen => false);
SELECT is_empty('SELECT * FROM fm_m_top_x(NULL)', 'no user, no rows');
SELECT throws_ok('SELECT * FROM fm_m_top_x(101, -1)', '22023', NULL, 'what is wrong is an error of the general function');

-- Inlined: plans have the general function, its estimate of rows, and nothing in between.
CREATE FUNCTION plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (VERBOSE) ' || query; END $$;
SELECT matches((SELECT plan('SELECT * FROM fm_m_top_x(101, 7)') LIMIT 1), '^Function Scan on \S*fm_top_x t .* rows=7 ', 'inlined, with 7 rows');
SELECT matches((SELECT plan('SELECT * FROM fm_m_top_x_all(7)') LIMIT 1), '^Function Scan on \S*fm_top_x_all t .* rows=100000 ', 'inlined, for all');
SELECT is(count(*), 0::bigint, 'also in a join, by columns of other tables')
FROM plan('SELECT * FROM numbers n, fm_m_top_x(n.user_id, 3) t JOIN films f USING (item_id)') p WHERE p LIKE '%fm_m_top_x%';

-- Untyped parameters.
PREPARE listed AS SELECT t.rank, f.title FROM fm_m_top_x($1, $2, candidates => $3) t JOIN films f USING (item_id);
SELECT is(parameter_types::text, '{bigint,bigint,bigint[]}', 'parameters without a type get the types of the model')
FROM pg_prepared_statements WHERE name = 'listed';
SELECT is(differ('SELECT t.rank, f.title FROM fm_top_x(101, 4, ''m'', candidates => ''{201,202,203,204,205,206,207,208,209,210,211}'') t JOIN films f USING (item_id)',
                 'SELECT t.rank, f.title FROM fm_m_top_x(''101'', ''4'', candidates => ''{201,202,203,204,205,206,207,208,209,210,211}'') t JOIN films f USING (item_id)'),
          0::bigint, 'joined without a cast');

-- Users and items of different types.
CREATE TABLE mixed AS SELECT md5(user_id::text)::uuid AS user_id, item_id, rating FROM numbers;
SELECT fm_train('mixed', 'mixed', num_factors => 3, iterations => 5, workers => 0) \g /dev/null
SELECT is(differ('SELECT u, t.rank, t.item_id::int, t.score, t.rating FROM generate_series(101, 130) u, fm_top_x(md5(u::text)::uuid::text, 5, ''mixed'', candidates => ''{201,203,205,209}'') t',
                 'SELECT u, t.* FROM generate_series(101, 130) u, fm_mixed_top_x(md5(u::text)::uuid, 5, candidates => ARRAY[201, 203, 205, 209]) t'), 0::bigint,
          'users by uuid, items by integer');
SELECT is(differ('SELECT user_id::uuid, rank, item_id::int, score, rating FROM fm_top_x_all(5, ''mixed'')', 'SELECT * FROM fm_mixed_top_x_all(5)'), 0::bigint, 'so for all');
SELECT throws_ok($$SELECT * FROM fm_mixed_top_x('no uuid')$$, '22P02', NULL, 'what is no uuid is refused');

-- A type whose cast to text is a user's: its functions take text, which is what the general ones take.
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION lossy(pair) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'pair' $$;
CREATE CAST (pair AS text) WITH FUNCTION lossy(pair);
CREATE TABLE pairs AS SELECT row(user_id, 0)::pair AS user_id, item_id::smallint, rating FROM numbers;
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 140000 THEN -- composite types hash from 14 on
        PERFORM fm_train('pairs', 'pairs', num_factors => 3, iterations => 5, workers => 0);
    END IF;
END $$;
SELECT CASE WHEN to_regclass('fm_pairs_user') IS NULL THEN skip('needs PostgreSQL 14', 2) ELSE collect_tap(
    matches((SELECT signatures('pairs') LIMIT 1), '\(user_id text, .* candidates bigint\[\]', 'text in place of a type with a cast of its own'),
    is(differ($$SELECT rank, item_id::int2, score, rating FROM fm_top_x('(101,0)', 5, 'pairs')$$, $$SELECT * FROM fm_pairs_top_x('(101,0)', 5)$$), 0::bigint, 'equal'))
END;

-- A name that must be quoted, the longest, and names that are taken.
SELECT fm_train('it''s "a"', 'numbers', num_factors => 2, iterations => 2, workers => 0) \g /dev/null
SELECT is(differ($$SELECT * FROM fm_top_x(101, 5, 'it''s "a"')$$, $$SELECT * FROM "fm_it's ""a""_top_x"(101, 5)$$), 0::bigint, 'a name with quotes');
SELECT is(status, 'succeeded', 'a name of 50 bytes') FROM fm_train(repeat('n', 50), 'numbers', num_factors => 2, iterations => 2, workers => 0);
SELECT is(count(*), 2::bigint, 'has its functions') FROM signatures(repeat('n', 50));
SELECT throws_ok($$SELECT fm_train(repeat('n', 51), 'numbers')$$, '42622', NULL, 'one of 51 is too long');
CREATE FUNCTION fm_taken_top_x(bigint, bigint, boolean, bigint[], bigint[], jsonb, double precision) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT throws_ok($$SELECT fm_train('taken', 'numbers')$$, '42723',
    'model "taken" cannot have a function "fm_taken_top_x" of its own', 'a function is in the way');
SELECT throws_ok(format('SELECT fm_train(%L, ''numbers'')', name), '42723', NULL, 'so is one of fmtopx: ' || name) FROM unnest('{write,matrix}'::text[]) name;

-- A refresh leaves them as they are, or makes them again.
CREATE TABLE was AS SELECT oid, xmin::text AS made FROM pg_proc WHERE proname LIKE 'fm\_m\_%';
CALL fm_refresh('m');
SELECT results_eq($$SELECT oid, xmin::text AS made FROM pg_proc WHERE proname LIKE 'fm\_m\_%' ORDER BY 1$$, 'SELECT * FROM was ORDER BY 1', 'a refresh leaves the functions alone');
DROP FUNCTION fm_m_top_x;
CALL fm_refresh('m');
SELECT is(count(*), 2::bigint, 'a refresh makes what is missing') FROM signatures('m');
ALTER FUNCTION fm_m_top_x_all RENAME TO everybody;
CREATE OR REPLACE FUNCTION fm_m_top_x(user_id bigint, x bigint DEFAULT 10, exclude_seen boolean DEFAULT true, candidates bigint[] DEFAULT NULL,
    exclude bigint[] DEFAULT NULL, context jsonb DEFAULT NULL, novelty double precision DEFAULT NULL)
RETURNS TABLE (rank integer, item_id integer, score real, rating real) LANGUAGE sql STABLE AS 'SELECT 1, 2, 3::real, 4::real';
CALL fm_refresh('m');
SELECT results_eq('SELECT item_id FROM fm_m_top_x(101)', 'VALUES (2)', 'what a user has put in the place of one stays');
SELECT is(differ('SELECT * FROM everybody(3)', 'SELECT * FROM fm_m_top_x_all(3)'), 0::bigint, 'a renamed one stays, too');
DROP FUNCTION fm_m_top_x, everybody;
CREATE SCHEMA api;
ALTER FUNCTION fm_m_top_x_all SET SCHEMA api;
CALL fm_refresh('m');
SELECT results_eq($$SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'fm\_m\_%' ORDER BY proname$$, $$VALUES ('own'), ('api')$$,
    'one that was moved stays where it is');

-- Ids of another type.
CREATE TABLE texts AS SELECT 'u' || user_id AS user_id, item_id, rating FROM numbers;
CREATE VIEW listed AS SELECT * FROM fm_m_top_x(101);
SELECT throws_ok($$SELECT fm_train('m', 'texts', iterations => -1)$$, '22023', NULL, 'options come first');
SELECT throws_ok($$SELECT fm_train('m', 'texts')$$, '2BP01', 'function own.fm_m_top_x(bigint,bigint,boolean,bigint[],bigint[],jsonb,double precision) '
    'must be made anew, but view own.listed depends on it', 'a view is in the way');
SELECT cmp_ok(count(*), '>', 3::bigint, 'and goes on') FROM listed;
DROP VIEW listed;
CREATE VIEW users AS SELECT user_id FROM fm_m_user;
SELECT throws_ok($$SELECT fm_train('m', 'texts')$$, '2BP01', 'column "user_id" of table "fm_m_user" must be made anew, but '
    'view own.users depends on it', 'so is one of a table');
DROP VIEW users;
SELECT fm_train('m', 'texts', num_factors => 3, iterations => 5, workers => 0) \g /dev/null
SELECT matches(signatures('m'), '\(user_id text, .* candidates bigint\[\]|TABLE\(user_id text, rank integer, item_id integer', 'they have the new types');
SELECT results_eq($$SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'fm\_m\_%' ORDER BY proname$$, $$VALUES ('own'), ('api')$$,
    'where they were');
SELECT is(differ($$SELECT rank, item_id::int, score, rating FROM fm_top_x('u101', 5, 'm')$$, $$SELECT * FROM fm_m_top_x('u101', 5)$$), 0::bigint, 'equal again');

-- A model that is given away: its functions are made anew for the owner.
CREATE ROLE own_heir;
GRANT ALL ON SCHEMA own TO own_heir;
GRANT SELECT ON texts TO own_heir;
ALTER TABLE fm_m_version OWNER TO own_heir;
ALTER TABLE fm_m_user OWNER TO own_heir;
ALTER TABLE fm_m_item OWNER TO own_heir;
ALTER TABLE fm_m_matrix OWNER TO own_heir;
ALTER FUNCTION api.fm_m_top_x_all SET SCHEMA own;
SELECT is(status, 'succeeded', 'the heir''s model is trained') FROM fm_train('m');
SELECT is(proowner::regrole::text, 'own_heir', proname || ' is the heir''s') FROM pg_proc WHERE proname LIKE 'fm\_m\_%';
DROP FUNCTION fm_m_top_x;
REVOKE CREATE ON SCHEMA own FROM own_heir;
SELECT is(status, 'succeeded', 'a training that may not make them succeeds') FROM fm_train('m');
SELECT is(count(*), 1::bigint, 'without') FROM signatures('m');
GRANT CREATE ON SCHEMA own TO own_heir;
SELECT is(status, 'succeeded', 'the next one may') FROM fm_train('m');
SELECT is(count(*), 2::bigint, 'and makes them') FROM signatures('m');

-- Dropped with the model; with its tables; with the extension (test/cluster/).
SELECT fm_drop('m') \g /dev/null
SELECT is(count(*), 0::bigint, 'fm_drop drops the functions') FROM signatures('m');
DROP TABLE fm_mixed_version;
SELECT is(count(*), 0::bigint, 'as does DROP TABLE of the versions') FROM signatures('mixed');

-- A dump and restore keeps that they depend on the extension, but not on the table. Attached models have them, too.
SELECT fm_train('a', 'numbers', num_factors => 3, iterations => 5, workers => 0) \g /dev/null
DELETE FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid IN ('fm_a_top_x'::regproc, 'fm_a_top_x_all'::regproc) AND deptype = 'a';
CREATE TABLE before AS SELECT oid FROM pg_proc WHERE proname LIKE 'fm\_a\_%';
CALL fm_refresh('a');
SELECT set_eq($$SELECT oid FROM pg_proc WHERE proname LIKE 'fm\_a\_%'$$, 'TABLE before', 'restored functions are taken over');
SELECT is(count(*), 2::bigint, 'and depend on the table again') FROM pg_depend
WHERE classid = 'pg_proc'::regclass AND refobjid = 'fm_a_version'::regclass AND deptype = 'a';
DELETE FROM fm_model WHERE model = 'a';
DROP FUNCTION fm_a_top_x_all;
SELECT fm_attach('a', 'numbers') \g /dev/null
SELECT is(differ($$SELECT * FROM fm_top_x(101, 5, 'a')$$, 'SELECT * FROM fm_a_top_x(101, 5)'), 0::bigint, 'fm_attach makes functions');
SELECT is(count(*), 2::bigint, 'both') FROM signatures('a');
SELECT fm_drop('a') \g /dev/null
SELECT is(count(*), 0::bigint, 'and fm_drop drops them') FROM signatures('a');
SELECT has_table('fm_a_version', 'but not the tables');

SELECT * FROM finish();
ROLLBACK;
