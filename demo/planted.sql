-- The demo on made-up ratings. The preferences behind them are known, so it can say how much was found.

\echo
\echo '1. Make up ratings of 2,000 users for 500 items.'
\echo '   Each user likes each item by a planted amount: two biases and the inner product of four hidden'
\echo '   factors. The more popular an item is, and the more they will like it, the likelier they choose and'
\echo '   rate it, with noise on top.'
\echo

CREATE EXTENSION fmtopx;
CREATE SCHEMA planted;

-- Reproducible numbers: uniform in (0, 1) and standard normal, as functions of three integers.
CREATE FUNCTION planted.uniform(a int, b int, c int) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT ((hashint8extended(a::bigint << 32 | b, c) & 4503599627370495) + 0.5) / 4503599627370496 $$;

CREATE FUNCTION planted.normal(a int, b int, c int) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT sqrt(-2 * ln(planted.uniform(a, b, c))) * cos(2 * pi() * planted.uniform(a, b, -c)) $$;

CREATE TABLE planted.users AS
SELECT u AS user_id, 0.4 * planted.normal(u, 0, 1) AS bias,
       planted.normal(u, 1, 1) AS f1, planted.normal(u, 2, 1) AS f2,
       planted.normal(u, 3, 1) AS f3, planted.normal(u, 4, 1) AS f4
FROM generate_series(1, 2000) u;

CREATE TABLE planted.items AS
SELECT i AS item_id, 0.4 * planted.normal(i, 0, 2) AS bias,
       planted.normal(i, 1, 2) AS f1, planted.normal(i, 2, 2) AS f2,
       planted.normal(i, 3, 2) AS f3, planted.normal(i, 4, 2) AS f4,
       least(0.6, 0.85 / sqrt(i)) AS popularity
FROM generate_series(1, 500) i;

CREATE TABLE planted.preference AS
SELECT user_id, item_id, liking, least(0.9, popularity * exp(liking - 3.5)) AS chance
FROM planted.users u CROSS JOIN planted.items i CROSS JOIN LATERAL (
    SELECT 3.5 + u.bias + i.bias
           + 0.35 * (u.f1 * i.f1 + u.f2 * i.f2 + u.f3 * i.f3 + u.f4 * i.f4) AS liking) l;

CREATE TABLE ratings AS
SELECT user_id, item_id, (liking + 0.6 * planted.normal(user_id, item_id, 3))::real AS rating
FROM planted.preference
WHERE planted.uniform(user_id, item_id, 4) < chance;

ALTER TABLE ratings ADD PRIMARY KEY (user_id, item_id);
ALTER TABLE planted.preference ADD PRIMARY KEY (user_id, item_id);
ANALYZE;

SELECT count(*) AS ratings, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items,
       round(avg(rating)::numeric, 2) AS mean, round(stddev(rating)::numeric, 2) AS deviation
FROM ratings;

\echo '2. Train, with a fifth of the ratings held out for a test.'
\echo
\echo '   SELECT * FROM fm_train(''demo'', ratings => ''ratings'', test_size => 0.2);'
\echo

CREATE TEMPORARY TABLE run AS SELECT * FROM fm_train('demo', ratings => 'ratings', test_size => 0.2);

SELECT version, solver, num_factors, iterations, users, items, ratings,
       round(extract(epoch FROM finished_at - started_at)::numeric, 1) AS seconds
FROM run;

\echo '   On the held-out ratings: the model beside what there is without one, damped means of users and'
\echo '   items, and lists of the most popular items. rmse is the error of predicted ratings. The others say'
\echo '   how many of the good items that were held out are in lists of ten, and how far up.'
\echo

SELECT metric, round((test_metrics ->> metric)::numeric, 3) AS model,
       round((test_metrics #>> ARRAY['baseline', metric])::numeric, 3) AS without_model
FROM run CROSS JOIN unnest(ARRAY['rmse', 'ndcg_at_10', 'recall_at_10']) AS metric;

\echo '   What is left of the error to somebody who knows the planted likings is noise.'
\echo

SELECT round(sqrt(avg((rating - liking) ^ 2))::numeric, 3) AS rmse_of_the_planted_likings
FROM ratings JOIN planted.preference USING (user_id, item_id);

\echo '3. Recommend: the five items that a user has not rated and will most likely choose and like, with the'
\echo '   rating expected. Beside it the planted liking, and the place of the item among all unseen ones by'
\echo '   the planted chance that the user chooses it.'
\echo
\echo '   SELECT * FROM fm_top_x(42, 5);'
\echo

CREATE VIEW planted.unseen AS
SELECT p.user_id, p.item_id, p.liking, rank() OVER (PARTITION BY p.user_id ORDER BY p.chance DESC) AS place,
       count(*) OVER (PARTITION BY p.user_id) AS of
FROM planted.preference p
WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = p.user_id AND r.item_id = p.item_id);

SELECT v.user_id, t.rank, t.item_id, round(t.rating::numeric, 1) AS rating,
       round(p.liking::numeric, 1) AS planted_liking, p.place || ' of ' || p.of AS planted_place
FROM (VALUES (42), (1234)) v (user_id)
CROSS JOIN fm_top_x(v.user_id, 5) t
JOIN planted.unseen p ON p.user_id = v.user_id AND p.item_id = t.item_id
ORDER BY v.user_id, t.rank;

\echo '4. Write everybody''s ten best into a table.'
\echo
\echo '   SELECT fm_write_top_x(''recommendations'', 10);'
\echo

SELECT fm_write_top_x('recommendations', 10) AS rows_written;

\echo '   Of what was recommended, the share that is among the tenth of the unseen items (and among the ten'
\echo '   items) that the user most likely chooses by what was planted. By accident it would be 10 % (2 %).'
\echo '   And how much users like it, beside all that they have not seen.'
\echo

SELECT round(100 * avg((place <= of / 10.0)::int), 1) || ' %' AS in_best_tenth,
       round(100 * avg((place <= 10)::int), 1) || ' %' AS in_best_ten,
       round(avg(liking)::numeric, 1) AS planted_liking,
       (SELECT round(avg(liking)::numeric, 1) FROM planted.unseen) AS of_all_unseen
FROM recommendations JOIN planted.unseen USING (user_id, item_id);

\echo '5. A new rating comes in, and user 42 is not shown that item again. A scheduled refresh trains a new'
\echo '   version and brings the table up to date, while readers go on with the old one.'
\echo
\echo '   CALL fm_refresh(''demo'');'
\echo

INSERT INTO ratings SELECT 42, item_id, 5 FROM fm_top_x(42, 1);
SELECT array_agg(item_id ORDER BY rank) AS top_5_of_user_42_now FROM fm_top_x(42, 5);

CALL fm_refresh('demo');

SELECT model, version, status, round(extract(epoch FROM finished_at - started_at)::numeric, 1) AS seconds,
       round((test_metrics ->> 'rmse')::numeric, 3) AS test_rmse
FROM fm_runs ORDER BY version;
