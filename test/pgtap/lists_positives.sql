-- Rankings by defaults on positives of MovieLens 1M, against what is published for others.
\ir ../movielens.sql
\if :absent
\quit
\endif
\set positives :movielens '/../ml-1m-positives'
\setenv POSITIVES :positives
\set found `test -r "$POSITIVES/train.txt" && test -r "$POSITIVES/test.txt" && echo true || echo false`
\if :found
\else
\echo 1..0 # SKIP ml-1m-positives is not beside MovieLens 100k
\quit
\endif
SELECT plan(3);

-- A line of both files is a user and the items, separated by blanks.
CREATE TABLE line (part text DEFAULT 'train', line text);
\copy line (line) FROM PROGRAM 'cat "$POSITIVES/train.txt"'
ALTER TABLE line ALTER part SET DEFAULT 'test';
\copy line (line) FROM PROGRAM 'cat "$POSITIVES/test.txt"'
CREATE TABLE pair AS
SELECT part, (regexp_split_to_array(line, ' '))[1]::integer AS user_id, item::integer AS item_id
FROM line, unnest((regexp_split_to_array(trim(line), ' '))[2:]) item;
CREATE VIEW events AS SELECT user_id, item_id FROM pair WHERE part = 'train';

SELECT is((SELECT (num_factors, status)::text FROM fm_train('positives', 'events', task => 'ranking')), '(128,succeeded)',
          'the number of factors follows the number of items');
CREATE TABLE found AS
SELECT p.user_id, t.rank FROM pair p LEFT JOIN fm_top_x_all(20, 'positives') t ON t.user_id = p.user_id::text AND t.item_id = p.item_id::text
WHERE part = 'test';
CREATE FUNCTION ideal(relevant bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT sum(1 / log(2::numeric, i + 1))::float8 FROM generate_series(1, least(20, relevant)) i $$;
CREATE TABLE metric AS
SELECT user_id, count(rank)::float8 / count(*) AS recall,
       coalesce(sum(1 / log(2::numeric, rank + 1)), 0)::float8 / ideal(count(*)) AS ndcg
FROM found GROUP BY user_id;

-- UltraGCN is published with 0.2787 and 0.2642.
SELECT cmp_ok((SELECT avg(recall) FROM metric), '>=', 0.279::float8, 'recall@20 is at least 0.279');
SELECT cmp_ok((SELECT avg(ndcg) FROM metric), '>=', 0.266::float8, 'NDCG@20 is at least 0.266');
SELECT * FROM finish();
ROLLBACK;
