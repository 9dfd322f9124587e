-- Scores that are not finite: the same error from every question, and no version of a training that ends in them.
BEGIN;
CREATE SCHEMA finite;
SELECT set_config('search_path', 'finite, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(13);

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + u * i % 5)::real AS rating
FROM generate_series(1, 200) u, generate_series(1, 40) i WHERE (u * 7 + i * 13) % 4 = 0;
CREATE TABLE huge AS SELECT user_id, item_id, CASE WHEN user_id * item_id % 3 = 0 THEN 3e38 ELSE -3e38 END::real AS rating FROM ratings;
SELECT throws_ok($$SELECT fm_train('huge', 'huge', num_factors => 4, iterations => 5, solver => 'als', l2_reg_w => 0.5)$$, '22003', NULL, 'a training');
SELECT is(count(*), 0::bigint, 'is not stored') FROM fm_models WHERE model = 'huge';

SELECT is(status, 'succeeded', 'trained') FROM fm_train('m', 'ratings', num_factors => 4, iterations => 5);
SELECT fm_write_top_x('lists', 5, 'm') \g /dev/null
UPDATE fm_m_user SET w = 'NaN' WHERE user_id = 7;
SELECT throws_ok(q, '22003', 'score NaN is out of range for type real', q) FROM (VALUES
    ('SELECT * FROM fm_top_x(7, 5, ''m'')'), ('SELECT * FROM fm_top_x_all(5, ''m'')'), ('SELECT fm_write_top_x(''lists'', 5, ''m'')'),
    ('SELECT fm_write_top_x(''others'', 5, ''m'')'), ('SELECT fm_predict(7, 5, ''m'')'), ('SELECT * FROM fm_top_users(5, 5, ''m'')'),
    ('SELECT * FROM fm_evaluate(''ratings'', ''m'')')) c (q);
SELECT is(count(*), 0::bigint, 'the table of lists is as it was') FROM lists WHERE score = 'NaN';

-- Ratings far from those of the training, which were so far from 0 that their mean was subtracted.
CREATE TABLE far AS SELECT user_id, item_id, 3e38::float8 + 1e29 * rating AS rating FROM ratings;
SELECT fm_train('far', 'far', num_factors => 4, iterations => 5) \g /dev/null
UPDATE far SET rating = -3e38 WHERE user_id = 7;
SELECT throws_ok(q, '22003', 'the rating -3e+38 is too far from the mean rating 3e+38 for type real', q)
FROM (VALUES ('SELECT fm_evaluate(''far'', ''far'')'), ('SELECT fm_fold_in(''far'')')) c (q);

SELECT * FROM finish();
ROLLBACK;
