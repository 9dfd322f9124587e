-- Features and history: what is stored, which columns count, and that fm_top_x ranks by fm_predict for
-- many small models of every kind.
BEGIN;
CREATE SCHEMA features;
SELECT set_config('search_path', 'features, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SET jit = off; -- compiling queries that run only a few times takes longer
SELECT no_plan();

-- Planted data: films are liked by genre. Some users and films have no ratings, others no features.
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
       (3 + sin(u) + 1.5 * cos(i % 3) + 1.5 * sin(u * 0.7) * cos((i % 3) * 2.1) + 0.3 * cos(i * 1.7))::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 45) i WHERE hashint8extended(u * 1000 + i, 1) % 2 = 0;
CREATE TYPE size AS ENUM ('small', 'large');
CREATE TABLE films (item_id bigint, kind text, year int, length float8, cost numeric, tags text[], is_new bool, of_size size, rated date);
INSERT INTO films
SELECT i, 'kind ' || i % 3, 2000 + i % 4, 80 + 10 * cos(i), (i % 7) * 1e6, ARRAY['a' || i % 2, 'b' || i % 5, NULL],
       i % 2 = 0, (ARRAY['small', 'large'])[1 + i % 2]::size, date '2026-01-01' + i % 3
FROM generate_series(1, 55) i WHERE i NOT IN (7, 8);
UPDATE films SET kind = NULL, length = NULL WHERE item_id IN (1, 50);
INSERT INTO films (item_id, kind, cost) VALUES (2, 'kind 0', 5), (51, 'kind 0', 5), (NULL, 'kind 9', 1), (3, 'alone', NULL);
CREATE TABLE people (user_id int, country text, age real, groups int[]);
INSERT INTO people SELECT u, 'country ' || u % 4, 20 + u % 30, ARRAY[u % 3, u % 5] FROM generate_series(1, 66) u WHERE u <> 9;

-- The stored rows.
SELECT is(status || ' ' || users || ' ' || items, 'succeeded 66 55', 'users with features only or ratings only are in the model')
FROM fm_train('films', 'ratings', user_features => 'people', item_features => 'films', num_factors => 6, iterations => 60, rank_by => 'rating');
SELECT is(features, 66 + 55 + (SELECT count(*) FROM fm_films_level WHERE feature IS NOT NULL), 'features are counted')
FROM fm_runs WHERE model = 'films';
SELECT is(ARRAY(SELECT name FROM fm_films_level WHERE side = 'item' ORDER BY idx),
          '{item,item.kind = kind 0,item.kind = kind 1,item.kind = kind 2,item.year = 2000,item.year = 2001,item.year = 2002,
            item.year = 2003,item.length,item.cost,item.tags = a0,item.tags = a1,item.tags = b0,item.tags = b1,item.tags = b2,
            item.tags = b3,item.tags = b4,item.is_new = false,item.is_new = true,item.of_size = large,item.of_size = small,
            item.rated = 2026-01-01,item.rated = 2026-01-02,item.rated = 2026-01-03}'::text[],
          'levels have names; a level that only one film has is left out');
SELECT is(ARRAY(SELECT concat_ws('|', side, feature, level) FROM fm_films_level WHERE feature IN ('length', 'country') ORDER BY idx),
          '{user|country|country 0,user|country|country 1,user|country|country 2,user|country|country 3,item|length}'::text[],
          'levels can be selected by side, feature and level');

-- fm_explain: each feature column is a part of w and v, and all terms sum to the score.
SELECT is((SELECT string_agg(term, ', ') FROM fm_explain(5, 1, 'films')),
          (SELECT string_agg(term, ', ') FROM (
               SELECT 'bias' UNION ALL SELECT unnest(u) UNION ALL SELECT unnest(i)
               UNION ALL SELECT x || ' x ' || y FROM unnest(u) x, unnest(i) y) t(term)),
          'a term for each part, and each pair of parts')
FROM (VALUES ('{user,user.age,user.country,user.groups}'::text[], '{item,item.cost,item.is_new,item.of_size,item.rated,item.tags,item.year}'::text[])) parts(u, i);
SELECT cmp_ok((SELECT max(abs(score - (SELECT sum(contribution) FROM fm_explain(u, item_id, 'films'))))
               FROM unnest('{1,5,9,66}'::int[]) u, fm_top_x(u, 55, 'films', exclude_seen => false)), '<', 1e-5::float8, 'the terms sum to the score');
SELECT cmp_ok(abs((SELECT contribution FROM fm_explain(5, 4, 'films') WHERE term = 'item.kind') - w), '<', 1e-6::float8, 'a category''s is its level''s w')
FROM fm_films_level WHERE name = 'item.kind = kind 1' AND version = 1;
SELECT cmp_ok(abs((SELECT contribution FROM fm_explain(5, 2, 'films') WHERE term = 'item.cost') - w * (2e6 + 5 - mean)), '<', 1e-4::float8,
              'a number''s is w times the sum of its rows, less the mean')
FROM fm_films_level WHERE name = 'item.cost' AND version = 1;
SELECT is((SELECT string_agg(term, ', ') FROM fm_explain(5, 7, 'films') WHERE term LIKE 'item%'), 'item', 'an item without features has no parts');
SELECT is((SELECT string_agg(term, ', ') FROM fm_explain(5, 1000, 'films') WHERE term LIKE '%item%' AND contribution <> 0), NULL, 'an unknown item contributes 0');
ALTER TABLE films RENAME year TO released;
SELECT cmp_ok(abs((SELECT sum(contribution) FROM fm_explain(5, 1, 'films')) - (SELECT score FROM fm_top_x(5, 1, 'films', candidates => '{1}', exclude_seen => false))), '<', 1e-5::float8,
              'a column that is lost is left with the item''s own');
SELECT is((SELECT count(*) FROM fm_explain(5, 1, 'films') WHERE term LIKE '%year%'), 0::bigint, 'an unknown item has no parts');
ALTER TABLE films RENAME released TO year;

-- Entities without ratings, computed in SQL from the raw values and the table of levels.
CREATE FUNCTION x(side text) RETURNS TABLE (id int, feature text, level text, x float8) LANGUAGE sql AS $$
    SELECT item_id::int, f.key, f.value, 1.0 FROM films, jsonb_each_text(to_jsonb(films) - 'item_id' - 'tags' - 'length' - 'cost') f
    WHERE side = 'item' UNION ALL
    SELECT item_id::int, 'tags', t, 1 / sqrt(cardinality(array_remove(tags, NULL))) FROM films, unnest(tags) t WHERE side = 'item' UNION ALL
    SELECT item_id::int, 'length', NULL, length FROM films WHERE side = 'item' UNION ALL
    SELECT item_id::int, 'cost', NULL, sum(cost)::float8 FROM films WHERE side = 'item' GROUP BY 1 UNION ALL
    SELECT user_id, 'country', country, 1 FROM people WHERE side = 'user' UNION ALL
    SELECT user_id, 'age', NULL, age FROM people WHERE side = 'user' UNION ALL
    SELECT user_id, 'groups', g::text, 1 / sqrt(2) FROM people, unnest(groups) g WHERE side = 'user' $$;
CREATE FUNCTION said(side text, model text) RETURNS TABLE (id int, w float8, v float8[]) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        WITH terms AS (
            SELECT x.id, l.w::float8 AS w, l.v, x.x - l.mean AS x FROM x($1) x JOIN fm_%1$s_level l
            ON l.side = $1 AND l.feature = x.feature AND l.level IS NOT DISTINCT FROM x.level WHERE x.x IS NOT NULL
            UNION ALL SELECT x.id, l.w, l.v, 1 FROM (SELECT DISTINCT id FROM x($1)) x, fm_%1$s_level l
            WHERE l.side = $1 AND l.feature IS NULL),
        sums AS (SELECT id, n, sum(x * e) AS e FROM terms, unnest(v) WITH ORDINALITY AS u (e, n) GROUP BY 1, 2)
        SELECT t.id, sum(t.w * t.x), (SELECT array_agg(e ORDER BY n) FROM sums s WHERE s.id = t.id) FROM terms t GROUP BY 1', model)
    USING side;
END $$;
CREATE FUNCTION distance(a real[], b float8[]) RETURNS float8 LANGUAGE sql AS $$
    SELECT max(abs(x - y)) FROM unnest(a, b) t (x, y) $$;
SELECT is((SELECT array_agg(item_id ORDER BY item_id) FROM fm_films_item WHERE item_id NOT IN (SELECT item_id FROM ratings)),
          '{46,47,48,49,50,51,52,53,54,55}'::int[], 'ten films have no ratings');
SELECT cmp_ok(max(greatest(distance(i.v, s.v), abs(i.w - s.w))), '<', 1e-5::float8, 'films without ratings are the sum of their levels')
FROM fm_films_item i JOIN said('item', 'films') s ON s.id = i.item_id WHERE i.item_id > 45;
SELECT cmp_ok(max(greatest(distance(u.v, s.v), abs(u.w - s.w))), '<', 1e-5::float8, 'users without ratings are the sum of their levels')
FROM fm_films_user u JOIN said('user', 'films') s ON s.id = u.user_id WHERE u.user_id > 60;
SELECT cmp_ok(corr(p, truth), '>', 0.9::float8, 'films without ratings have different scores')
FROM (SELECT fm_predict(u, i, 'films') AS p,
             3 + sin(u) + 1.5 * cos(i % 3) + 1.5 * sin(u * 0.7) * cos((i % 3) * 2.1) AS truth
      FROM generate_series(1, 60) u, generate_series(52, 55) i) t;
SELECT is((SELECT count(*) FROM fm_top_x(66, 60, 'films')), 55::bigint, 'a user known by features alone is served');
SELECT isnt(ARRAY(SELECT score FROM fm_top_x(66, 55, 'films')), ARRAY(SELECT score FROM fm_top_x(777, 55, 'films')),
            'their list is not that of an unknown user');

-- The order of rows and the number of workers do not matter; the solver does.
CREATE FUNCTION bits(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT md5((SELECT string_agg(concat_ws('' '', user_id, float4send(w), array_send(v)), '','' ORDER BY user_id) FROM fm_%1$s_user) ||
        (SELECT string_agg(concat_ws('' '', item_id, float4send(w), array_send(v)), '','' ORDER BY item_id) FROM fm_%1$s_item) ||
        (SELECT string_agg(concat_ws('' '', name, mean, float4send(w), array_send(v)), '','' ORDER BY idx) FROM fm_%1$s_level))', model) INTO result;
    RETURN result;
END $$;
CREATE TABLE shuffled AS SELECT length, kind, item_id::int, tags, cost, is_new, of_size, rated, year FROM films ORDER BY md5(item_id::text);
CREATE VIEW same_films AS SELECT item_id, kind, year, length, cost, tags, is_new, of_size, rated FROM shuffled;
SELECT is(count(*), 4::bigint, 'train with both') FROM (
    SELECT fm_train('one', 'ratings', user_features => 'people', item_features => 'films', history => true, num_factors => 6, iterations => 20, rank_by => 'rating') UNION ALL
    SELECT fm_train('two', 'ratings', user_features => 'people', item_features => 'same_films', history => true, num_factors => 6, iterations => 20, workers => 2, rank_by => 'rating') UNION ALL
    SELECT fm_train('als', 'ratings', user_features => 'people', item_features => 'films', history => true, num_factors => 6, solver => 'als', workers => 0, rank_by => 'rating') UNION ALL
    SELECT fm_train('als2', 'ratings', user_features => 'people', item_features => 'same_films', history => true, num_factors => 6, solver => 'als', workers => 2, rank_by => 'rating')) t;
SELECT is(bits('two'), bits('one'), 'the order of rows and workers do not change a bit');
SELECT is(bits('als2'), bits('als'), 'als: the order of rows and workers do not change a bit');
SELECT isnt(bits('als'), bits('one'), 'als gives other bits than mcmc');
SELECT is((SELECT features FROM fm_runs WHERE model = 'one'), 2 * (66 + 55) + (SELECT count(*) FROM fm_one_level WHERE feature IS NOT NULL),
          'with history, rated items count as features');

-- A definition keeps its feature relations, and each version its levels.
SELECT is(features, (SELECT features FROM fm_runs WHERE model = 'one'), 'a retrain has the same features') FROM fm_train('one');
SELECT is(ARRAY(SELECT DISTINCT version FROM fm_one_level ORDER BY 1), '{1,2}'::int[], 'two versions are kept');
SELECT fm_set('one', keep_versions => 1) \g /dev/null
SELECT fm_train('one', 'ratings', user_features => 'people', item_features => 'films', num_factors => 6, iterations => 5, rank_by => 'rating') \g /dev/null
SELECT is((SELECT features FROM fm_runs WHERE model = 'one' AND version = 3), 66 + 55 + (SELECT count(*) FROM fm_one_level WHERE feature IS NOT NULL),
          'a new definition without history has none');
SELECT is(ARRAY(SELECT DISTINCT version FROM fm_one_level ORDER BY 1), '{3}'::int[], 'levels are deleted with their version');
SELECT is((users, items, features)::text, '(60,45,105)', 'a new definition has no features unless it names them') FROM fm_train('one', 'ratings', iterations => 5, rank_by => 'rating');
SELECT is((SELECT count(*) FROM fm_one_level), 0::bigint, 'a version can be trained without levels');
CREATE ROLE reader_of_features;
SELECT fm_grant('one', 'reader_of_features') \g /dev/null
SELECT ok(has_table_privilege('reader_of_features', 'fm_one_level', 'SELECT'), 'fm_grant includes the table of levels');
SELECT fm_drop('one') \g /dev/null
SELECT is(to_regclass('fm_one_level'), NULL, 'fm_drop drops the table of levels');
SELECT is(status, 'succeeded', 'a model may do without features at first') FROM fm_train('two_b', 'ratings', iterations => 3, test_size => 0.3, rank_by => 'rating');
SELECT is(to_regclass('fm_two_b_level'), NULL, 'a new model without features has no table of levels');
SELECT fm_set('two_b', max_worse => 0) \g /dev/null
SELECT is(status, 'refused', 'a training with features that is refused')
FROM fm_train('two_b', 'ratings', item_features => 'films', iterations => 1, test_size => 0.3, rank_by => 'rating');
SELECT is(to_regclass('fm_two_b_level'), NULL, 'a refused training does not create the table of levels');
SELECT fm_set('two_b', max_worse => 100) \g /dev/null
SELECT is(status, 'succeeded', 'a training with features that is published') FROM fm_train('two_b', 'ratings', item_features => 'films', iterations => 3, test_size => 0.3, rank_by => 'rating');
SELECT is(level_table, to_regclass('fm_two_b_level'), 'a published training creates the table of levels') FROM fm_models WHERE model = 'two_b';

-- Columns without information.
CREATE VIEW idle AS SELECT item_id, 'title ' || item_id AS title, 7.5 AS constant, ARRAY['x' || item_id, 'y' || item_id] AS more FROM ratings GROUP BY item_id;
SELECT is(features, 105::bigint, 'a value that occurs once, or in all rows, is not a level')
FROM fm_train('idle', 'ratings', item_features => 'idle', iterations => 3, rank_by => 'rating');
CREATE VIEW empty AS SELECT item_id, kind FROM films WHERE false;
SELECT is(features, 105::bigint, 'a relation without rows has no levels') FROM fm_train('idle', 'ratings', item_features => 'empty', iterations => 3, rank_by => 'rating');

-- 500 random models: every list against fm_predict for all items.
CREATE TABLE r (user_id int, item_id int, rating real, device text);
CREATE TABLE context (given jsonb);
CREATE TABLE uf (user_id int, color text, score real, bag int[]);
CREATE TABLE itf (item_id int, kind text, size float8, tags text[], flag bool);
CREATE TABLE wrong (seed int, user_id int, problem text);
DO $$
DECLARE lo real; hi real;
BEGIN
    FOR seed IN 1 .. 500 LOOP
        PERFORM setseed(seed / 1000.0);
        TRUNCATE r, uf, itf;
        TRUNCATE context;
        INSERT INTO r (user_id, item_id, rating) SELECT u, i, CASE WHEN seed % 5 = 0 THEN (random() < 0.5)::int ELSE round(random() * 4) + 1 END
        FROM generate_series(1, 6 + seed % 5) u, generate_series(1, 5 + seed % 7) i WHERE random() < 0.6;
        INSERT INTO r VALUES (1, 1, 0), (1, 2, 1);
        UPDATE r SET device = nullif('device ' || round(random() * 3), 'device 3');
        IF seed % 3 = 1 THEN
            INSERT INTO context VALUES (('{"device": "device ' || round(random() * 3) || '"}')::jsonb);
        ELSE
            INSERT INTO context VALUES (NULL);
        END IF;
        DELETE FROM r WHERE seed % 5 = 0 AND rating NOT IN (0, 1);
        INSERT INTO uf SELECT 1 + random() * 12, 'color ' || round(random() * 3), nullif(round((random() * 9)::numeric, 1), 0), ARRAY[round(random() * 2), NULL, 3]
        FROM generate_series(1, 12);
        INSERT INTO itf SELECT 1 + random() * 14, nullif('kind ' || round(random() * 2), 'kind 0'), 1e6 * random(), ARRAY['t' || round(random() * 3), 't' || round(random() * 3)], random() < 0.5
        FROM generate_series(1, 14);
        PERFORM fm_train('random', 'r', num_factors => 1 + seed % 4, iterations => 6, seed => seed,
                         task => CASE WHEN seed % 5 = 0 THEN 'classification' ELSE 'regression' END,
                         solver => CASE WHEN seed % 5 <> 0 AND seed % 3 = 0 THEN 'als' ELSE 'auto' END,
                         user_features => CASE WHEN seed % 4 <> 0 THEN 'uf'::regclass END,
                         item_features => CASE WHEN seed % 7 <> 0 THEN 'itf'::regclass END,
                         context_columns => CASE WHEN seed % 3 = 1 THEN '{device}'::name[] END,
                         history => seed % 2 = 0, rank_by => 'rating');
        SELECT min(rating), max(rating) INTO lo, hi FROM r;
        INSERT INTO wrong
        SELECT seed, u, 'length' FROM context, generate_series(0, 15) u
        WHERE (SELECT count(*) FROM fm_top_x(u, 100, 'random', false, context => given)) <> (SELECT items FROM fm_models WHERE model = 'random');
        INSERT INTO wrong
        SELECT seed, u, 'order' FROM context, generate_series(0, 15) u, fm_top_x(u, 100, 'random', false, context => given) a JOIN fm_top_x(u, 100, 'random', false, context => given) b ON b.rank = a.rank + 1
        WHERE a.score < b.score;
        INSERT INTO wrong
        SELECT seed, u, 'score' FROM context, generate_series(0, 15) u, fm_top_x(u, 100, 'random', false, context => given) t
        WHERE fm_predict(u, t.item_id, 'random', given)::real <> CASE WHEN seed % 5 = 0 THEN score ELSE least(hi, greatest(lo, score)) END;
    END LOOP;
END $$;
SELECT is((SELECT count(*) FROM fm_runs WHERE model = 'random' AND status = 'succeeded'), 500::bigint, '500 random models');
SELECT is_empty('TABLE wrong', '500 random models rank all items by fm_predict, with its scores');
SELECT cmp_ok((SELECT count(DISTINCT name) FROM fm_random_level), '>', 10::bigint, 'the random models have levels');

SELECT * FROM finish();
ROLLBACK;
