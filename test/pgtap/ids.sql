-- Whatever type the ids have, the same ratings give the same recommendations.
BEGIN;
CREATE SCHEMA ids;
SELECT set_config('search_path', 'ids, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(96);

-- Ids of one length, so that their order as text is that of the numbers, and ties have the same order.
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(101, 130) u, generate_series(201, 225) i WHERE hashint8extended(u * 1000 + i, 1) % 3 <> 0;
CREATE DOMAIN number AS int CHECK (VALUE > 0);
CREATE DOMAIN word AS varchar(8) COLLATE "C";
DO $$ BEGIN EXECUTE format('CREATE TYPE label AS ENUM (%s)',
    (SELECT string_agg(quote_literal(g), ',' ORDER BY g) FROM generate_series(101, 225) g)); END $$;

-- One view per type; id is the expression that makes an id from the number n.
CREATE TABLE kinds (kind text, id text, integers boolean DEFAULT false);
INSERT INTO kinds VALUES
    ('int', 'n::int', true), ('bigint', 'n::bigint', true), ('smallint', 'n::smallint', true),
    ('number', 'n::number', true);
INSERT INTO kinds VALUES
    ('text', 'n::text'), ('varchar', 'n::text::varchar(5)'),
    ('bpchar', 'n::text::char(5)'), ('word', 'n::text::word'), ('name', 'n::text::name'),
    ('uuid', 'lpad(n::text, 32, ''0'')::uuid'), ('numeric', 'n::numeric(8,2)'), ('label', 'n::text::label'),
    ('date', 'date ''2000-01-01'' + n'), ('timestamptz', 'to_timestamp(n)'), ('float8', 'n::float8'),
    ('inet', '(''10.0.0.0''::inet + n)'), ('bytea', 'convert_to(n::text, ''utf8'')'), ('xid', 'n::text::xid'),
    ('jsonb', 'to_jsonb(n)'), ('array', 'ARRAY[n, 0]'), ('range', 'int4range(n, n + 2)'), ('oid', 'n::oid');
DO $$
DECLARE k kinds;
BEGIN
    FOR k IN SELECT * FROM kinds LOOP
        EXECUTE format('CREATE FUNCTION id_%s(n int) RETURNS text LANGUAGE sql AS %L', k.kind, 'SELECT format(''%s'', ' || k.id || ')');
        EXECUTE format('CREATE TABLE %I AS SELECT (SELECT %s FROM (SELECT user_id AS n) s) AS user_id, '
                       '(SELECT %s FROM (SELECT item_id AS n) s) AS item_id, rating FROM ratings ORDER BY random()',
                       'r_' || k.kind, k.id, k.id);
        PERFORM fm_train(k.kind, ratings => to_regclass('r_' || k.kind), num_factors => 4, iterations => 15);
    END LOOP;
END $$;

CREATE TABLE expected AS
SELECT user_id, rank, item_id, score, rating FROM generate_series(101, 130) user_id, fm_top_x(user_id, 8, 'int');
CREATE TABLE expected_of AS
SELECT item_id, rank, score, rating FROM fm_top_x(105, 30, 'int', false, candidates => '{201,203,205,207,209}', exclude => '{203}');

CREATE TABLE expected_alike AS
SELECT row_number() OVER (ORDER BY rank)::int AS rank, item_id, score
FROM fm_similar_items(207, 30, 'int') WHERE item_id IN (201, 205);
CREATE TABLE expected_users AS
SELECT row_number() OVER (ORDER BY rank)::int AS rank, user_id, score FROM fm_top_users(207, 30, 'int')
WHERE user_id <= 125 AND user_id <> 103 AND user_id NOT IN (SELECT user_id FROM ratings WHERE item_id = 207);
SELECT cmp_ok(count(*), '>', 1::bigint, 'some of the candidates have not rated the item') FROM expected_users;

-- The lists of one type against the expected ones, by the text form of each id.
CREATE FUNCTION differing(kind text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (
        (SELECT id_%1$s(user_id), rank, id_%1$s(item_id::int), score, rating FROM expected
         EXCEPT ALL SELECT * FROM fm_top_x_all(8, %1$L))
        UNION ALL
        (SELECT id_%1$s(e.user_id), rank, id_%1$s(e.item_id::int), score, rating FROM expected e
         EXCEPT ALL SELECT id_%1$s(u), t.* FROM generate_series(101, 130) u, fm_top_x(id_%1$s(u), 8, %1$L) t)
        UNION ALL
        (SELECT ''105'', rank, id_%1$s(item_id::int), score, rating FROM expected_of
         EXCEPT ALL SELECT ''105'', t.* FROM fm_top_x(id_%1$s(105), 30, %1$L, false,
             candidates => ARRAY[id_%1$s(201), id_%1$s(203), id_%1$s(205), id_%1$s(207), id_%1$s(209), id_%1$s(120), NULL],
             exclude => ARRAY[id_%1$s(203), NULL]) t)
        UNION ALL
        (SELECT ''alike'', rank, id_%1$s(item_id::int), score, NULL::real FROM expected_alike
         EXCEPT ALL SELECT ''alike'', rank, item_id, score, NULL::real FROM fm_similar_items(id_%1$s(207), 30, %1$L,
             candidates => ARRAY[id_%1$s(201), NULL, id_%1$s(203), id_%1$s(205), id_%1$s(207), id_%1$s(120)],
             exclude => ARRAY[NULL, id_%1$s(203)]))
        UNION ALL
        (SELECT ''users'', rank, id_%1$s(user_id::int), score, NULL::real FROM expected_users
         EXCEPT ALL SELECT ''users'', rank, user_id, score, NULL::real FROM fm_top_users(id_%1$s(207), 30, %1$L,
             candidates => ARRAY(SELECT id_%1$s(n) FROM generate_series(101, 125) n) || NULL,
             exclude => ARRAY[NULL, id_%1$s(103)], exclude_seen => true))) d', kind) INTO n;
    RETURN n;
END $$;

SELECT is(differing(kind), 0::bigint, kind || ': the same lists') FROM kinds;

-- The functions of each model's own, with the types of its ids.
CREATE FUNCTION differing_own(kind text, id text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (
        (SELECT id_%1$s(user_id), rank, id_%1$s(item_id::int), score, rating FROM expected
         EXCEPT ALL SELECT format(''%%s'', user_id), rank, format(''%%s'', item_id), score, rating FROM fm_%1$s_top_x_all(8))
        UNION ALL
        (SELECT user_id::text, rank, id_%1$s(item_id::int), score, rating FROM expected e
         EXCEPT ALL SELECT n::text, t.rank, format(''%%s'', t.item_id), t.score, t.rating
         FROM generate_series(101, 130) n, fm_%1$s_top_x(%2$s, 8) t)
        UNION ALL
        (SELECT ''105'', rank, id_%1$s(item_id::int), score, rating FROM expected_of
         EXCEPT ALL SELECT ''105'', t.rank, format(''%%s'', t.item_id), t.score, t.rating
         FROM (SELECT array_agg(%3$s) AS candidates FROM unnest(''{201,203,205,207,209,120}''::int[]) n) c,
              (SELECT array_agg(%3$s) AS exclude FROM unnest(''{203}''::int[]) n) e,
              (SELECT %2$s AS id FROM (SELECT 105 AS n) s) u,
              fm_%1$s_top_x(u.id, 30, false, candidates => candidates || NULL, exclude => exclude) t)) d',
        kind, id, CASE WHEN kind = 'array' THEN format('(%s)::text', id) ELSE id END) INTO n;
    RETURN n;
END $$;
SELECT is(differing_own(kind, id), 0::bigint, kind || ': the same lists by the functions of the model') FROM kinds;
SELECT is(a.types, b.type::text, kind || ': items are of the type that they have in the ratings')
FROM kinds, LATERAL (SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END::regtype FROM pg_attribute, pg_type t
                     WHERE attrelid = to_regclass('r_' || kind) AND attname = 'item_id' AND t.oid = atttypid) b (type),
     LATERAL (SELECT proallargtypes[9]::regtype::text FROM pg_proc WHERE proname = format('fm_%s_top_x', kind)) a (types);

-- The bigint overload serves integers, and its error says so for other types.
SELECT is((SELECT count(*) FROM fm_top_x(105::bigint, 8, kind, false)), 8::bigint, kind || ': the overload for bigint')
FROM kinds WHERE integers;
SELECT throws_ok(format('SELECT fm_top_x(105::bigint, 8, %L)', kind), '42804', NULL, kind || ': no overload for bigint')
FROM kinds WHERE integers IS NOT TRUE;

-- Hashes as ids, in another order than the numbers: a training does not depend on the ids.
CREATE TABLE shuffled AS
SELECT md5(user_id::text)::uuid AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
SELECT is(status, 'succeeded', 'train on hashes of the ids')
FROM fm_train('shuffled', 'shuffled', num_factors => 4, iterations => 15);
SELECT results_eq(
    $$SELECT md5(user_id::text), rank, md5(item_id::text)::uuid::text, score FROM expected ORDER BY 1, 2$$,
    $$SELECT replace(user_id, '-', ''), rank, item_id, score FROM fm_top_x_all(8, 'shuffled') ORDER BY 1, 2$$,
    'hashes: the same lists');

-- Integers at any distance are found, and their neighbours are not.
CREATE TABLE far (item_id bigint);
INSERT INTO far SELECT i FROM generate_series(1, 40) i UNION SELECT i * 1000000007::bigint FROM generate_series(-30, 30) i
    UNION VALUES (-9223372036854775808), (-9223372036854775807), (9223372036854775807), (1::bigint << 62), (-(1::bigint << 40));
CREATE TABLE far_ratings AS SELECT 1 AS user_id, item_id, 3 + item_id % 2 AS rating FROM far;
SELECT fm_train('far', 'far_ratings', num_factors => 2, iterations => 2) \g /dev/null
CREATE TABLE near AS
SELECT item_id FROM far UNION SELECT item_id + 1 FROM far WHERE item_id < 9223372036854775807
UNION SELECT item_id - 1 FROM far WHERE item_id > -9223372036854775808;
SELECT set_eq($$SELECT item_id FROM fm_top_x(1, 1000, 'far', false)$$, 'SELECT item_id FROM far', 'ids at any distance');
SELECT set_eq($$SELECT n.item_id FROM near n, fm_top_x(1, 5, 'far', false, candidates => ARRAY[n.item_id]) t$$,
              'SELECT item_id FROM far', 'each is found as a candidate, no other is');
SELECT is_empty($$SELECT * FROM fm_top_x(1, 1000, 'far', false, exclude => ARRAY(SELECT item_id FROM near))$$,
                'all items are excluded');

-- Types without hashing are refused, with their name.
CREATE VIEW points AS SELECT point(user_id, 0) AS user_id, item_id, rating FROM ratings;
SELECT throws_ok($$SELECT fm_train('points', 'points')$$, '42883',
    'column "user_id" of relation "points" cannot hold ids: type point has no hash operator class', 'point');
CREATE VIEW documents AS SELECT user_id, to_json(item_id) AS item_id, rating FROM ratings;
SELECT throws_ok($$SELECT fm_train('documents', 'documents')$$, '42883',
    'column "item_id" of relation "documents" cannot hold ids: type json has no hash operator class', 'json');

SELECT * FROM finish();
ROLLBACK;
