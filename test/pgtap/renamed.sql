-- Relations are known by OID: renaming them changes nothing, in a connection that has used the model.
BEGIN;
SELECT plan(5);

CREATE TABLE rated AS
SELECT u AS user_id, i AS item_id, (u * i) % 5 AS rating
FROM generate_series(1, 20) u, generate_series(1, 30) i
WHERE (u + i) % 3 = 0;
SELECT FROM fm_train('renamed', ratings => 'rated', num_factors => 2, iterations => 5);

CREATE TABLE before AS SELECT * FROM fm_top_x(7, 10, 'renamed');
SELECT is((SELECT count(*) FROM before), 10::bigint, 'a list, which prepares the statements');

ALTER TABLE rated RENAME TO rated_once;
SELECT results_eq($$SELECT * FROM fm_top_x(7, 10, 'renamed')$$, 'SELECT * FROM before', 'the ratings relation is renamed');

CREATE TABLE rated AS SELECT user_id, b.item_id, 1 AS rating FROM before b, generate_series(1, 20) user_id;
SELECT results_eq($$SELECT * FROM fm_top_x(7, 10, 'renamed')$$, 'SELECT * FROM before',
    'another relation has the old name of the ratings relation');

ALTER TABLE fm_renamed_user RENAME TO renamed_users;
ALTER TABLE fm_renamed_item RENAME TO renamed_items;
SELECT results_eq($$SELECT * FROM fm_top_x(7, 10, 'renamed')$$, 'SELECT * FROM before', 'the model''s tables are renamed');

CREATE SCHEMA elsewhere;
ALTER TABLE rated_once SET SCHEMA elsewhere;
ALTER TABLE renamed_users SET SCHEMA elsewhere;
SELECT results_eq($$SELECT * FROM fm_top_x(7, 10, 'renamed')$$, 'SELECT * FROM before', 'the tables are moved to another schema');

SELECT * FROM finish();
ROLLBACK;
