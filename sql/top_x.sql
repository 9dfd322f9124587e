-- Recommendations: the results of fm_top_x, fm_top_x_all, fm_predict and the vectors.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
CREATE SCHEMA top_x;
SET search_path = top_x, public;
RESET client_min_messages;

-- A model made by hand, of numbers whose sums are the same on every CPU.
CREATE TABLE ratings (user_id int, item_id int, rating real);
INSERT INTO ratings VALUES (1, 10, 5), (1, 20, 3), (2, 10, 1), (2, 30, 4), (1, 40, 2), (2, 50, 3), (3, 40, 4), (3, 60, 2);
SELECT version FROM fm_train('hand', ratings => 'ratings', num_factors => 2, iterations => 1, rank_by => 'rating');
UPDATE fm_hand_version SET has_popularity = false, b = 3, noise_variance = 1, user_mean = '{0,0,0}', user_root = '{1,0,1,0,0,1}';
UPDATE fm_hand_user SET w = 0.5, v = CASE user_id WHEN 1 THEN '{1,0}' WHEN 2 THEN '{0,1}' ELSE '{0,0}' END::real[];
UPDATE fm_hand_item SET w = CASE item_id WHEN 50 THEN 0.25 ELSE 0 END,
    v = CASE item_id WHEN 10 THEN '{2,0}' WHEN 20 THEN '{1,1}' WHEN 30 THEN '{0,2}' WHEN 40 THEN '{-1,1}'
                     WHEN 50 THEN '{0.5,0.5}' ELSE '{2,0}' END::real[];
UPDATE fm_hand_matrix SET matrix = (SELECT fm_matrix_agg(idx, v, w) FROM fm_hand_item);

-- Ties are ordered by item id (10 and 60 for user 1; most items for user 3).
SELECT * FROM fm_top_x(1, exclude_seen => false);
SELECT * FROM fm_top_x(2, 3, 'hand', false);
SELECT * FROM fm_top_x(3, 4, exclude_seen => false);
SELECT * FROM fm_top_x(1);
SELECT * FROM fm_top_x(3);
SELECT * FROM fm_top_x('1', 2);
SELECT * FROM fm_top_x('1'::text, 2, exclude_seen => false, candidates => '{60,40,99}');
SELECT * FROM fm_top_x(1, candidates => ARRAY[60, 30, 30, NULL, 99, 10]);
SELECT * FROM fm_top_x(1, exclude => ARRAY[60, NULL, 99]);
SELECT * FROM fm_top_x(1, exclude_seen => false, candidates => '{10,20,30}', exclude => '{10}');
SELECT * FROM fm_top_x(1, exclude_seen => false, candidates => '{}');
SELECT * FROM fm_top_x(1, exclude => '{}', context => '{}');
SELECT * FROM fm_top_x(1, candidates => ARRAY[[10, 60], [30, 50]]);

-- Unknown user 9 gets the items in the order of their biases. For item 99, unknown, nothing is predicted.
SELECT * FROM fm_top_x(9, 2);
SELECT fm_predict(9, 50), fm_predict(1, 99), fm_predict(9, 99);

-- A prediction is the score, clipped to the range of the ratings in the training: 1 to 5.
SELECT item_id, score, fm_predict(1, item_id), fm_predict('1'::text, item_id::text)
FROM fm_top_x(1, exclude_seen => false) ORDER BY rank;

-- An item that has just been rated is not recommended. After its rating is deleted, it is.
BEGIN;
INSERT INTO ratings VALUES (1, 60, 5), (9, 50, 5), (1, NULL, 5), (NULL, 50, 5);
SELECT * FROM fm_top_x(1, 2);
SELECT * FROM fm_top_x(9, 1);
DELETE FROM ratings WHERE user_id = 1;
SELECT * FROM fm_top_x(1, 2);
ROLLBACK;
SELECT * FROM fm_top_x(1, 2);

-- All users.
SELECT * FROM fm_top_x_all(2);
SELECT * FROM fm_top_x_all(1, 'hand', exclude_seen => false);

-- Joined with other tables.
CREATE TABLE people (id int, name text);
INSERT INTO people VALUES (1, 'Ada'), (2, 'Grace'), (3, NULL), (NULL, 'nobody');
SELECT name, rank, item_id, score FROM people, LATERAL fm_top_x(id, 2) ORDER BY id, rank;
SELECT name, rank, item_id FROM people LEFT JOIN LATERAL fm_top_x(id, 1) ON true ORDER BY id;
SELECT id, (fm_top_x(id, 1)).item_id FROM people WHERE id < 3 ORDER BY id;
COPY (SELECT * FROM fm_top_x_all(1)) TO stdout;

-- The vectors, whose inner product is the score without the terms that all items share.
SELECT * FROM fm_user_vectors('hand') ORDER BY id;
SELECT * FROM fm_item_vectors() ORDER BY id;

-- Which model is used: the one named, that of the setting, or the only one.
SELECT version FROM fm_train('other', ratings => 'ratings', num_factors => 1, iterations => 1);
SELECT * FROM fm_top_x(1, 2);
SET fmtopx.model = 'hand';
SELECT item_id FROM fm_top_x(1, 2);
SELECT count(*) FROM fm_top_x(1, 1, 'other');
RESET fmtopx.model;

-- The kernels.
SET fmtopx.simd = 'c';
SELECT item_id FROM fm_top_x(1, 3, 'hand', false);
SET fmtopx.simd = 'auto';
SELECT item_id FROM fm_top_x(1, 3, 'hand', false);
\set VERBOSITY terse
SET fmtopx.simd = 'sse9';
\set VERBOSITY default

-- Metrics of the model made by hand: user 1 has one relevant row (mean rating 3), second in their list.
CREATE TABLE held_out (user_id int, item_id int, rating real);
INSERT INTO held_out VALUES (1, 50, 5), (1, 30, 1);
SELECT metric, round(value::numeric, 6) AS value FROM fm_evaluate('held_out', 'hand', 2);
SELECT metric, round(value::numeric, 6) AS value FROM fm_evaluate('held_out', 'hand', 1);
UPDATE held_out SET rating = 1;
SELECT metric, round(value::numeric, 6) AS value FROM fm_evaluate('held_out', 'hand', 2);

SELECT fm_drop('hand'), fm_drop('other');
SET client_min_messages = warning;
DROP SCHEMA top_x CASCADE;
