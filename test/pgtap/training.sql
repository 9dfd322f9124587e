-- What a training guarantees: the same bits for the same seed, versions that commit and roll back with
-- their transaction, held-out rows, and metrics equal to those computed in SQL.
BEGIN;
CREATE SCHEMA training;
SELECT set_config('search_path', 'training, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, round((3 + sin(u) + cos(i) + 2 * sin(u * 0.7) * cos(i * 1.3) + 0.3 * sin(u * i))::numeric, 2)::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
INSERT INTO ratings SELECT user_id, item_id, rating + 0.5 FROM ratings WHERE (user_id + item_id) % 20 = 0; -- rated twice

-- A hash of all bits of a version.
CREATE FUNCTION bits(model text, VARIADIC versions int[] DEFAULT '{1}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT md5(
        (SELECT string_agg(concat_ws('' '', num_factors, float8send(b), rating_min, rating_max, float8send(rating_mean)), '','' ORDER BY version)
         FROM fm_%1$s_version WHERE version = ANY ($1)) ||
        (SELECT string_agg(concat_ws('' '', idx, user_id, float4send(w), array_send(v)), '','' ORDER BY version, user_id)
         FROM fm_%1$s_user WHERE version = ANY ($1)) ||
        (SELECT string_agg(concat_ws('' '', idx, item_id, float4send(w), array_send(v)), '','' ORDER BY version, item_id)
         FROM fm_%1$s_item WHERE version = ANY ($1)) ||
        (SELECT string_agg(fm_matrix_send(matrix)::text, '','' ORDER BY version, block)
         FROM fm_%1$s_matrix WHERE version = ANY ($1)))', model) INTO result USING versions;
    RETURN result;
END $$;

CREATE VIEW shuffled AS SELECT * FROM ratings ORDER BY hashint8extended(user_id * 7 + item_id, 99);
CREATE TABLE reversed AS SELECT rating, item_id, user_id FROM ratings ORDER BY user_id DESC, item_id DESC, rating DESC;
SELECT is(count(*), 7::bigint, 'train each solver, and mcmc in every way that must not matter') FROM (
    SELECT fm_train('mcmc', 'ratings', num_factors => 5, iterations => 12, rank_by => 'rating') UNION ALL
    SELECT fm_train('again', 'ratings', num_factors => 5, iterations => 12, rank_by => 'rating') UNION ALL
    SELECT fm_train('shuffled', 'shuffled', num_factors => 5, iterations => 12, rank_by => 'rating') UNION ALL
    SELECT fm_train('alone', 'reversed', num_factors => 5, iterations => 12, workers => 0, rank_by => 'rating') UNION ALL
    SELECT fm_train('crowd', 'reversed', num_factors => 5, iterations => 12, workers => 3, rank_by => 'rating') UNION ALL
    SELECT fm_train('als', 'ratings', solver => 'als', num_factors => 5, iterations => 12, rank_by => 'rating') UNION ALL
    SELECT fm_train('als_reversed', 'reversed', solver => 'als', num_factors => 5, iterations => 12, workers => 2, rank_by => 'rating')) t;
SELECT isnt(bits('mcmc'), NULL, 'a version has a hash');
SELECT is(bits('again'), bits('mcmc'), 'the same seed gives the same bits');
SELECT is(bits('shuffled'), bits('mcmc'), 'the order of the ratings does not change a bit');
SELECT is(bits('alone'), bits('mcmc'), 'another table, without workers: the same bits');
SELECT is(bits('crowd'), bits('mcmc'), 'with workers: the same bits');
SELECT is(bits('als_reversed'), bits('als'), 'als: the same bits');
SELECT isnt(bits('als'), bits('mcmc'), 'als gives other bits than mcmc');
SELECT is(version, 2, 'train again') FROM fm_train('again');
SELECT is(bits('again', 2), bits('mcmc'), 'a retrain on the same ratings gives the same bits');
SELECT is(version, 3, 'train with another seed') FROM fm_train('again', seed => 43, rank_by => 'rating');
SELECT isnt(bits('again', 3), bits('mcmc'), 'another seed gives other bits');
SELECT is(version, 4, 'a seed of its own is kept') FROM fm_train('again');
SELECT is(bits('again', 4), bits('again', 3), 'a retrain with that seed gives the same bits');

-- Every kernel trains the same model up to rounding, as documented for fmtopx.simd.
CREATE FUNCTION numbers(model text) RETURNS TABLE (id text, number bigint, value real) LANGUAGE sql AS $$
    SELECT id, n, x FROM (SELECT 'user ' || id AS id, vector FROM fm_user_vectors(model) UNION ALL
                          SELECT 'item ' || id, vector FROM fm_item_vectors(model)) v, unnest(vector) WITH ORDINALITY AS t(x, n) $$;
CREATE VIEW above_mean AS SELECT user_id, item_id, rating > 3 AS rating FROM ratings;
CREATE TABLE forced (kernel text, model text, id text, number bigint, value real);
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT kernel FROM fm_simd() LOOP
        PERFORM set_config('fmtopx.simd', name, true);
        PERFORM fm_train('forced_mcmc', 'ratings', num_factors => 5, rank_by => 'rating'), fm_train('forced_als', 'ratings', solver => 'als', num_factors => 5, rank_by => 'rating'),
                fm_train('forced_yes', 'above_mean', task => 'classification', num_factors => 5, rank_by => 'rating');
        INSERT INTO forced SELECT name, model, n.* FROM unnest('{forced_mcmc,forced_als,forced_yes}'::text[]) model, numbers(model) n;
    END LOOP;
    PERFORM set_config('fmtopx.simd', 'auto', true);
END $$;
SELECT is((SELECT count(DISTINCT model)::int FROM forced WHERE value > 0.5), 3, 'all kernels train three models');
SELECT is((SELECT string_agg(DISTINCT format('%s: %s', f.kernel, model), ', ') FROM forced f
           JOIN (SELECT * FROM forced WHERE kernel = (SELECT kernel FROM fm_simd() LIMIT 1)) best USING (model, id, number)
           WHERE NOT abs(f.value - best.value) <= 0.001), NULL, 'all kernels train the same model to within 0.001');

-- Held-out rows: their number, their choice by seed, and the metrics of both parts against SQL.
SELECT is(count(*), 3::bigint, 'hold out') FROM (
    SELECT fm_train('held', 'ratings', num_factors => 3, iterations => 5, test_size => 0.25, rank_by => 'rating') UNION ALL
    SELECT fm_train('held_reversed', 'reversed', num_factors => 3, iterations => 5, test_size => 0.25, rank_by => 'rating') UNION ALL
    SELECT fm_train('held_other', 'ratings', num_factors => 3, iterations => 5, test_size => 0.25, seed => 43, rank_by => 'rating')) t;
CREATE VIEW runs AS SELECT model, version, ratings, (test_metrics ->> 'ratings')::int AS held_out, train_metrics, test_metrics FROM fm_runs;
SELECT is(ratings + held_out, (SELECT count(DISTINCT (user_id, item_id)) FROM ratings), 'every pair is trained on or held out')
FROM runs WHERE model = 'held';
SELECT cmp_ok(abs(held_out / (held_out + ratings)::float8 - 0.25), '<', 0.05::float8, 'about a quarter is held out')
FROM runs WHERE model = 'held';
SELECT is(bits('held_reversed'), bits('held'), 'which rows are held out does not depend on their order');
SELECT is((SELECT test_metrics FROM runs WHERE model = 'held_reversed'), (SELECT test_metrics FROM runs WHERE model = 'held'),
          'the metrics do not depend on the order of rows');
SELECT isnt((SELECT test_metrics FROM runs WHERE model = 'held_other'), (SELECT test_metrics FROM runs WHERE model = 'held'),
            'which rows are held out depends on the seed');
SELECT is(train_metrics ->> 'ratings', ratings::text, 'train_metrics say of how many') FROM runs WHERE model = 'held';
CREATE VIEW errors AS
SELECT sqrt(sum(weight * (b + u.w + i.w + dot - rating) ^ 2) / sum(weight)) AS rmse,
       sum(weight * abs(b + u.w + i.w + dot - rating)) / sum(weight) AS mae
FROM (SELECT user_id, item_id, avg(rating) AS rating, count(*) AS n FROM ratings GROUP BY 1, 2) pairs
JOIN fm_mcmc_user u USING (user_id) JOIN fm_mcmc_item i USING (item_id), fm_mcmc_version,
    LATERAL (SELECT n / (1 + (n - 1) * repeat_correlation) AS weight) r, LATERAL (SELECT sum(x::float8 * y::float8) AS dot FROM unnest(u.v, i.v) f (x, y)) d;
SELECT cmp_ok(abs(rmse - (train_metrics ->> 'rmse')::float8), '<', 1e-4::float8, 'the RMSE of the training is that of the stored model')
FROM errors, runs WHERE model = 'mcmc';
SELECT cmp_ok(abs(mae - (train_metrics ->> 'mae')::float8), '<', 1e-4::float8, 'so is mae') FROM errors, runs WHERE model = 'mcmc';

-- fm_evaluate against SQL. Half of the rows are held out; lists exclude the others. Among the rows are
-- an unknown user and an unknown item.
CREATE TABLE held_out AS SELECT * FROM ratings WHERE (user_id * 3 + item_id) % 4 = 0;
INSERT INTO held_out VALUES (999, 1, 5), (999, 2, 1), (1, 999, 5);
CREATE VIEW scored AS
SELECT user_id, item_id, b + coalesce(u.w, 0) + coalesce(i.w, 0) + coalesce(dot, 0) AS score, i.item_id IS NOT NULL AS known
FROM (SELECT user_id FROM fm_mcmc_user UNION ALL SELECT 999) all_users
CROSS JOIN (SELECT item_id FROM fm_mcmc_item UNION ALL SELECT 999) all_items
LEFT JOIN fm_mcmc_user u USING (user_id) LEFT JOIN fm_mcmc_item i USING (item_id) CROSS JOIN fm_mcmc_version,
    LATERAL (SELECT sum(x::float8 * y::float8 ORDER BY n) AS dot FROM unnest(u.v, i.v) WITH ORDINALITY f (x, y, n)) d;
CREATE FUNCTION evaluated(x int) RETURNS TABLE (metric text, value float8) LANGUAGE sql AS $$
    WITH relevant AS (
        SELECT DISTINCT user_id, item_id FROM held_out, fm_mcmc_version WHERE rating >= rating_mean
    ), eligible AS (
        SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY score DESC, item_id) AS rank FROM scored s
        WHERE known AND user_id IN (SELECT user_id FROM relevant)
            AND ((user_id, item_id) NOT IN (SELECT user_id, item_id FROM ratings)
                 OR (user_id, item_id) IN (SELECT user_id, item_id FROM held_out))
    ), lists AS (
        SELECT *, ((user_id, item_id) IN (TABLE relevant))::int AS hit,
            sum(((user_id, item_id) IN (TABLE relevant))::int) OVER (PARTITION BY user_id ORDER BY rank) AS hits
        FROM eligible WHERE rank <= x
    ), users AS (
        SELECT user_id, (SELECT count(*) FROM relevant r WHERE r.user_id = l.user_id) AS wanted,
            sum(hit)::float8 AS hits, sum(hit * hits / rank::float8) AS precisions, sum(hit / log(2, rank + 1))::float8 AS gain,
            coalesce(1.0 / min(rank) FILTER (WHERE hit = 1), 0) AS reciprocal
        FROM lists l GROUP BY user_id
    ), errors AS (
        SELECT score - rating AS error FROM held_out JOIN scored USING (user_id, item_id)
    )
    SELECT 'rmse', sqrt(avg(error * error)) FROM errors
    UNION ALL SELECT 'mae', avg(abs(error)) FROM errors
    UNION ALL SELECT m.* FROM (
        SELECT avg(hits / x) AS precision, avg(hits / wanted) AS recall,
            avg(gain / (SELECT sum(1 / log(2, r + 1))::float8 FROM generate_series(1, least(wanted, x)) r)) AS ndcg,
            avg(precisions / least(wanted, x)) AS map, avg(reciprocal)::float8 AS mrr FROM users) u,
        LATERAL (VALUES ('precision_at_x', precision), ('recall_at_x', recall), ('ndcg_at_x', ndcg), ('map_at_x', map),
                        ('mrr', mrr)) m
    UNION ALL SELECT 'coverage', (SELECT count(DISTINCT item_id) FROM lists) / (SELECT count(*) FROM fm_mcmc_item)::float8
$$;
SELECT set_eq(format('SELECT metric, round(value::numeric, 9) FROM fm_evaluate(''held_out'', ''mcmc'', %s)', x),
              format('SELECT metric, round(value::numeric, 9) FROM evaluated(%s)', x), 'fm_evaluate is what SQL computes, x = ' || x)
FROM unnest('{1,5,20}'::int[]) x;
SELECT is((SELECT array_agg(metric) FROM fm_evaluate('held_out', 'mcmc')),
          '{rmse,mae,precision_at_x,recall_at_x,ndcg_at_x,map_at_x,mrr,coverage}', 'the names of the metrics');

-- Versions commit and roll back with their transaction, in memory as in the tables.
CREATE FUNCTION lists() RETURNS text LANGUAGE sql AS $$
    SELECT md5(string_agg(t::text, ',' ORDER BY u, rank)) FROM generate_series(1, 60) u, fm_top_x(u, 5, 'als') t
$$;
CREATE TABLE first AS SELECT lists();
SAVEPOINT trained;
SELECT is(version, 2, 'train within a savepoint') FROM fm_train('als', seed => 7, rank_by => 'rating');
CREATE TABLE second AS SELECT lists();
SELECT isnt((TABLE second), (TABLE first), 'the new version serves');
SELECT is((SELECT active_version FROM fm_models WHERE model = 'als'), 2, 'the new version is the active one');
ROLLBACK TO trained;
SELECT is(lists(), (TABLE first), 'after a rollback the first version is served');
SELECT is((SELECT count(*) FROM fm_als_user WHERE version <> 1), 0::bigint, 'a version that was rolled back has no row');
SELECT is((SELECT count(*) FROM fm_runs WHERE model = 'als'), 1::bigint, 'a training that was rolled back has no run');
SELECT is(version, 2, 'train again, the same version by number but not by content') FROM fm_train('als', seed => 8, rank_by => 'rating');
CREATE TABLE other AS SELECT lists();
SELECT isnt((TABLE other), (TABLE first), 'the version of another training is served');
SELECT is(version, 3, 'train once more') FROM fm_train('als', seed => 9, rank_by => 'rating');
SELECT set_eq('SELECT DISTINCT version FROM fm_als_user', '{2,3}'::int[], 'two versions are kept in the user table');
SELECT set_eq('SELECT DISTINCT version FROM fm_als_item', '{2,3}'::int[], 'two versions are kept in the item table');
SELECT set_eq('SELECT version FROM fm_als_matrix', '{2,3}'::int[], 'two versions are kept in the matrix table');
SELECT set_eq('SELECT version FROM fm_als_version', '{2,3}'::int[], 'two versions are kept in the version table');
SELECT set_eq($$SELECT version FROM fm_runs WHERE model = 'als'$$, '{1,2,3}'::int[], 'all runs are kept');

-- A training that fails leaves nothing.
SAVEPOINT failing;
SELECT throws_ok($$SELECT fm_train('als', rating_column => 'nosuch', rank_by => 'rating')$$, '42703');
SELECT throws_ok($$SELECT fm_train('new', (SELECT 'ratings'::regclass), user_column => 'nosuch', rank_by => 'rating')$$, '42703');
SELECT hasnt_table('training'::name, 'fm_new_version'::name, 'no tables of a model that failed');
SELECT is((SELECT max(version) FROM fm_als_user), 3, 'no version of a training that failed');

-- Defining a model, dropping it, defining it again.
SELECT fm_drop('als') \g /dev/null
SELECT is((SELECT count(*) FROM pg_class WHERE relname ~ '^fm_als_(version|user|item|matrix)'), 0::bigint, 'dropped: no tables');
SELECT is((SELECT count(*) FROM fm_model WHERE model = 'als'), 0::bigint, 'dropped: no row of the registry');
SELECT is((SELECT count(*) FROM fm_run WHERE model = 'als'), 0::bigint, 'dropped: no runs');
SELECT throws_ok('SELECT lists()', '42704', NULL, 'dropped: no lists');
SELECT is(version, 1, 'trained again, it starts at version 1') FROM fm_train('als', 'reversed', solver => 'als', num_factors => 5, iterations => 12, rank_by => 'rating');
SELECT is(lists(), (TABLE first), 'trained again, it serves the same lists');
DROP TABLE fm_als_version, fm_als_user, fm_als_item, fm_als_matrix;
SELECT is((SELECT count(*) FROM fm_models WHERE model = 'als'), 0::bigint, 'a model whose tables were dropped by hand is gone');
SELECT is(version, 1, 'a model of the same name can be trained again') FROM fm_train('als', 'reversed', solver => 'als', num_factors => 5, iterations => 12, rank_by => 'rating');
SELECT is(lists(), (TABLE first), 'after that, it serves the same lists');

SELECT * FROM finish();
ROLLBACK;
