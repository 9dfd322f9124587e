-- Context columns: what is stored and served, that it matches what was planted, and unknown levels.
BEGIN;
CREATE SCHEMA contexts;
SELECT set_config('search_path', 'contexts, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SET jit = off; -- compiling queries that run only a few times takes longer
SELECT no_plan();

-- Planted data: short items are liked better on a phone, everything on Sundays; some days are NULL.
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, device, nullif(day, 0) AS day,
       (3 + sin(u) + cos(i) + CASE WHEN device = 'phone' THEN 1.5 * sin(i) ELSE 0 END + CASE WHEN day = 7 THEN 1 ELSE 0 END)::real AS rating
FROM (SELECT u, i, (ARRAY['phone', 'desk', 'tv'])[1 + abs(hashint8extended(u * 100 + i, 2)) % 3] AS device,
             (abs(hashint8extended(u * 100 + i, 3)) % 8)::int AS day
      FROM generate_series(1, 80) u, generate_series(1, 40) i WHERE hashint8extended(u * 100 + i, 1) % 2 = 0) t;

SELECT is(features, (80 + 40 + 3 + 8)::bigint, 'context levels, including NULL, are counted as features')
FROM fm_train('ctx', 'ratings', context_columns => '{device,day}', num_factors => 8, test_size => 0.2, rank_by => 'rating');
SELECT cmp_ok((SELECT (test_metrics ->> 'rmse')::float8 FROM fm_runs WHERE model = 'ctx'), '<', 0.5 * (test_metrics ->> 'rmse')::float8,
              'contexts explain most of the error that remains without them')
FROM fm_train('none', 'ratings', num_factors => 8, test_size => 0.2, rank_by => 'rating');
SELECT is(ARRAY(SELECT name FROM fm_ctx_level ORDER BY idx),
          '{"context.device = desk","context.device = phone","context.device = tv","context.day = 1","context.day = 2","context.day = 3",
            "context.day = 4","context.day = 5","context.day = 6","context.day = 7",context.day}'::text[], 'levels are stored with their names');
SELECT cmp_ok((SELECT w FROM fm_ctx_level WHERE name = 'context.day = 7') - (SELECT avg(w) FROM fm_ctx_level WHERE feature = 'day' AND level <> '7'),
              '>', 0.7::float8, 'a Sunday adds to every rating');
SELECT cmp_ok(corr(p.s - d.s, sin(p.item_id)), '>', 0.95::float8, 'on a phone, a list has other items first')
FROM (SELECT item_id, score AS s FROM fm_top_x(3, 40, 'ctx', false, context => '{"device": "phone"}')) p
JOIN (SELECT item_id, score AS s FROM fm_top_x(3, 40, 'ctx', false, context => '{"device": "desk"}')) d USING (item_id);
SELECT cmp_ok(abs(fm_predict(3, 5, 'ctx', '{"device": "tv", "day": 7}') - (3 + sin(3) + cos(5) + 1)), '<', 0.35::float8, 'fm_predict in a context equals the formula');

-- The effect of a context, computed in SQL.
CREATE FUNCTION by_hand(u int, i int, levels text[]) RETURNS float8 LANGUAGE sql AS $$
    SELECT b + us.w + it.w + coalesce((SELECT sum(w) FROM fm_ctx_level WHERE name = ANY (levels) AND version = ve.version), 0)
         + (SELECT sum(x * (y + coalesce((SELECT sum(l.v[n]) FROM fm_ctx_level l WHERE name = ANY (levels) AND version = ve.version), 0)))
            FROM unnest(it.v, us.v) WITH ORDINALITY t (x, y, n))
    FROM fm_ctx_version ve, fm_ctx_user us, fm_ctx_item it WHERE user_id = u AND item_id = i $$;
CREATE TABLE asked (context jsonb, levels text[]);
INSERT INTO asked VALUES (NULL, '{}'), ('{}', '{}'), ('{"device": "phone"}', '{context.device = phone}'),
    ('{"day": 3, "device": "tv"}', '{context.day = 3,context.device = tv}'), ('{"day": "3"}', '{context.day = 3}'),
    ('{"day": null}', '{context.day}'), ('{"day": 99}', '{}'), ('{"device": "fridge", "day": 1}', '{context.day = 1}');
SELECT cmp_ok(max(abs(t.score - by_hand(u, t.item_id::int, levels))), '<', 1e-4::float8, 'fm_top_x in ' || coalesce(context::text, 'none'))
FROM asked, generate_series(1, 5) u, fm_top_x(u, 40, 'ctx', false, context => context) t GROUP BY context;
SELECT is(count(*) FILTER (WHERE least(rating_max, greatest(rating_min, t.score)) <> fm_predict(u, t.item_id, 'ctx', context)::real),
          0::bigint, 'fm_predict gives the scores of fm_top_x')
FROM asked, generate_series(1, 5) u, fm_top_x(u, 40, 'ctx', false, context => context) t, fm_ctx_version;
SELECT is(count(*), 40::bigint, 'a context counts for an unknown user, too')
FROM (SELECT item_id FROM fm_top_x(999, 40, 'ctx', false, context => '{"device": "phone"}')) t;
SELECT isnt(fm_predict(999, 1, 'ctx', '{"device": "phone"}'), fm_predict(999, 1, 'ctx'), 'the context changes the list of an unknown user');

-- fm_evaluate uses context columns if the relation has them.
CREATE VIEW bare AS SELECT user_id, item_id, rating FROM ratings;
SELECT cmp_ok((SELECT value FROM fm_evaluate('ratings', 'ctx') WHERE metric = 'rmse'), '<',
              0.6 * (SELECT value FROM fm_evaluate('bare', 'ctx') WHERE metric = 'rmse'), 'fm_evaluate reads context columns');
SELECT cmp_ok(abs((SELECT value FROM fm_evaluate('ratings', 'ctx') WHERE metric = 'rmse')
                  - (SELECT sqrt(avg((rating - by_hand(user_id, item_id, ARRAY['context.device = ' || device, 'context.day' || coalesce(' = ' || day, '')])) ^ 2))
                     FROM ratings)), '<', 1e-4::float8, 'fm_evaluate has the RMSE computed in SQL');

-- A user who is new to the model: folded in, which ignores the contexts of their ratings, and then by
-- fm_fold_in.
INSERT INTO ratings SELECT 500, item_id, device, day, rating FROM ratings WHERE user_id = 4;
SELECT isnt(fm_predict(500, 1, 'ctx', '{"device": "phone"}'), fm_predict(500, 1, 'ctx', '{"device": "desk"}'), 'a context counts for a user who is folded in');
SELECT fm_fold_in('ctx') \g /dev/null
SELECT is((SELECT active_version FROM fm_models WHERE model = 'ctx'), 2, 'a folded version');
SELECT results_eq('SELECT name, w, v FROM fm_ctx_level WHERE version = 2 ORDER BY idx', 'SELECT name, w, v FROM fm_ctx_level WHERE version = 1 ORDER BY idx',
                  'a folded version has the context levels of the one before');
SELECT isnt(fm_predict(500, 1, 'ctx', '{"device": "phone"}'), fm_predict(500, 1, 'ctx', '{"device": "desk"}'), 'a folded version serves contexts');
DELETE FROM ratings WHERE user_id = 500;

-- The order of rows and the number of workers do not matter; the definition is kept.
CREATE FUNCTION bits(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT md5((SELECT string_agg(concat_ws('' '', user_id, float4send(w), array_send(v)), '','' ORDER BY user_id) FROM fm_%1$s_user) ||
        (SELECT string_agg(concat_ws('' '', name, float4send(w), array_send(v)), '','' ORDER BY idx) FROM fm_%1$s_level))', model) INTO result;
    RETURN result;
END $$;
CREATE TABLE shuffled AS SELECT day::text, rating, device, item_id, user_id FROM ratings ORDER BY md5(user_id::text || item_id || device);
INSERT INTO ratings SELECT user_id, item_id, 'phone', day, rating FROM ratings WHERE user_id = 1; -- rated twice, in two contexts
INSERT INTO shuffled SELECT day::text, rating, 'phone', item_id, user_id FROM shuffled WHERE user_id = 1;
SELECT is(count(*), 4::bigint, 'train') FROM (
    SELECT fm_train('one', 'ratings', context_columns => '{device,day}', num_factors => 4, iterations => 20, history => true, rank_by => 'rating') UNION ALL
    SELECT fm_train('two', 'shuffled', context_columns => '{device,day}', num_factors => 4, iterations => 20, history => true, workers => 2, rank_by => 'rating') UNION ALL
    SELECT fm_train('als', 'ratings', context_columns => '{device,day}', num_factors => 4, solver => 'als', workers => 0, rank_by => 'rating') UNION ALL
    SELECT fm_train('als2', 'shuffled', context_columns => '{device,day}', num_factors => 4, solver => 'als', workers => 2, rank_by => 'rating')) t;
SELECT is(bits('two'), bits('one'), 'the order of rows and workers do not change a bit');
SELECT is(bits('als2'), bits('als'), 'als: the order of rows and workers do not change a bit');
SELECT is(features, (SELECT features FROM fm_runs WHERE model = 'one'), 'a retrain has the same contexts') FROM fm_train('one');
SELECT is(features, 120::bigint, 'unless it is defined anew') FROM fm_train('one', 'ratings', iterations => 5, rank_by => 'rating');
SELECT throws_ok($$SELECT * FROM fm_top_x(1, 3, 'one', context => '{"device": "phone"}')$$, '42703', NULL, 'a definition without context columns has no levels');

-- A classification with contexts and weights.
CREATE VIEW likes AS SELECT user_id, item_id, rating > 3 AS rating, device, 1 + user_id % 2 AS weight FROM ratings;
SELECT is(status, 'succeeded', 'a classification') FROM fm_train('yes', 'likes', context_columns => '{device}', weight_column => 'weight', num_factors => 4,
                                                                task => 'classification', iterations => 100, test_size => 0.2, rank_by => 'rating');
SELECT fm_train('yes_none', 'likes', weight_column => 'weight', num_factors => 4, task => 'classification', iterations => 100, test_size => 0.2, rank_by => 'rating') \g /dev/null
SELECT cmp_ok((SELECT (test_metrics ->> 'log_loss')::float8 FROM fm_runs WHERE model = 'yes'), '<',
              (SELECT (test_metrics ->> 'log_loss')::float8 - 0.05 FROM fm_runs WHERE model = 'yes_none'), 'a classification has a smaller log loss with contexts');

SELECT * FROM finish();
ROLLBACK;
