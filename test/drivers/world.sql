-- What drivers.py asks about: ratings with integer ids, and the same with ids of text, of uuid and of both types.
CREATE EXTENSION fmtopx;
CREATE TABLE films (item_id integer PRIMARY KEY, title text NOT NULL);
INSERT INTO films SELECT i, 'Film ' || i FROM generate_series(1, 40) i;
CREATE TABLE ratings (user_id integer, item_id integer, rating real, PRIMARY KEY (user_id, item_id));
INSERT INTO ratings
SELECT u, i, round((3 + sin(u) + cos(i))::numeric * 2) / 2
FROM generate_series(1, 60) u, generate_series(1, 40) i
WHERE abs(hashtext(u || ':' || i)) % 3 = 0;
CREATE VIEW reviews AS
SELECT 'customer-' || user_id AS customer, 'film-' || item_id AS film, rating FROM ratings;
CREATE VIEW by_uuid AS
SELECT md5('u' || user_id)::uuid AS user_id, md5('i' || item_id)::uuid AS item_id, rating FROM ratings;
CREATE VIEW visits AS
SELECT md5('u' || user_id)::uuid AS user_id, item_id, rating, (ARRAY['phone', 'desktop'])[1 + user_id % 2] AS device
FROM ratings;
CREATE VIEW some_users AS SELECT DISTINCT user_id FROM visits ORDER BY user_id LIMIT 10;

-- The models that drivers train, trained in SQL: what they answer is what drivers must get.
SELECT FROM fm_train('sql_movies', 'ratings', solver => 'als', test_size => 0.1, l2_reg_v => 1.5, seed => 7);
SELECT FROM fm_train('sql_reviewed', 'reviews', user_column => 'customer', item_column => 'film', iterations => 5);
SELECT FROM fm_train('sql_uuids', 'by_uuid', iterations => 5, init_stdev => 1);
SELECT FROM fm_train('sql_visits', 'visits', context_columns => '{device}', iterations => 5);

-- What models are imported from: the rows of one of the above, and vectors.
CREATE VIEW numbered_users AS SELECT user_id, idx FROM fm_sql_movies_user;
CREATE VIEW numbered_items AS SELECT item_id, idx + 60 AS idx FROM fm_sql_movies_item; -- after the users
CREATE TABLE vectors_of_users (user_id integer, v real[]);
CREATE TABLE vectors_of_items (item_id integer, v real[]);
