-- Tables of similar items: each list is that of fm_similar_items, whatever the ids, however it is computed, and
-- whatever the table held.
BEGIN;
CREATE SCHEMA alike;
SELECT set_config('search_path', 'alike, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(52);

-- Items by dense and by sparse integers, by text and by uuid. Some have equal vectors, and some none.
CREATE TABLE dense AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 200) u, generate_series(1, 600) i WHERE hashint8extended(u * 1000 + i, 1) % 20 = 0 OR u = 1;
CREATE VIEW sparse AS SELECT user_id, (item_id - 300) * 77777777777 AS item_id, rating FROM dense;
CREATE VIEW words AS SELECT user_id, 'item ' || item_id AS item_id, rating FROM dense;
CREATE VIEW keys AS SELECT user_id, md5(item_id::text)::uuid AS item_id, rating FROM dense;
CREATE TABLE models (m text);
INSERT INTO models VALUES ('dense'), ('sparse'), ('words'), ('keys');
SELECT fm_train(m, m::regclass, num_factors => 6, iterations => 3, rank_by => 'rating') FROM models \g /dev/null
DO $$
DECLARE m text;
BEGIN
    FOR m IN SELECT * FROM models LOOP
        EXECUTE format('UPDATE fm_%1$s_item SET v = (SELECT v FROM fm_%1$s_item WHERE idx = 17) WHERE idx %% 50 = 0', m);
        EXECUTE format('UPDATE fm_%1$s_item SET v = ''{0,0,0,0,0,0}'' WHERE idx %% 97 = 3', m);
        EXECUTE format('UPDATE fm_%1$s_version SET has_popularity = false', m);
        EXECUTE format('UPDATE fm_%1$s_matrix SET matrix = (SELECT fm_matrix_agg(idx, v, w) FROM fm_%1$s_item)', m);
        UPDATE fm_model SET stamp = stamp + 1 WHERE model = m;
    END LOOP;
END $$;

-- How many rows a table has too many, or lacks.
CREATE FUNCTION differences(target text, m text, x int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
    EXECUTE format('WITH wanted AS (SELECT i.item_id::text, t.rank, t.item_id AS similar, t.score
            FROM (SELECT DISTINCT item_id FROM %s) i, fm_similar_items(i.item_id::text, %s, %L) t),
        got AS (SELECT item_id::text, rank, similar_item_id::text, score FROM %s)
        SELECT (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE got) a)
            + (SELECT count(*) FROM (TABLE got EXCEPT ALL TABLE wanted) b)', m, x, m, target) INTO result;
    RETURN result;
END $$;

-- New tables, without workers and with them, and in rounds of some lists.
SET LOCAL max_parallel_maintenance_workers = 0;
SELECT is(fm_write_similar_items(m || '_alike', 7, m), 4200::bigint, m || ': written') FROM models;
SELECT is(differences(m || '_alike', m, 7), 0::bigint, m || ': a new table') FROM models;
SELECT col_type_is('words_alike', 'similar_item_id', 'text', 'ids have their type');
SELECT col_type_is('keys_alike', 'item_id', 'uuid', 'in both columns');
SET LOCAL maintenance_work_mem = '1MB';
SELECT is(fm_write_similar_items(m || '_long', 150, m), 90000::bigint, m || ': long lists, in rounds, by statements') FROM models;
SELECT is(differences(m || '_long', m, 150), 0::bigint, m || ': and right') FROM models;
SELECT is(fm_write_similar_items('dense_long', 1000, 'dense'), 600 * 599::bigint, 'all other items');
SELECT is(differences('dense_long', 'dense', 1000), 0::bigint, 'and right');
RESET maintenance_work_mem;

-- A rewrite after damage of every kind.
CREATE FUNCTION damage(target text, m text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM %s WHERE random() < 0.05', target);
    EXECUTE format('UPDATE %s SET score = score + 1 WHERE random() < 0.05', target);
    EXECUTE format('UPDATE %s SET score = ''NaN'' WHERE random() < 0.01', target);
    EXECUTE format('UPDATE %s SET similar_item_id = (SELECT item_id FROM %s LIMIT 1) WHERE random() < 0.05', target, m);
    EXECUTE format('UPDATE %s SET rank = rank + 1000 WHERE random() < 0.05', target);
    EXECUTE format('UPDATE %s SET rank = -rank WHERE random() < 0.01', target);
END $$;
SELECT setseed(0.17) \g /dev/null
SELECT damage(m || '_alike', m) FROM models \g /dev/null
SELECT is(fm_write_similar_items(m || '_alike', 7, m), 4200::bigint, m || ': written after damage') FROM models;
SELECT is(differences(m || '_alike', m, 7), 0::bigint, m || ': repaired') FROM models;

-- Other lengths, and a table of one's own without a key, where items repeat.
SELECT is(fm_write_similar_items(m || '_alike', 3, m), 1800::bigint, m || ': shorter') FROM models;
SELECT is(differences(m || '_alike', m, 3), 0::bigint, m || ': and right') FROM models;
CREATE TABLE narrow (similar_item_id smallint, item_id bigint, rank int, score real, note text);
SELECT fm_write_similar_items('narrow', 4, 'dense') \g /dev/null
INSERT INTO narrow SELECT * FROM narrow WHERE item_id % 3 = 0;
INSERT INTO narrow VALUES (1, NULL, 1, 1), (1, 1, NULL, 1);
SELECT is(fm_write_similar_items('narrow', 4, 'dense'), 2400::bigint, 'integers of other types, without a key');
SELECT is(differences('narrow', 'dense', 4), 0::bigint, 'and right');
CREATE TABLE short (similar_item_id smallint, item_id bigint, rank int);
SELECT throws_like($$SELECT fm_write_similar_items('short', 4, 'sparse')$$,
    'column "similar_item_id" of table "short" is of type smallint, which cannot hold the id -%', 'too narrow a column');

-- Only items of a relation, which is read anew: some leave, others come, and one is unknown.
CREATE TABLE stock AS SELECT DISTINCT item_id::bigint FROM dense WHERE item_id % 3 > 0;
INSERT INTO stock VALUES (NULL), (123456), (1);
CREATE FUNCTION stocked(target text, m text, form text, x int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE result bigint;
BEGIN
    EXECUTE format('WITH ids AS (SELECT DISTINCT (%s)::text AS id FROM stock WHERE item_id IS NOT NULL),
        wanted AS (SELECT id, t.rank, t.item_id AS similar, t.score
            FROM ids, fm_similar_items(id, %s, %L, candidates => ARRAY(SELECT id FROM ids)) t),
        got AS (SELECT item_id::text, rank, similar_item_id::text, score FROM %s)
        SELECT (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE got) a)
            + (SELECT count(*) FROM (TABLE got EXCEPT ALL TABLE wanted) b)', form, x, m, target) INTO result;
    RETURN result;
END $$;
CREATE VIEW word_stock AS SELECT 'item ' || item_id AS item_id FROM stock;
SELECT is(fm_write_similar_items('in_stock', 7, 'dense', 'stock'), 2800::bigint, 'items: lists of these');
SELECT is(stocked('in_stock', 'dense', 'item_id', 7), 0::bigint, 'of these alone');
SELECT is(fm_write_similar_items('words_in_stock', 7, 'words', 'word_stock'), 2800::bigint, 'items: by text');
SELECT is(stocked('words_in_stock', 'words', '''item '' || item_id', 7), 0::bigint, 'of these alone');
DELETE FROM stock WHERE item_id IN (7, 10);
SELECT is(fm_write_similar_items('in_stock', 7, 'dense', 'stock'), 2786::bigint, 'items: some leave');
SELECT is(stocked('in_stock', 'dense', 'item_id', 7), 0::bigint, 'and are on no list');
INSERT INTO stock VALUES (3), (9);
SELECT is(fm_write_similar_items('in_stock', 7, 'dense', 'stock'), 2800::bigint, 'items: some come');
SELECT is(stocked('in_stock', 'dense', 'item_id', 7), 0::bigint, 'and are on the lists where they belong');
SELECT is(fm_write_similar_items('in_stock', 7, 'dense'), 4200::bigint, 'without items again');
SELECT is(differences('in_stock', 'dense', 7), 0::bigint, 'all lists');
SELECT is(fm_write_similar_items('in_stock', 7, 'dense', 'stock'), 2800::bigint, 'and with items again');
SELECT is(stocked('in_stock', 'dense', 'item_id', 7), 0::bigint, 'these alone');
DELETE FROM stock;
SELECT is(fm_write_similar_items('in_stock', 7, 'dense', 'stock'), 0::bigint, 'no items at all');

SELECT * FROM finish();
ROLLBACK;
