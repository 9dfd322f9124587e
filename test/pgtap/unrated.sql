-- Items that nobody has rated, of a sparse catalogue: 700 users and 9,000 items, of which a third have one
-- rating and a tenth none. What is popular is good; features tell little or much.
BEGIN;
CREATE SCHEMA unrated;
SELECT set_config('search_path', 'unrated, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SET jit = off;
SELECT no_plan();

CREATE FUNCTION uniform(a bigint, b bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashint8extended(a * 1000003 + b, 11) & 2147483647) + 0.5) / 2147483648 $$;
CREATE FUNCTION normal(a bigint, b bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$ SELECT sqrt(-2 * ln(unrated.uniform(a, 2 * b))) * cos(2 * pi() * unrated.uniform(a, 2 * b + 1)) $$;

-- The items are numbered by their popularity, from the 900 without ratings on.
CREATE TABLE items AS
SELECT i AS item_id, quality, 0.6 * quality + 0.8 * normal(i, 2) AS hint, 0.9 * quality + 0.45 * normal(i, 3) AS clue,
       normal(i, 4) AS taste,
       CASE WHEN i <= 900 THEN 0 WHEN i <= 3900 THEN 1 ELSE 2 + floor(120 * ((i - 3900) / 5100.0) ^ 8) END::int AS n
FROM generate_series(1, 9000) i, LATERAL (SELECT 0.7 * 1.7 * (i / 4500.0 - 1) + 0.7 * normal(i, 1) AS quality) q;
CREATE TABLE people AS SELECT -u AS user_id, 0.4 * normal(-u, 1) AS mildness, normal(-u, 2) AS taste FROM generate_series(1, 700) u;
CREATE FUNCTION rate(u int, i int) RETURNS real LANGUAGE sql STABLE AS $$
    SELECT greatest(1, least(5, round(3.3 + mildness + 0.5 * quality + 0.35 * p.taste * t.taste + 0.8 * normal(i, 1000 - u))))::real
    FROM people p, items t WHERE p.user_id = u AND t.item_id = i $$;
ALTER TABLE people ADD PRIMARY KEY (user_id);
ALTER TABLE items ADD PRIMARY KEY (item_id);
CREATE TABLE pairs AS
SELECT DISTINCT -1 - floor(700 * uniform(item_id, 5000 + k) ^ 1.5)::int AS user_id, item_id
FROM items, generate_series(1, n) k;
CREATE TABLE ratings AS SELECT user_id, item_id, rate(user_id, item_id) AS rating FROM pairs;
CREATE INDEX ON ratings (user_id);
CREATE TABLE cold AS
SELECT DISTINCT ON (user_id, item_id) user_id, item_id, rate(user_id, item_id) AS rating
FROM (SELECT -1 - floor(700 * uniform(item_id, 90000 + k))::int AS user_id, item_id FROM items, generate_series(1, 5) k WHERE n = 0) t;
ANALYZE;
SELECT ok((SELECT count(*) FROM items WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.item_id = items.item_id)) = 900
          AND (SELECT count(*) FROM (SELECT FROM ratings GROUP BY item_id HAVING count(*) = 1) t) >= 3000, 'a tenth have no ratings, a third one');

-- Two kinds of features, and several of them.
CREATE VIEW genres AS SELECT item_id, ARRAY['g' || width_bucket(hint, -1.5, 1.5, 8), 't' || floor(4 * uniform(item_id, 77))] AS genre FROM items;
CREATE VIEW numbers AS SELECT item_id, clue, taste, unrated.normal(item_id, 501) AS noise FROM unrated.items;
CREATE TABLE models (model text, options text);
INSERT INTO models VALUES
    ('ids', ''), ('history', ', history => true'), ('genres', ', item_features => ''genres'''), ('numbers', ', item_features => ''numbers'''),
    ('both', ', item_features => ''genres'', history => true'), ('ids_als', ', solver => ''als'''),
    ('genres_als', ', solver => ''als'', item_features => ''genres''');
CREATE TABLE measured (model text, rmse float8, share float8, rating_share float8);
CREATE FUNCTION share_unrated(model text, x int) RETURNS float8 LANGUAGE sql AS $$
    SELECT avg((n = 0)::int)::float8 FROM generate_series(1, 700, 7) u, fm_top_x(-u, x, model) t JOIN items USING (item_id) $$;
DO $$
DECLARE m record;
BEGIN
    FOR m IN SELECT * FROM models LOOP
        EXECUTE format('SELECT fm_train(%L, ''ratings''%s)', m.model, m.options);
        INSERT INTO measured SELECT m.model, value, share_unrated(m.model, 10) FROM fm_evaluate('cold', m.model) WHERE metric = 'rmse';
        CONTINUE WHEN m.model NOT IN ('genres', 'numbers');
        EXECUTE format('SELECT fm_train(''by_rating'', ''ratings'', rank_by => ''rating''%s)', m.options);
        UPDATE measured SET rating_share = share_unrated('by_rating', 10) WHERE model = m.model;
    END LOOP;
END $$;
SELECT diag(measured::text) FROM measured;
SELECT cmp_ok(m.rmse, '<', i.rmse * 1.01, m.model || ': items without ratings are predicted at most 1 % worse than without')
FROM measured m JOIN measured i ON i.model = CASE WHEN m.model LIKE '%als' THEN 'ids_als' ELSE 'ids' END WHERE m.model NOT LIKE 'ids%';
SELECT cmp_ok(m.rmse, '<', i.rmse * 0.95, m.model || ': and better if the features tell much') FROM measured m, measured i WHERE m.model = 'numbers' AND i.model = 'ids';
SELECT cmp_ok(share, '<=', 0.05::float8, model || ': at most 5 % of top tens have no ratings') FROM measured;
SELECT cmp_ok(rating_share, '<=', 0.05::float8, model || ': nor where lists are by rating') FROM measured WHERE rating_share IS NOT NULL;

-- History, where users choose by taste: what they like is rated, and predictions of the rest must not be too low.
CREATE TABLE known AS SELECT item_id, taste, exp(1.75 * normal(item_id, 601) + 0.4 * quality) AS fame FROM items WHERE item_id % 3 = 0;
CREATE TABLE chosen AS
SELECT user_id, item_id, rate(user_id, item_id) AS rating FROM people p, known t
WHERE uniform(item_id, 200000 - user_id) < 0.003 * fame * exp(0.8 * p.taste * t.taste);
CREATE VIEW kept AS SELECT * FROM chosen WHERE hashint8extended(item_id, 3) % 5 <> 0;
CREATE VIEW lost AS SELECT * FROM chosen WHERE hashint8extended(item_id, 3) % 5 = 0;
CREATE FUNCTION rmse_of(model text) RETURNS float8 LANGUAGE sql AS $$ SELECT value FROM fm_evaluate('lost', model) WHERE metric = 'rmse' $$;
SELECT count(fm_train(m, 'kept', history => m = 'kept_history')) FROM unnest('{kept_ids,kept_history}'::text[]) m \g /dev/null
SELECT diag(rmse_of('kept_ids') || ' ' || rmse_of('kept_history'));
SELECT cmp_ok(rmse_of('kept_history'), '<', rmse_of('kept_ids') * 1.02, 'history: items held out are predicted at most 2 % worse than without');

-- 384 numbers of 150 items, a fifth of them without ratings.
CREATE TABLE few AS SELECT user_id, item_id, rate(user_id, item_id) AS rating FROM people, generate_series(3001, 9000, 40) item_id
WHERE uniform(item_id, 300000 - user_id) < 0.15;
CREATE VIEW few_kept AS SELECT * FROM few WHERE item_id % 200 <> 1;
CREATE VIEW few_lost AS SELECT * FROM few WHERE item_id % 200 = 1;
CREATE INDEX ON few (user_id);
SELECT 'CREATE TABLE embedding AS SELECT item_id, '
       || string_agg(format('0.5 * sin(%s) * quality + cos(%1$s) * taste + normal(item_id, %s) AS c%1$s', c, 1000 + c), ', ')
       || ' FROM items WHERE item_id IN (SELECT item_id FROM few)' FROM generate_series(1, 384) c \gexec
CREATE TABLE few_measured AS
SELECT s AS solver, k AS known, 'few_' || s || k AS model, NULL::float8 AS rmse, NULL::float8 AS least, NULL::float8 AS most, NULL::float8 AS share
FROM unnest('{mcmc,als}'::text[]) s, unnest('{0,1}'::int[]) k;
SELECT count(CASE known WHEN 0 THEN fm_train(model, 'few_kept', solver => solver, rank_by => 'rating')
             ELSE fm_train(model, 'few_kept', solver => solver, rank_by => 'rating', item_features => 'embedding') END) FROM few_measured \g /dev/null
UPDATE few_measured f SET (least, most) = (SELECT min(score), max(score) FROM generate_series(1, 700, 7) u, fm_top_x(-u, 150, f.model)),
    share = (SELECT avg((item_id % 200 = 1)::int) FROM generate_series(1, 700, 7) u, fm_top_x(-u, 10, f.model)),
    rmse = (SELECT value FROM fm_evaluate('few_lost', f.model) WHERE metric = 'rmse');
SELECT diag(few_measured::text) FROM few_measured;
SELECT ok(least > 0 AND most < 6.5, solver || ': scores stay near the ratings with 384 columns') FROM few_measured WHERE known = 1;
SELECT cmp_ok(share, '<', 0.3::float8, solver || ': most of top tens have ratings') FROM few_measured WHERE known = 1;
SELECT cmp_ok(f.rmse, '<', i.rmse * 1.01, f.solver || ': items without ratings are not predicted worse') FROM few_measured f JOIN few_measured i USING (solver)
WHERE f.known = 1 AND i.known = 0;
SELECT * FROM finish();
ROLLBACK;
