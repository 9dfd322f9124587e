-- Baselines: what fm_evaluate and test_metrics say that the same rows get without a model, against SQL.
BEGIN;
CREATE SCHEMA baseline;
SELECT set_config('search_path', 'baseline, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = error;
SELECT no_plan();

-- Popular items, kind users, and tastes. Later rows are those to evaluate.
CREATE FUNCTION noise(a bigint, b bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
    $$ SELECT (hashint8extended(a, b) & 1023) / 1023.0 $$;
CREATE TABLE all_rows AS
SELECT u AS user_id, i AS item_id, (3 + u % 3 - i % 4 / 2.0 + 2 * noise(u * 1000 + i, 3))::real AS rating, noise(u * 1000 + i, 4) AS at
FROM generate_series(1, 90) u, generate_series(1, 70) i
WHERE noise(u * 1000 + i, 1) < CASE WHEN u % 3 = i % 3 THEN 0.5 ELSE 0.2 END * (90 - i) / 90;
CREATE TABLE earlier AS SELECT user_id, item_id, rating FROM all_rows WHERE at < 0.7;
CREATE TABLE later AS SELECT user_id, item_id, rating FROM all_rows WHERE at >= 0.7;
SELECT is(count(*), 1::bigint, 'train') FROM fm_train('m', 'earlier', num_factors => 4, iterations => 20);

-- Since the training there are a new user, a new item, a row without a rating and one without a user.
INSERT INTO earlier VALUES (901, 1, 4), (901, 3, 2), (901, 5, 5), (5, 801, 1), (6, 70, NULL), (NULL, 70, 5);
INSERT INTO later VALUES (901, 2, 5), (901, 7, 5), (901, 801, 5), (902, 1, 1), (902, 4, 5), (7, 801, 4);

-- The definition: from the rows of the relation `live` on items that the model knows. A row that is evaluated and is
-- in `live` as well is left out of its own prediction.
CREATE FUNCTION expected(live regclass, evaluated regclass, model text, liked float8, x int)
RETURNS TABLE (metric text, baseline float8) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TEMP TABLE live ON COMMIT DROP AS SELECT user_id, item_id, rating::float8 FROM %1$s
                    JOIN fm_%2$s_item i USING (item_id) WHERE user_id IS NOT NULL AND i.version = 1', live, model);
    EXECUTE format('CREATE TEMP TABLE asked ON COMMIT DROP AS SELECT user_id, item_id, rating::float8 FROM %1$s', evaluated);
    EXECUTE format('CREATE TEMP TABLE items ON COMMIT DROP AS SELECT item_id FROM fm_%1$s_item WHERE version = 1', model);
    ANALYZE live, asked, items;
    RETURN QUERY
    WITH overall AS (SELECT avg(rating) AS mean FROM live),
    item AS (SELECT item_id, count(*) AS n, sum(rating - mean) AS s FROM live, overall WHERE rating IS NOT NULL GROUP BY 1),
    rest AS (SELECT l.user_id, l.rating - mean - s / (n + 5) AS d FROM live l JOIN item USING (item_id), overall WHERE l.rating IS NOT NULL),
    users AS (SELECT user_id, count(*) AS n, sum(d) AS s FROM rest GROUP BY 1),
    own AS (
        SELECT a.*, mean, (l.user_id IS NOT NULL)::int AS own, coalesce(i.n, 0) AS i_n, coalesce(i.s, 0) AS i_s,
            coalesce(u.n, 0) AS u_n, coalesce(u.s, 0) AS u_s
        FROM asked a CROSS JOIN overall LEFT JOIN live l USING (user_id, item_id) LEFT JOIN item i USING (item_id)
        LEFT JOIN users u USING (user_id)
    ), errors AS (
        SELECT mean + (i_s - own * (rating - mean)) / (i_n - own + 5)
            + (u_s - own * (rating - mean - i_s / (i_n + 5))) / (u_n - own + 5) - rating AS error
        FROM own
    ), counted AS (SELECT i.item_id, count(l.item_id) AS n FROM items i LEFT JOIN live l USING (item_id) GROUP BY 1),
    relevant AS (SELECT DISTINCT user_id, item_id FROM asked WHERE rating >= liked),
    wanted AS (SELECT user_id, count(*) AS wanted FROM relevant GROUP BY 1),
    seen AS (SELECT user_id, item_id FROM live EXCEPT SELECT user_id, item_id FROM asked),
    ranked AS (
        SELECT u.user_id, c.item_id, row_number() OVER (PARTITION BY u.user_id ORDER BY n DESC, c.item_id) AS rank
        FROM wanted u CROSS JOIN counted c LEFT JOIN seen s ON s.user_id = u.user_id AND s.item_id = c.item_id WHERE s.user_id IS NULL
    ), listed AS (SELECT r.*, v.user_id IS NOT NULL AS hit FROM ranked r LEFT JOIN relevant v USING (user_id, item_id)),
    found AS (
        SELECT l.user_id, w.wanted,
            count(*) FILTER (WHERE hit AND rank <= x)::float8 AS hits,
            coalesce(sum(1 / log(2, rank + 1)) FILTER (WHERE hit AND rank <= x), 0)::float8 AS gain,
            coalesce(1.0 / min(rank) FILTER (WHERE hit AND rank <= x), 0)::float8 AS reciprocal,
            (sum(rank) FILTER (WHERE hit))::float8 AS ranks, count(*) FILTER (WHERE hit)::float8 AS n, count(*)::float8 AS eligible
        FROM listed l JOIN wanted w USING (user_id) GROUP BY 1, 2
    )
    SELECT 'rmse', sqrt(avg(error ^ 2)) FROM errors
    UNION ALL SELECT 'mae', avg(abs(error)) FROM errors
    UNION ALL SELECT 'precision_at_x', avg(hits / x) FROM found
    UNION ALL SELECT 'recall_at_x', avg(hits / wanted) FROM found
    UNION ALL SELECT 'ndcg_at_x', avg(gain / (SELECT sum(1 / log(2, r + 1))::float8 FROM generate_series(1, least(wanted, x)) r)) FROM found
    UNION ALL SELECT 'mrr', avg(reciprocal) FROM found
    UNION ALL SELECT 'auc', avg(1 - (ranks - n * (n + 1) / 2) / (n * nullif(eligible - n, 0))) FROM found WHERE n > 0
    UNION ALL SELECT 'coverage', (SELECT count(DISTINCT item_id) FROM ranked WHERE rank <= x) / (SELECT count(*) FROM items)::float8;
    DROP TABLE live, asked, items;
END $$;

-- A regression. The second relation is part of the first.
CREATE VIEW same_rows AS SELECT user_id, item_id, rating FROM earlier WHERE user_id % 4 = 1 AND item_id < 100 AND rating IS NOT NULL;
SELECT set_eq(format($$SELECT metric, round(baseline::numeric, 9) FROM fm_evaluate('%s', 'm', %s) WHERE metric <> 'map_at_x'$$, r, x),
              format($$SELECT metric, round(baseline::numeric, 9) FROM expected('earlier', '%s', 'm', (SELECT rating_mean FROM fm_m_version), %s)
                       WHERE metric <> 'auc'$$, r, x), format('the baselines of a regression on %s, x = %s', r, x))
FROM unnest('{later,same_rows}'::text[]) r, unnest('{1,5,40}'::int[]) x;
SELECT cmp_ok(baseline, '>', 0::float8, 'there is a baseline of map_at_x') FROM fm_evaluate('later', 'm') WHERE metric = 'map_at_x';

-- Without the rating column the mean of the training is left; the lists are as before.
CREATE TABLE before AS SELECT * FROM fm_evaluate('later', 'm');
SAVEPOINT readable;
ALTER TABLE earlier RENAME rating TO stars;
CREATE TABLE unreadable AS SELECT * FROM fm_evaluate('later', 'm');
SELECT is(round((SELECT baseline FROM unreadable WHERE metric = 'rmse')::numeric, 9),
          (SELECT round(sqrt(avg((rating - rating_mean) ^ 2))::numeric, 9) FROM later, fm_m_version), 'ratings that cannot be read: the mean of the training');
SELECT set_eq($$SELECT metric, baseline FROM unreadable WHERE metric NOT IN ('rmse', 'mae')$$,
              $$SELECT metric, baseline FROM before WHERE metric NOT IN ('rmse', 'mae')$$, 'popular items need no ratings');
ROLLBACK TO readable;

-- A value that a training would refuse is left out.
INSERT INTO earlier VALUES (7, 70, 'NaN'), (8, 70, 'Infinity');
SELECT set_eq($$SELECT metric, round(baseline::numeric, 9) FROM fm_evaluate('later', 'm') WHERE metric IN ('rmse', 'mae')$$,
              $$SELECT metric, round(baseline::numeric, 9) FROM before WHERE metric IN ('rmse', 'mae')$$, 'ratings that are no numbers do not count');
ROLLBACK TO readable;

-- A ranking.
SELECT is(count(*), 1::bigint, 'train') FROM fm_train('r', 'earlier', task => 'ranking', num_factors => 4);
SELECT set_eq(format($$SELECT metric, round(baseline::numeric, 9) FROM fm_evaluate('later', 'r', %s) WHERE metric <> 'map_at_x'$$, x),
              format($$SELECT metric, round(baseline::numeric, 9) FROM expected('earlier', 'later', 'r', '-Infinity', %s)
                       WHERE metric NOT IN ('rmse', 'mae')$$, x), 'the baselines of a ranking, x = ' || x)
FROM unnest('{1,10}'::int[]) x;

-- A classification: the base rate, and the order of damped means.
CREATE VIEW yes_earlier AS SELECT user_id, item_id, (rating > 4)::int AS rating FROM earlier WHERE rating IS NOT NULL AND user_id IS NOT NULL;
CREATE VIEW yes_later AS SELECT user_id, item_id, (rating > 4)::int AS rating FROM later;
SELECT is(count(*), 1::bigint, 'train') FROM fm_train('c', 'yes_earlier', task => 'classification', num_factors => 4, iterations => 20);
CREATE TABLE yes AS SELECT * FROM fm_evaluate('yes_later', 'c', 5);
CREATE VIEW rates AS SELECT (SELECT avg(rating) FROM yes_earlier) AS p, avg(rating) AS later FROM yes_later;
SELECT is((SELECT round(baseline::numeric, 6) FROM yes WHERE metric = 'log_loss'), (SELECT round(-(later * ln(p) + (1 - later) * ln(1 - p)), 6) FROM rates),
          'the log loss of the base rate');
SELECT is((SELECT round(baseline::numeric, 6) FROM yes WHERE metric = 'accuracy'), (SELECT round(CASE WHEN p >= 0.5 THEN later ELSE 1 - later END, 6) FROM rates),
          'its accuracy');
SELECT is((SELECT round(baseline::numeric, 6) FROM yes WHERE metric = 'f1'),
          (SELECT round(CASE WHEN p >= 0.5 THEN 2 * later / (1 + later) ELSE 0 END, 6) FROM rates), 'its f1');
SELECT cmp_ok((SELECT baseline FROM yes WHERE metric = 'auc'), '>', 0.6::float8, 'damped means order yes and no');
SELECT set_eq($$SELECT metric, round(baseline::numeric, 9) FROM yes WHERE metric ~ '_at_|mrr|coverage' AND metric <> 'map_at_x'$$,
              $$SELECT metric, round(baseline::numeric, 9) FROM expected('yes_earlier', 'yes_later', 'c', 1, 5)
                WHERE metric NOT IN ('rmse', 'mae', 'auc')$$, 'its lists are those of popular items');

-- The area under the curve of many users is that of some, whatever the order of the rows.
CREATE TABLE many AS
SELECT u AS user_id, i AS item_id FROM generate_series(1, 12000) u, generate_series(1, 12) i WHERE noise(u * 100 + i, 1) < 0.6 - i / 30.0;
CREATE VIEW many_before AS SELECT * FROM many WHERE noise(user_id, item_id) < 0.7;
CREATE VIEW many_after AS SELECT * FROM many WHERE noise(user_id, item_id) >= 0.7 ORDER BY user_id, item_id;
CREATE VIEW many_reversed AS SELECT * FROM many_after ORDER BY user_id DESC, item_id DESC;
SELECT is(count(*), 1::bigint, 'train') FROM fm_train('many', 'many_before', task => 'ranking', num_factors => 2, iterations => 2);
CREATE TABLE many_measured AS SELECT * FROM fm_evaluate('many_after', 'many', 3);
CREATE VIEW many_rated AS SELECT *, 1 AS rating FROM many_before;
CREATE VIEW many_asked AS SELECT *, 1 AS rating FROM many_after;
CREATE TABLE many_expected AS SELECT * FROM expected('many_rated', 'many_asked', 'many', 0, 3);
SELECT cmp_ok(abs(m.baseline - e.baseline), '<', CASE metric WHEN 'auc' THEN 0.02 ELSE 1e-9 END::float8, metric || ' of many users')
FROM many_measured m JOIN many_expected e USING (metric);
SELECT isnt(round(m.baseline::numeric, 9), round(e.baseline::numeric, 9), 'not of all') FROM many_measured m JOIN many_expected e USING (metric) WHERE metric = 'auc';
SELECT set_eq($$SELECT metric, round(value::numeric, 9) AS v, round(baseline::numeric, 9) AS b FROM fm_evaluate('many_reversed', 'many', 3)$$,
              $$SELECT metric, round(value::numeric, 9) AS v, round(baseline::numeric, 9) AS b FROM many_measured$$, 'the order of the rows does not matter');

-- Held-out ratings have the same metrics. fm_tune can hold out the latest, which SQL can name.
CALL fm_tune('m', validation_size => 0.3, trials => 1);
SELECT is((SELECT string_agg(k, ' ' ORDER BY k) FROM fm_trials, jsonb_object_keys(metrics -> 'baseline') k),
          (SELECT string_agg(k, ' ' ORDER BY k) FROM fm_trials, jsonb_object_keys(metrics) k WHERE k NOT IN ('users', 'ratings', 'baseline')),
          'a trial has a baseline for each metric');
SELECT fm_drop('m');
SELECT is(count(*), 1::bigint, 'train') FROM fm_train('t', 'all_rows', num_factors => 4, iterations => 20);
CALL fm_tune('t', validation_size => 0.25, time_column => 'at', trials => 1);
CREATE VIEW bound AS SELECT percentile_disc(0.75) WITHIN GROUP (ORDER BY at) AS at FROM all_rows;
CREATE VIEW trained AS SELECT r.user_id, r.item_id, r.rating FROM all_rows r, bound b WHERE r.at <= b.at;
CREATE VIEW held_out AS SELECT r.user_id, r.item_id, r.rating FROM all_rows r, bound b WHERE r.at > b.at;
CREATE TABLE by_sql AS SELECT * FROM expected('trained', 'held_out', 't', (SELECT avg(rating::real) FROM trained), 10);
CREATE VIEW by_trial AS SELECT replace(b.key, '_at_10', '_at_x') AS metric, b.value::float8 AS baseline FROM fm_trials, jsonb_each_text(metrics -> 'baseline') b;
SELECT cmp_ok(abs(t.baseline / s.baseline - 1), '<', 1e-5::float8, metric || ' of held-out ratings') FROM by_trial t JOIN by_sql s USING (metric) WHERE metric IN ('rmse', 'mae');
-- ties of popularity are not in the order of the ids here
SELECT cmp_ok(abs(t.baseline / s.baseline - 1), '<', 0.1::float8, metric || ' of held-out ratings') FROM by_trial t JOIN by_sql s USING (metric) WHERE metric NOT IN ('rmse', 'mae');
SELECT is((SELECT (metrics ->> 'users')::bigint FROM fm_trials WHERE model = 't'),
          (SELECT count(DISTINCT user_id) FROM held_out WHERE rating >= (SELECT avg(rating) FROM trained)), 'the users with a relevant rating');

-- A training that is worse than that says so.
SELECT is(message, NULL, 'a good ranking has no message') FROM fm_train('good', 'all_rows', task => 'ranking', num_factors => 4, test_size => 0.2);
SELECT alike(message, 'test ndcg_at_10 % is worse than % of the most popular items', 'a ranking that is worse than popular items says so')
FROM fm_train('bad', 'all_rows', task => 'ranking', num_factors => 4, unobserved_weight => 0, test_size => 0.2);
SELECT is((SELECT message FROM fm_runs WHERE model = 'bad'), (SELECT format('test ndcg_at_10 %s is worse than %s of the most popular items',
           test_metrics ->> 'ndcg_at_10', test_metrics #>> '{baseline,ndcg_at_10}') FROM fm_runs WHERE model = 'bad'), 'by these figures');
CREATE VIEW nothing AS SELECT user_id, item_id, noise(user_id * 1000 + item_id, 9) AS rating FROM all_rows;
SELECT alike(message, 'test rmse % is worse than % of damped means%', 'so does a regression that has learnt noise')
FROM fm_train('worse', 'nothing', solver => 'als', num_factors => 30, l2_reg_w => 0, l2_reg_v => 0.001, iterations => 30, test_size => 0.3);
CREATE VIEW yes_rows AS SELECT user_id, item_id, rating > 4 AS rating FROM all_rows;
SELECT is(message LIKE '%log_loss%', NULL, 'a good classification has no message of its predictions')
FROM fm_train('likes', 'yes_rows', task => 'classification', num_factors => 4, iterations => 30, test_size => 0.2);
SELECT is(message, NULL, 'without held-out ratings there is none') FROM fm_train('worse', 'nothing', solver => 'als', num_factors => 30, l2_reg_w => 0, l2_reg_v => 0.001);

SELECT * FROM finish();
ROLLBACK;
