-- MovieLens 100k, classifying whether a rating is at least 4, with default options. For comparison:
-- myFM's probit reaches a log loss of 0.5526, an accuracy of 0.714 and an F1 of 0.763.
\ir ../movielens.sql
\if :absent
\quit
\endif
SELECT plan(8);

\set base_file :movielens '/ua.base'
\set test_file :movielens '/ua.test'
CREATE TABLE base (user_id int, item_id int, stars int, seconds bigint);
CREATE TABLE test (LIKE base);
COPY base FROM :'base_file';
COPY test FROM :'test_file';
CREATE VIEW base_yes AS SELECT user_id, item_id, stars >= 4 AS rating FROM base;
CREATE VIEW test_yes AS SELECT user_id, item_id, stars >= 4 AS rating FROM test;

SELECT is(ratings, 90570::bigint, 'train on ua.base') FROM fm_train('likes', 'base_yes', task => 'classification', rank_by => 'rating');
CREATE TABLE metrics AS SELECT * FROM fm_evaluate('test_yes', 'likes');
SELECT cmp_ok((SELECT value FROM metrics WHERE metric = 'log_loss'), '<=', 0.553::float8, 'log loss on ua.test');
SELECT cmp_ok((SELECT value FROM metrics WHERE metric = 'accuracy'), '>=', 0.712::float8, 'accuracy');
SELECT cmp_ok((SELECT value FROM metrics WHERE metric = 'f1'), '>=', 0.76::float8, 'F1');
SELECT cmp_ok((SELECT value FROM metrics WHERE metric = 'auc'), '>=', 0.778::float8, 'area under the ROC curve');

CREATE TABLE bins AS
SELECT least(floor(p * 10), 9) AS bin, count(*) AS rows, avg(p) AS predicted, avg(rating::int)::float8 AS observed
FROM (SELECT rating, fm_predict(user_id, item_id, 'likes') AS p FROM test_yes) t GROUP BY 1;
SELECT cmp_ok((SELECT count(*) FROM bins WHERE rows >= 200), '>=', 8::bigint, 'probabilities of all sizes occur');
SELECT is((SELECT array_agg(bin || ': ' || round(predicted::numeric, 3) || ', ' || round(observed::numeric, 3))
           FROM bins WHERE rows >= 200 AND NOT abs(predicted - observed) <= 0.05), NULL, 'each is within 0.05 of the observed share');
SELECT is((SELECT count(*) FROM fm_top_x_all(10, 'likes') WHERE NOT score BETWEEN 0 AND 1), 0::bigint, 'lists hold probabilities');

SELECT * FROM finish();
ROLLBACK;
