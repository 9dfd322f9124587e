-- A model whose versions have an interest head, and have none, in turn.
BEGIN;
CREATE SCHEMA rank_by;
SELECT set_config('search_path', 'rank_by, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SET LOCAL check_function_bodies = off;
SELECT plan(25);

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, round((3 + sin(u) + cos(i * 2) + 1.5 * sin(u * 0.7) * cos(i * 1.3))::numeric, 1)::real AS rating,
       (u * i) % 2 AS day
FROM generate_series(1, 80) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE TABLE genres AS SELECT i AS item_id, i % 3 AS genre FROM generate_series(1, 52) i;
CREATE FUNCTION lists() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(t::text, ' ' ORDER BY t.user_id, t.rank) FROM fm_top_x_all(7, 'm') t $$;
CREATE FUNCTION dot(a real[], b real[]) RETURNS double precision LANGUAGE sql AS $$ SELECT sum(x::float8 * y) FROM unnest(a, b) t (x, y) $$;
-- By how much the lists of some users differ from what the tables say, up to a constant for each user; and whether all
-- are there.
CREATE FUNCTION off(as_ranked boolean) RETURNS text LANGUAGE sql AS $$
    SELECT (max(spread) < 1e-4)::text || ' ' || sum(n) FROM (
        SELECT max(t.score - s.score) - min(t.score - s.score) AS spread, count(*) AS n
        FROM unnest('{7, 8, 9}'::bigint[]) who CROSS JOIN fm_top_x(who, 1000, 'm', false) t
        JOIN (SELECT u.user_id, i.item_id, CASE WHEN as_ranked THEN dot(u.interest_v, i.interest_v) + i.interest_w
                     + n.rating_share * (dot(u.v, i.v) + i.w) - n.novelty * n.novelty_unit * i.popularity ELSE dot(u.v, i.v) + i.w END AS score
              FROM fm_m_user u JOIN fm_m_item i USING (version) JOIN fm_m_version n USING (version)
              JOIN fm_models m ON m.model = 'm' AND m.active_version = version) s ON s.user_id = who AND s.item_id = t.item_id GROUP BY who) d $$;

SELECT is(status, 'succeeded', 'by rating: trained') FROM fm_train('m', 'ratings', num_factors => 4, iterations => 10, item_features => 'genres', context_columns => '{day}', rank_by => 'rating');
SELECT fm_set('m', keep_versions => 9) \g /dev/null
SELECT is((SELECT interest_factors FROM fm_m_version), 0, 'it has no interest head');
SELECT is(off(false), 'true 156', 'its lists are those of the ratings');
CREATE TABLE first AS SELECT lists();
SELECT fm_write_top_x('written', 5, 'm') \g /dev/null
SELECT is(status, 'succeeded', 'by interest: trained') FROM fm_train('m', rank_by => 'interest');
SELECT is((SELECT string_agg((interest_factors > 0)::text, ' ' ORDER BY version) FROM fm_m_version), 'false true', 'the second version has an interest head');
SELECT is((SELECT rank_by FROM fm_models WHERE model = 'm'), 'interest', 'fm_models says so');
SELECT is(off(true), 'true 156', 'its lists are those of both heads');
CREATE TABLE second AS SELECT lists();
SELECT isnt((SELECT lists FROM second), (SELECT lists FROM first), 'they differ');
SELECT is((SELECT count(*) FROM fm_m_level WHERE version = 2 AND interest_v IS NULL), 0::bigint, 'levels have an interest');
SELECT is((SELECT count(*) FROM fm_m_level WHERE version = 1 AND interest_v IS NOT NULL), 0::bigint, 'those of the first have none');
SELECT fm_write_top_x('written', 5, 'm') \g /dev/null
SELECT is((SELECT string_agg((w.user_id, w.rank, w.item_id, w.score)::text, ' ' ORDER BY user_id, rank) FROM written w),
          (SELECT string_agg((t.user_id, t.rank, t.item_id, t.score)::text, ' ' ORDER BY t.user_id::int, t.rank) FROM fm_top_x_all(5, 'm') t), 'tables of lists follow');

SELECT fm_activate('m', 1) \g /dev/null
SELECT is(lists(), (SELECT lists FROM first), 'the first is activated again');
SELECT fm_activate('m', 2) \g /dev/null
SELECT is(lists(), (SELECT lists FROM second), 'and the second');
SELECT cmp_ok((SELECT count(*) FROM fm_top_x(7, 10, 'm', context => '{"day": 1}')), '=', 10::bigint, 'in a context, too');

-- Folding in keeps the heads that the version has, whatever the definition says now.
INSERT INTO ratings SELECT 1000, i, 1 + i % 5, 0 FROM generate_series(1, 20) i;
SELECT fm_activate('m', 1) \g /dev/null
SELECT is((SELECT message FROM fm_fold_in('m')), 'folded into version 1; users: 1 added, 0 updated; items: 0 added, 0 updated', 'folded into the first');
SELECT is((SELECT count(*) FROM fm_m_user WHERE version = 3 AND interest_v IS NOT NULL), 0::bigint, 'which stays without an interest head');
SELECT is(off(false), 'true 156', 'its lists are those of the ratings');
SELECT fm_activate('m', 2) \g /dev/null
SELECT is((SELECT version FROM fm_fold_in('m')), 4, 'folded into the second');
SELECT is((SELECT count(*) FROM fm_m_user WHERE version = 4 AND interest_v IS NOT NULL), 81::bigint, 'which has both');
SELECT is(off(true), 'true 156', 'its lists are those of both heads');
SELECT is((SELECT count(*) FROM fm_m_level a JOIN fm_m_level b USING (idx, name, w, v, interest_w, interest_v) WHERE a.version = 2 AND b.version = 4),
          (SELECT count(*) FROM fm_m_level WHERE version = 2), 'and its levels');

-- Refresh trains as defined. Versions that are not kept are deleted in all tables.
SELECT fm_set('m', keep_versions => 1) \g /dev/null
SELECT is(status, 'succeeded', 'by rating again') FROM fm_train('m', rank_by => 'rating');
CALL fm_refresh('m');
SELECT is((SELECT count(DISTINCT version) FROM (SELECT version FROM fm_m_user UNION SELECT version FROM fm_m_item UNION SELECT version FROM fm_m_level
           UNION SELECT version FROM fm_m_matrix UNION SELECT version FROM fm_m_version) v), 1::bigint, 'one version is kept');
SELECT is((SELECT interest_factors FROM fm_m_version ORDER BY version DESC LIMIT 1), 0, 'the last has no interest head');
SELECT is(off(false), 'true 156', 'its lists are those of the ratings');
SELECT * FROM finish();
ROLLBACK;
