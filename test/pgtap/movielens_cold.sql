-- New users on MovieLens 100k: folding them in from a few ratings predicts about as well as a training
-- that had these ratings.
\ir ../movielens.sql
\if :absent
\quit
\endif
\ir ../../scripts/movielens.sql
SELECT plan(14);

-- A hundred users are left out of the training; their ratings are added in an arbitrary order.
CREATE TABLE cold AS
SELECT user_id, item_id, rating, row_number() OVER (PARTITION BY user_id ORDER BY hashint8extended(item_id * 1000 + user_id, 3)) AS n
FROM ratings WHERE user_id IN (SELECT user_id FROM ratings GROUP BY user_id ORDER BY hashint8extended(user_id, 1) LIMIT 100);
CREATE TABLE shown AS SELECT user_id, item_id, rating FROM ratings WHERE user_id NOT IN (SELECT user_id FROM cold);
CREATE INDEX ON shown (user_id);
ANALYZE shown;
CREATE VIEW yes AS SELECT user_id, item_id, rating >= 4 AS rating FROM shown;

-- The error is always that of the same ratings, those after the first twenty. A list per user is faster
-- than a prediction per rating.
CREATE FUNCTION rest(model text) RETURNS TABLE (rating real, predicted float8) LANGUAGE sql AS $$
    WITH lists AS MATERIALIZED (SELECT user_id, item_id, score FROM (SELECT DISTINCT user_id FROM cold) u,
                                LATERAL fm_top_x(user_id, 2000, model, exclude_seen => false))
    SELECT c.rating, coalesce(l.score, fm_predict(c.user_id, c.item_id, model))
    FROM cold c LEFT JOIN lists l USING (user_id, item_id) WHERE c.n > 20 $$;
CREATE FUNCTION rest_rmse(model text) RETURNS float8 LANGUAGE sql AS
$$ SELECT sqrt(avg((rating - greatest(1, least(5, predicted))) ^ 2)) FROM rest(model) $$;
CREATE FUNCTION rest_log_loss(model text) RETURNS float8 LANGUAGE sql AS
$$ SELECT avg(-ln(CASE WHEN rating >= 4 THEN predicted ELSE 1 - predicted END)) FROM rest(model) $$;

SELECT fm_train('mcmc', 'shown', rank_by => 'rating'), fm_train('als', 'shown', solver => 'als', rank_by => 'rating'),
       fm_train('yes', 'yes', task => 'classification', iterations => 200, rank_by => 'rating') \g /dev/null
CREATE TEMP TABLE results (revealed integer, folded float8, folded_als float8, folded_yes float8,
                           trained float8, trained_als float8, trained_yes float8) ON COMMIT DROP;
CREATE PROCEDURE reveal(r integer) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO shown SELECT user_id, item_id, rating FROM cold WHERE n <= r EXCEPT SELECT * FROM shown;
    INSERT INTO results VALUES (r, rest_rmse('mcmc'), rest_rmse('als'), rest_log_loss('yes'));
END $$;
CALL reveal(0);
CALL reveal(5);
CALL reveal(10);
CALL reveal(20);
SELECT fm_train('retrained', 'shown', rank_by => 'rating'), fm_train('retrained_als', 'shown', solver => 'als', rank_by => 'rating'),
       fm_train('retrained_yes', 'yes', task => 'classification', iterations => 200, rank_by => 'rating') \g /dev/null
UPDATE results SET trained = rest_rmse('retrained'), trained_als = rest_rmse('retrained_als'),
       trained_yes = rest_log_loss('retrained_yes') WHERE revealed = 20;

SELECT is((SELECT count(*) FROM cold WHERE n <= 20), 2000::bigint, 'twenty ratings of each of a hundred users are added');
SELECT cmp_ok(folded - trained, '<', 0.01::float8, 'after 20 ratings, within 0.01 of a training with them') FROM results WHERE revealed = 20;
SELECT cmp_ok(folded_als - trained_als, '<', 0.01::float8, 'with least squares') FROM results WHERE revealed = 20;
SELECT cmp_ok(folded_yes - trained_yes, '<', 0.01::float8, 'in a classification, of the log loss') FROM results WHERE revealed = 20;
SELECT cmp_ok(folded, '<', least_of, 'after ' || revealed || ' ratings, below ' || least_of)
FROM results JOIN (VALUES (5, 0.96::float8), (10, 0.945), (20, 0.925)) b (r, least_of) ON r = revealed;
SELECT ok(bool_and(next < folded AND next_als < folded_als AND next_yes < folded_yes), 'more ratings give a smaller error')
FROM (SELECT *, lead(folded) OVER w AS next, lead(folded_als) OVER w AS next_als, lead(folded_yes) OVER w AS next_yes
      FROM results WINDOW w AS (ORDER BY revealed)) r WHERE next IS NOT NULL;

-- fm_fold_in gives these users the scores that they had before, and changes no other user.
CREATE FUNCTION warm(model text) RETURNS float8 LANGUAGE sql AS
$$ SELECT sum(t.score) FROM generate_series(1, 943, 40) u, fm_top_x(u, 5, model) t WHERE u NOT IN (SELECT user_id FROM cold) $$;
CREATE TEMP TABLE was ON COMMIT DROP AS SELECT warm('mcmc') AS warm;
SELECT is((SELECT (solver, users, message)::text FROM fm_fold_in('mcmc')), format('(fold-in,943,"folded into version 1; users: 100 added, 0 updated; items: %s added, 0 updated")', n), 'folded in')
FROM (SELECT count(DISTINCT item_id) - (SELECT items FROM fm_runs WHERE model = 'mcmc') AS n FROM shown) i;
SELECT cmp_ok(rest_rmse('mcmc') - folded, '<', 0.001::float8, 'they are predicted as well') FROM results WHERE revealed = 20;
SELECT is(warm('mcmc'), warm, 'all others as before') FROM was;

-- A ranking: half of the films that these users liked are added, and the lists should have the others.
CREATE TABLE liked AS SELECT user_id, item_id FROM ratings WHERE rating >= 4 AND user_id NOT IN (SELECT user_id FROM cold);
CREATE INDEX ON liked (user_id);
CREATE TABLE halves AS SELECT user_id, item_id, hashint8extended(item_id * 1000 + user_id, 5) % 2 = 0 AS is_revealed
FROM cold WHERE rating >= 4;
CREATE VIEW other_half AS SELECT user_id, item_id FROM halves WHERE NOT is_revealed;
CREATE FUNCTION ndcg(model text) RETURNS float8 LANGUAGE sql AS
$$ SELECT value FROM fm_evaluate('other_half', model, 10) WHERE metric = 'ndcg_at_x' $$;
SELECT fm_train('liked', 'liked', task => 'ranking') \g /dev/null
CREATE TEMP TABLE ndcgs ON COMMIT DROP AS SELECT ndcg('liked') AS unknown;
INSERT INTO liked SELECT user_id, item_id FROM halves WHERE is_revealed;
SELECT fm_train('relearnt', 'liked', task => 'ranking') \g /dev/null
ALTER TABLE ndcgs ADD folded float8, ADD trained float8;
UPDATE ndcgs SET folded = ndcg('liked'), trained = ndcg('relearnt');
SELECT cmp_ok(trained - folded, '<', 0.01::float8, 'a ranking: within 0.01 of a training in NDCG@10') FROM ndcgs;
SELECT cmp_ok(folded, '>', 0.45::float8, 'which is above 0.45') FROM ndcgs;
SELECT cmp_ok(folded - unknown, '>', 0.1::float8, 'what they liked tells much') FROM ndcgs;
SELECT * FROM finish();
ROLLBACK;
