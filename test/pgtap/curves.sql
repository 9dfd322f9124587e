-- Learning curves and metrics as numbers: fm_curve and fm_metrics.
BEGIN;
SELECT plan(24);
SET client_min_messages = error;

CREATE TABLE rated AS
    SELECT u AS user_id, i AS item_id, 'day ' || (u + i) % 3 AS day,
           (3 + sin(u) + cos(i) + 0.8 * sin(u * 0.7) * cos(i * 1.3) + (u + i) % 3 * 0.4
            + 0.2 * sin(u * 1000 + i * 7))::real AS rating
    FROM generate_series(1, 60) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) % 3 <> 0;

SELECT lives_ok($$SELECT fm_train('m', 'rated', solver => 'als', num_factors => 4, iterations => 12, test_size => 0.2, rank_by => 'rating')$$, 'als');
SELECT results_eq($$SELECT array_agg(iteration ORDER BY iteration), min(head), min(train_metric), min(test_metric) FROM fm_curve WHERE model = 'm'$$,
    $$SELECT array_agg(g), 'rating', 'rmse', 'rmse' FROM generate_series(1, 12) g$$, 'a row for each iteration');
SELECT is((SELECT bool_and(elapsed >= before) FROM (SELECT elapsed, lag(elapsed, 1, '0') OVER (ORDER BY iteration) AS before FROM fm_curve) c),
    true, 'time goes on');
SELECT is((SELECT bool_and(train_value <= before + 0.01) FROM (SELECT train_value, lag(train_value, 1, 'Infinity') OVER (ORDER BY iteration) AS before
    FROM fm_curve) c), true, 'the error falls');
-- fewer are held out than are watched, so the curve ends where the model is
SELECT ok(abs(c.train_value - t.value) < 0.01 AND abs(c.test_value - s.value) < 0.001, 'als ends at the metrics of the run')
FROM fm_curve c, fm_metrics t, fm_metrics s
WHERE c.iteration = 12 AND t.set = 'train' AND t.metric = 'rmse' AND s.set = 'test' AND s.metric = 'rmse';
SELECT is((SELECT array_agg(model || version || set || metric ORDER BY set, metric) FROM fm_metrics),
    '{m1testmae,m1testmap_at_10,m1testmrr,m1testndcg_at_10,m1testprecision_at_10,m1testrecall_at_10,m1testrmse,m1trainmae,m1trainrmse}'::text[],
    'metrics without counts');
SELECT is((SELECT array_agg(value || '/' || baseline ORDER BY metric) FROM fm_metrics WHERE set = 'test' AND metric IN ('mae', 'rmse')),
    (SELECT ARRAY[(test_metrics ->> 'mae') || '/' || (test_metrics #>> '{baseline,mae}'), (test_metrics ->> 'rmse') || '/' || (test_metrics #>> '{baseline,rmse}')]
     FROM fm_runs), 'their values and baselines are those of fm_runs');
SELECT is((SELECT count(*) FROM fm_metrics WHERE set = 'train' AND baseline IS NOT NULL), 0::bigint, 'none for those trained on');

SELECT lives_ok($$SELECT fm_train('m', context_columns => '{day}')$$, 'contexts');
SELECT ok(abs(c.test_value - s.value) < 0.001, 'also with contexts') FROM fm_curve c, fm_metrics s
WHERE c.version = 2 AND c.iteration = 12 AND s.version = 2 AND s.set = 'test' AND s.metric = 'rmse';
SELECT is((SELECT count(DISTINCT version) FROM fm_curve), 2::bigint, 'each run has its own');
SELECT lives_ok($$SELECT fm_train('m', context_columns => NULL, solver => 'mcmc', iterations => 60, workers => 0, rank_by => 'interest')$$, 'mcmc, two heads');
SELECT ok(abs(c.test_value - s.value) < 0.01, 'mcmc ends near the metrics of the run') FROM fm_curve c, fm_metrics s
WHERE c.version = 3 AND c.head = 'rating' AND c.iteration = 60 AND s.version = 3 AND s.set = 'test' AND s.metric = 'rmse';
SELECT is((SELECT array_agg(DISTINCT head || ' ' || train_metric || ' ' || test_metric) FROM fm_curve WHERE version = 3),
    '{"interest error auc","rating rmse rmse"}'::text[], 'both heads have one');
SELECT ok(bool_and(test_value BETWEEN 0 AND 1 AND train_value > 0), 'that of the interest head has shares') FROM fm_curve WHERE head = 'interest';
SELECT lives_ok($$SELECT fm_train('all', 'rated', solver => 'als', num_factors => 4, iterations => 5)$$, 'nothing held out');
SELECT is((SELECT bool_and(test_metric IS NULL AND test_value IS NULL AND train_value > 0) FROM fm_curve WHERE model = 'all'), true, 'then only the training');

CREATE VIEW liked AS SELECT user_id, item_id, rating > 3 AS yes FROM rated;
SELECT lives_ok($$SELECT fm_train('c', 'liked', rating_column => 'yes', task => 'classification', num_factors => 4, iterations => 60, test_size => 0.2)$$,
    'a classification');
SELECT ok(abs(c.test_value - s.value) < 0.02 AND c.test_metric = 'log_loss', 'its curve has the log loss') FROM fm_curve c, fm_metrics s
WHERE c.model = 'c' AND c.head = 'rating' AND c.iteration = 60 AND s.model = 'c' AND s.set = 'test' AND s.metric = 'log_loss';

CREATE TABLE chosen AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 80) u, generate_series(1, 60) i
    WHERE (u + i) % 4 = 0 AND hashint8extended(u * 1000 + i, 1) % 3 <> 0;
SELECT lives_ok($$SELECT fm_train('r', 'chosen', task => 'ranking', test_size => 0.2)$$, 'a ranking');
SELECT ok(min(head) = 'ranking' AND max(iteration) = count(*) AND (array_agg(test_value ORDER BY iteration DESC))[1] > 0.8,
    'of a ranking, the share of pairs in order') FROM fm_curve WHERE model = 'r';

CREATE ROLE fm_curves_stranger;
SET ROLE fm_curves_stranger;
SELECT is((SELECT count(*) FROM fm_curve) + (SELECT count(*) FROM fm_metrics) + (SELECT count(*) FROM fm_run_curve), 0::bigint, 'others see nothing');
RESET ROLE;
SELECT lives_ok($$DELETE FROM fm_run WHERE model = 'm' AND version < 3; SELECT fm_drop('c'); SELECT fm_drop('all'); SELECT fm_drop('r')$$, 'runs go');
SELECT is((SELECT array_agg(DISTINCT model || version) FROM fm_curve), '{m3}'::text[], 'and their curves with them');

SELECT * FROM finish();
ROLLBACK;
