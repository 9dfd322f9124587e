-- fm_fold_in with two heads: each is solved by itself, and what orders lists is kept up.
--
-- The interest head of a model of ratings is replaced by a ranking of the same rows. Then folding in must give
-- it what it gives the ranking, and the rating head what it gives a model without an interest head.
BEGIN;
CREATE SCHEMA fold_heads;
SELECT set_config('search_path', 'fold_heads, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(31);

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, round((3 + sin(u) + cos(i * 2) + 1.5 * sin(u * 0.7) * cos(i * 1.3))::numeric, 1)::real AS rating
FROM generate_series(1, 80) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) & 1 = 0;
CREATE TABLE genres AS SELECT i AS item_id, i % 3 AS genre FROM generate_series(1, 55) i;
SELECT is(status, 'succeeded', m || ': trained') FROM (VALUES ('alone'), ('both')) n (m),
    fm_train(m, 'ratings', num_factors => 4, iterations => 20, item_features => 'genres', rank_by => 'rating');
SELECT is(status, 'succeeded', 'ranking: trained')
FROM fm_train('interest', 'ratings', task => 'ranking', num_factors => 6, item_features => 'genres');

-- What a version with an interest head has besides.
CREATE FUNCTION give_interest() RETURNS void LANGUAGE sql AS $$
    UPDATE fm_both_user b SET interest_w = i.w, interest_v = i.v FROM fm_interest_user i WHERE b.user_id = i.user_id;
    UPDATE fm_both_item b SET interest_w = i.w, interest_v = i.v, popularity = ln((n + 20.5) / 41)
    FROM fm_interest_item i LEFT JOIN (SELECT item_id, count(*) AS n FROM ratings GROUP BY 1) r USING (item_id) WHERE b.item_id = i.item_id;
    UPDATE fm_both_item SET popularity = ln(0.5) WHERE popularity IS NULL;
    UPDATE fm_both_level b SET interest_w = i.w, interest_v = i.v FROM fm_interest_level i WHERE b.idx = i.idx;
    UPDATE fm_both_version b SET interest_factors = i.num_factors, interest_b = i.b, interest_noise_variance = i.noise_variance,
        rating_share = 0.05, mean_item_count = 20.5, novelty_unit = 0.3, novelty = 0.03, has_popularity = true,
        unobserved_weight = i.unobserved_weight, item_gram = i.item_gram, interest_user_mean = i.user_mean, interest_user_root = i.user_root,
        interest_item_mean = i.item_mean, interest_item_root = i.item_root
    FROM fm_interest_version i $$;
SELECT give_interest() \g /dev/null

-- A new user and a known one with new ratings; a new item; an item that had no ratings.
INSERT INTO ratings VALUES (1000, 1, 5), (1000, 2, 1), (1000, 30, 4), (1000, 1000, 5), (5, 1000, 4), (6, 1000, 2), (6, 53, 4), (7, 53, 5);
DELETE FROM ratings WHERE ctid = (SELECT min(ctid) FROM ratings WHERE user_id = 8);
SELECT is((SELECT message FROM fm_fold_in(m)), 'folded into version 1; users: 1 added, 4 updated; items: 1 added, 1 updated', m || ': folded in')
FROM unnest('{alone,interest,both}'::text[]) m;
SELECT is((SELECT count(*) FROM fm_both_user b JOIN fm_alone_user a USING (version, user_id, idx, w, v, digest)), 161::bigint, 'the rating head of users is that of a model that has no other');
SELECT is((SELECT count(*) FROM fm_both_item b JOIN fm_alone_item a USING (version, item_id, idx, w, v, digest)), 111::bigint, 'that of items, too');
SELECT is((SELECT count(*) FROM fm_both_user b JOIN fm_interest_user i USING (version, user_id, idx)
           WHERE b.interest_w = i.w AND b.interest_v = i.v), 161::bigint, 'the interest head of users is that of the ranking');
SELECT is((SELECT count(*) FROM fm_both_item b JOIN fm_interest_item i USING (version, item_id, idx)
           WHERE b.interest_w = i.w AND b.interest_v = i.v), 111::bigint, 'that of items, too');
SELECT is((SELECT count(*) FROM fm_both_user a JOIN fm_both_user b USING (user_id)
           WHERE a.version = 1 AND b.version = 2 AND a.interest_v <> b.interest_v AND a.v <> b.v), 4::bigint, 'users with other ratings have changed in both heads');
SELECT is((SELECT count(*) FROM fm_both_version b JOIN fm_interest_version i USING (version, item_gram)
           WHERE b.interest_user_mean = i.user_mean AND b.interest_user_root = i.user_root AND b.interest_item_mean = i.item_mean
           AND b.interest_item_root = i.item_root AND b.interest_noise_variance = i.noise_variance AND b.interest_factors = 6), 2::bigint, 'the version has what folding in needs');
SELECT is((SELECT count(*) FROM (SELECT DISTINCT rating_share, mean_item_count, novelty_unit, novelty, has_popularity FROM fm_both_version) v), 1::bigint, 'and what orders lists');
SELECT is((SELECT array_agg(round(popularity::numeric, 5) ORDER BY item_id) FROM fm_both_item WHERE version = 2 AND item_id IN (52, 53, 1000)),
          array[round(ln(0.5), 5), round(ln(22.5 / 41), 5), round(ln(23.5 / 41), 5)], 'the popularity of new items');
SELECT is((SELECT count(*) FROM fm_both_item a JOIN fm_both_item b USING (item_id, popularity) WHERE a.version = 1 AND b.version = 2), 54::bigint, 'that of others stays');
SELECT is((SELECT count(*) FROM fm_both_level a JOIN fm_both_level b USING (idx, name, w, v, interest_w, interest_v) WHERE a.version = 1 AND b.version = 2), 4::bigint, 'levels are copied');
SELECT is((SELECT version FROM fm_fold_in('both')), 2, 'a second time there is nothing to do');

-- A version with an interest head of its own: what is folded in is a maximum. With the prior's mean m and root L
-- and the gradient g of the likelihood, θ = m + L L' g.
ALTER TABLE ratings ADD amount real NOT NULL DEFAULT 1;
UPDATE ratings SET amount = 1 + (user_id * 7 + item_id) % 5;
CREATE VIEW early AS SELECT * FROM ratings WHERE user_id <= 80 AND item_id <= 50;
SELECT fm_drop('both') \g /dev/null
SELECT is(status, 'succeeded', 'two heads: trained') FROM fm_train('both', 'early', num_factors => 5, iterations => 10, rank_by => 'interest');
CREATE FUNCTION cell(triangle real[], i integer, j integer) RETURNS double precision IMMUTABLE LANGUAGE sql AS $$
    SELECT triangle[greatest(i, j) * (greatest(i, j) + 1) / 2 + least(i, j) + 1] $$;
CREATE FUNCTION dot(a real[], b real[]) RETURNS double precision IMMUTABLE LANGUAGE sql AS $$ SELECT sum(x::float8 * y) FROM unnest(a, b) t (x, y) $$;
CREATE FUNCTION strengths(n fm_both_version, weighted boolean) RETURNS TABLE (user_id integer, item_id integer, strength double precision) LANGUAGE sql AS $$
    SELECT user_id, item_id, n.strength_scale * exp(0.85 * (g - sum(g) OVER own / (count(*) OVER own + 5) / 2))
           * CASE WHEN weighted THEN 1 / (1 + exp(n.strength_unit + (m.median - ln(n.weight_unit) - n.strength_unit) * m.n / (m.n + 5) - ln(amount / n.weight_unit))) ELSE 1 END
    FROM (SELECT *, least(greatest((rating::float8 - n.strength_center) / n.strength_deviation, -3), 3) AS g FROM ratings) r
    JOIN (SELECT user_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY ln(amount::float8)) AS median, count(*)::float8 AS n FROM ratings GROUP BY 1) m USING (user_id)
    WINDOW own AS (PARTITION BY user_id) $$;
CREATE FUNCTION off_maximum(prior_mean real[], prior_root real[], theta real[], noise double precision, weight double precision, gram real[], rows jsonb)
RETURNS double precision LANGUAGE sql AS $$
    WITH given AS (SELECT (r ->> 's')::float8 AS s, (r ->> 'o')::float8 AS o, (SELECT array_agg(e::real ORDER BY at) FROM jsonb_array_elements_text(r -> 'z') WITH ORDINALITY z (e, at)) AS z
                   FROM jsonb_array_elements(rows) r),
         dims AS (SELECT generate_series(0, cardinality(theta) - 1) AS i),
         gradient AS (SELECT i, (SELECT sum(s * (1 - o - dot(theta, z)) * z[i + 1]) FROM given) / noise
                                - weight / noise * (cell(gram, cardinality(theta), i) + (SELECT sum(theta[j.i + 1] * cell(gram, d.i, j.i)) FROM dims j)) AS g FROM dims d),
         half AS (SELECT m.i AS m, sum(cell(prior_root, j.i, m.i) * j.g) AS h FROM dims m JOIN gradient j ON j.i >= m.i GROUP BY 1)
    SELECT max(abs(theta[i + 1] - prior_mean[i + 1] - (SELECT sum(cell(prior_root, d.i, m) * h) FROM half WHERE m <= d.i))) FROM dims d $$;
CREATE FUNCTION user_off_maximum(who integer, weighted boolean) RETURNS double precision LANGUAGE sql AS $$
    SELECT off_maximum(n.interest_user_mean, n.interest_user_root, u.interest_v || u.interest_w, n.interest_noise_variance, n.unobserved_weight, n.item_gram,
        (SELECT jsonb_agg(jsonb_build_object('s', strength, 'o', n.interest_b + i.interest_w, 'z', i.interest_v || 1::real))
         FROM strengths(n, weighted) s JOIN fm_both_item i ON i.version = 3 AND i.item_id = s.item_id WHERE s.user_id = who))
    FROM fm_both_version n JOIN fm_both_user u ON u.version = 3 AND u.user_id = who WHERE n.version = 3 $$;
SELECT is((SELECT status FROM fm_train('both', 'early', weight_column => 'amount', num_factors => 5, rank_by => 'interest')), 'succeeded', 'weights: trained');
CREATE OR REPLACE VIEW early AS SELECT * FROM ratings;
SELECT is((SELECT message FROM fm_fold_in('both')), 'folded into version 2; users: 1 added, 3 updated; items: 2 added, 0 updated', 'weights: folded in');
SELECT cmp_ok((SELECT max(user_off_maximum(u, true)) FROM unnest('{1000,5,7}'::int[]) u), '<', 1e-4::float8, 'weights: users are at the maximum');
SELECT cmp_ok((SELECT max(user_off_maximum(u, false)) FROM unnest('{1000,5,7}'::int[]) u), '>', 1e-3::float8, 'which depends on the weights');
SELECT cmp_ok((SELECT count(DISTINCT strength_kind) FROM fm_both_version), '=', 1::bigint, 'the strengths are those of the training');
SELECT is((SELECT array_agg(round(popularity::numeric, 5) ORDER BY item_id) FROM fm_both_item WHERE version = 3 AND item_id IN (53, 1000)),
          (SELECT array[round(ln((2 + m) / (2 * m)), 5), round(ln((3 + m) / (2 * m)), 5)] FROM (SELECT count(*)::numeric / 50 AS m FROM ratings WHERE user_id <= 80 AND item_id <= 50) n),
          'the popularity of new items');

-- fm_top_x folds a user in as fm_fold_in does: by both heads, weights and repeats.
INSERT INTO ratings SELECT 2000, i, 1 + i % 5, 1 + i % 3 FROM generate_series(1, 30, 4) i;
INSERT INTO ratings SELECT user_id, item_id, rating - 0.5, 2 * amount FROM ratings WHERE user_id = 2000 AND item_id < 10;
CREATE TEMP TABLE live ON COMMIT DROP AS SELECT t.* FROM fm_top_x(2000, 1000, 'both', false) t;
SELECT is((SELECT message FROM fm_fold_in('both')), 'folded into version 3; users: 1 added, 0 updated; items: 0 added, 0 updated', 'another user: folded in');
SELECT cmp_ok((SELECT max(abs(l.score - t.score)) FROM live l JOIN fm_top_x(2000, 1000, 'both', false) t USING (item_id)), '<', 1e-5::real, 'their scores are those before');
SELECT cmp_ok((SELECT max(abs(l.rating - t.rating)) FROM live l JOIN fm_top_x(2000, 1000, 'both', false) t USING (item_id)), '<', 1e-5::real, 'and so are their ratings');

-- With a time column, newer ratings count more in the interest head, and in it alone.
ALTER TABLE ratings ADD at integer NOT NULL DEFAULT 0;
UPDATE ratings SET at = (user_id * 31 + item_id * 17) % 100;
SELECT is(status, 'succeeded', 'a time column: trained') FROM fm_train('timed', 'ratings', num_factors => 4, iterations => 10, rank_by => 'interest', time_column => 'at');
INSERT INTO ratings SELECT u, i, 1 + i % 5, 1, CASE u WHEN 3002 THEN 100 - i ELSE i END FROM generate_series(3000, 3002) u, generate_series(1, 30, 2) i;
SELECT is((SELECT message FROM fm_fold_in('timed')), 'folded into version 1; users: 3 added, 0 updated; items: 0 added, 0 updated', 'folded in');
SELECT is((SELECT count(DISTINCT v) FROM fm_timed_user WHERE user_id >= 3000), 1::bigint, 'the rating head does not depend on the time');
SELECT is((SELECT string_agg(user_id::text, ' ' ORDER BY user_id) FROM fm_timed_user u WHERE user_id >= 3000
           AND u.interest_v = (SELECT interest_v FROM fm_timed_user o WHERE o.version = u.version AND o.user_id = 3000)), '3000 3001', 'the interest head does');
SELECT * FROM finish();
ROLLBACK;
