-- weight_column: weights are relative, in training, holding out and every metric.
BEGIN;
CREATE SCHEMA weights;
SELECT set_config('search_path', 'weights, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

CREATE TABLE weighted AS
SELECT u AS user_id, i AS item_id, 1 + (u * 3 + i) % 3 AS weight,
       (3 + sin(u) + cos(i) + 2 * sin(u * 0.7) * cos(i * 1.3) + sin(u * i))::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE VIEW repeated AS SELECT user_id, item_id, rating FROM weighted, generate_series(1, weight);
CREATE VIEW larger AS SELECT user_id, item_id, rating, weight * 7.3 AS weight FROM weighted;
CREATE VIEW alike AS SELECT user_id, item_id, rating, 1000 AS weight FROM weighted;

SELECT is(count(*), 8::bigint, 'train by weight, by larger weights, by equal weights, and without') FROM (
    SELECT fm_train('by_weight', 'weighted', weight_column => 'weight', solver => 'als', num_factors => 3, iterations => 300) UNION ALL
    SELECT fm_train('by_weight_alone', 'weighted', weight_column => 'weight', solver => 'als', num_factors => 3, iterations => 300, workers => 0) UNION ALL
    SELECT fm_train('by_larger', 'larger', weight_column => 'weight', solver => 'als', num_factors => 3, iterations => 300) UNION ALL
    SELECT fm_train('by_equal', 'alike', weight_column => 'weight', solver => 'als', num_factors => 3, iterations => 300) UNION ALL
    SELECT fm_train('drawn', 'weighted', weight_column => 'weight', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('drawn_larger', 'larger', weight_column => 'weight', num_factors => 3, iterations => 30) UNION ALL
    SELECT fm_train('plain', 'weighted', solver => 'als', num_factors => 3, iterations => 300) UNION ALL
    SELECT fm_train('halves', 'weighted', weight_column => 'weight', num_factors => 3, test_size => 0.3)) t;
CREATE FUNCTION apart(a text, b text) RETURNS float8 LANGUAGE sql AS $$
    SELECT max(abs(fm_predict(u, i, a) - fm_predict(u, i, b))) FROM generate_series(1, 60) u, generate_series(1, 50) i
$$;
SELECT cmp_ok(apart('by_weight', 'by_larger'), '<', 1e-3::float8, 'larger weights change nothing');
SELECT cmp_ok(apart('drawn', 'drawn_larger'), '<', 1e-2::float8, 'nor in a sampler');
SELECT is(apart('by_equal', 'plain'), 0::float8, 'equal weights are no weights');
SELECT cmp_ok(apart('by_weight', 'plain'), '>', 0.1::float8, 'weights make a difference');
SELECT is(apart('by_weight', 'by_weight_alone'), 0::float8, 'the number of workers does not matter');
SELECT is((SELECT round((train_metrics ->> 'rmse')::numeric, 4) FROM fm_runs WHERE model = 'by_weight'),
          (SELECT round(sqrt(sum(weight * (fm_predict(user_id, item_id, 'by_weight') - rating) ^ 2) / sum(weight))::numeric, 4) FROM weighted),
          'the RMSE of the training is weighted');
SELECT is((SELECT round(rating_mean::numeric, 5) FROM fm_by_weight_version),
          (SELECT round((sum(rating::float8 * weight) / sum(weight))::numeric, 5) FROM weighted), 'the mean is weighted');
SELECT is((SELECT ratings FROM fm_runs WHERE model = 'by_weight'), (SELECT count(*) FROM weighted),
          'the number of ratings is the number of rows');
SELECT cmp_ok((SELECT (test_metrics ->> 'rmse')::float8 FROM fm_runs WHERE model = 'halves'), '<',
              (SELECT stddev_pop(rating) FROM weighted), 'with weights, held-out ratings are predicted');

-- fm_evaluate uses weights if the relation has the column.
SELECT results_eq(format($$SELECT round(value::numeric, 5) FROM fm_evaluate('%s', 'by_weight') WHERE metric IN ('rmse', 'mae')$$, r),
                  format($$SELECT round(unnest(ARRAY[sqrt(sum(w * e * e) / sum(w)), sum(w * abs(e)) / sum(w)])::numeric, 5) FROM
                      (SELECT b + u.w + i.w + dot - rating AS e, %s::float8 AS w FROM %s
                       JOIN fm_by_weight_user u USING (user_id) JOIN fm_by_weight_item i USING (item_id), fm_by_weight_version,
                           LATERAL (SELECT sum(x::float8 * y::float8) AS dot FROM unnest(u.v, i.v) f (x, y)) d) t$$, weight, r),
                  'errors on the relation ' || r)
FROM (VALUES ('weighted', 'weight'), ('repeated', '1')) t (r, weight);

-- Rows without a weight are skipped.
CREATE TABLE gaps AS SELECT user_id, item_id, rating, weight::numeric FROM weighted;
INSERT INTO gaps VALUES (1, 1, 1e6, NULL), (2, 2, 1e6, 0), (3, 3, 1e6, 1e-60);
SELECT is(ratings || ', ' || skipped, (SELECT count(*) FROM weighted) || ', 3', 'without a weight, or with weight 0, a row is skipped')
FROM fm_train('gaps', 'gaps', weight_column => 'weight', solver => 'als', num_factors => 3, iterations => 300);
SELECT is(apart('gaps', 'by_weight'), 0::float8, 'skipped rows change nothing');
UPDATE gaps SET weight = weight * 1e9;
SELECT is(status, 'succeeded', 'weights may be large') FROM fm_train('gaps');
UPDATE gaps SET weight = weight * 1e-18;
SELECT is(status, 'succeeded', 'weights may be small') FROM fm_train('gaps', solver => 'mcmc', iterations => 20);
SELECT is((SELECT bool_and(fm_predict(u, u, 'gaps') BETWEEN -10 AND 20) FROM generate_series(1, 50) u), true,
          'extreme weights give finite parameters');

-- The definition keeps weight_column.
SELECT is(weight_column, 'weight'::name, 'the registry has weight_column') FROM fm_model WHERE model = 'by_weight';
CREATE TABLE before AS SELECT u, i, fm_predict(u, i, 'by_weight') AS score FROM generate_series(1, 60) u, generate_series(1, 50) i;
CALL fm_refresh('by_weight');
SELECT is((SELECT count(*) FROM before WHERE score <> fm_predict(u, i, 'by_weight')), 0::bigint, 'fm_refresh uses the weight column');
SELECT is(version, 3, 'a new definition has no weight_column unless it names one') FROM fm_train('by_weight', 'weighted', solver => 'als', num_factors => 3, iterations => 300);
SELECT is(apart('by_weight', 'plain'), 0::float8, 'without weight_column, the model is unweighted again');

SELECT * FROM finish();
ROLLBACK;
