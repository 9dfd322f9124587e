-- MovieLens 100k: a model that is exported and imported again has the same lists and errors, bit for bit, as text of
-- libFM and as arrays. New users are folded in alike, and what they rate later.
\ir ../movielens.sql
\if :absent
\quit
\endif
\ir ../../scripts/movielens.sql
SELECT plan(9);
SELECT is(users, 943::bigint, 'train') FROM fm_train('films', ratings => 'ratings', iterations => 10, rank_by => 'rating');
CREATE VIEW rows_of_users AS SELECT user_id, idx FROM fm_films_user;
CREATE VIEW rows_of_items AS SELECT item_id, idx + 943 AS idx FROM fm_films_item;
SELECT is(solver, 'import', 'import libFM''s text')
FROM fm_import('text', (SELECT convert_to(string_agg(line, E'\n'), 'UTF8') FROM fm_export_libfm('films') line), 'rows_of_users', 'rows_of_items', 'ratings');
SELECT is(solver, 'import', 'import arrays')
FROM fm_import_arrays('arrays', 'fm_films_user', 'fm_films_item', 'ratings', bias_column => 'w', global_bias => (SELECT b FROM fm_films_version));
CREATE TABLE lists AS SELECT * FROM fm_top_x_all(20, 'films');
SELECT is((SELECT count(*) FROM (TABLE lists EXCEPT SELECT * FROM fm_top_x_all(20, 'text')) x), 0::bigint, 'the same lists of all users from text');
SELECT is((SELECT count(*) FROM (TABLE lists EXCEPT SELECT * FROM fm_top_x_all(20, 'arrays')) x), 0::bigint, 'and from arrays');
SELECT is(count(DISTINCT train_metrics), 1::bigint, 'the same errors') FROM fm_runs;
SELECT is((SELECT version FROM fm_fold_in('text')), 1, 'there is nothing to fold in');

-- Priors are those of all users, and the noise that of the same ratings, so folding in hardly differs.
INSERT INTO ratings (user_id, item_id, rating, rated_at) SELECT 10000, item_id, rating, rated_at FROM ratings WHERE user_id = 13;
CREATE TABLE pairs AS
SELECT fm_predict(10000, item_id, 'films') AS here, fm_predict(10000, item_id, 'text') AS there
FROM (SELECT DISTINCT item_id FROM ratings) r;
SELECT cmp_ok(max(abs(here - there)), '<', 0.05::float8, 'a new user is folded in alike') FROM pairs;
SELECT matches(message, 'users: 1 added, 0 updated; items: 0 added', 'only the new user is added') FROM fm_fold_in('text');
SELECT * FROM finish();
ROLLBACK;
