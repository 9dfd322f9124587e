-- The demo on MovieLens 100k: 100,000 ratings of 1,682 films by 943 users.

\echo
\echo '1. Load the ratings.'
\echo

CREATE EXTENSION fmtopx;
\ir ../scripts/movielens.sql

SELECT count(*) AS ratings, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS films,
       round(avg(rating)::numeric, 2) AS mean, round(stddev(rating)::numeric, 2) AS deviation
FROM ratings;

\echo '2. Train, with a fifth of the ratings held out for a test.'
\echo
\echo '   SELECT * FROM fm_train(''films'', ratings => ''ratings'', test_size => 0.2);'
\echo

CREATE TEMPORARY TABLE run AS SELECT * FROM fm_train('films', ratings => 'ratings', test_size => 0.2);

SELECT version, solver, num_factors, iterations, users, items, ratings,
       round(extract(epoch FROM finished_at - started_at)::numeric, 1) AS seconds
FROM run;

\echo '   On the held-out ratings: the model beside what there is without one, damped means of users and'
\echo '   films, and lists of the most popular films. rmse is the error of predicted ratings. The others say'
\echo '   how many of the films that were held out and liked are in lists of ten, and how far up.'
\echo

SELECT metric, round((test_metrics ->> metric)::numeric, 3) AS model,
       round((test_metrics #>> ARRAY['baseline', metric])::numeric, 3) AS without_model
FROM run CROSS JOIN unnest(ARRAY['rmse', 'ndcg_at_10', 'recall_at_10']) AS metric;

\echo '3. Recommend: for three users, the best-known films among those that they rated highest, and the'
\echo '   films that they have not rated and will most likely choose and like, with the rating expected.'
\echo
\echo '   SELECT * FROM fm_top_x(42, 8) JOIN films USING (item_id);'
\echo

WITH rated AS (
    SELECT user_id, title,
           row_number() OVER (PARTITION BY user_id ORDER BY rating DESC, raters DESC, item_id) AS rank
    FROM ratings JOIN films USING (item_id)
    JOIN (SELECT item_id, count(*) AS raters FROM ratings GROUP BY item_id) r USING (item_id)
), recommended AS (
    SELECT v.user_id, t.rank, t.rating, f.title
    FROM (VALUES (42), (200), (655)) v (user_id)
    CROSS JOIN fm_top_x(v.user_id, 8) t JOIN films f USING (item_id)
)
SELECT user_id, rank, left(rated.title, 36) AS rated_highest, left(recommended.title, 36) AS recommended,
       round(rating::numeric, 1) AS rating
FROM recommended JOIN rated USING (user_id, rank)
ORDER BY user_id, rank;

\echo '4. Write everybody''s ten best into a table.'
\echo
\echo '   SELECT fm_write_top_x(''recommendations'', 10);'
\echo

SELECT fm_write_top_x('recommendations', 10) AS rows_written;

\echo '   The films that are recommended to most users.'
\echo

SELECT title, count(*) AS users, round(avg(rank), 1) AS mean_rank
FROM recommendations JOIN films USING (item_id)
GROUP BY title ORDER BY users DESC, title LIMIT 5;

\echo '5. Keep it fresh: train a new version and bring the table up to date, while readers go on.'
\echo
\echo '   CALL fm_refresh(''films'');'
\echo

CALL fm_refresh('films');

SELECT model, version, status, round(extract(epoch FROM finished_at - started_at)::numeric, 1) AS seconds,
       round((test_metrics ->> 'rmse')::numeric, 3) AS test_rmse
FROM fm_runs ORDER BY version;
