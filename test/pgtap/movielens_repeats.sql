-- MovieLens 100k with repeated and weighted rows: errors on ua.test are those of the plain rows.
\ir ../movielens.sql
\if :absent
\quit
\endif
CREATE SCHEMA movielens_repeats;
SELECT set_config('search_path', 'movielens_repeats, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

\set base_file :movielens '/ua.base'
\set test_file :movielens '/ua.test'
CREATE TABLE base (user_id integer, item_id integer, rating real, seconds bigint);
CREATE TABLE test (user_id integer, item_id integer, rating real, seconds bigint);
COPY base FROM :'base_file';
COPY test FROM :'test_file';
CREATE VIEW tripled AS SELECT user_id, item_id, rating, user_id % 2 AS device, 3 AS weight FROM base, generate_series(1, 3);
CREATE VIEW tenfold AS SELECT user_id, item_id, rating, user_id % 2 AS device FROM base, generate_series(1, 10);
CREATE VIEW plain AS SELECT user_id, item_id, rating, user_id % 2 AS device FROM base;
CREATE VIEW likes AS SELECT user_id, item_id, rating >= 4 AS rating FROM base;
CREATE VIEW likes_tripled AS SELECT user_id, item_id, rating >= 4 AS rating FROM tripled;
CREATE VIEW one AS SELECT user_id, item_id, rating, CASE WHEN user_id = 1 AND item_id = 1 THEN 1e6 ELSE 1 END AS weight FROM base;
CREATE VIEW uneven AS SELECT user_id, item_id, rating, exp(2 * sin(user_id * item_id * 7919.0)) AS weight FROM base;
CREATE VIEW uneven_7 AS SELECT user_id, item_id, rating, 7 * weight AS weight FROM uneven;
CREATE VIEW crowded AS SELECT user_id, item_id, rating FROM base
UNION ALL SELECT 1, 1, 5 FROM generate_series(1, 100000);
CREATE FUNCTION rmse(m text) RETURNS float8 LANGUAGE sql AS $$
    SELECT sqrt(avg((fm_predict(user_id, item_id, m) - rating) ^ 2)) FROM test
$$;
CREATE FUNCTION log_loss(m text) RETURNS float8 LANGUAGE sql AS $$
    SELECT avg(-ln(CASE WHEN rating >= 4 THEN p ELSE 1 - p END)) FROM (SELECT rating, fm_predict(user_id, item_id, m) AS p FROM test) t
$$;
CREATE FUNCTION near(have float8, want float8, share float8, what text) RETURNS text LANGUAGE sql AS $$
    SELECT cmp_ok(abs(have / want - 1), '<=', share, format('%s: %s beside %s', what, round(have::numeric, 4), round(want::numeric, 4)))
$$;

-- Rows three and ten times, for every solver.
SELECT rmse(t.model) AS plain FROM fm_train('mcmc', 'plain', rank_by => 'rating') t \gset
SELECT cmp_ok(:plain::float8, '<', 0.915::float8, 'plain rows');
SELECT near(rmse(t.model), :plain, 0.005, 'mcmc, three times') FROM fm_train('mcmc', 'tripled', rank_by => 'rating') t;
SELECT near(rmse(t.model), :plain, 0.005, 'mcmc, ten times') FROM fm_train('mcmc', 'tenfold', rank_by => 'rating') t;
SELECT near(rmse(t.model), :plain, 0.005, 'one pair 100,000 times') FROM fm_train('mcmc', 'crowded', rank_by => 'rating') t;
SELECT near(rmse(t.model), :plain, 0.005, 'equal weights') FROM fm_train('mcmc', 'tripled', weight_column => 'weight', rank_by => 'rating') t;
SELECT near(rmse(t.model), :plain, 0.005, 'one row of weight a million') FROM fm_train('mcmc', 'one', weight_column => 'weight', rank_by => 'rating') t;
SELECT rmse(t.model) AS uneven FROM fm_train('mcmc', 'uneven', weight_column => 'weight', rank_by => 'rating') t \gset
SELECT cmp_ok(:uneven::float8, '<', 0.96::float8, 'uneven weights cost no more than ratings do that are left out');
SELECT near(rmse(t.model), :uneven, 0.002, 'uneven weights times seven') FROM fm_train('mcmc', 'uneven_7', weight_column => 'weight', rank_by => 'rating') t;
SELECT rmse(t.model) AS als FROM fm_train('als', 'plain', solver => 'als', rank_by => 'rating') t \gset
SELECT near(rmse(t.model), :als, 0.005, 'als, ten times') FROM fm_train('als', 'tenfold', solver => 'als', rank_by => 'rating') t;
SELECT rmse(t.model) AS context FROM fm_train('context', 'plain', context_columns => '{device}', rank_by => 'rating') t \gset
SELECT near(rmse(t.model), :context, 0.005, 'contexts, three times') FROM fm_train('context', 'tripled', context_columns => '{device}', rank_by => 'rating') t;
SELECT log_loss(t.model) AS likes FROM fm_train('likes', 'likes', task => 'classification', rank_by => 'rating') t \gset
SELECT near(log_loss(t.model), :likes, 0.005, 'classification, three times') FROM fm_train('likes', 'likes_tripled', task => 'classification', rank_by => 'rating') t;

-- Held-out ratings.
SELECT (test_metrics ->> 'rmse')::float8 AS held_out FROM fm_train('split', 'plain', test_size => 0.2, rank_by => 'rating') \gset
SELECT near((t.test_metrics ->> 'rmse')::float8, :held_out, 0.005, 'held out, ten times')
FROM fm_train('split', 'tenfold', test_size => 0.2, rank_by => 'rating') t;
SELECT * FROM finish();
ROLLBACK;
