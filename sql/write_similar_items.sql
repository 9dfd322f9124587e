-- Tables of similar items: fm_write_similar_items, and rewriting by CALL fm_refresh.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
CREATE SCHEMA write_similar_items;
SET search_path = write_similar_items, public;
RESET client_min_messages;

CREATE TABLE ratings (user_id bigint, item_id varchar(20), rating real);
INSERT INTO ratings
SELECT u, 'item ' || i, CASE WHEN (u <= 6) = (i % 2 = 1) THEN 5 ELSE 1 END
FROM generate_series(1, 12) u, generate_series(1, 10) i WHERE (u + i) % 4 <> 0;
SELECT version FROM fm_train('likes', ratings => 'ratings', num_factors => 4, iterations => 20);
CREATE VIEW wanted AS
SELECT i.item_id, t.rank, t.item_id AS similar_item_id, t.score
FROM (SELECT DISTINCT item_id FROM ratings) i, fm_similar_items(i.item_id::text, 3, 'likes') t;

-- A missing table is created, with id types as in the ratings relation.
SELECT fm_write_similar_items('alike', 3, 'likes');
\d alike
SELECT count(*) AS missing FROM (TABLE wanted EXCEPT ALL TABLE alike) d;

-- A rewrite touches nothing, except rows that have been changed by others, which it corrects.
CREATE TABLE before AS SELECT ctid AS at, xmin::text AS by, * FROM alike;
SELECT fm_write_similar_items('alike', 3, 'likes');
SELECT count(*) AS touched FROM (SELECT ctid, xmin::text, * FROM alike EXCEPT ALL SELECT * FROM before) t;
UPDATE alike SET score = 0 WHERE item_id = 'item 1' AND rank = 1;
UPDATE alike SET similar_item_id = 'item 99' WHERE item_id = 'item 2' AND rank = 1;
DELETE FROM alike WHERE item_id = 'item 3';
INSERT INTO alike VALUES ('item 13', 1, 'item 1', 1), ('item 1', 4, 'item 1', 1);
SELECT fm_write_similar_items('alike', 3, 'likes');
SELECT count(*) AS missing FROM (TABLE wanted EXCEPT ALL TABLE alike) d;
SELECT count(*) AS rows FROM alike;
SELECT DISTINCT item_id FROM alike l
WHERE NOT EXISTS (SELECT FROM before b WHERE b.at = l.ctid AND b.by = l.xmin::text) ORDER BY 1;

-- Lists of all other items, and of none.
SELECT fm_write_similar_items('alike', 100, 'likes');
SELECT count(*), max(rank) FROM alike;
SELECT fm_write_similar_items('alike', 0, 'likes');
SELECT count(*) FROM alike;

-- A table of one's own: only the first three columns are needed, and others are left alone.
CREATE TABLE own (rating real DEFAULT 7, similar_item_id varchar(20), rank int, item_id varchar(20));
SELECT fm_write_similar_items('own', 2, 'likes');
SELECT count(*) AS missing FROM
    (SELECT item_id, rank, similar_item_id FROM wanted WHERE rank <= 2
     EXCEPT ALL SELECT item_id, rank, similar_item_id FROM own WHERE rating = 7) d;
CREATE TEMP TABLE session (LIKE own);
SELECT fm_write_similar_items('session', 1, 'likes');

-- Which tables are registered, and what a refresh rewrites.
SELECT fm_write_top_x('lists', 3, 'likes'), fm_write_similar_items('alike', 3, 'likes');
SELECT target, kind, x, exclude_seen, novelty, version, rows FROM fm_target WHERE model = 'likes'
ORDER BY target::text COLLATE "C";
UPDATE ratings SET rating = 6 - rating WHERE item_id = 'item 4';
CALL fm_refresh('likes');
SELECT target, kind, version, rows FROM fm_target WHERE model = 'likes' ORDER BY target::text COLLATE "C";
SELECT count(*) AS missing FROM (TABLE wanted EXCEPT ALL TABLE alike) d;
SELECT fm_forget_target('own'), fm_forget_target('own');

-- Only items of a relation, as it is at each writing.
CREATE TABLE stock (item_id varchar);
CREATE TABLE no_items (id varchar);
INSERT INTO stock SELECT 'item ' || i FROM generate_series(1, 8) i;
SELECT fm_write_similar_items('in_stock', 3, 'likes', items => 'stock');
DELETE FROM stock WHERE item_id = 'item 3';
SELECT fm_write_similar_items('in_stock', 3, 'likes', items => 'stock');
SELECT count(*) FROM in_stock WHERE 'item 3' IN (item_id, similar_item_id);
SELECT target, kind, users, items FROM fm_target WHERE target = 'in_stock'::regclass;
DELETE FROM stock WHERE item_id = 'item 5';
CALL fm_refresh('likes');
SELECT count(*), count(DISTINCT item_id) FROM in_stock;
SELECT count(*) FROM in_stock WHERE 'item 5' IN (item_id, similar_item_id);
SELECT fm_write_similar_items('in_stock', 3, 'likes', items => 'no_items');
SELECT fm_forget_target('in_stock');

-- A table that holds similar items of another model is taken over; a table has lists of one kind.
SELECT version FROM fm_train('other', ratings => 'ratings', num_factors => 2, iterations => 5);
SELECT fm_write_similar_items('alike', 3, 'other');
SELECT model, target, kind FROM fm_target WHERE model IN ('likes', 'other') ORDER BY target::text COLLATE "C";
SELECT fm_write_similar_items('lists', 3, 'likes');
SELECT fm_write_top_x('alike', 3, 'likes');
SELECT fm_write_similar_items('pg_temp.missing', 3, 'likes');
SELECT fm_write_similar_items(NULL, 3, 'likes');
SELECT fm_write_similar_items('alike', -1, 'likes');

-- A dropped table is forgotten by the next refresh.
DROP TABLE alike;
CALL fm_refresh('other');
SELECT count(*) FROM fm_target WHERE model = 'other';

SELECT fm_drop('likes'), fm_drop('other');
SET client_min_messages = warning;
DROP TABLE session;
DROP SCHEMA write_similar_items CASCADE;
