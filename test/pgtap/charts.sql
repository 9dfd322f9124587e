-- What charts are made of: fm_predictions, fm_calibration, fm_rating_distribution, fm_popularity.
BEGIN;
SELECT plan(31);
SET client_min_messages = error;

CREATE TABLE rated AS
    SELECT u AS user_id, 'item ' || i AS item_id, 'day ' || (u + i) % 3 AS day,
           (3 + sin(u) + cos(i) + 0.8 * sin(u * 0.7) * cos(i * 1.3) + (u + i) % 3 * 0.4)::real AS rating
    FROM generate_series(1, 60) u, generate_series(1, 50) i
    WHERE hashint8extended(u * 1000 + i, 1) % 3 <> 0 AND hashint8extended(i, 2) % 7 > i % 7 - 5;
CREATE VIEW liked AS SELECT user_id, item_id, rating > 3.4 AS rating FROM rated;
SELECT fm_train('m', 'rated', num_factors => 4, iterations => 40);
SELECT fm_train('c', 'liked', task => 'classification', num_factors => 4, iterations => 60);
SELECT fm_train('r', 'rated', task => 'ranking');

SELECT is((SELECT count(*) FROM fm_predictions(model => 'm')), (SELECT count(*) FROM rated), 'all rows of a small table');
SELECT is((SELECT count(*) FROM fm_predictions(model => 'm') p JOIN rated r ON r.user_id::text = p.user_id AND r.item_id = p.item_id
    WHERE p.rating = r.rating AND p.prediction = fm_predict(p.user_id, p.item_id, 'm')), (SELECT count(*) FROM rated), 'with what fm_predict says');
SELECT is((SELECT count(*) FROM fm_predictions(model => 'm', rows => 100)), 100::bigint, 'a sample');
SELECT set_eq($$SELECT user_id, item_id FROM fm_predictions(model => 'm', rows => 100)$$,
    $$SELECT user_id, item_id FROM fm_predictions('liked', 'c', 100)$$, 'is the same each time');
SELECT is((SELECT count(*) FROM fm_predictions(model => 'm', rows => 0)), 0::bigint, 'or nothing');
SELECT throws_ok($$SELECT fm_predictions(model => 'm', rows => -1)$$, '22023', NULL, 'a negative number is an error');
SELECT is((SELECT bool_and(p.rating = (r.rating)::int AND p.prediction = fm_predict(p.user_id, p.item_id, 'c')) FROM fm_predictions(model => 'c') p
    JOIN liked r ON r.user_id::text = p.user_id AND r.item_id = p.item_id), true, 'of a classification, 1 or 0 and a probability');
SELECT throws_ok($$SELECT fm_predictions(model => 'r')$$, '0A000', 'model "r" is a ranking, which predicts no ratings', 'a ranking has none');
CREATE TABLE others (user_id int, item_id text, rating real);
INSERT INTO others VALUES (1, 'item 1', 4), (1, 'unknown', 2), (900, 'item 2', 1), (NULL, 'item 1', 1), (1, NULL, 1), (1, 'item 3', NULL);
SELECT set_eq($$SELECT user_id, item_id, rating, prediction FROM fm_predictions('others', 'm')$$,
    $$SELECT user_id::text, item_id, rating::float8, fm_predict(user_id::text, item_id, 'm') FROM others WHERE num_nulls(user_id, item_id, rating) = 0$$,
    'other ratings, unknown users and items among them; no NULL');
CREATE TABLE nothing (user_id int, item_id text);
SELECT throws_ok($$SELECT fm_predictions('nothing', 'm')$$, '42703', NULL, 'a relation without the columns is an error');
SELECT is((SELECT count(*) FROM fm_predictions((SELECT NULL::regclass), 'm', 7)), 7::bigint, 'a NULL means the own');

SELECT fm_train('x', 'rated', context_columns => '{day}', solver => 'als', num_factors => 4, iterations => 10);
SELECT is((SELECT max(abs(p.prediction - fm_predict(p.user_id, p.item_id, 'x', jsonb_build_object('day', r.day)))) < 1e-9 FROM fm_predictions(model => 'x') p
    JOIN rated r ON r.user_id::text = p.user_id AND r.item_id = p.item_id), true, 'in the context of each row');
SELECT lives_ok($$SELECT fm_predictions('others', 'x')$$, 'or without, where the relation has none');

CREATE TABLE many AS SELECT u AS user_id, 'item ' || i AS item_id, 3::real AS rating, repeat('x', 100) AS filler
    FROM generate_series(1, 1000) u, generate_series(1, 60) i;
ANALYZE many;
SELECT ok(count(*) = 2000 AND count(DISTINCT user_id) > 300, 'part of a large table') FROM fm_predictions('many', 'm', 2000);

SELECT results_eq($$SELECT sum(ratings_in_bin), count(*), bool_and(predicted > before) FROM
    (SELECT *, lag(predicted, 1, '-Infinity') OVER (ORDER BY bin) AS before FROM fm_calibration(model => 'm', bins => 8)) c$$,
    $$SELECT count(*)::numeric, 8::bigint, true FROM rated$$, 'fm_calibration: bins in order of the prediction');
SELECT ok(abs(sum(predicted * ratings_in_bin) / sum(ratings_in_bin) - avg(p)) < 1e-9 AND abs(sum(observed * ratings_in_bin) / sum(ratings_in_bin) - avg(r)) < 1e-9,
    'with their means') FROM fm_calibration(model => 'm') c, (SELECT avg(prediction) p, avg(rating) r FROM fm_predictions(model => 'm')) a;
SELECT ok(corr(predicted, observed) > 0.9 AND min(observed) >= 0 AND max(observed) <= 1, 'of a classification, shares of yes') FROM fm_calibration(model => 'c');
SELECT is((SELECT count(*) FROM fm_calibration(model => 'm', bins => 0)), 1::bigint, 'at least one bin');
SELECT is((SELECT count(*) FROM fm_calibration(model => 'm', rows => 0)), 0::bigint, 'nothing of nothing');

SELECT results_eq($$SELECT sum(ratings_in_bin), sum(predictions_in_bin), min(lower_bound), max(upper_bound), count(*) FROM fm_rating_distribution(model => 'm', bins => 7)$$,
    $$SELECT count(*)::numeric, count(*)::numeric, min(rating)::float8, max(rating)::float8, 7::bigint FROM rated$$, 'fm_rating_distribution: all are in a bin');
SELECT is((SELECT count(*) FROM fm_rating_distribution(model => 'm', bins => 7) d WHERE ratings_in_bin <> (SELECT count(*) FROM rated
    WHERE rating >= lower_bound AND (rating < upper_bound OR d.bin = 7))), 0::bigint, 'in the right one');
UPDATE others SET rating = 3;
SELECT is((SELECT sum(predictions_in_bin) FROM fm_rating_distribution('others', 'm')), 3::numeric, 'ratings that are all the same, of items that the model knows');

SELECT results_eq($$SELECT sum(items), sum(entries), round(sum(share_of_items)::numeric, 6), round(sum(share_of_lists)::numeric, 6) FROM fm_popularity('m', 5)$$,
    $$SELECT count(DISTINCT item_id)::numeric, 300::numeric, 1.000000, 1.000000 FROM rated$$, 'fm_popularity: all items and entries');
SELECT results_eq($$SELECT least_ratings, items, items_listed, entries FROM fm_popularity('m', 5)$$,
    $$SELECT (2 ^ floor(log(2.0, n)))::bigint, count(*), count(e), coalesce(sum(e), 0)::bigint FROM (SELECT item_id, count(*)::numeric AS n FROM rated GROUP BY 1) r
      LEFT JOIN (SELECT item_id, count(*) AS e FROM fm_top_x_all(5, 'm') GROUP BY 1) l USING (item_id) GROUP BY 1 ORDER BY 1$$, 'those of the lists of all users');
SELECT ok(bool_and(most_ratings = 2 * least_ratings - 1), 'bins double') FROM fm_popularity('r', 5);
SELECT results_eq($$SELECT sum(entries), sum(items_listed), bool_and(share_of_lists IS NULL) FROM fm_popularity('m', 0)$$,
    'VALUES (0::numeric, 0::numeric, true)', 'empty lists');
SELECT throws_ok($$SELECT fm_popularity('m', -1)$$, '22023', NULL, 'a negative length is an error');

CREATE ROLE fm_charts_reader;
SELECT fm_grant('m', 'fm_charts_reader');
GRANT SELECT ON others TO fm_charts_reader;
SET ROLE fm_charts_reader;
SELECT lives_ok($$SELECT fm_popularity('m')$$, 'who may read the model may see what it recommends');
SELECT throws_ok($$SELECT fm_predictions(model => 'm')$$, '42501', NULL, 'but not its ratings');
SELECT throws_ok($$SELECT fm_calibration(model => 'm')$$, '42501', NULL, 'nor means of them');
SELECT lives_ok($$SELECT fm_calibration('others', 'm')$$, 'only those that they may read');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
