-- task => 'ranking': training on pairs without ratings, and metrics against those computed in SQL.
BEGIN;
CREATE SCHEMA ranking;
SELECT set_config('search_path', 'ranking, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

-- Three tastes: a customer mostly buys items of their own taste, some of them repeatedly.
CREATE TABLE purchases AS
SELECT u AS user_id, i AS item_id, 1 + (hashint8extended(u * 1000 + i, 5) & 3) AS quantity,
       hashint8extended(u * 1000 + i, 7) % 5 = 0 AS held_out
FROM generate_series(1, 150) u, generate_series(1, 90) i
WHERE (hashint8extended(u * 1000 + i, 1) & 1023) < CASE WHEN u % 3 = i % 3 THEN 400 ELSE 30 END;
INSERT INTO purchases SELECT user_id, item_id, quantity, held_out FROM purchases WHERE (user_id + item_id) % 11 = 0;
CREATE VIEW bought AS SELECT user_id, item_id, quantity FROM purchases WHERE NOT held_out;
CREATE VIEW later AS SELECT user_id, item_id FROM purchases WHERE held_out;

CREATE FUNCTION bits(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT md5((SELECT string_agg(float8send(b)::text, '','') FROM fm_%1$s_version) ||
        (SELECT string_agg(float4send(w)::text || array_send(v), '','' ORDER BY user_id) FROM fm_%1$s_user) ||
        (SELECT string_agg(float4send(w)::text || array_send(v), '','' ORDER BY item_id) FROM fm_%1$s_item))', model) INTO result;
    RETURN result;
END $$;

CREATE VIEW reversed AS SELECT user_id, item_id FROM bought ORDER BY item_id DESC, user_id;
CREATE VIEW counted AS SELECT user_id, item_id, count(*) AS times FROM bought GROUP BY 1, 2;
SELECT is(count(*), 8::bigint, 'train') FROM (
    SELECT fm_train('shop', 'bought', task => 'ranking', num_factors => 8) UNION ALL
    SELECT fm_train('again', 'reversed', task => 'ranking', num_factors => 8, workers => 0) UNION ALL
    SELECT fm_train('named', 'bought', task => 'ranking', solver => 'ials', num_factors => 8) UNION ALL
    SELECT fm_train('counted', 'counted', task => 'ranking', num_factors => 8, weight_column => 'times', iterations => 300) UNION ALL
    SELECT fm_train('settled', 'bought', task => 'ranking', num_factors => 8, iterations => 300) UNION ALL
    SELECT fm_train('strong', 'bought', task => 'ranking', num_factors => 8, weight_column => 'quantity') UNION ALL
    SELECT fm_train('light', 'bought', task => 'ranking', num_factors => 8, unobserved_weight => 0.01) UNION ALL
    SELECT fm_train('past', 'bought', task => 'ranking', num_factors => 8, history => true)) t;
SELECT is((task, solver)::text, '(ranking,ials)', 'a ranking is trained by ials') FROM fm_runs WHERE model = 'shop';
SELECT cmp_ok(iterations, '>', 12, 'with a search, whose iterations count') FROM fm_runs WHERE model = 'shop';
SELECT is(rating_column, NULL, 'a ranking has no rating column') FROM fm_models WHERE model = 'shop';
SELECT is(bits('again'), bits('shop'), 'the order of rows and workers do not change a bit');
SELECT is(bits('named'), bits('shop'), 'ials is the solver by default');
SELECT isnt(bits('strong'), bits('shop'), 'weights matter');
SELECT isnt(bits('light'), bits('shop'), 'unobserved_weight matters');
SELECT isnt(bits('past'), bits('shop'), 'history matters');
SELECT cmp_ok((SELECT max(abs(a.score - b.score))::float8
               FROM generate_series(1, 150) u, fm_top_x(u, 90, 'settled', exclude_seen => false) a,
                    fm_top_x(u, 90, 'counted', exclude_seen => false) b WHERE a.item_id = b.item_id), '<', 0.001::float8,
              'a duplicate row counts as one row of twice the weight');
CREATE VIEW shuffled AS SELECT user_id, item_id FROM bought ORDER BY random();
SELECT is(version, 2, 'train again') FROM fm_train('again', 'shuffled', task => 'ranking', num_factors => 8);

-- Tastes are found. Lists are complete, and ordered by the scores.
SELECT cmp_ok((SELECT avg((item_id % 3 = u % 3)::int)::float8 FROM generate_series(1, 150) u, fm_top_x(u, 5, 'shop')), '>', 0.95::float8,
              'lists are of what is to a customer''s taste');
SELECT is((SELECT count(*) FROM generate_series(1, 150) u CROSS JOIN fm_top_x(u, 90, 'shop') t JOIN bought b ON (b.user_id, b.item_id) = (u, t.item_id)),
          0::bigint, 'a list excludes items already bought');
SELECT is((SELECT count(*) FROM generate_series(1, 150, 7) u, fm_top_x(u, 90, 'shop', novelty => 0) t
           WHERE score <> fm_predict(u, t.item_id, 'shop')::real), 0::bigint, 'fm_predict is the score, without clipping');
SELECT is((SELECT string_agg(item_id::text, ' ' ORDER BY rank) FROM fm_top_x(1000000, 5, 'shop', novelty => 0)),
          (SELECT string_agg(item_id::text, ' ' ORDER BY rank)
           FROM (SELECT item_id, row_number() OVER (ORDER BY w DESC, item_id) AS rank FROM fm_shop_item) w WHERE rank <= 5),
          'a user without purchases gets the items in the order of their biases');
SELECT cmp_ok((SELECT corr(w, n) FROM fm_shop_item JOIN (SELECT item_id, count(*) AS n FROM bought GROUP BY 1) c USING (item_id)), '>', 0.8::float8,
              'the biases increase with the number of purchases');
SELECT is(fm_write_top_x('recommendations', 5, 'shop'), 750::bigint, 'every customer has a list');

-- Metrics against SQL: the ranks of items that were bought later, among those not bought before.
CREATE TABLE ranked AS
SELECT u AS user_id, t.item_id, row_number() OVER (PARTITION BY u ORDER BY t.rank) AS rank,
       EXISTS (SELECT FROM later l WHERE l.user_id = u AND l.item_id = t.item_id) AS relevant
FROM generate_series(1, 150) u, fm_top_x(u, 90, 'shop', exclude_seen => false) t
WHERE NOT EXISTS (SELECT FROM bought b WHERE b.user_id = u AND b.item_id = t.item_id)
   OR EXISTS (SELECT FROM later l WHERE l.user_id = u AND l.item_id = t.item_id);
CREATE TABLE by_user AS
SELECT user_id, count(*) FILTER (WHERE relevant) AS n, count(*) FILTER (WHERE relevant AND rank <= 10) AS hits,
       sum(1 / log(2, rank + 1)) FILTER (WHERE relevant AND rank <= 10) AS gain, min(rank) FILTER (WHERE relevant) AS first,
       1 - (sum(rank) FILTER (WHERE relevant) - count(*) FILTER (WHERE relevant) * (count(*) FILTER (WHERE relevant) + 1) / 2)
           / nullif(count(*) FILTER (WHERE relevant) * count(*) FILTER (WHERE NOT relevant), 0)::float8 AS auc
FROM ranked GROUP BY user_id HAVING bool_or(relevant);
CREATE TABLE expected AS
SELECT avg(hits / 10.0)::float8 AS precision_at_x, avg(hits::float8 / n) AS recall_at_x,
       avg(coalesce(gain, 0)::float8 / (SELECT sum(1 / log(2, r + 1)) FROM generate_series(1::numeric, least(n, 10)) r)::float8) AS ndcg_at_x,
       avg(CASE WHEN first <= 10 THEN 1.0 / first ELSE 0 END)::float8 AS mrr, avg(auc) AS auc
FROM by_user;
CREATE TABLE measured AS SELECT * FROM fm_evaluate('later', 'shop', 10);
SELECT is((SELECT string_agg(metric, ' ') FROM measured), 'precision_at_x recall_at_x ndcg_at_x map_at_x mrr auc coverage', 'a ranking has only metrics of lists');
SELECT cmp_ok(abs(value - CASE metric WHEN 'precision_at_x' THEN precision_at_x WHEN 'recall_at_x' THEN recall_at_x
                          WHEN 'ndcg_at_x' THEN ndcg_at_x WHEN 'mrr' THEN mrr WHEN 'auc' THEN auc END), '<', 1e-9::float8, metric || ' is as SQL has it')
FROM measured, expected WHERE metric NOT IN ('map_at_x', 'coverage');

-- Held-out rows have the metrics that fm_evaluate returns for the same lists.
SELECT is(count(*), 1::bigint, 'hold out') FROM fm_train('held', 'bought', task => 'ranking', num_factors => 8, test_size => 0.2);
SELECT is(train_metrics, NULL, 'training rows have no metrics') FROM fm_runs WHERE model = 'held';
SELECT is((SELECT string_agg(k, ' ' ORDER BY k) FROM fm_runs, jsonb_object_keys(test_metrics) k WHERE model = 'held'),
          'auc baseline map_at_10 mrr ndcg_at_10 precision_at_10 ratings recall_at_10 users', 'held-out rows have metrics of lists');
SELECT cmp_ok((test_metrics ->> 'auc')::float8, '>', 0.75::float8, 'held-out items are found') FROM fm_runs WHERE model = 'held';
SELECT is(ratings + (test_metrics ->> 'ratings')::bigint, (SELECT count(DISTINCT (user_id, item_id)) FROM bought), 'pairs are either trained on or held out') FROM fm_runs WHERE model = 'held';

-- The quality gate takes a larger ndcg_at_10 as better.
SELECT fm_set('held', max_worse => 0.05) \g /dev/null
SELECT is((SELECT status FROM fm_train('held', l2_reg_v => 50)), 'refused', 'a worse ranking is refused');
SELECT alike((SELECT message FROM fm_runs WHERE model = 'held' AND version = 2), 'test ndcg_at_10 % is worse than % of version 1 by more than 5 %', 'the message says why');
SELECT is((SELECT status FROM fm_train('held', 'bought', task => 'ranking', num_factors => 8, test_size => 0.2)), 'succeeded', 'an equally good ranking is not refused');

SELECT * FROM finish();
ROLLBACK;
