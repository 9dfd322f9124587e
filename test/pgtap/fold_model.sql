-- fm_fold_in: what has changed is solved as for a single user, and everything else stays the same.
BEGIN;
CREATE SCHEMA fold_model;
SELECT set_config('search_path', 'fold_model, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT plan(48);

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, round((3 + sin(u) + cos(i * 2) + 1.5 * sin(u * 0.7) * cos(i * 1.3))::numeric, 1)::real AS rating,
       (1 + (u + i) % 3)::real AS weight
FROM generate_series(1, 80) u, generate_series(1, 50) i WHERE hashint8extended(u * 1000 + i, 1) & 1 = 0;
CREATE VIEW words AS SELECT 'user ' || user_id AS user_id, 'item ' || item_id AS item_id, rating, weight FROM ratings;
CREATE VIEW labels AS SELECT user_id, item_id, rating > 3 AS yes FROM ratings;
CREATE VIEW before AS SELECT user_id, item_id FROM ratings WHERE user_id <= 80 AND item_id <= 50;
CREATE TABLE genres AS SELECT i AS item_id, i % 3 AS genre FROM generate_series(1, 55) i;
CREATE TABLE groups AS SELECT u AS user_id, 'group ' || u % 4 AS of FROM generate_series(1, 90) u;
SELECT is(status, 'succeeded', m || ': trained') FROM (VALUES ('ratings'), ('words')) n (m),
    fm_train(m, m::regclass, num_factors => 4, iterations => 20, rank_by => 'rating');
SELECT is(status, 'succeeded', 'weights: trained')
FROM fm_train('weighted', 'ratings', weight_column => 'weight', num_factors => 3, iterations => 20, rank_by => 'rating');
SELECT is(status, 'succeeded', 'labels: trained')
FROM fm_train('labels', 'labels', rating_column => 'yes', task => 'classification', num_factors => 3, iterations => 40, rank_by => 'rating');
SELECT is(status, 'succeeded', 'features: trained')
FROM fm_train('featured', 'ratings', user_features => 'groups', item_features => 'genres', num_factors => 3, iterations => 20, rank_by => 'rating');

-- Nothing new: no version, and the run of the version being served. The order and place of rows do not
-- matter.
SELECT is((SELECT (r.version, r.solver, r.message)::text FROM fm_fold_in(m) r), '(1,mcmc,)', m || ': nothing to do')
FROM unnest('{ratings,words,weighted,labels,featured}'::text[]) m;
CREATE TEMP TABLE again ON COMMIT DROP AS SELECT * FROM ratings ORDER BY rating, item_id DESC;
DELETE FROM ratings;
INSERT INTO ratings SELECT * FROM again;
SELECT is((SELECT version FROM fm_fold_in('ratings')), 1, 'nothing is folded in when the same rows are rewritten');

-- User 1000 is new and has rated known items, and 1001 new items, too. User 5 has changed ratings, 6 has
-- added some, all ratings of 7 are deleted, and one of 8. Items 1000 and 1001 are new.
INSERT INTO ratings VALUES (1000, 1, 5, 1), (1000, 2, 1, 2), (1000, 30, 4, 1), (1001, 3, 2, 1), (1001, 1000, 5, 1), (1001, 1001, 1, 1);
UPDATE ratings SET rating = 6 - rating WHERE user_id = 5;
INSERT INTO ratings SELECT 6, i, 5, 1 FROM generate_series(1, 50) i WHERE NOT EXISTS (SELECT FROM ratings WHERE user_id = 6 AND item_id = i);
DELETE FROM ratings WHERE user_id = 7;
DELETE FROM ratings WHERE ctid = (SELECT min(ctid) FROM ratings WHERE user_id = 8);
INSERT INTO ratings SELECT u, 1000, 5, 1 FROM generate_series(20, 40) u;
CREATE FUNCTION as_basket(model text, u integer) RETURNS TABLE (item_id bigint, score real) LANGUAGE sql AS $$
    SELECT t.item_id, t.score FROM (SELECT array_agg(item_id::bigint) AS items, array_agg(rating) AS given FROM ratings WHERE user_id = u) b,
    fm_top_x_for(b.items, b.given, 1000, model, exclude_seen => false) t $$;
CREATE TEMP TABLE alone ON COMMIT DROP AS SELECT u, t.* FROM unnest('{1000,5,6,8}'::int[]) u, as_basket('ratings', u) t;
CREATE TEMP TABLE fresh ON COMMIT DROP AS SELECT t.item_id, t.score FROM fm_top_x(1000, 1000, 'weighted', false) t;

SELECT is((SELECT (r.version, r.status, r.solver, r.iterations, r.users, r.items, r.features, r.ratings = c.n, r.train_metrics, r.test_metrics)::text
           FROM fm_fold_in('ratings') r, (SELECT count(*) AS n FROM ratings) c),
          '(2,succeeded,fold-in,,82,52,134,t,,)', 'the run') ;
SELECT is((SELECT message FROM fm_runs WHERE model = 'ratings' AND version = 2),
          'folded into version 1; users: 2 added, 24 updated; items: 2 added, 0 updated', 'its message');
SELECT is((SELECT (active_version, solver, users, items)::text FROM fm_models WHERE model = 'ratings'), '(2,mcmc,82,52)', 'the new version is served');
SELECT is((SELECT count(*) FROM fm_ratings_user a JOIN fm_ratings_user b USING (user_id)
           WHERE a.version = 1 AND b.version = 2 AND (a.w, a.v, a.digest) IS DISTINCT FROM (b.w, b.v, b.digest)), 24::bigint,
          '24 users have changed');
SELECT is((SELECT array_agg(a.user_id ORDER BY a.user_id) FROM fm_ratings_user a JOIN fm_ratings_user b USING (user_id)
           WHERE a.version = 1 AND b.version = 2 AND (a.w, a.v) IS DISTINCT FROM (b.w, b.v) AND a.user_id NOT BETWEEN 20 AND 40), '{5,6,8}', 'the users whose vectors have changed');
SELECT is((SELECT count(*) FROM fm_ratings_item a JOIN fm_ratings_item b USING (item_id)
           WHERE a.version = 1 AND b.version = 2 AND (a.w, a.v, a.digest) IS NOT DISTINCT FROM (b.w, b.v, b.digest)), 50::bigint, 'the items of the version have not changed');
SELECT is((SELECT array_agg(idx ORDER BY user_id) FROM fm_ratings_user WHERE version = 2), (SELECT array_agg(i) FROM generate_series(0, 81) i), 'users are numbered in the order of ids');
SELECT is((SELECT array_agg(idx ORDER BY item_id) FROM fm_ratings_item WHERE version = 2), (SELECT array_agg(i) FROM generate_series(0, 51) i), 'items are numbered in the order of ids');
SELECT cmp_ok((SELECT max(abs(a.score - t.score)) FROM alone a JOIN (SELECT u, t.* FROM unnest('{1000,5,6,8}'::int[]) u, fm_top_x(u, 1000, 'ratings', false) t) t
               USING (u, item_id)), '<', 1e-6::real, 'users are solved as fm_top_x folds them in');
SELECT is((SELECT count(*) FROM fm_top_x(1000, 1000, 'ratings', false)), 52::bigint, 'new items are recommended');
SELECT cmp_ok((SELECT avg(fm_predict(u, 1000, 'ratings')) FROM generate_series(20, 40) u), '>', 4.2::float8, 'users who like a new item get a high prediction for it');
SELECT cmp_ok(fm_predict(1001, 1000, 'ratings'), '>', fm_predict(1001, 1001, 'ratings'), 'a user gets a higher prediction for the new item that they rated higher');
SELECT is((SELECT fm_top_x_all::text FROM fm_top_x_all(1, 'ratings') WHERE user_id = '1001'), (SELECT (1001, t.*)::text FROM fm_top_x(1001, 1, 'ratings') t), 'fm_top_x_all has new users');
SELECT is((SELECT array_agg(m.n) FROM (SELECT fm_matrix_items(matrix) AS n FROM fm_ratings_matrix WHERE version = 2) m), '{52}', 'the matrix has the new items');
SELECT is((SELECT version FROM fm_fold_in('ratings')), 2, 'a second fm_fold_in has nothing to do');
SELECT fm_activate('ratings', 1) \g /dev/null
SELECT is((SELECT count(*) FROM fm_top_x(3, 1000, 'ratings', false)), 50::bigint, 'the version before is kept');
SELECT is((SELECT (r.version, (SELECT count(*) FROM fm_ratings_version))::text FROM fm_fold_in('ratings') r), '(3,2)', 'a folded version can be folded into; two versions are kept');
SELECT is((SELECT count(*) FROM (SELECT user_id, w, v FROM fm_ratings_user WHERE version = 3 EXCEPT SELECT user_id, w, v FROM fm_ratings_user WHERE version = 2) d)
          + (SELECT count(DISTINCT version) FROM fm_ratings_user WHERE version NOT IN (1, 3)), 82::bigint, 'rows of versions that are not kept are deleted');

-- Other kinds of models.
SELECT is((SELECT message FROM fm_fold_in('words')), 'folded into version 1; users: 2 added, 24 updated; items: 2 added, 0 updated', 'text ids: folded in');
SELECT is((SELECT count(*) FROM fm_top_x('user 1001'::text, 1000, 'words', false)), 52::bigint, 'text ids: a new user is served');
SELECT is((SELECT users FROM fm_fold_in('weighted')), 82::bigint, 'weights: folded in');
SELECT cmp_ok((SELECT max(abs(f.score - t.score)) FROM fresh f JOIN fm_top_x(1000, 1000, 'weighted', false) t USING (item_id)), '<', 1e-6::real, 'weights count in folding in');
SELECT is((SELECT users FROM fm_fold_in('labels')), 82::bigint, 'classification: folded in');
SELECT cmp_ok((SELECT min(fm_predict(u, 1000, 'labels')) FROM generate_series(20, 40) u), '>', 0.5::float8, 'classification: a new item that is liked has a high probability');

SELECT is(status, 'succeeded', 'ranking: trained')
FROM fm_train('ranked', 'before', task => 'ranking', num_factors => 4);
ALTER VIEW before RENAME TO was_before;
CREATE OR REPLACE VIEW was_before AS SELECT user_id, item_id FROM ratings;
SELECT is((SELECT (users, items, solver)::text FROM fm_fold_in('ranked')), '(81,52,fold-in)', 'ranking: folded in');
SELECT is((SELECT count(*) FROM fm_ranked_version WHERE item_gram IS NOT NULL AND noise_variance > 0), 2::bigint, 'ranking: the version has what a ranking needs');
SELECT cmp_ok((SELECT avg(fm_predict(u, 1000, 'ranked')) FROM generate_series(20, 40) u), '>',
              (SELECT avg(fm_predict(u, 1001, 'ranked')) FROM generate_series(20, 40) u), 'ranking: users of a new item rank it higher');

-- With features: levels are copied. Users and items known by features alone are solved from there.
INSERT INTO ratings VALUES (85, 10, 5, 1), (85, 12, 5, 1), (20, 53, 1, 1);
CREATE TEMP TABLE live ON COMMIT DROP AS SELECT t.item_id, t.score FROM fm_top_x(85, 1000, 'featured', false) t;
SELECT cmp_ok((SELECT max(abs(score - (SELECT sum(contribution) FROM fm_explain(85, item_id, 'featured')))) FROM live), '<', 1e-5::float8,
              'a user known by features who has rated is folded in');
SELECT isnt((SELECT array_agg(score ORDER BY item_id) FROM live), (SELECT array_agg(score ORDER BY item_id) FROM fm_top_x(89, 1000, 'featured', false)),
            'their list is not that of users of the same group without ratings');
SELECT is((SELECT array_agg(t.score ORDER BY item_id) FROM fm_top_x(86, 1000, 'featured', false) t),
          (SELECT array_agg(t.score ORDER BY item_id) FROM fm_top_x(90, 1000, 'featured', false) t), 'users of the same group without ratings have the same list');
SELECT is((SELECT message FROM fm_fold_in('featured')), 'folded into version 1; users: 2 added, 25 updated; items: 2 added, 1 updated', 'features: folded in');
SELECT is((SELECT count(*) FROM fm_featured_level a JOIN fm_featured_level b USING (idx, name, side, mean, w, v) WHERE a.version = 1 AND b.version = 2),
          9::bigint, 'features: levels are copied');
SELECT cmp_ok((SELECT max(abs(l.score - t.score)) FROM live l JOIN fm_top_x(85, 1000, 'featured', false) t USING (item_id) WHERE item_id <> 53), '<', 1e-6::real,
              'features: users without ratings before are solved as fm_top_x does');

-- The quality gate compares with the training that was folded into.
SELECT fm_train('gated', 'ratings', num_factors => 4, test_size => 0.2, rank_by => 'rating') \g /dev/null
INSERT INTO ratings VALUES (1000, 3, 5, 1);
SELECT is((SELECT version FROM fm_fold_in('gated')), 2, 'folded in');
SELECT fm_set('gated', max_worse => 0) \g /dev/null
SET LOCAL client_min_messages = error;
SELECT is((SELECT status FROM fm_train('gated', num_factors => 1, iterations => 1, rank_by => 'rating')), 'refused', 'after folding in, the gate still compares with the training');
SELECT matches((SELECT message FROM fm_runs WHERE model = 'gated' AND version = 3), 'of version 1 by more than', 'a worse training is refused');
SELECT * FROM finish();
ROLLBACK;
