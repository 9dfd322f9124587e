-- fm_tune: a search on held-out ratings that records its trials, can be continued, and changes nothing.
BEGIN;
CREATE SCHEMA tune;
SELECT set_config('search_path', 'tune, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, date '2026-01-01' + (u * 13 + i * 7) % 100 AS rated_on,
       round((3 + sin(u) + cos(i) + 2 * sin(u * 0.7) * cos(i * 1.3) + (hashint8extended(u * 1000 + i, 3) & 255) / 256.0)::numeric, 2)::real AS rating
FROM generate_series(1, 80) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE VIEW likes AS SELECT user_id, item_id, rated_on, rating > 3.5 AS rating FROM ratings;
CREATE VIEW bought AS SELECT user_id, item_id, rated_on FROM ratings WHERE rating > 3.5;

SELECT is(count(*), 4::bigint, 'train') FROM (
    SELECT fm_train('als', 'ratings', solver => 'als', num_factors => 4) UNION ALL
    SELECT fm_train('mcmc', 'ratings', num_factors => 4, iterations => 20) UNION ALL
    SELECT fm_train('yes', 'likes', task => 'classification', num_factors => 4, iterations => 20) UNION ALL
    SELECT fm_train('shop', 'bought', task => 'ranking', num_factors => 4)) t;
CREATE TABLE before AS SELECT * FROM fm_models;
CREATE TABLE runs_before AS SELECT * FROM fm_runs;

CALL fm_tune('als', trials => 8);
SELECT is((SELECT array_agg(trial ORDER BY trial) FROM fm_trials WHERE model = 'als'), ARRAY[1,2,3,4,5,6,7,8], 'the number of trials is as asked for');
SELECT is((num_factors, l2_reg_v, l2_reg_w)::text, '(4,,)', 'the first is the model as it is') FROM fm_trials WHERE model = 'als' AND trial = 1;
SELECT is(l2_reg_v, 1.68::real, 'the second has a larger l2_reg_v') FROM fm_trials WHERE model = 'als' AND trial = 2;
SELECT is((SELECT array_agg(DISTINCT metric) FROM fm_trials WHERE model = 'als'), '{rmse}', 'trials are compared by rmse');
SELECT cmp_ok((SELECT min(value) FROM fm_trials WHERE model = 'als'), '<',
              (SELECT value FROM fm_trials WHERE model = 'als' AND trial = 1), 'one trial is better than the first');
SELECT is((SELECT count(*) FROM fm_trials WHERE model = 'als' AND metrics ->> 'rmse' IS NULL), 0::bigint, 'a trial has all metrics');
SELECT cmp_ok((SELECT avg((metrics ->> 'ratings')::int) / 1600 FROM fm_trials WHERE model = 'als'), '<', 0.13, 'a tenth of the ratings is held out');

-- A trial has the metrics that fm_train has.
SELECT fm_train('same', 'ratings', solver => 'als', num_factors => 4, test_size => 0.1, rank_by => 'rating') \g /dev/null
SELECT is((SELECT test_metrics FROM fm_runs WHERE model = 'same'), (SELECT metrics FROM fm_trials WHERE model = 'als' AND trial = 1),
          'a trial has the metrics of a training with its options');

-- A second call continues the search until nothing helps, and repeats no trial.
CALL fm_tune('als', trials => 100);
CREATE TABLE als_trials AS SELECT * FROM fm_trials WHERE model = 'als';
SELECT cmp_ok((SELECT count(*) FROM als_trials), '<', 100::bigint, 'the search ends when nothing helps any more');
SELECT is((SELECT count(*) FROM als_trials GROUP BY num_factors, l2_reg_v, l2_reg_w HAVING count(*) > 1), NULL, 'no trial was repeated');
CALL fm_tune('als', trials => 100);
SELECT is((SELECT count(*) FROM fm_trials WHERE model = 'als'), (SELECT count(*) FROM als_trials), 'another call has nothing left to try');
CALL fm_tune('als', trials => 2, validation_size => 0.3);
SELECT is((SELECT count(*) FROM fm_trials WHERE model = 'als' AND validation_size = 0.3::real), 2::bigint, 'another split starts another search');
CALL fm_tune('als', trials => 1, fresh => true);
SELECT is((SELECT count(*) FROM fm_trials WHERE model = 'als'), 1::bigint, 'fresh deletes earlier trials');

-- The other solvers and tasks.
CALL fm_tune('mcmc', trials => 3);
SELECT is((SELECT array_agg(num_factors ORDER BY trial) FROM fm_trials WHERE model = 'mcmc'), '{4,8,2}', 'mcmc: num_factors is searched');
CALL fm_tune('yes', trials => 2);
SELECT is((SELECT array_agg(DISTINCT metric) FROM fm_trials WHERE model = 'yes'), '{log_loss}', 'classification: trials are compared by log_loss');
CALL fm_tune('shop', trials => 12);
SELECT is((SELECT array_agg(DISTINCT metric) FROM fm_trials WHERE model = 'shop'), '{ndcg_at_10}', 'ranking: trials are compared by ndcg_at_10');
SELECT cmp_ok((SELECT count(DISTINCT unobserved_weight) FROM fm_trials WHERE model = 'shop'), '>', 0::bigint, 'ranking: unobserved_weight is searched');

-- With time_column, the latest ratings are held out.
CALL fm_tune('shop', trials => 1, time_column => 'rated_on', validation_size => 0.2);
SELECT is((SELECT (metrics ->> 'ratings')::bigint FROM fm_trials WHERE time_column = 'rated_on'),
          (SELECT count(*) FROM bought WHERE rated_on > (SELECT percentile_disc(0.8) WITHIN GROUP (ORDER BY rated_on) FROM bought)),
          'held out are the ratings after the day that has four fifths before it');

-- A failed trial is recorded, and the search continues.
SELECT fm_train('wide', 'ratings', num_factors => 512, iterations => 2) \g /dev/null
SET LOCAL fmtopx.training_memory = '1400kB';
CALL fm_tune('wide', trials => 3);
SELECT alike((SELECT message FROM fm_trials WHERE model = 'wide' AND num_factors = 1024 AND value IS NULL), 'training on relation "ratings" needs %', 'a trial that needs too much memory is recorded as failed');
SELECT isnt((SELECT value FROM fm_trials WHERE model = 'wide' AND num_factors = 256), NULL, 'the search continues after a failed trial');
SET LOCAL fmtopx.training_memory = '1MB';
SELECT throws_ok($$CALL fm_tune('wide', fresh => true)$$, '55000', 'model "wide" cannot be trained as it is defined', 'it is an error if the model itself needs too much memory');

-- A trial has no interest head, because predictions do not depend on it. Here there is no memory for one.
RESET fmtopx.training_memory;
SELECT is(status, 'succeeded', 'two heads: trained') FROM fm_train('two', 'ratings', num_factors => 256, iterations => 2, rank_by => 'interest');
SET LOCAL fmtopx.training_memory = '5MB';
SELECT throws_like($$SELECT fm_train('two')$$, 'training on relation "ratings" needs about %', 'two heads need more memory');
CALL fm_tune('two', trials => 1);
SELECT isnt((SELECT value FROM fm_trials WHERE model = 'two'), NULL, 'than a trial');
SELECT is((SELECT rank_by FROM fm_models WHERE model = 'two'), 'interest', 'the model keeps both');
RESET fmtopx.training_memory;

SELECT is((SELECT array_agg(m::text ORDER BY model) FROM fm_models m WHERE model NOT IN ('same', 'wide', 'two')), (SELECT array_agg(m::text ORDER BY model) FROM before m), 'no model has changed');
SELECT is((SELECT array_agg(r::text ORDER BY model) FROM fm_runs r WHERE model NOT IN ('same', 'wide', 'two')), (SELECT array_agg(r::text ORDER BY model) FROM runs_before r), 'no run was added');

SELECT throws_ok($$CALL fm_tune('nobody')$$, '42704', NULL, 'an unknown model is an error');
SELECT throws_ok($$CALL fm_tune('als', validation_size => 1)$$, '22023', 'validation_size must be above 0 and below 1, not 1', 'validation_size 1 is an error');
SELECT throws_ok($$CALL fm_tune('als', validation_size => 0)$$, '22023', 'validation_size must be above 0 and below 1, not 0', 'validation_size 0 is an error');
SELECT throws_ok($$CALL fm_tune('als', trials => 0)$$, '22023', 'trials must be between 1 and 1000, not 0', 'trials 0 is an error');
SELECT throws_ok($$CALL fm_tune('als', trials => NULL)$$, '22004', NULL, 'trials NULL is an error');
SELECT throws_ok($$CALL fm_tune('als', time_column => 'never')$$, '55000', NULL, 'an unknown time_column is an error');
CREATE ROLE tune_other;
SET ROLE tune_other;
SELECT throws_ok($$CALL fm_tune('als')$$, '42501', NULL, 'a model of another role is an error');
SELECT is((SELECT count(*) FROM public.fm_trials), 0::bigint, 'nor does one see its trials');
RESET ROLE;
SELECT fm_grant('als', 'tune_other') \g /dev/null
SET ROLE tune_other;
SELECT cmp_ok((SELECT count(*) FROM public.fm_trials WHERE model = 'als'), '>', 0::bigint, 'but a role that may read the model does');
RESET ROLE;
SELECT fm_drop('als') \g /dev/null
SELECT is((SELECT count(*) FROM fm_trials WHERE model = 'als'), 0::bigint, 'dropping a model deletes its trials');

SELECT * FROM finish();
ROLLBACK;
