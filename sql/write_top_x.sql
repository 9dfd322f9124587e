-- Tables of lists: fm_write_top_x, and rewriting by CALL fm_refresh.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
CREATE SCHEMA write_top_x;
SET search_path = write_top_x, public;
RESET client_min_messages;

CREATE TABLE ratings (user_id bigint, item_id varchar(20), rating real);
INSERT INTO ratings
SELECT u, 'item ' || i, CASE WHEN (u <= 6) = (i % 2 = 1) THEN 5 ELSE 1 END
FROM generate_series(1, 12) u, generate_series(1, 10) i WHERE (u + i) % 4 <> 0;
SELECT version FROM fm_train('likes', ratings => 'ratings', num_factors => 4, iterations => 20);

-- A missing table is created, with id types as in the ratings relation.
SELECT fm_write_top_x('lists', 3, 'likes');
\d lists
SELECT count(*) AS differing FROM
    (SELECT user_id::text, rank, item_id::text, score, rating FROM lists EXCEPT ALL SELECT * FROM fm_top_x_all(3, 'likes')) d;
SELECT count(*) FILTER (WHERE rank = 1) AS users, count(*) FROM lists;

-- A rewrite touches nothing, except rows that have been changed by others, which it corrects.
CREATE TABLE before AS SELECT ctid AS at, xmin::text AS by, * FROM lists;
SELECT fm_write_top_x('lists', 3, 'likes');
SELECT count(*) AS touched FROM (SELECT ctid, xmin::text, * FROM lists EXCEPT ALL SELECT * FROM before) t;
UPDATE lists SET score = 0 WHERE user_id = 1 AND rank = 1;
UPDATE lists SET item_id = 'item 99' WHERE user_id = 2 AND rank = 1;
DELETE FROM lists WHERE user_id = 3;
INSERT INTO lists VALUES (13, 1, 'item 1', 1), (1, 4, 'item 1', 1);
SELECT fm_write_top_x('lists', 3, 'likes');
SELECT count(*) AS wrong FROM
    (SELECT user_id, rank, item_id, score, rating FROM before EXCEPT ALL TABLE lists) t;
SELECT count(*) AS rows FROM lists;
SELECT DISTINCT user_id FROM lists l
WHERE NOT EXISTS (SELECT FROM before b WHERE b.at = l.ctid AND b.by = l.xmin::text) ORDER BY 1;

-- Shorter lists, longer lists, all items, no items.
SELECT fm_write_top_x('lists', 1, 'likes'), (SELECT count(*) FROM lists);
SELECT count(*), max(rank) FROM lists;
SELECT fm_write_top_x('lists', 100, 'likes', exclude_seen => false);
SELECT count(*), max(rank) FROM lists;
SELECT fm_write_top_x('lists', 0, 'likes');
SELECT count(*) FROM lists;

-- Other names and tables: quoted, qualified, with more columns, without a primary key, partitioned.
SELECT fm_write_top_x('"My Lists"', 1, 'likes'), fm_write_top_x('write_top_x.q', 1, 'likes');
SELECT count(*) FROM "My Lists";
CREATE TABLE more (note text DEFAULT 'new', score real, item_id varchar(20), rank int, user_id bigint);
SELECT fm_write_top_x('more', 2, 'likes');
UPDATE more SET note = 'kept';
SELECT fm_write_top_x('more', 2, 'likes');
SELECT note, count(*) FROM more GROUP BY 1;
CREATE TABLE parts (user_id bigint, rank int, item_id varchar(20), score real) PARTITION BY HASH (user_id);
CREATE TABLE part0 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE part1 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 1);
SELECT fm_write_top_x('parts', 2, 'likes');
SELECT count(*) AS differing FROM
    (SELECT user_id::text, rank, item_id::text, score FROM parts
     EXCEPT ALL SELECT user_id, rank, item_id, score FROM fm_top_x_all(2, 'likes')) d;

-- A table without scores, and one with ratings alone.
CREATE TABLE items_only (user_id bigint, rank int, item_id varchar(20), PRIMARY KEY (user_id, rank));
CREATE TABLE rated (rating real, item_id varchar(20), rank int, user_id bigint);
SELECT fm_write_top_x('items_only', 2, 'likes'), fm_write_top_x('rated', 2, 'likes');
UPDATE items_only SET item_id = 'item 1' WHERE user_id = 3;
UPDATE rated SET rating = 0 WHERE user_id = 3;
UPDATE rated SET rating = NULL WHERE user_id = 4;
SELECT fm_write_top_x('items_only', 2, 'likes'), fm_write_top_x('rated', 2, 'likes', novelty => 0);
SELECT count(*) AS differing FROM
    (SELECT user_id::text, rank, item_id::text FROM items_only
     EXCEPT ALL SELECT user_id, rank, item_id FROM fm_top_x_all(2, 'likes')) d;
SELECT count(*) AS differing FROM
    (SELECT user_id::text, rank, item_id::text, rating FROM rated
     EXCEPT ALL SELECT user_id, rank, item_id, rating FROM fm_top_x_all(2, 'likes', novelty => 0)) d;

-- A trigger on the table sees changed rows, and nothing else.
CREATE TABLE audit (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO write_top_x.audit VALUES (TG_OP); RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON more FOR EACH ROW EXECUTE FUNCTION note();
SELECT fm_write_top_x('more', 2, 'likes');
SELECT count(*) FROM audit;
UPDATE more SET score = -1 WHERE user_id = 5 AND rank = 2;
TRUNCATE audit;
SELECT fm_write_top_x('more', 2, 'likes');
SELECT what, count(*) FROM audit GROUP BY 1;

-- Which tables are registered, and with which arguments.
SELECT target, x, exclude_seen, novelty FROM fm_target WHERE model = 'likes' ORDER BY target::text COLLATE "C";

-- How each was last written.
CREATE VIEW accounts AS
    SELECT target, version, written_at > now() - interval '1 hour' AND written_at <= clock_timestamp() AS recent,
           duration > interval '0' AND duration < interval '1 hour' AS brief, rows
    FROM fm_target WHERE model = 'likes' ORDER BY target::text COLLATE "C";
TABLE accounts;

-- A table that was dropped is forgotten by the next refresh, which writes the others.
DROP TABLE parts;
CALL fm_refresh('likes');
SELECT target, x, exclude_seen, novelty FROM fm_target WHERE model = 'likes' ORDER BY target::text COLLATE "C";
TABLE accounts;

-- A refresh writes each with its own novelty.
SELECT count(*) AS differing FROM
    (SELECT user_id::text, rank, item_id::text, rating FROM rated
     EXCEPT ALL SELECT user_id, rank, item_id, rating FROM fm_top_x_all(2, 'likes', novelty => 0)) d;

-- A rolled-back change has no effect.
BEGIN;
SELECT fm_write_top_x('lists', 2, 'likes');
SELECT fm_write_top_x('brief', 2, 'likes');
SELECT rows FROM accounts WHERE target = 'lists'::regclass;
ROLLBACK;
SELECT count(*) FROM lists;
SELECT rows FROM accounts WHERE target = 'lists'::regclass;
SELECT to_regclass('brief') IS NULL AS gone, count(*) FROM fm_target WHERE target = to_regclass('brief');

SELECT fm_drop('likes');
SELECT count(*) FROM more;
SELECT count(*) FROM fm_target WHERE model = 'likes';
SET client_min_messages = warning;
DROP SCHEMA write_top_x CASCADE;
