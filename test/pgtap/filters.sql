-- candidates, exclude and exclude_seen of fm_similar_items and fm_top_users: equal to filtering the whole
-- lists, over random filters.
BEGIN;
CREATE SCHEMA filters;
SELECT set_config('search_path', 'filters, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(19);

-- Users and items by integer, text and uuid, in different orders.
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 300) u, generate_series(1, 120) i WHERE hashint8extended(u * 1000 + i, 1) % 5 = 0;
CREATE VIEW words AS SELECT 'user ' || user_id AS user_id, 'item ' || item_id AS item_id, rating FROM ratings;
CREATE VIEW keys AS SELECT md5(user_id::text)::uuid AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
CREATE VIEW mixed AS SELECT md5(user_id::text)::uuid AS user_id, item_id, rating FROM ratings;
SELECT fm_train(m, m::regclass, num_factors => 4, iterations => 3) FROM unnest('{ratings,words,keys,mixed}'::text[]) m \g /dev/null

-- Case n: an item, filters of random lengths, and whether those who have rated it are left out.
SELECT setseed(0.42) \g /dev/null
CREATE TABLE cases AS
SELECT n, 1 + n % 121 AS item, 1 + (random() * 60)::int AS x,
       CASE WHEN n % 3 > 0 THEN ARRAY(SELECT 1 + (random() * 310)::int FROM generate_series(1, (random() * random() * 200 + n * 0)::int)) END AS candidates,
       CASE WHEN n % 4 > 0 THEN ARRAY(SELECT 1 + (random() * 310)::int FROM generate_series(1, (random() * 60 + n * 0)::int)) END AS exclude,
       n % 2 = 0 AS exclude_seen
FROM generate_series(1, 60) n;

-- How each model writes the ids.
CREATE FUNCTION user_of(model text, n int) RETURNS text LANGUAGE sql AS $$
    SELECT CASE model WHEN 'ratings' THEN n::text WHEN 'words' THEN 'user ' || n ELSE md5(n::text)::uuid::text END $$;
CREATE FUNCTION item_of(model text, n int) RETURNS text LANGUAGE sql AS $$
    SELECT CASE model WHEN 'words' THEN 'item ' || n WHEN 'keys' THEN md5(n::text)::uuid::text ELSE n::text END $$;

SELECT is_empty(format($$
    SELECT n FROM cases, LATERAL (SELECT ARRAY(SELECT item_of(%1$L, c) FROM unnest(candidates || NULL) c) AS given,
                                         ARRAY(SELECT item_of(%1$L, c) FROM unnest(exclude || NULL) c) AS without) f
    WHERE ARRAY(SELECT t::text FROM fm_similar_items(item_of(%1$L, item), x, %1$L,
                    CASE WHEN candidates IS NOT NULL THEN given END, CASE WHEN exclude IS NOT NULL THEN without END) t ORDER BY rank)
       <> ARRAY(SELECT (row_number() OVER (ORDER BY rank), item_id, score)::text FROM fm_similar_items(item_of(%1$L, item), 1000, %1$L)
                WHERE (candidates IS NULL OR item_id = ANY (given)) AND (exclude IS NULL OR item_id <> ALL (coalesce(array_remove(without, NULL), '{}')))
                ORDER BY rank LIMIT x)$$, m), 'fm_similar_items: ' || m)
FROM unnest('{ratings,words,keys,mixed}'::text[]) m;

SELECT is_empty(format($$
    SELECT n FROM cases, LATERAL (SELECT ARRAY(SELECT user_of(%1$L, c) FROM unnest(candidates || NULL) c) AS given,
                                         ARRAY(SELECT user_of(%1$L, c) FROM unnest(exclude || NULL) c) AS without) f
    WHERE ARRAY(SELECT t::text FROM fm_top_users(item_of(%1$L, item), x, %1$L,
                    CASE WHEN candidates IS NOT NULL THEN given END, CASE WHEN exclude IS NOT NULL THEN without END, exclude_seen) t ORDER BY rank)
       <> ARRAY(SELECT (row_number() OVER (ORDER BY rank), user_id, score)::text FROM fm_top_users(item_of(%1$L, item), 1000, %1$L) t
                WHERE (candidates IS NULL OR user_id = ANY (given)) AND (exclude IS NULL OR user_id <> ALL (coalesce(array_remove(without, NULL), '{}')))
                  AND NOT (exclude_seen AND EXISTS (SELECT FROM ratings r WHERE r.item_id = item AND user_of(%1$L, r.user_id) = t.user_id))
                ORDER BY rank LIMIT x)$$, m), 'fm_top_users: ' || m)
FROM unnest('{ratings,words,keys,mixed}'::text[]) m;

-- The overloads for bigint.
SELECT is_empty($$
    SELECT n FROM cases
    WHERE ARRAY(SELECT t::text FROM fm_similar_items(item, x, 'ratings', candidates, exclude) t ORDER BY rank)
       <> ARRAY(SELECT t::text FROM fm_similar_items(item::text, x, 'ratings', candidates::text[], exclude::text[]) t ORDER BY rank)
       OR ARRAY(SELECT t::text FROM fm_top_users(item, x, 'ratings', candidates, exclude, exclude_seen) t ORDER BY rank)
       <> ARRAY(SELECT t::text FROM fm_top_users(item::text, x, 'ratings', candidates::text[], exclude::text[], exclude_seen) t ORDER BY rank)$$,
    'bigint and text: the same lists');
SELECT is((SELECT count(*) FROM cases WHERE item <= 120 AND cardinality(candidates) > 0 AND EXISTS (
               SELECT FROM fm_top_users(item, x, 'ratings', candidates, exclude, exclude_seen))) > 20, true, 'many lists are not empty');

-- Empty lists of candidates, ids that no integer can be, and a single candidate.
SELECT is_empty($$SELECT * FROM fm_similar_items(1, 10, 'ratings', '{}') UNION ALL SELECT * FROM fm_top_users(1, 10, 'ratings', '{}')$$, 'no candidates');
SELECT is((SELECT array_agg(item_id) FROM fm_similar_items(1, 10, 'ratings', '{1,7,7,99999999999}')), '{7}', 'the item itself, a repetition, an unknown item');
SELECT is((SELECT array_agg(user_id) FROM fm_top_users('1'::text, 10, 'ratings', '{7,7,99999999999,99999999999999999999,NULL}')), '{7}',
          'a repetition and users that cannot be');
SELECT is((SELECT count(*) FROM fm_top_users(1, 1000, 'ratings', exclude => '{7,99999999999}')), 299::bigint, 'all users but one');
SELECT is_empty($$SELECT * FROM fm_similar_items(1, 10, 'ratings', '{7,8}', '{8,7}')$$, 'all candidates are excluded');

-- exclude_seen follows the ratings, which are read now.
SELECT is((SELECT count(*) FROM fm_top_users(1, 1000, 'ratings', exclude_seen => true)), 300 - (SELECT count(*) FROM ratings WHERE item_id = 1),
          'without those who have rated the item');
INSERT INTO ratings SELECT u, 1, 3 FROM generate_series(1, 300) u WHERE u <> 42;
SELECT is((SELECT array_agg(user_id) FROM fm_top_users(1, 1000, 'ratings', exclude_seen => true)),
          (SELECT array_agg(42::bigint) WHERE NOT EXISTS (SELECT FROM ratings WHERE user_id = 42 AND item_id = 1)), 'and those who have rated it since');
SELECT is((SELECT count(*) FROM fm_top_users(1, 1000, 'ratings')), 300::bigint, 'not by default');
SELECT throws_ok($$SELECT fm_top_users(1, 5, 'ratings', exclude_seen => NULL)$$, '22004', NULL, 'exclude_seen must not be NULL');

SELECT * FROM finish();
ROLLBACK;
