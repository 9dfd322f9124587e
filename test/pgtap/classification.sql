-- task => 'classification': with known true probabilities, every function that returns a score is
-- near them, whatever the labels; and the input that it refuses.
BEGIN;
CREATE SCHEMA classification;
SELECT set_config('search_path', 'classification, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

-- Planted data: yes if a roughly normal draw, the sum of twelve uniforms, is below η. Its probability
-- is Φ(η).
CREATE TABLE truth AS
SELECT u AS user_id, i AS item_id, 0.3 + 0.8 * sin(u) + 0.7 * cos(i) + 0.9 * sin(u * 0.7) * cos(i * 1.3) AS eta
FROM generate_series(1, 200) u, generate_series(1, 150) i;
CREATE TABLE answers AS
SELECT user_id, item_id, eta,
       (SELECT sum((hashint8extended(user_id * 1000 + item_id, n) & 65535) / 65536.0) - 6 FROM generate_series(1, 12) n) < eta AS yes,
       hashint8extended(user_id * 1000 + item_id, 99) & 3 AS quarter
FROM truth;
CREATE VIEW learnt AS SELECT user_id, item_id, yes FROM answers WHERE quarter <> 1;
CREATE VIEW unseen AS SELECT user_id, item_id, yes FROM answers WHERE quarter = 1;
CREATE VIEW numbers AS SELECT user_id, item_id, yes::int AS yes FROM learnt;
CREATE VIEW stars AS SELECT user_id, item_id, CASE WHEN yes THEN 4.5 ELSE -2 END AS yes FROM learnt ORDER BY item_id;

SELECT is(count(*), 6::bigint, 'train on booleans, 0 and 1, other numbers, and with any number of workers') FROM (
    SELECT fm_train('likes', 'learnt', rating_column => 'yes', task => 'classification', num_factors => 6, rank_by => 'rating') UNION ALL
    SELECT fm_train('alone', 'learnt', rating_column => 'yes', task => 'classification', num_factors => 6, workers => 0, iterations => 20, rank_by => 'rating') UNION ALL
    SELECT fm_train('pair', 'numbers', rating_column => 'yes', task => 'classification', num_factors => 6, workers => 1, iterations => 20, rank_by => 'rating') UNION ALL
    SELECT fm_train('three', 'learnt', rating_column => 'yes', task => 'classification', num_factors => 6, workers => 2, iterations => 20, rank_by => 'rating') UNION ALL
    SELECT fm_train('stars', 'stars', rating_column => 'yes', task => 'classification', num_factors => 6, iterations => 20, rank_by => 'rating') UNION ALL
    SELECT fm_train('other', 'learnt', rating_column => 'yes', task => 'classification', num_factors => 6, iterations => 20, seed => 5, rank_by => 'rating')) t;
CREATE FUNCTION bits(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT md5(
        (SELECT string_agg(float8send(b)::text || float8send(score_variance), '','') FROM fm_%1$s_version) ||
        (SELECT string_agg(float4send(w)::text || array_send(v), '','' ORDER BY user_id) FROM fm_%1$s_user) ||
        (SELECT string_agg(float4send(w)::text || array_send(v), '','' ORDER BY item_id) FROM fm_%1$s_item))', model) INTO result;
    RETURN result;
END $$;
SELECT is(bits('pair'), bits('alone'), 'booleans train as 0 and 1, with one worker');
SELECT is(bits('three'), bits('alone'), 'booleans train as 0 and 1, with two workers');
SELECT is(bits('stars'), bits('alone'), 'of two numbers, the larger one is yes');
SELECT isnt(bits('other'), bits('alone'), 'another seed gives other bits');
SELECT is((SELECT rating_min || ' ' || rating_max FROM fm_stars_version), '-2 4.5', 'the model keeps its labels');
SELECT is(solver, 'mcmc', 'by mcmc') FROM fm_models WHERE model = 'likes';

-- Probabilities are near the true ones.
CREATE TABLE predicted AS
SELECT a.*, fm_predict(user_id, item_id, 'likes') AS p, 0.5 * (1 + sign(eta) * sqrt(1 - exp(-2 * eta ^ 2 / pi()))) AS true_p FROM answers a;
SELECT cmp_ok((SELECT avg(abs(p - true_p)) FROM predicted WHERE quarter = 1), '<', 0.07::float8, 'probabilities are near the true ones');
SELECT cmp_ok((SELECT max(abs(observed - expected))::float8
               FROM (SELECT avg(p) AS expected, avg(yes::int) AS observed FROM predicted WHERE quarter = 1
                     GROUP BY least(floor(p * 10), 9) HAVING count(*) >= 200) bins), '<', 0.05::float8, 'in ten bins, they are calibrated');
SELECT cmp_ok((SELECT avg(-ln(CASE WHEN yes THEN p ELSE 1 - p END)) FROM predicted WHERE quarter = 1), '<',
              (SELECT avg(-ln(CASE WHEN yes THEN true_p ELSE 1 - true_p END)) + 0.03 FROM predicted WHERE quarter = 1),
              'the log loss is near that of the truth');
SELECT is((SELECT count(*) FROM predicted WHERE NOT (p > 0 AND p < 1)), 0::bigint, 'predictions are between 0 and 1');

-- Metrics are equal to those computed in SQL.
CREATE FUNCTION measured(relation regclass, model text) RETURNS TABLE (metric text, value float8) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        WITH scored AS MATERIALIZED (SELECT yes, fm_predict(user_id, item_id, %L) AS p FROM %s),
             ranked AS (SELECT yes, (rank() OVER (ORDER BY p) + count(*) OVER (PARTITION BY p) / 2.0 - 0.5)::float8 AS place FROM scored),
             counts AS (SELECT count(*) FILTER (WHERE yes)::float8 AS y, count(*) FILTER (WHERE NOT yes)::float8 AS n FROM scored)
        SELECT ''log_loss'', avg(-ln(CASE WHEN yes THEN p ELSE 1 - p END)) FROM scored
        UNION ALL SELECT ''accuracy'', avg(((p >= 0.5) = yes)::int)::float8 FROM scored
        UNION ALL SELECT ''f1'', 2.0 * count(*) FILTER (WHERE yes AND p >= 0.5)
            / (2 * count(*) FILTER (WHERE yes AND p >= 0.5) + count(*) FILTER (WHERE yes <> (p >= 0.5)))::float8 FROM scored
        UNION ALL SELECT ''auc'', (sum(place) - y * (y + 1) / 2) / (y * n) FROM ranked, counts WHERE yes GROUP BY y, n', model, relation);
END $$;
SELECT set_eq($$SELECT metric, round(value::numeric, 5) FROM fm_evaluate('unseen', 'likes') LIMIT 4$$,
              $$SELECT metric, round(value::numeric, 5) FROM measured('unseen', 'likes')$$, 'fm_evaluate returns the metrics computed in SQL');
SELECT set_eq($$SELECT key, round(value::numeric, 5) FROM fm_runs, jsonb_each_text(train_metrics)
                WHERE model = 'likes' AND key <> 'ratings'$$,
              $$SELECT metric, round(value::numeric, 5) FROM measured('learnt', 'likes')$$, 'the run has the metrics of the training data computed in SQL');
SELECT is((SELECT array_agg(metric) FROM fm_evaluate('unseen', 'likes')),
          '{log_loss,accuracy,f1,auc,precision_at_x,recall_at_x,ndcg_at_x,map_at_x,mrr,coverage}', 'the names of the metrics');
SELECT is(test_metrics ? 'auc' AND (test_metrics ->> 'ratings')::int + ratings = (SELECT count(*) FROM learnt), true, 'held-out ratings have the same metrics')
FROM fm_train('held', 'learnt', rating_column => 'yes', task => 'classification', num_factors => 4, iterations => 10, test_size => 0.3, rank_by => 'rating');
CREATE VIEW all_yes AS SELECT * FROM unseen WHERE yes;
SELECT is((SELECT value FROM fm_evaluate('all_yes', 'likes') WHERE metric = 'auc'), NULL, 'without a no, the area under the curve is NULL');

-- Every list has the probabilities of fm_predict, in descending order.
SELECT is((SELECT count(*) FROM generate_series(1, 200) u, fm_top_x(u, 20, 'likes', false) t
           WHERE t.score IS DISTINCT FROM fm_predict(u, t.item_id, 'likes')::real), 0::bigint, 'a score of fm_top_x equals fm_predict');
SELECT is((SELECT count(*) FROM (SELECT score, lead(score) OVER (PARTITION BY u ORDER BY rank) AS next
                                 FROM generate_series(0, 200) u, fm_top_x(u, 150, 'likes', false) t) s WHERE next > score),
          0::bigint, 'scores never increase along a list');
SELECT results_eq($$SELECT user_id::int, rank, item_id::bigint, score, rating FROM fm_top_x_all(7, 'likes') ORDER BY 1, 2$$,
                  $$SELECT u, t.* FROM generate_series(1, 200) u, fm_top_x(u, 7, 'likes') t ORDER BY 1, 2$$, 'fm_top_x_all has the same scores');
SELECT is(fm_write_top_x('lists', 7, 'likes'), 1400::bigint, 'a table is written');
SELECT results_eq('SELECT user_id, rank, item_id::bigint, score, rating FROM lists ORDER BY 1, 2',
                  $$SELECT u, t.* FROM generate_series(1, 200) u, fm_top_x(u, 7, 'likes') t ORDER BY 1, 2$$, 'fm_write_top_x has the same scores');
SELECT is(fm_predict(1, 0, 'likes'), NULL, 'no prediction for an unknown item');
SELECT cmp_ok(abs(avg(fm_predict(0, item_id, 'likes')) - 0.58), '<', 0.1::float8, 'those for an unknown user are about the share of yes')
FROM fm_likes_item;
SELECT is((SELECT count(*) FROM fm_user_vectors('likes') u, fm_item_vectors('likes') i WHERE u.id = '7'
           GROUP BY u.id HAVING corr((SELECT sum(a::float8 * b) FROM unnest(u.vector, i.vector) f (a, b)),
                                     fm_predict(7, i.id::int, 'likes')) > 0.9), 150::bigint, 'vectors give the linear score');

-- Separable data, a user who says yes to everything, and an item that nobody likes.
CREATE TABLE plain AS
SELECT u AS user_id, i AS item_id, CASE WHEN u = 1 THEN true WHEN i = 1 THEN false ELSE i % 2 = u % 2 END AS yes
FROM generate_series(1, 40) u, generate_series(1, 30) i;
SELECT cmp_ok((train_metrics ->> 'accuracy')::float8, '>', 0.97::float8, 'separable data is learnt')
FROM fm_train('plain', 'plain', rating_column => 'yes', task => 'classification', num_factors => 4, iterations => 500, rank_by => 'rating');
SELECT is((SELECT count(*) FROM fm_plain_user, unnest(v || w) x WHERE NOT abs(x) < 1e3), 0::bigint, 'separable data does not make parameters explode');
SELECT cmp_ok((SELECT min(fm_predict(1, i, 'plain')) FROM generate_series(2, 30) i), '>', 0.7::float8, 'a user who says yes to everything is predicted to');
SELECT cmp_ok((SELECT max(fm_predict(u, 1, 'plain')) FROM generate_series(2, 40) u), '<', 0.3::float8, 'an item that nobody likes is predicted so');

-- Weights count, and copies of rows do not.
CREATE TABLE counted AS SELECT *, CASE WHEN yes THEN 3 ELSE 1 END AS weight FROM learnt;
CREATE VIEW repeated AS SELECT user_id, item_id, yes, weight FROM counted, generate_series(1, 3);
SELECT is(count(*), 2::bigint, 'train by weight, of rows and of their copies') FROM (
    SELECT fm_train('by_weight', 'counted', rating_column => 'yes', weight_column => 'weight', task => 'classification', num_factors => 1, rank_by => 'rating') UNION ALL
    SELECT fm_train('by_repetition', 'repeated', rating_column => 'yes', weight_column => 'weight', task => 'classification', num_factors => 1, rank_by => 'rating')) t;
SELECT is(max(abs(fm_predict(user_id, item_id, 'by_weight') - fm_predict(user_id, item_id, 'by_repetition'))), 0::float8,
          'copies change nothing') FROM unseen;
SELECT cmp_ok(avg(fm_predict(user_id, item_id, 'by_weight') - fm_predict(user_id, item_id, 'likes')), '>', 0.1::float8,
              'and makes a difference') FROM unseen;

-- Retraining with another task and back, and from the stored definition.
SELECT is(task || version, 'classification2', 'the task is kept') FROM fm_train('stars', iterations => 5, rank_by => 'rating');
CREATE VIEW five AS SELECT user_id, item_id, (1 + (user_id * item_id) % 5)::int AS yes FROM learnt;
SELECT is(task || (train_metrics ? 'rmse'), 'regressiontrue', 'until the model is defined anew') FROM fm_train('stars', 'five', rating_column => 'yes', solver => 'als', rank_by => 'rating');
SELECT cmp_ok((SELECT max(score) FROM fm_top_x(1, 1, 'stars')), '>', 1::real, 'retrained as a regression, it predicts ratings');
SELECT is(task || solver, 'classificationmcmc', 'a change of task chooses its solver') FROM fm_train('stars', 'stars', rating_column => 'yes', task => 'classification', iterations => 5, rank_by => 'rating');
SELECT cmp_ok((SELECT max(score) FROM fm_top_x(1, 1, 'stars')), '<', 1::real, 'retrained as a classification, it predicts probabilities again');
CALL fm_refresh('stars');
SELECT is((SELECT task FROM fm_runs WHERE model = 'stars' ORDER BY version DESC LIMIT 1), 'classification', 'fm_refresh keeps the task');

SELECT * FROM finish();
ROLLBACK;
