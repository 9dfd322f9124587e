-- How much features and history improve MovieLens 100k, and films without ratings.
\ir ../movielens.sql
\if :absent
\quit
\endif
\ir ../../scripts/movielens.sql
SELECT no_plan();

CREATE VIEW people AS SELECT user_id, floor(age / 10)::int AS age_band, gender, occupation FROM users;
CREATE VIEW genres AS SELECT item_id, genres AS genre FROM films;

-- Two of five folds, with default options.
CREATE TABLE folds AS
SELECT *, row_number() OVER (ORDER BY hashint8extended(user_id::bigint << 32 | item_id, 7)) % 5 AS fold FROM ratings;
CREATE TABLE fold AS SELECT 0::bigint AS fold;
CREATE VIEW seen AS SELECT user_id, item_id, rating FROM folds WHERE fold <> (SELECT fold FROM fold);
CREATE VIEW held_out AS SELECT user_id, item_id, rating FROM folds WHERE fold = (SELECT fold FROM fold);
CREATE TABLE errors (known text, fold int, rmse float8);
DO $$
BEGIN
    FOR f IN 0 .. 1 LOOP
        UPDATE fold SET fold = f;
        PERFORM fm_train('ids', 'seen');
        PERFORM fm_train('features', 'seen', user_features => 'people', item_features => 'genres');
        PERFORM fm_train('history', 'seen', history => true);
        PERFORM fm_train('both', 'seen', history => true, user_features => 'people', item_features => 'genres');
        INSERT INTO errors
        SELECT model, f, value FROM unnest('{ids,features,history,both}'::text[]) model, fm_evaluate('held_out', model) WHERE metric = 'rmse';
    END LOOP;
END $$;
CREATE FUNCTION rmse(which text) RETURNS float8 LANGUAGE sql AS $$ SELECT sqrt(avg(rmse ^ 2)) FROM errors WHERE known = which $$;
SELECT diag(known || ' ' || round(rmse(known)::numeric, 4)) FROM (SELECT DISTINCT known FROM errors) e;
SELECT cmp_ok(rmse('features'), '<', rmse('ids') - 0.003, 'age, gender, occupation and genres lower the RMSE by more than 0.003');
SELECT cmp_ok(rmse('history'), '<', 0.8845::float8, 'history lowers the RMSE to below 0.8845');
SELECT cmp_ok(rmse('both'), '<', 0.882::float8, 'features and history lower the RMSE to below 0.882');
SELECT cmp_ok(rmse('both'), '<', rmse('history'), 'both are better than history alone');
SELECT cmp_ok(b.rmse, '<', i.rmse - 0.01, 'fold ' || fold || ': both are worth more than 0.01')
FROM errors b JOIN errors i USING (fold) WHERE b.known = 'both' AND i.known = 'ids';

-- All ratings of a fifth of the films are held out.
CREATE VIEW warm AS SELECT user_id, item_id, rating FROM ratings WHERE hashint4extended(item_id, 3) % 5 <> 0;
CREATE VIEW cold AS SELECT user_id, item_id, rating FROM ratings WHERE hashint4extended(item_id, 3) % 5 = 0;
SELECT fm_train('warm', 'warm', user_features => 'people', item_features => 'genres') \g /dev/null
SELECT fm_train('warm_ids', 'warm') \g /dev/null
CREATE TABLE cold_errors AS
SELECT (SELECT value FROM fm_evaluate('cold', 'warm') WHERE metric = 'rmse') AS by_genre,
       (SELECT value FROM fm_evaluate('cold', 'warm_ids') WHERE metric = 'rmse') AS by_user,
       (SELECT sqrt(avg((rating - (SELECT avg(rating) FROM warm)) ^ 2)) FROM cold) AS by_mean;
SELECT diag(cold_errors::text) FROM cold_errors;
SELECT cmp_ok(by_genre, '<', by_mean - 0.05, 'films without ratings: genres do better than the mean of the others') FROM cold_errors;
SELECT cmp_ok(by_genre, '<', by_user - 0.05, 'and than nothing but the user') FROM cold_errors;
SELECT cmp_ok(count(*), '>', 0::bigint, 'they can be recommended') FROM generate_series(1, 943, 10) u, fm_top_x(u, 50, 'warm') t
WHERE NOT EXISTS (SELECT FROM warm w WHERE w.item_id = t.item_id);

SELECT * FROM finish();
ROLLBACK;
