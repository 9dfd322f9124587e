-- Lists of a version with an interest head. The head is that of a ranking, put into the tables of a
-- regression and of a classification, so that every list can be computed from the lists of these.
BEGIN;
CREATE SCHEMA two_heads;
SELECT set_config('search_path', 'two_heads, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(39);

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + (hashint8extended(u * 1000 + i, 2) & 3))::real AS rating,
       (ARRAY['phone', 'desk'])[1 + (hashint8extended(u * 1000 + i, 3) & 1)] AS device
FROM generate_series(1, 60) u, generate_series(1, 40) i
WHERE hashint8extended(u * 1000 + i, 1) % (1 + (i + u % 3) / 4) = 0;
CREATE TABLE yes AS SELECT user_id, item_id, (rating > 2)::int::real AS rating, device FROM ratings;
CREATE TABLE films AS SELECT i AS item_id, (ARRAY['a', 'b', 'c'])[1 + i % 3] AS genre, i / 40.0 AS length
FROM generate_series(1, 41) i;
CREATE TABLE people AS SELECT u AS user_id, u % 4 AS region FROM generate_series(1, 62) u;

SELECT fm_train(model, model_ratings::regclass, task => task, num_factors => 4, iterations => 15, solver => solver,
                context_columns => contexts, item_features => 'films', user_features => 'people',
                rank_by => CASE task WHEN 'ranking' THEN 'auto' ELSE 'rating' END)
FROM (VALUES ('rates', 'ratings', 'regression', 'mcmc', '{device}'::name[]), ('rates2', 'ratings', 'regression', 'mcmc', '{device}'),
             ('says', 'yes', 'classification', 'mcmc', '{device}'), ('says2', 'yes', 'classification', 'mcmc', '{device}'),
             ('picks', 'ratings', 'ranking', 'ials', NULL)) m (model, model_ratings, task, solver, contexts) \g /dev/null

-- All have one head alone: not even popularity orders their lists.
DO $$ DECLARE model text; BEGIN
    FOREACH model IN ARRAY '{rates,rates2,says,says2,picks}'::text[] LOOP
        EXECUTE format('UPDATE fm_%1$s_version SET has_popularity = false, novelty = 0;
            UPDATE fm_%1$s_matrix SET matrix = (SELECT fm_matrix_agg(idx, v, w) FROM fm_%1$s_item)', model);
    END LOOP;
END $$;

-- Put the ranking into rates2 and says2 as their interest head. All three have the same users, items and levels.
CREATE FUNCTION add_interest(model text, share float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE fm_%1$s_user t SET interest_w = s.w, interest_v = s.v FROM fm_picks_user s WHERE s.idx = t.idx', model);
    EXECUTE format('UPDATE fm_%1$s_item t SET interest_w = s.w, interest_v = s.v,
        popularity = ln((n + mean) / (2 * mean))
        FROM fm_picks_item s JOIN (SELECT f.item_id, count(r.item_id) AS n FROM films f LEFT JOIN ratings r USING (item_id) GROUP BY 1) n USING (item_id),
             (SELECT count(*)::float8 / count(DISTINCT item_id) AS mean FROM ratings) m WHERE s.idx = t.idx', model);
    EXECUTE format('UPDATE fm_%1$s_level t SET interest_w = coalesce(s.w, 0), interest_v = coalesce(s.v, array_fill(0::real, ARRAY[4]))
        FROM fm_%1$s_level o LEFT JOIN fm_picks_level s USING (side, name) WHERE o.idx = t.idx', model);
    EXECUTE format('UPDATE fm_%1$s_version t SET interest_factors = s.num_factors, interest_b = s.b,
        interest_noise_variance = s.noise_variance, rating_share = $1, novelty_unit = 0.4, novelty = 0.15, has_popularity = true, mean_item_count = 10,
        unobserved_weight = s.unobserved_weight, item_gram = s.item_gram, interest_user_mean = s.user_mean,
        strength_kind = s.strength_kind, strength_center = s.strength_center, strength_deviation = s.strength_deviation,
        strength_unit = s.strength_unit, strength_scale = s.strength_scale, interest_user_root = s.user_root, interest_item_mean = s.item_mean, interest_item_root = s.item_root
        FROM fm_picks_version s', model) USING share;
    EXECUTE format('DELETE FROM fm_%1$s_matrix; INSERT INTO fm_%1$s_matrix SELECT version, 0,
        fm_matrix_agg(idx, fm_list_vector(v, w, interest_v, popularity, $1, 0.4), interest_w) FROM fm_%1$s_item GROUP BY version', model) USING share;
END $$;
SELECT add_interest('rates2', 0.07), add_interest('says2', 0.3) \g /dev/null

-- What a list of two heads must be, from the lists of each: by item, for a user of any kind.
CREATE TABLE tasks (one text, two text, share float8, mean float8, variance float8);
INSERT INTO tasks SELECT 'rates', 'rates2', 0.07, rating_mean, NULL FROM fm_rates_version
UNION ALL SELECT 'says', 'says2', 0.3, 0, score_variance FROM fm_says_version;
CREATE TABLE asked (u integer, context jsonb); -- known, known by features, in no table
INSERT INTO asked SELECT u, NULL::jsonb FROM unnest('{1,2,17,60,61,99}'::int[]) u UNION ALL SELECT 17, '{"device": "phone"}' UNION ALL SELECT 61, '{"device": "desk"}';
INSERT INTO ratings SELECT 70, i, 1 + i % 4, 'desk' FROM generate_series(2, 30, 4) i; -- folded in
INSERT INTO yes SELECT 70, i, i / 4 % 2, 'desk' FROM generate_series(2, 30, 4) i;
INSERT INTO asked VALUES (70, NULL);
CREATE TABLE novelties (novelty float8);
INSERT INTO novelties VALUES (NULL), (0), (0.6), (-0.5);
CREATE TABLE popular AS SELECT item_id, popularity FROM fm_rates2_item;

-- The probit of a probability; the sum of terms is more exact than the inverse of Φ.
CREATE FUNCTION rating_score(model text, u integer, i integer, context jsonb, variance float8) RETURNS float8 LANGUAGE sql AS $$
    SELECT CASE WHEN variance IS NULL THEN (SELECT score FROM fm_top_x(u, 1, model, false, ARRAY[i], context => context, novelty => 0))
           ELSE (SELECT sum(contribution) FROM fm_explain(u, i, model)) * sqrt(1 + variance) END $$;
CREATE TABLE lists AS
SELECT t.*, a.*, n.*, l.*, p.score AS interest, rating_score(one, u, l.item_id::int, context, variance) AS raw
FROM tasks t, asked a, novelties n, fm_top_x(u, 100, two, false, context => context, novelty => novelty) l
JOIN LATERAL (SELECT * FROM fm_top_x(u, 100, 'picks', false, novelty => 0)) p USING (item_id)
WHERE variance IS NULL OR context IS NULL;
SELECT is(count(*), (9 * 4 + 7 * 4) * 41::bigint, 'every list has all items') FROM lists;
SELECT cmp_ok(max(abs(score - (interest + share * (raw - mean) - coalesce(novelty, 0.15) * 0.4 * popularity))), '<', 2e-6::float8,
    two || ': a score is interest + share x rating - novelty x popularity')
FROM lists JOIN popular USING (item_id) GROUP BY two;
SELECT is_empty('SELECT * FROM (SELECT *, lag(score) OVER (PARTITION BY two, u, context, novelty ORDER BY rank) AS above FROM lists) l WHERE above < score',
    'lists are in the order of their scores');
SELECT cmp_ok(max(abs(share * (raw - mean))), '>', 0.03::float8, two || ': the rating matters') FROM lists GROUP BY two;
SELECT is_empty('SELECT * FROM lists l WHERE rating IS DISTINCT FROM fm_predict(u, item_id, two, context)::real', 'rating is what fm_predict returns');
SELECT cmp_ok(max(abs(fm_predict(u, item_id, two, context) - fm_predict(u, item_id, one, context))), '<', 1e-6::float8,
    two || ': an interest head does not change predictions') FROM lists WHERE novelty = 0 GROUP BY two;

-- Ranks, by the columns of the tables alone.
CREATE FUNCTION inner_product(a real[], b real[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$ SELECT sum(x::float8 * y::float8) FROM unnest(a, b) t (x, y) $$;
CREATE VIEW by_hand AS
SELECT user_id, item_id, n.novelty, interest_b + u.interest_w + i.interest_w + inner_product(u.interest_v, i.interest_v)
    + rating_share * (b + u.w + i.w + inner_product(u.v, i.v) - rating_mean) - n.novelty * novelty_unit * popularity AS score
FROM fm_rates2_version, fm_rates2_user u, fm_rates2_item i, (VALUES (0::float8), (0.6), (-0.5)) n (novelty) WHERE u.digest <> 0;
SELECT set_eq($$SELECT user_id, novelty, l.item_id::int, l.rank FROM (SELECT DISTINCT user_id, novelty FROM by_hand) h, fm_top_x(user_id, 100, 'rates2', false, novelty => h.novelty) l$$,
    $$SELECT user_id, novelty, item_id, rank() OVER (PARTITION BY user_id, novelty ORDER BY score DESC)::int FROM by_hand$$, 'ranks, by the tables');

-- Vectors: those of lists without an argument.
SELECT set_eq($$SELECT u.id AS u, i.id AS i, rank() OVER (PARTITION BY u.id ORDER BY inner_product(u.vector, i.vector) DESC)::int FROM fm_user_vectors('rates2') u, fm_item_vectors('rates2') i WHERE u.id <= '60'$$,
    $$SELECT u.id, l.item_id, l.rank FROM fm_user_vectors('rates2') u, fm_top_x(u.id, 100, 'rates2', false) l WHERE u.id <= '60'$$, 'vectors give the same order');
SELECT is(array_length(vector, 1), 4 + 1 + 4 + 1 + 1, 'v, w, interest_v, popularity, interest_w') FROM fm_item_vectors('rates2') LIMIT 1;

-- The terms of a score, each head's by its features.
SELECT cmp_ok(max(abs(score - (SELECT sum(contribution) FROM fm_explain(u, item_id, two)))), '<', 1e-5::float8, two || ': terms sum to the score')
FROM lists WHERE novelty IS NULL AND context IS NULL GROUP BY two;
SELECT set_eq($$SELECT term FROM fm_explain(17, 3, 'rates2')$$, $$SELECT term FROM fm_explain(17, 3, 'picks') UNION SELECT 'rating: ' || term FROM fm_explain(17, 3, 'rates') UNION SELECT 'popularity'$$,
    'terms of both heads, and popularity');
SELECT is_empty($$SELECT * FROM fm_explain(17, 3, 'picks') p JOIN fm_explain(17, 3, 'rates2') t USING (term) WHERE term <> 'popularity' AND abs(p.contribution - t.contribution) > 1e-6$$, 'the interest''s are those of the ranking');
SELECT is_empty($$SELECT * FROM fm_explain(17, 3, 'rates') r JOIN fm_explain(17, 3, 'rates2') t ON t.term = 'rating: ' || r.term
    WHERE abs(0.07 * (r.contribution - CASE WHEN r.term = 'bias' THEN (SELECT rating_mean FROM fm_rates_version) ELSE 0 END) - t.contribution) > 1e-6$$, 'the rating''s are its share of those of the regression');

-- Baskets, users of an item, similar items.
CREATE FUNCTION basket(model text, novelty float8) RETURNS SETOF record LANGUAGE sql AS
$$ SELECT item_id, score, rating FROM fm_top_x_for('{3,9,12}'::bigint[], CASE WHEN model <> 'picks' THEN '{4,1,3}'::real[] END, 100, model, false, novelty => novelty) $$;
SELECT cmp_ok(max(abs(t.score - (p.score + 0.07 * (r.score - mean) - 0.6 * 0.4 * popularity))), '<', 1e-6::float8, 'a basket is folded into both heads')
FROM tasks, basket('rates2', 0.6) t (item_id bigint, score real, rating real)
JOIN basket('picks', 0) p (item_id bigint, score real, rating real) USING (item_id)
JOIN basket('rates', 0) r (item_id bigint, score real, rating real) USING (item_id) JOIN popular USING (item_id) WHERE one = 'rates';
SELECT results_eq($$SELECT rank, user_id, score FROM fm_top_users(7, 100, 'rates2')$$,
    $$SELECT row_number() OVER (ORDER BY score DESC, u)::int, u::bigint, score FROM generate_series(1, 62) u, fm_top_x(u, 1, 'rates2', false, '{7}')$$, 'fm_top_users');
SELECT results_eq($$SELECT rank, item_id, round(score::numeric, 5) FROM fm_similar_items(7, 100, 'rates2')$$, $$SELECT rank, item_id, round(score::numeric, 5) FROM fm_similar_items(7, 100, 'picks')$$,
    'similar items are those that the same users choose');

-- All lists, and tables of lists, which keep their novelty.
SELECT set_eq(format('SELECT u::text, t.rank, t.item_id::text, t.score, t.rating FROM generate_series(1, 62) u, fm_top_x(u, 5, ''says2'', false, novelty => %1$L) t', n),
    format('SELECT * FROM fm_top_x_all(5, ''says2'', false, novelty => %L)', n), 'all lists, with novelty ' || coalesce(n::text, 'of the version')) FROM novelties t (n);
SELECT fm_write_top_x('written', 5, 'rates2', novelty => 0.6), fm_write_top_x('default_written', 5, 'rates2') \g /dev/null
SELECT set_eq('SELECT target::text, novelty FROM fm_target WHERE model = ''rates2''', $$VALUES ('written', 0.6::float8), ('default_written', NULL)$$, 'novelty is registered');
SELECT set_eq('SELECT user_id::text, rank, item_id::text, score, rating FROM written', $$SELECT * FROM fm_top_x_all(5, 'rates2', novelty => 0.6)$$, 'a table with another novelty');
SELECT set_eq('SELECT user_id::text, rank, item_id::text, score, rating FROM default_written', $$SELECT * FROM fm_top_x_all(5, 'rates2')$$, 'a table with that of the version');
SELECT fm_write_top_x('written', 5, 'rates2', novelty => -0.5) \g /dev/null
SELECT set_eq('SELECT user_id::text, rank, item_id::text, score, rating FROM written', $$SELECT * FROM fm_top_x_all(5, 'rates2', novelty => -0.5)$$, 'rewritten with another');

-- One head and popularity.
CREATE TABLE single AS SELECT one, novelty, u, l.* FROM tasks, (VALUES (0::float8), (0.3), (-2)) n (novelty), (VALUES (17), (61), (70), (99)) a (u), fm_top_x(u, 100, one, false, novelty => 0) l;
CREATE FUNCTION set_popularity(model text, known boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE fm_%1$s_item i SET popularity = p.popularity FROM popular p WHERE p.item_id = i.item_id;
        UPDATE fm_%1$s_version SET has_popularity = %2$L, novelty_unit = 0.4, novelty = 0.3, mean_item_count = 10;
        DELETE FROM fm_%1$s_matrix; INSERT INTO fm_%1$s_matrix SELECT version, 0,
        fm_matrix_agg(idx, fm_list_vector(v, w, NULL, CASE WHEN %2$L THEN popularity END, 1, 0.4), w) FROM fm_%1$s_item GROUP BY version', model, known);
    UPDATE fm_model m SET stamp = (random() * 1e18)::bigint WHERE m.model = $1; -- so that no loaded version is used
END $$;
SELECT set_popularity('rates', true), set_popularity('says', true) \g /dev/null
CREATE FUNCTION probability(probit float8, variance float8) RETURNS float8 LANGUAGE sql AS
$$ SELECT CASE WHEN x > 0 THEN 1 - tail ELSE tail END FROM (SELECT x, exp(-x * x / 2) / sqrt(2 * pi()) * t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))) AS tail
   FROM (SELECT x, 1 / (1 + 0.2316419 * abs(x)) AS t FROM (SELECT probit / sqrt(1 + variance) AS x) x) t) p $$;
CREATE TABLE single_novel AS SELECT s.one, s.u, s.novelty, s.score AS plain, s.rating AS plain_rating, t.*, variance, popularity
FROM (SELECT DISTINCT one, u, novelty FROM single) a, fm_top_x(u, 100, one, false, novelty => a.novelty) t
JOIN single s USING (item_id) JOIN tasks USING (one) JOIN popular USING (item_id) WHERE s.one = a.one AND s.u = a.u AND s.novelty = a.novelty;
SELECT cmp_ok(max(abs(score - (plain - novelty * 0.4 * popularity))), '<', 2e-6::float8, 'one head: popularity is subtracted') FROM single_novel WHERE one = 'rates';
SELECT cmp_ok(max(abs(score - probability((SELECT sum(contribution) FROM fm_explain(u, item_id, one) WHERE term <> 'popularity') * sqrt(1 + variance) - novelty * 0.4 * popularity, variance))),
    '<', 1e-5::float8, 'one head of a classification: before it becomes a number between 0 and 1') FROM single_novel WHERE one = 'says';
SELECT is_empty('SELECT FROM single_novel WHERE rating IS DISTINCT FROM plain_rating', 'one head: novelty does not change what is predicted');
SELECT cmp_ok(max(abs(score - (SELECT sum(contribution) FROM fm_explain(u, item_id, one)))), '<', 1e-5::float8, 'one head: terms sum to the score with the version''s novelty')
FROM single_novel WHERE one = 'rates' AND novelty = 0.3;
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(17, 9, 'rates') t), (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(17, 9, 'rates', novelty => 0.3) t),
    'without an argument, the version''s novelty counts');

-- Versions that do not know how popular items are.
SELECT set_popularity('rates', false) \g /dev/null
SELECT throws_ok($$SELECT * FROM fm_top_x(1, 5, 'rates', novelty => 0.1)$$, '55000', 'model "rates" does not know how popular its items are', 'novelty needs popularity');
SELECT lives_ok($$SELECT * FROM fm_top_x(1, 5, 'rates', novelty => 0)$$, '0 does not');

-- Nothing that is read is trusted.
UPDATE fm_rates2_user SET interest_w = 'Infinity' WHERE user_id = 5;
UPDATE fm_rates2_user SET interest_v = '{1,2}' WHERE user_id = 6;
UPDATE fm_rates2_user SET interest_v = NULL WHERE user_id = 7;
SELECT throws_ok('SELECT * FROM fm_top_x(5, 5, ''rates2'')', '22003', NULL, 'interest_w beyond real');
SELECT throws_ok('SELECT * FROM fm_top_x(6, 5, ''rates2'')', 'XX001', NULL, 'interest_v of another length');
SELECT throws_ok('SELECT * FROM fm_top_x(7, 5, ''rates2'')', 'XX001', NULL, 'interest_v of NULL');
SELECT throws_ok('SELECT * FROM fm_top_x_all(5, ''rates2'')', NULL, NULL, 'in all lists');
SELECT * FROM finish();
ROLLBACK;
