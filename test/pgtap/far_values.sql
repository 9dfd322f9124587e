-- Ratings and features that are far from 0, levels by the collation of their column, and features of nobody.
BEGIN;
CREATE SCHEMA far_values;
SELECT set_config('search_path', 'far_values, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

CREATE FUNCTION rating(u int, i int) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$SELECT round((3 + 1.2 * sin(u) + 0.8 * cos(i) + sin(u * 0.7) * cos(i * 1.3))::numeric * 4)::float8 / 4$$;
CREATE TABLE near AS SELECT u AS user_id, i AS item_id, rating(u, i) AS rating
FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE hashint8extended(u * 1000 + i, 1) % 3 <> 0;
CREATE VIEW far AS SELECT user_id, item_id, 1e9 + rating AS rating FROM near;
CREATE VIEW very_far AS SELECT user_id, item_id, -1e12 - rating AS rating FROM near;

SELECT fm_train('near', 'near', num_factors => 3, iterations => 30, test_size => 0.2) \g /dev/null
SELECT is(status, 'succeeded', 'ratings of 1e9 and more') FROM fm_train('far', 'far', num_factors => 3, iterations => 30, test_size => 0.2);
SELECT is(status, 'succeeded', 'ratings far below 0') FROM fm_train('very_far', 'very_far', num_factors => 3, iterations => 30, test_size => 0.2);
CREATE TABLE rmse AS SELECT model, (test_metrics->>'rmse')::float8 AS test, (train_metrics->>'rmse')::float8 AS train FROM fm_runs;
SELECT cmp_ok(f.test, '<', 1.05 * n.test, f.model || ': as good as near 0, on ratings held out')
FROM rmse n, rmse f WHERE n.model = 'near' AND f.model IN ('far', 'very_far');
SELECT cmp_ok(f.train, '<', 1.05 * n.train, f.model || ': and in the training')
FROM rmse n, rmse f WHERE n.model = 'near' AND f.model IN ('far', 'very_far');
SELECT cmp_ok(sqrt(avg((fm_predict(user_id, item_id, 'far') - 1e9 - rating) ^ 2)), '<', 1.1 * (SELECT train FROM rmse WHERE model = 'near')
    + 0.1, 'predictions are in the units of the ratings') FROM near;
SELECT cmp_ok(abs(b - 1e9), '<', 10::float8, 'so is b') FROM fm_far_version;
SELECT cmp_ok(value, '<', 1::float8, 'and an evaluation') FROM fm_evaluate('far', 'far') WHERE metric = 'rmse';
SELECT cmp_ok(f.value, '>', 0.9 * n.value, 'which calls the same items relevant')
FROM fm_evaluate('far', 'far') f, fm_evaluate('near', 'near') n WHERE f.metric LIKE 'ndcg%' AND n.metric LIKE 'ndcg%';

-- A new user is folded in as near 0: what they like comes first, in a question and in a new version.
CREATE VIEW more AS SELECT * FROM near UNION ALL SELECT 1000, item_id, rating FROM near WHERE user_id = 7;
CREATE OR REPLACE VIEW far AS SELECT user_id, item_id, 1e9 + rating AS rating FROM more;
SELECT cmp_ok(sqrt(avg((fm_predict(1000, item_id, 'far') - 1e9 - rating) ^ 2)), '<', 0.6::float8, 'a new user')
FROM near WHERE user_id = 7;
SELECT is(message, 'folded into version 1; users: 1 added, 0 updated; items: 0 added, 0 updated', 'who is folded into a version')
FROM fm_fold_in('far');
SELECT cmp_ok(sqrt(avg((fm_predict(1000, item_id, 'far') - 1e9 - rating) ^ 2)), '<', 0.6::float8, 'the same then')
FROM near WHERE user_id = 7;

-- Only values that are equal, as double precision, are all the same.
CREATE VIEW equal AS SELECT user_id, item_id, 1e9 + 0.5 AS rating FROM near;
SELECT throws_like($$SELECT fm_train('equal', 'equal')$$, 'all % ratings of relation "equal" are 1e+09: there is nothing to learn', 'equal');
CREATE VIEW yes_no AS SELECT user_id, item_id, 1e9 + (rating > 3)::int AS rating FROM near;
SELECT throws_like($$SELECT fm_train('yes_no', 'yes_no', task => 'classification')$$,
    'column "rating" of relation "yes_no" has values that type real cannot tell apart: 1000000000 and 1000000001', 'labels');

-- A number as a feature: the same wherever its zero is; several rows of an item add up.
CREATE TABLE near_number AS SELECT i AS item_id, cos(i)::float8 AS x, i % 7 AS code FROM generate_series(1, 60) i;
CREATE VIEW far_number AS SELECT item_id, 1e10 + round((x * 1024)::numeric) AS x, code FROM near_number;
SELECT fm_train('near_number', 'near', item_features => 'near_number', num_factors => 3, iterations => 30, test_size => 0.2) \g /dev/null
SELECT is(status, 'succeeded', 'a feature of 1e10 and more')
FROM fm_train('far_number', 'near', item_features => 'far_number', num_factors => 3, iterations => 30, test_size => 0.2);
SELECT is(count(*), 1::bigint, 'it has a part in the model') FROM fm_far_number_level WHERE feature = 'x';
SELECT cmp_ok(abs(mean - 1e10), '<', 1024::float8, 'its mean is in its own units') FROM fm_far_number_level WHERE feature = 'x';
SELECT cmp_ok(abs(f.w * 1024 - n.w), '<', 0.1::float8, 'and w is the same') FROM fm_far_number_level f, fm_near_number_level n
WHERE f.feature = 'x' AND n.feature = 'x';
SELECT cmp_ok(abs(sum(contribution) FILTER (WHERE term = 'item.x')), '<', 10::float8, 'as in an explanation')
FROM fm_explain(1, 3, 'far_number');
CREATE VIEW twice AS SELECT item_id, 5e9 + 0.5 * round((x * 1024)::numeric) AS x, code FROM near_number
UNION ALL SELECT item_id, 5e9 + 0.5 * round((x * 1024)::numeric), code FROM near_number;
SELECT fm_train('twice', 'near', item_features => 'twice', num_factors => 3, iterations => 30, test_size => 0.2) \g /dev/null
SELECT cmp_ok(abs(t.mean - f.mean), '<', 1::float8, 'rows of an item add up') FROM fm_twice_level t, fm_far_number_level f
WHERE t.feature = 'x' AND f.feature = 'x';

-- Levels that the collation calls equal are one.
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE films (item_id int, genre text COLLATE nocase, tags text[] COLLATE nocase, other text);
INSERT INTO films SELECT i, (ARRAY['Drama', 'DRAMA', 'comedy', 'Comedy'])[1 + i % 4],
    ARRAY[(ARRAY['A', 'a', 'B'])[1 + i % 3], 'c'], (ARRAY['Drama', 'DRAMA'])[1 + i % 2] FROM generate_series(1, 40) i;
SELECT is(status, 'succeeded', 'levels by a nondeterministic collation')
FROM fm_train('films', 'near', item_features => 'films', num_factors => 3, iterations => 10);
SELECT results_eq($$SELECT feature, count(level)::int, count(DISTINCT lower(level))::int FROM fm_films_level
    WHERE side = 'item' AND feature IS NOT NULL GROUP BY 1 ORDER BY 1$$, $$VALUES ('genre', 2, 2), ('other', 2, 1), ('tags', 3, 3)$$,
    'one of those that are equal');
SELECT results_eq($$SELECT term FROM generate_series(1, 40) i, fm_explain(1, i, 'films') WHERE term LIKE 'item.%' GROUP BY 1
    HAVING count(*) = 40 ORDER BY 1$$, $$VALUES ('item.genre'), ('item.other'), ('item.tags')$$, 'an explanation finds it in either form');

-- Features of nobody.
CREATE VIEW strangers AS SELECT -item_id AS item_id, code FROM near_number;
CREATE VIEW too_far AS SELECT item_id + 3000000000 AS item_id, code FROM near_number;
SELECT is(items::int, 100, 'items without ratings') FROM fm_train('strangers', 'near', item_features => 'strangers', num_factors => 2, iterations => 2);
SELECT is(items::int, 40, 'ids that no item can have') FROM fm_train('too_far', 'near', item_features => 'too_far', num_factors => 2, iterations => 2);

SELECT * FROM finish();
ROLLBACK;
