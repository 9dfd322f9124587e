-- Rows of the same user and item: copies change nothing, repeats count by their correlation.
BEGIN;
CREATE SCHEMA repeats;
SELECT set_config('search_path', 'repeats, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (u + i) % 2 AS device, timestamptz '2024-01-01' + interval '1 hour' * (u * 50 + i) AS rated_at,
       (3 + sin(u) + cos(i) + 2 * sin(u * 0.7) * cos(i * 1.3) + 0.5 * sin(u * i))::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE VIEW tripled AS SELECT ratings.* FROM ratings, generate_series(1, 3) ORDER BY random();
CREATE VIEW likes AS SELECT user_id, item_id, rating > 3 AS rating FROM ratings;
CREATE VIEW likes_tripled AS SELECT user_id, item_id, rating > 3 AS rating FROM tripled;
CREATE FUNCTION apart(a text, b text) RETURNS float8 LANGUAGE sql AS $$
    SELECT max(abs(fm_predict(u, i, a) - fm_predict(u, i, b))) FROM generate_series(1, 60) u, generate_series(1, 50) i
$$;

-- A join that multiplies the rows.
SELECT is(count(*), 14::bigint, 'train on rows and on their copies') FROM (
    SELECT fm_train('mcmc', 'ratings', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('mcmc_3', 'tripled', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('als', 'ratings', solver => 'als', num_factors => 3) UNION ALL
    SELECT fm_train('als_3', 'tripled', solver => 'als', num_factors => 3) UNION ALL
    SELECT fm_train('ials', 'ratings', task => 'ranking', num_factors => 3) UNION ALL
    SELECT fm_train('ials_3', 'tripled', task => 'ranking', num_factors => 3) UNION ALL
    SELECT fm_train('probit', 'likes', task => 'classification', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('probit_3', 'likes_tripled', task => 'classification', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('context', 'ratings', context_columns => '{device}', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('context_3', 'tripled', context_columns => '{device}', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('history', 'ratings', history => true, num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('history_3', 'tripled', history => true, num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('split', 'ratings', test_size => 0.3, num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('split_3', 'tripled', test_size => 0.3, num_factors => 3, iterations => 30)) t;
SELECT is(apart(m, m || '_3'), 0::float8, m || ': copies change nothing') FROM unnest('{mcmc,als,ials,probit,context,history,split}'::text[]) m;
SELECT is(a.ratings || ' ' || a.train_metrics || coalesce(a.test_metrics::text, ''), b.ratings || ' ' || b.train_metrics || coalesce(b.test_metrics::text, ''),
          a.model || ': nor do they change the metrics')
FROM fm_runs a JOIN fm_runs b ON b.model = a.model || '_3' WHERE a.model IN ('mcmc', 'als', 'probit', 'context', 'split') ORDER BY a.model;
SELECT is((SELECT count(*) FROM ratings), (SELECT ratings + (test_metrics ->> 'ratings')::bigint FROM fm_runs WHERE model = 'split_3'),
          'a pair counts once, whether trained on or held out');

-- The rows of a pair are in one part of a split: errors on held-out pairs are those of other pairs.
SELECT is(repeat_correlation, 1::float8, 'copies are fully correlated') FROM fm_mcmc_3_version;
CREATE VIEW noise AS SELECT u AS user_id, i AS item_id, (3 + sin(u * u * 12.9898 + i * i * 78.233 + u * i) * 2)::real AS rating
FROM generate_series(1, 50) u, generate_series(1, 40) i, generate_series(1, 4);
SELECT cmp_ok((test_metrics ->> 'rmse')::float8, '>', 0.95 * (SELECT stddev_pop(rating) FROM noise), 'noise that is repeated cannot be predicted')
FROM fm_train('noise', 'noise', test_size => 0.25, num_factors => 4);

-- One pair, very often.
CREATE VIEW crowded AS SELECT user_id, item_id, rating FROM ratings
UNION ALL SELECT user_id, item_id, rating FROM (SELECT * FROM ratings ORDER BY user_id, item_id LIMIT 1) r, generate_series(1, 100000);
SELECT is(count(*), 1::bigint, 'one pair 100,000 times') FROM fm_train('crowded', 'crowded', num_factors => 3, iterations => 30);
SELECT is(apart('crowded', 'mcmc'), 0::float8, 'that it is repeated changes nothing');
CREATE VIEW restless AS SELECT user_id, item_id, rating FROM ratings
UNION ALL SELECT user_id, item_id, rating + sin(n)::real FROM (SELECT * FROM ratings ORDER BY user_id, item_id LIMIT 1) r, generate_series(1, 100000) n;
SELECT is(count(*), 1::bigint, 'one pair 100,000 times with other ratings') FROM fm_train('restless', 'restless', num_factors => 3, iterations => 30);
SELECT cmp_ok(sqrt(avg((fm_predict(user_id, item_id, 'restless') - fm_predict(user_id, item_id, 'mcmc')) ^ 2)), '<', 0.1::float8,
              'other pairs are predicted as before') FROM ratings;

-- Repeats that do not agree: the mean, with a weight between that of one row and that of so many.
CREATE TABLE repeated AS
SELECT user_id, item_id, (rating + 2 * sin(n * 37.1 + user_id * 91.7 + item_id * 53.3))::real AS rating, 1 AS weight
FROM ratings, generate_series(1, 1 + (user_id + item_id) % 3) n;
SELECT is(ratings, (SELECT count(*) FROM ratings), 'the number of ratings is that of pairs')
FROM fm_train('repeated', 'repeated', solver => 'als', num_factors => 3, iterations => 300, l2_reg_w => 1.5, l2_reg_v => 1.2);
SELECT cmp_ok(repeat_correlation, '<', 0.9::float8, 'their correlation is learnt') FROM fm_repeated_version;
CREATE TABLE merged AS
SELECT user_id, item_id, avg(rating)::real AS rating, count(*) / (1 + (count(*) - 1) * (SELECT repeat_correlation FROM fm_repeated_version)) AS weight
FROM repeated GROUP BY user_id, item_id;
-- Weights of a column are relative to their unit, so that what they are regularised with is, too.
SELECT fm_train('merged', 'merged', weight_column => 'weight', solver => 'als', num_factors => 3, iterations => 300,
                l2_reg_w => 1.5 / sqrt(unit), l2_reg_v => 1.2 / sqrt(unit))
FROM (SELECT sum(weight ^ 2) / sum(weight) AS unit FROM merged) u \g /dev/null
SELECT cmp_ok(apart('repeated', 'merged'), '<', 1e-3::float8, 'rows count as documented');
CREATE VIEW shuffled AS SELECT * FROM repeated ORDER BY random();
SELECT is(version, 1, 'train on the same rows in another order') FROM fm_train('shuffled', 'shuffled', solver => 'als', num_factors => 3, iterations => 300);
SELECT is(apart('shuffled', 'repeated'), 0::float8, 'the order of repeats does not matter');

-- Labels that do not agree.
CREATE VIEW torn AS SELECT user_id, item_id, rating > 3 AS rating FROM repeated;
SELECT is(status, 'succeeded', 'both labels for one pair') FROM fm_train('torn', 'torn', task => 'classification', num_factors => 3, iterations => 50);
SELECT cmp_ok((train_metrics ->> 'log_loss')::float8, '<', 0.7::float8, 'they are learnt from') FROM fm_runs WHERE model = 'torn';

-- A training that does not even fit its own ratings says so.
SELECT alike(message, 'train log\_loss % exceeds 0.6%, that of the base rate', 'a misfit has a message')
FROM fm_train('wild', 'likes', task => 'classification', num_factors => 3, iterations => 1, init_stdev => 30);
SELECT is(message, NULL, 'a fit has none') FROM fm_runs WHERE model = 'probit';

-- A split by time goes by the latest row of a pair.
CREATE TABLE dated AS SELECT user_id, item_id, rating, rated_at FROM ratings
UNION ALL SELECT user_id, item_id, rating, rated_at - interval '10 years' FROM ratings;
SELECT fm_train('dated', 'dated', solver => 'als', num_factors => 3, iterations => 2) \g /dev/null
CALL fm_tune('dated', trials => 1, validation_size => 0.1, time_column => 'rated_at');
SELECT cmp_ok(abs((metrics ->> 'ratings')::int - (SELECT count(*) FROM ratings) / 5.0), '<=', 1::numeric, 'the late rows of a pair take the others along')
FROM fm_trials WHERE model = 'dated';

-- Folding in counts rows as the training did.
CREATE TABLE growing AS SELECT user_id, item_id, rating FROM ratings;
SELECT is(version, 1, 'train before anything is added') FROM fm_train('growing', 'growing', num_factors => 3, iterations => 30);
INSERT INTO growing SELECT 1000 + c, item_id, rating FROM ratings, (VALUES (0, 1), (1, 3)) v(c, times), generate_series(1, times)
WHERE user_id = 7;
CREATE TEMP TABLE live ON COMMIT DROP AS
SELECT m AS model, u AS user_id, t.item_id, t.score FROM (VALUES ('growing'::text)) v(m), generate_series(1000, 1001) u, fm_top_x(u, 50, m, false) t;
SELECT is(max(abs(a.score - b.score)), 0::real, a.model || ': a list for rows and one for their copies')
FROM live a JOIN live b USING (model, item_id) WHERE a.user_id = 1000 AND b.user_id = 1001 GROUP BY a.model ORDER BY a.model;
SELECT is(max(abs(a.score - b.score)), 0::real, 'an item twice in a basket is one rating')
FROM fm_top_x_for('{1,2,3}'::bigint[], '{1,5,3}', 50, 'growing', false) a
JOIN fm_top_x_for('{1,2,3,2,1}'::bigint[], '{1,5,3,5,1}', 50, 'growing', false) b USING (item_id);
SELECT is((users, ratings)::text, format('(62,%s)', (SELECT count(DISTINCT (user_id, item_id)) FROM growing)), 'fold in two users')
FROM fm_fold_in('growing');
SELECT is(max(abs(fm_predict(1000, i, 'growing') - fm_predict(1001, i, 'growing'))), 0::float8, 'rows and their copies are folded in alike')
FROM generate_series(1, 50) i;
SELECT cmp_ok(max(abs(l.score - t.score)), '<', 1e-4::real, 'fm_fold_in counts them as fm_top_x does')
FROM live l JOIN fm_top_x(1001, 50, 'growing', false) t USING (item_id) WHERE l.user_id = 1001 AND l.model = 'growing';

SELECT * FROM finish();
ROLLBACK;
