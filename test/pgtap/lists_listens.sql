-- Rankings by defaults on the listens of Last.fm: without weights, and with raw counts, which neither an outlier
-- nor a robot spoils.
\ir ../movielens.sql
\if :absent
\quit
\endif
\set listens :movielens '/../lastfm/user_artists.dat'
\setenv LISTENS :listens
\set found `test -r "$LISTENS" && echo true || echo false`
\if :found
\else
\echo 1..0 # SKIP lastfm is not beside MovieLens 100k
\quit
\endif
SELECT plan(9);

CREATE TABLE listen (user_id integer, item_id integer, listens integer);
\copy listen FROM PROGRAM 'tail -n +2 "$LISTENS"'
CREATE VIEW later AS SELECT user_id, item_id FROM listen WHERE (('x' || left(md5(user_id || '/' || item_id), 6))::bit(24)::integer) % 5 = 0;
CREATE TABLE before AS SELECT * FROM listen l WHERE NOT EXISTS (SELECT FROM later t WHERE (t.user_id, t.item_id) = (l.user_id, l.item_id));
CREATE VIEW logarithm AS SELECT user_id, item_id, ln(1 + listens) AS listens FROM before;
CREATE VIEW uniform AS SELECT user_id, item_id, 0.01 AS listens FROM before;
CREATE VIEW scaled AS SELECT user_id, item_id, 1e6 * listens AS listens FROM before;
CREATE VIEW outlier AS SELECT user_id, item_id, CASE WHEN (user_id, item_id) = (2, 51) THEN 1e7 ELSE listens END AS listens FROM before;
CREATE VIEW robot AS
SELECT * FROM before
UNION ALL
SELECT 1000000, item_id, 1000000 FROM (SELECT DISTINCT item_id FROM before ORDER BY item_id LIMIT 3000) i;

CREATE FUNCTION ideal(relevant bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT sum(1 / log(2::numeric, i + 1))::float8 FROM generate_series(1, least(10, relevant)) i $$;

-- recall@20 and NDCG@10, means over the users of what is held out.
CREATE FUNCTION metrics(model text, OUT recall float8, OUT ndcg float8) LANGUAGE sql AS $$
    WITH found AS (
        SELECT h.user_id, t.rank FROM later h LEFT JOIN fm_top_x_all(20, model) t ON t.user_id = h.user_id::text AND t.item_id = h.item_id::text),
    by_user AS (
        SELECT count(rank)::float8 / count(*) AS recall,
               coalesce(sum(1 / log(2::numeric, rank + 1)) FILTER (WHERE rank <= 10), 0)::float8
               / ideal(count(*)) AS ndcg
        FROM found GROUP BY user_id)
    SELECT avg(recall), avg(ndcg) FROM by_user $$;
CREATE TABLE result (model text, recall float8, ndcg float8);

-- One l2_reg_v for those that are compared, so that only the weights differ.
SELECT is((SELECT status FROM fm_train('plain', 'before', task => 'ranking')), 'succeeded', 'trained');
INSERT INTO result SELECT 'plain', * FROM metrics('plain');
SELECT cmp_ok((SELECT recall FROM result), '>=', 0.278::float8, 'without weights, recall@20 is at least 0.278');
SELECT cmp_ok((SELECT ndcg FROM result), '>=', 0.245::float8, 'and NDCG@10 at least 0.245');
SELECT is((SELECT count(*) FROM (VALUES ('before'), ('logarithm'), ('uniform'), ('scaled'), ('outlier'), ('robot')) v (name),
           fm_train('by_' || name, name::regclass, task => 'ranking', weight_column => 'listens', num_factors => 64, l2_reg_v => 0.5)), 6::bigint, 'trained with weights');
SELECT is((SELECT status FROM fm_train('by_nothing', 'before', task => 'ranking', num_factors => 64, l2_reg_v => 0.5)), 'succeeded', 'and without');
INSERT INTO result SELECT name, m.* FROM (VALUES ('before'), ('logarithm'), ('outlier'), ('robot')) v (name), metrics('by_' || name) m;
CREATE FUNCTION share(model text, other text) RETURNS float8 LANGUAGE sql AS $$
    SELECT a.ndcg / b.ndcg FROM result a, result b WHERE (a.model, b.model) = ($1, $2) $$;
CREATE FUNCTION difference(a text, b text) RETURNS float8 LANGUAGE sql AS $$
    SELECT max(abs(l.score - r.score))::float8 FROM generate_series(2, 100) u, fm_top_x(u, 20, a) l, fm_top_x(u, 20, b) r WHERE l.item_id = r.item_id $$;
SELECT cmp_ok(share('before', 'logarithm'), '>', 0.98::float8, 'raw counts lose at most 2 % against their logarithm');
SELECT cmp_ok(least(share('outlier', 'before'), share('robot', 'before')), '>', 0.99::float8, 'an outlier and a robot cost at most 1 %');
SELECT cmp_ok(difference('by_uniform', 'by_nothing'), '<', 0.001::float8, 'uniform weights are as none');
SELECT cmp_ok(difference('by_scaled', 'by_before'), '<', 0.001::float8, 'the unit of weights does not matter');
SELECT * FROM finish();
ROLLBACK;
