-- Users who are new to the model, baskets, and questions about items: each against arithmetic in SQL.
BEGIN;
CREATE SCHEMA foldin;
SELECT set_config('search_path', 'foldin, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(67);

-- Users 1 to 80 are in the training; users from 1000 on are new.
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
       round((3 + sin(u) + cos(i * 2) + 1.5 * sin(u * 0.7) * cos(i * 1.3) + (hashint8extended(u * 1000 + i, 2) & 7) / 20.0)::numeric, 1)::real AS rating,
       (1 + (u + i) % 3)::real AS weight
FROM generate_series(1, 80) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) & 3 = 0;
CREATE VIEW words AS SELECT 'user ' || user_id AS user_id, 'item ' || item_id AS item_id, rating, weight FROM ratings;
CREATE VIEW labels AS SELECT user_id, item_id, rating > 3 AS yes, weight FROM ratings;
SELECT is(status, 'succeeded', m || ': trained') FROM (VALUES ('ratings'), ('words')) n (m),
    fm_train(m, m::regclass, num_factors => 4, iterations => 20, rank_by => 'rating');
SELECT is(status, 'succeeded', 'weights: trained')
FROM fm_train('weighted', 'ratings', weight_column => 'weight', num_factors => 3, iterations => 20, rank_by => 'rating');
SELECT is(status, 'succeeded', 'als: trained') FROM fm_train('squares', 'ratings', solver => 'als', num_factors => 4, rank_by => 'rating');
SELECT is(status, 'succeeded', 'labels: trained')
FROM fm_train('labels', 'labels', rating_column => 'yes', task => 'classification', num_factors => 3, iterations => 40, rank_by => 'rating');
CREATE VIEW few AS SELECT * FROM ratings WHERE user_id <= 6;
SELECT is(status, 'succeeded', 'more factors than users: trained')
FROM fm_train('wide', 'few', num_factors => 10, iterations => 5, rank_by => 'rating');

-- The prior is the mean and covariance of the trained users.
CREATE FUNCTION theta(v real[], w real) RETURNS float8[] LANGUAGE sql IMMUTABLE AS $$ SELECT (v || w)::float8[] $$;
CREATE FUNCTION inner_product(a float8[], b float8[]) RETURNS float8 LANGUAGE sql IMMUTABLE AS
$$ SELECT sum(x * y) FROM unnest(a, b) t (x, y) $$;
-- Σ = L Lᵀ, where L is stored by rows.
CREATE FUNCTION covariance(root real[], dim integer) RETURNS float8[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(line ORDER BY i) FROM (
        SELECT i, array_agg((SELECT sum(root[i * (i + 1) / 2 + f]::float8 * root[j * (j + 1) / 2 + f])
                             FROM generate_series(1, least(i, j) + 1) f) ORDER BY j) AS line
        FROM generate_series(0, dim - 1) i, generate_series(0, dim - 1) j GROUP BY i) m $$;
SELECT cmp_ok((SELECT max(abs(c[i][j] - (SELECT covar_pop((v || w)[i]::float8, (v || w)[j]::float8) FROM fm_ratings_user)))
               FROM (SELECT covariance(user_root, 5) AS c FROM fm_ratings_version) p,
                    generate_series(1, 5) i, generate_series(1, 5) j), '<', 1e-6::float8, 'the covariance of users');
SELECT cmp_ok((SELECT max(abs(c[i][j] - (SELECT covar_pop((v || w)[i]::float8, (v || w)[j]::float8) FROM fm_ratings_item)))
               FROM (SELECT covariance(item_root, 5) AS c FROM fm_ratings_version) p,
                    generate_series(1, 5) i, generate_series(1, 5) j), '<', 1e-6::float8, 'of items');
SELECT cmp_ok((SELECT max(abs(user_mean[f] - (SELECT avg((v || w)[f]::float8) FROM fm_ratings_user)))
               FROM fm_ratings_version, generate_series(1, 5) f), '<', 1e-6::float8, 'the mean of users');
SELECT cmp_ok((SELECT abs(sqrt(noise_variance) - (train_metrics ->> 'rmse')::float8) FROM fm_ratings_version, fm_runs
               WHERE model = 'ratings'), '<', 1e-5::float8, 'the noise is the variance that remains of the ratings');

-- Gaussian elimination with pivots.
CREATE FUNCTION solve(a float8[], b float8[]) RETURNS float8[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    n integer := array_length(b, 1);
    p integer;
    t float8;
BEGIN
    FOR k IN 1 .. n LOOP
        p := k;
        FOR i IN k + 1 .. n LOOP IF abs(a[i][k]) > abs(a[p][k]) THEN p := i; END IF; END LOOP;
        FOR j IN 1 .. n LOOP t := a[k][j]; a[k][j] := a[p][j]; a[p][j] := t; END LOOP;
        t := b[k]; b[k] := b[p]; b[p] := t;
        FOR i IN k + 1 .. n LOOP
            t := a[i][k] / a[k][k];
            FOR j IN k .. n LOOP a[i][j] := a[i][j] - t * a[k][j]; END LOOP;
            b[i] := b[i] - t * b[k];
        END LOOP;
    END LOOP;
    FOR k IN REVERSE n .. 1 LOOP
        FOR j IN k + 1 .. n LOOP b[k] := b[k] - a[k][j] * b[j]; END LOOP;
        b[k] := b[k] / a[k][k];
    END LOOP;
    RETURN b;
END $$;

-- Every item's score for a user with these ratings, by the formula of Gaussian processes: with
-- K = Z Σ Zᵀ over pairs of items, score = b + w + z μ + K (K + noise)⁻¹ (y - b - w - z μ). The C code
-- computes it differently.
CREATE FUNCTION items_of(model text) RETURNS TABLE (id text, z float8[], w float8) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT item_id::text, (v || 1::real)::float8[], w::float8 FROM fm_%s_item', model);
END $$;
CREATE FUNCTION brute(model text, basket text[], given float8[], weight float8[])
RETURNS TABLE (id text, score float8) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p record;
    sigma float8[];
    n integer := array_length(basket, 1);
    kernel float8[];
    rest float8[];
    a float8[];
BEGIN
    EXECUTE format('SELECT b, noise_variance AS noise, user_mean::float8[] AS mu, user_root AS root, num_factors + 1 AS dim FROM fm_%s_version', model) INTO p;
    sigma := covariance(p.root, p.dim);
    CREATE TEMP TABLE zs ON COMMIT DROP AS
    SELECT i.id, i.z, i.w, (SELECT array_agg((SELECT sum(sigma[r][c] * i.z[c]) FROM generate_series(1, p.dim) c) ORDER BY r)
                            FROM generate_series(1, p.dim) r) AS sz
    FROM items_of(model) i;
    SELECT array_agg(line ORDER BY r) INTO kernel FROM (
        SELECT r, array_agg(inner_product(x.z, y.sz) + CASE WHEN r = c THEN p.noise / weight[r] ELSE 0 END ORDER BY c) AS line
        FROM generate_series(1, n) r JOIN zs x ON x.id = basket[r], generate_series(1, n) c JOIN zs y ON y.id = basket[c]
        GROUP BY r) k;
    SELECT array_agg(given[r] - p.b - x.w - inner_product(x.z, p.mu) ORDER BY r) INTO rest
    FROM generate_series(1, n) r JOIN zs x ON x.id = basket[r];
    a := solve(kernel, rest);
    RETURN QUERY SELECT i.id, p.b + i.w + inner_product(i.z, p.mu)
        + (SELECT sum(a[r] * inner_product(x.sz, i.z)) FROM generate_series(1, n) r JOIN zs x ON x.id = basket[r])
    FROM zs i;
    DROP TABLE zs;
END $$;

-- The largest difference from that over all items, which must all be there, for a basket in bigint and
-- in text.
CREATE FUNCTION off(model text, basket bigint[], given real[]) RETURNS float8 LANGUAGE sql AS $$
    SELECT CASE WHEN count(b.id) = count(t.item_id) AND count(*) = count(t.item_id) THEN max(abs(b.score - t.score)) ELSE 'NaN' END
    FROM brute(model, basket::text[], given::float8[], array_fill(1::float8, ARRAY[cardinality(basket)])) b
    FULL JOIN fm_top_x_for(basket, given, 1000, model, exclude_seen => false) t ON t.item_id::text = b.id $$;
SELECT cmp_ok(off('ratings', '{7}', '{5}'), '<', 1e-4::float8, 'a basket of one item is the ridge solution');
SELECT cmp_ok(off('ratings', '{1,2,3,4,5,6}', '{1,5,2,4.5,3,3}'), '<', 1e-4::float8, 'a basket of six items is the ridge solution');
SELECT cmp_ok((SELECT max(abs(a.score - b.score)) FROM fm_top_x_for('{1,9,1,1}'::bigint[], '{1,5,2,4}', 1000, 'ratings', false) a
               JOIN fm_top_x_for('{1,9}'::bigint[], ARRAY[7 / 3.0, 5]::real[], 1000, 'ratings', false) b USING (item_id)), '<', 1e-6::real,
              'a basket that rates an item three times is one that rates it by their mean');
SELECT cmp_ok(off('ratings', ARRAY(SELECT generate_series(1, 20)), ARRAY(SELECT 1 + i % 5 FROM generate_series(1, 20) i)::real[]),
              '<', 1e-4::float8, 'a basket of twenty items is the ridge solution');
SELECT cmp_ok(off('squares', '{3,14,15,9,26}', '{5,3,5,1,2}'), '<', 1e-4::float8, 'als: a basket is the ridge solution');
SELECT cmp_ok(off('wide', items, '{5,3,5,1,2}'), '<', 1e-4::float8, 'more factors than users: a basket is the ridge solution')
FROM (SELECT ARRAY(SELECT item_id FROM fm_wide_item ORDER BY item_id LIMIT 5)::bigint[] AS items) i;
SELECT cmp_ok((SELECT max(abs(b.score - t.score)) FROM brute('words', '{item 3,item 4}', '{5,2}', '{1,1}') b
               JOIN fm_top_x_for('{item 3,item 4}'::text[], '{5,2}', 1000, 'words', false) t ON t.item_id = b.id),
              '<', 1e-4::float8, 'fm_explain: text ids');

-- Baskets: order, unknown items and filters.
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{1,2,777,3}'::bigint[], '{5,1,2,3}', 1000, 'ratings') t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{3,1,2}'::bigint[], '{3,5,1}', 1000, 'ratings') t),
          'the order and unknown items do not matter');
SELECT is((SELECT count(*) FROM fm_top_x_for('{1,2,777,3}'::bigint[], '{5,1,2,3}', 1000, 'ratings') t WHERE item_id > 3), 47::bigint,
          'exclude_seen excludes the basket');
SELECT is((SELECT array_agg(item_id ORDER BY rank) FROM fm_top_x_for('{1,2}'::bigint[], '{5,1}', 1000, 'ratings', candidates => '{2,30,777}')),
          '{30}', 'candidates limit the list');
SELECT is((SELECT count(*) FROM fm_top_x_for('{1,2}'::bigint[], '{5,1}', 1000, 'ratings', exclude => '{30,40}') WHERE item_id IN (30, 40)),
          0::bigint, 'exclude excludes items');
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for(basket, given, 1000, 'ratings') t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(999, 1000, 'ratings') t), name || ': the items by their bias')
FROM (VALUES ('no basket', NULL::bigint[], NULL::real[]), ('an empty one', '{}', NULL), ('an empty one with ratings', '{}', '{}'),
             ('one of unknown items', '{777}', '{5}')) n (name, basket, given);

-- A new user has the list of a basket of their ratings, which are read live.
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(1000, 1000, 'ratings') t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(999, 1000, 'ratings') t), 'user 1000 has no ratings yet');
INSERT INTO ratings VALUES (1000, 1, 5, 1), (1000, 2, 1, 1), (1000, 30, 4, 1), (1000, 777, 1, 1), (1000, NULL, 1, 1), (1000, 3, NULL, 1);
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(1000, 1000, 'ratings', exclude => '{3}') t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{1,2,30}'::bigint[], '{5,1,4}', 1000, 'ratings', exclude => '{3}') t),
          'with ratings, user 1000 has the list of the basket');
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x('user 1000'::text, 1000, 'words', false) t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{item 30,item 2,item 1}'::text[], '{4,1,5}', 1000, 'words', false) t),
          'text ids: the list is that of the basket');
SELECT isnt((SELECT array_agg(item_id ORDER BY rank) FROM fm_top_x(1000, 50, 'ratings', false) t),
            (SELECT array_agg(item_id ORDER BY rank) FROM fm_top_x(999, 50, 'ratings', false) t), 'the list is not that of an unknown user');
SELECT cmp_ok((SELECT max(abs(fm_predict(1000, item_id, 'ratings') - greatest(v.rating_min, least(v.rating_max, t.score))))
               FROM fm_top_x(1000, 1000, 'ratings', false) t, fm_ratings_version v), '<', 1e-6::float8, 'fm_predict folds in, too');
CREATE TEMP TABLE was ON COMMIT DROP AS SELECT * FROM fm_top_x(7, 1000, 'ratings', false);
INSERT INTO ratings SELECT 7, item_id, 1, 1 FROM was;
SELECT set_eq($$SELECT * FROM fm_top_x(7, 1000, 'ratings', false)$$, 'SELECT * FROM was', 'a user of the model has the vector of the model');
DELETE FROM ratings WHERE user_id = 7;
INSERT INTO ratings VALUES (1001, 5, 5, 3), (1001, 6, 1, 0.5), (1001, 7, 2, 0), (1001, 8, 2, NULL);
SELECT cmp_ok((SELECT max(abs(b.score - t.score)) FROM brute('weighted', '{5,6}', '{5,1}', (SELECT ARRAY[3 / weight_unit, 0.5 / weight_unit]::real[] FROM fm_weighted_version)) b
               JOIN fm_top_x(1001, 1000, 'weighted', false) t ON t.item_id::text = b.id), '<', 1e-4::float8,
              'weights count, and a row without a weight does not');
SAVEPOINT before;
INSERT INTO ratings VALUES (1000, 5, 'NaN', 1);
SELECT throws_ok($$SELECT fm_top_x(1000, 5, 'ratings')$$, '22003', 'column "rating" of relation "ratings" holds the rating NaN', 'a rating that is not finite is an error');
ROLLBACK TO before;
ALTER TABLE ratings RENAME COLUMN rating TO stars;
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(1000, 1000, 'ratings', false) t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(999, 1000, 'ratings', false) t), 'without the ratings relation, the user is unknown');
ROLLBACK TO before;

-- fm_evaluate folds in new users, but not from the ratings that it evaluates.
CREATE TABLE unseen AS SELECT 1000 AS user_id, 2 AS item_id, 1::real AS rating;
SELECT cmp_ok((SELECT abs(value - (SELECT abs(score::float8 - 1) FROM fm_top_x_for('{1,30}'::bigint[], '{5,4}', 1000, 'ratings') t WHERE item_id = 2))
               FROM fm_evaluate('unseen', 'ratings') WHERE metric = 'rmse'), '<', 1e-5::float8, 'fm_evaluate does not fold in from the evaluated ratings');

-- A classification: at the mode of the posterior, every η is b + w + z μ + Σ_r K_ir d ln Φ(±η_r).
CREATE FUNCTION normal_density(x float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$ SELECT exp(-x * x / 2) / sqrt(2 * pi()) $$;
CREATE FUNCTION normal_cdf(x float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    term float8 := x;
    total float8 := x;
BEGIN
    FOR n IN 1 .. 200 LOOP EXIT WHEN abs(term) < 1e-20; term := term * x * x / (2 * n + 1); total := total + term; END LOOP;
    RETURN 0.5 + normal_density(x) * total;
END $$;
INSERT INTO ratings VALUES (1002, 4, 5, 1), (1002, 9, 1, 1), (1002, 11, 5, 1), (1002, 12, 4, 1), (1002, 20, 2, 1);
CREATE TEMP TABLE latent ON COMMIT DROP AS
SELECT i.item_id, (v || 1::real)::float8[] AS z, i.w,
       (SELECT sum(contribution) FROM fm_explain(1002, i.item_id, 'labels')) * sqrt(1 + score_variance) AS eta, r.rating > 3 AS yes
FROM fm_labels_item i CROSS JOIN fm_labels_version LEFT JOIN ratings r ON r.user_id = 1002 AND r.item_id = i.item_id;
SELECT cmp_ok((SELECT max(abs(i.eta - v.b - i.w - inner_product(i.z, v.user_mean::float8[]) - (
                   SELECT sum(CASE WHEN r.yes THEN 1 ELSE -1 END * normal_density(r.eta)
                              / normal_cdf(CASE WHEN r.yes THEN r.eta ELSE -r.eta END)
                              * (SELECT sum(i.z[a] * c[a][b] * r.z[b]) FROM generate_series(1, 4) a, generate_series(1, 4) b))
                   FROM latent r WHERE r.yes IS NOT NULL)))
               FROM latent i, fm_labels_version v, covariance(v.user_root, 4) c), '<', 1e-4::float8,
              'classification: the most probable vector');
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(1002, 1000, 'labels') t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{4,9,11,12,20}'::bigint[], '{1,0,1,1,0}', 1000, 'labels') t),
          'classification: a basket of yes and no');
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{4,11}'::bigint[], model => 'labels', x => 1000) t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{4,11}'::bigint[], '{1,1}', 1000, 'labels') t),
          'classification: a basket without ratings means yes');
SELECT cmp_ok((SELECT max(abs(score - normal_cdf((SELECT sum(contribution) FROM fm_explain(1002, item_id, 'labels')))))
               FROM fm_top_x(1002, 1000, 'labels', false)), '<', 1e-5::float8, 'classification: terms sum to the probit of the probability');

-- A ranking: besides the observed pairs, every item counts as a 0 of a small weight, somewhat more of a popular one.
CREATE VIEW there AS SELECT user_id, item_id FROM ratings;
SELECT is(status, 'succeeded', 'ranking: trained') FROM fm_train('ranked', 'there', task => 'ranking', num_factors => 4);
UPDATE fm_ranked_version SET novelty = 0;
SELECT cmp_ok((SELECT max(abs(b.score - t.score))
               FROM (SELECT array_agg(item_id::text) AS items, array_agg(0::float8) AS zeros, array_agg(unobserved_weight * share) AS weights
                     FROM fm_ranked_item CROSS JOIN fm_ranked_version
                     CROSS JOIN LATERAL (SELECT (count(user_id) + 1) ^ 0.1 AS share FROM there t WHERE t.item_id = fm_ranked_item.item_id) n
                     WHERE item_id <= 50) a,
                    brute('ranked', a.items || '{3,14,15}'::text[], a.zeros || '{1,1,1}'::float8[], a.weights || '{1,1,1}'::float8[]) b
               JOIN fm_top_x_for('{3,14,15}'::bigint[], x => 1000, model => 'ranked', exclude_seen => false) t ON t.item_id::text = b.id),
              '<', 1e-4::float8, 'ranking: a basket');
INSERT INTO ratings VALUES (1003, 3, 5, 1), (1003, 14, NULL, 1), (1003, 15, 1, 1);
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x(1003, 1000, 'ranked') t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_x_for('{3,14,15}'::bigint[], x => 1000, model => 'ranked') t),
          'ranking: a new user has the list of the basket');

-- The terms of a score.
SELECT is((SELECT array_agg(term) FROM fm_explain(1, 1, 'ratings')), '{bias,user,item,"user x item"}', 'fm_explain: four terms');
SELECT cmp_ok((SELECT max(abs(score - (SELECT sum(contribution) FROM fm_explain(u, item_id, 'ratings'))))
               FROM unnest('{1,17,80,999,1000}'::bigint[]) u, fm_top_x(u, 1000, 'ratings', false)), '<', 1e-5::float8, 'fm_explain: the terms sum to the score');
SELECT cmp_ok((SELECT max(abs(score - (SELECT sum(contribution) FROM fm_explain(u, item_id, 'words'))))
               FROM unnest('{user 1,user 1000,nobody}'::text[]) u, fm_top_x(u, 1000, 'words', false)), '<', 1e-5::float8, 'fm_explain: text ids');
SELECT is((SELECT array_agg(contribution::real) FROM fm_explain(17, 23, 'ratings')),
          (SELECT ARRAY[b, u.w, i.w, inner_product(u.v::float8[], i.v::float8[])]::real[]
           FROM fm_ratings_version, fm_ratings_user u, fm_ratings_item i WHERE user_id = 17 AND item_id = 23), 'fm_explain: each term is that of the tables');
SELECT is_empty($$SELECT * FROM fm_explain(17, 777, 'ratings')$$, 'fm_explain: no terms for an unknown item');
SELECT is((SELECT array_agg(contribution::real) FROM fm_explain(999, 23, 'ratings')),
          (SELECT ARRAY[b, 0, w, 0]::real[] FROM fm_ratings_version, fm_ratings_item WHERE item_id = 23), 'fm_explain: an unknown user contributes 0');
SELECT is((SELECT count(*) FROM fm_explain(NULL::bigint, 1, 'ratings')) + (SELECT count(*) FROM fm_explain('1', NULL::text, 'ratings')),
          0::bigint, 'fm_explain: no rows for NULL');

-- fm_similar_items: cosines, ties by id. Three items are made equal, and one zero.
UPDATE fm_ratings_item SET v = (SELECT v FROM fm_ratings_item WHERE item_id = 8) WHERE item_id IN (12, 31);
UPDATE fm_ratings_item SET v = '{0,0,0,0}' WHERE item_id = 40;
UPDATE fm_ratings_version SET has_popularity = false;
UPDATE fm_ratings_matrix SET matrix = (SELECT fm_matrix_agg(idx, v, w) FROM fm_ratings_item);
UPDATE fm_model SET stamp = stamp + 1 WHERE model = 'ratings';
CREATE FUNCTION cosines(item bigint) RETURNS TABLE (item_id bigint, score float8) LANGUAGE sql AS $$
    SELECT o.item_id, coalesce(inner_product(i.v::float8[], o.v::float8[])
        / nullif(sqrt(inner_product(i.v::float8[], i.v::float8[])) * sqrt(inner_product(o.v::float8[], o.v::float8[])), 0), 0)
    FROM fm_ratings_item i, fm_ratings_item o WHERE i.item_id = item AND o.item_id <> item $$;
SELECT is((SELECT array_agg(s.item_id ORDER BY rank) FROM fm_similar_items(i, 1000, 'ratings') s),
          (SELECT array_agg(c.item_id ORDER BY c.score DESC, c.item_id) FROM cosines(i) c), 'alike to ' || i)
FROM unnest('{1,8,31,40,50}'::bigint[]) i;
SELECT is((SELECT count(*) FROM generate_series(1, 50) i, fm_similar_items(i, 1000, 'ratings') s JOIN cosines(i) c USING (item_id)
           WHERE abs(s.score - c.score) > 1e-6), 0::bigint, 'fm_similar_items: scores are cosines');
SELECT is((SELECT array_agg(item_id) FROM fm_similar_items(31, 2, 'ratings')), '{8,12}', 'fm_similar_items: ties are ordered by id');
SELECT is((SELECT array_agg(item_id ORDER BY rank) FROM fm_similar_items('item 7'::text, 3, 'words')),
          (SELECT array_agg(item_id ORDER BY rank) FROM (SELECT * FROM fm_similar_items('item 7'::text, 1000, 'words') ORDER BY rank LIMIT 3) s),
          'a shorter list is the start of a longer one');
SELECT is((SELECT count(*) FROM fm_similar_items(777, 10, 'ratings')) + (SELECT count(*) FROM fm_similar_items(NULL::text, 10, 'words'))
          + (SELECT count(*) FROM fm_similar_items(1, 0, 'ratings')), 0::bigint, 'fm_similar_items: no rows for an unknown item');

-- fm_top_users: the scores of fm_top_x, ties by id. Three users are made equal.
UPDATE fm_ratings_user SET (v, w) = (SELECT v, w FROM fm_ratings_user WHERE user_id = 9) WHERE user_id IN (33, 71);
SELECT is((SELECT array_agg((rank, user_id, score)::text ORDER BY rank) FROM fm_top_users(i, 1000, 'ratings')),
          (SELECT array_agg((rank, id, score)::text ORDER BY rank) FROM (
               SELECT row_number() OVER (ORDER BY exact DESC, id) AS rank, id, score FROM (
                   SELECT u.user_id AS id, t.score, b + u.w + inner_product((u.v || 1::real)::float8[], (m.v || m.w)::float8[]) AS exact
                   FROM fm_ratings_user u, fm_ratings_item m, fm_ratings_version, fm_top_x(u.user_id, 1, 'ratings', false, ARRAY[i]) t
                   WHERE m.item_id = i) s) o), 'who would like ' || i)
FROM unnest('{1,25,40}'::bigint[]) i;
SELECT is((SELECT array_agg(user_id) FROM fm_top_users(12, 1000, 'ratings') WHERE user_id IN (9, 33, 71)), '{9,33,71}', 'fm_top_users: ties are ordered by id');
SELECT is((SELECT array_agg(t::text ORDER BY rank) FROM fm_top_users('item 12'::text, 7, 'words') t),
          (SELECT array_agg(t::text ORDER BY rank) FROM fm_top_users('item 12'::text, 1000, 'words') t WHERE rank <= 7), 'a shorter list is the start of a longer one');
SELECT is((SELECT max(abs(score - fm_predict(user_id, 12, 'labels'))) < 1e-6 FROM fm_top_users(12, 1000, 'labels')), true,
          'fm_top_users: in a classification, scores are probabilities');
SELECT is((SELECT count(*) FROM fm_top_users(777, 10, 'ratings')) + (SELECT count(*) FROM fm_top_users(NULL::bigint, 10, 'ratings'))
          + (SELECT count(*) FROM fm_top_users(1, 0, 'ratings')), 0::bigint, 'fm_top_users: no rows for an unknown item');

-- A rating that nobody can have meant counts as the farthest that somebody could.
INSERT INTO ratings SELECT 2000, 5, 1e30 UNION ALL SELECT 2000, 9, -1e30 UNION ALL
    SELECT 2001, 5, 2 * rating_max - rating_min FROM fm_ratings_version UNION ALL SELECT 2001, 9, 2 * rating_min - rating_max FROM fm_ratings_version;
SELECT results_eq($$SELECT rank, item_id, round(score::numeric, 3) FROM fm_top_x(2000, 20, 'ratings')$$,
                  $$SELECT rank, item_id, round(score::numeric, 3) FROM fm_top_x(2001, 20, 'ratings')$$, 'a new user with a rating of 1e30');
SELECT cmp_ok(max(abs(score)), '<', 20::real, 'has scores as others do') FROM fm_top_x(2000, 20, 'ratings');

SELECT * FROM finish();
ROLLBACK;
