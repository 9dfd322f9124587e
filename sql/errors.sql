-- Bad input: each case gets an error with a code, the offending value and a hint, or a result that is
-- naturally short. Afterwards, the model trained before still serves the same lists.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
CREATE SCHEMA errors;
SET search_path = errors, public;

CREATE TABLE ratings (user_id int, item_id int, rating real);
INSERT INTO ratings
SELECT u, i, CASE WHEN (u <= 6) = (i % 2 = 1) THEN 5 ELSE 1 END
FROM generate_series(1, 12) u, generate_series(1, 10) i WHERE (u + i) % 4 <> 0;
SELECT model, version FROM fm_train('good', ratings => 'ratings', num_factors => 4, iterations => 20);

CREATE VIEW served AS
SELECT seen, l.* FROM (VALUES (true), (false)) s (seen),
    LATERAL (SELECT u, t.* FROM generate_series(0, 12) u, fm_top_x(u, 3, 'good', seen) t
             UNION ALL SELECT user_id::int, rank, item_id::bigint, score, rating FROM fm_top_x_all(3, 'good', seen)) l;
CREATE TABLE kept AS SELECT * FROM served;

-- Run a statement and return its outcome, without OIDs, and whether the good model still serves.
CREATE FUNCTION try(sql text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    code text; message text; detail text; hint text; rows bigint;
BEGIN
    BEGIN
        EXECUTE sql;
        GET DIAGNOSTICS rows = ROW_COUNT;
        RETURN NEXT format('%s row(s)', rows);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
            detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RETURN NEXT format('ERROR %s: %s', code, regexp_replace(message, 'OID \d+', 'OID ...'));
        RETURN QUERY SELECT 'DETAIL: ' || detail WHERE detail <> '';
        RETURN QUERY SELECT 'HINT: ' || hint WHERE hint <> '';
    END;
    IF EXISTS ((TABLE served EXCEPT ALL TABLE kept) UNION ALL (TABLE kept EXCEPT ALL TABLE served)) THEN
        RETURN NEXT 'the good model serves other lists now';
    END IF;
    IF EXISTS (SELECT FROM pg_class WHERE relname LIKE 'fm\_bad\_%') THEN
        RETURN NEXT 'tables are left behind';
    END IF;
END $$;
\pset format unaligned
\pset tuples_only

-- Unknown model.
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'nosuch')$$);
SELECT try($$SELECT * FROM fm_top_x('1'::text, 3, 'nosuch')$$);
SELECT try($$SELECT * FROM fm_top_x_all(3, 'nosuch')$$);
SELECT try($$SELECT fm_write_top_x('lists', 3, 'nosuch')$$);
SELECT try($$SELECT fm_predict(1, 1, 'nosuch')$$);
SELECT try($$SELECT * FROM fm_evaluate('ratings', 'nosuch')$$);
SELECT try($$SELECT * FROM fm_user_vectors('nosuch')$$);
SELECT try($$SELECT * FROM fm_item_vectors('nosuch')$$);
SELECT try($$SELECT fm_drop('nosuch')$$);
SELECT try($$CALL fm_refresh('nosuch')$$);
SELECT try($$SELECT fm_train('nosuch')$$);
SELECT try($$SELECT fm_fold_in('nosuch')$$);
SELECT try($$SELECT fm_fold_in(NULL)$$);
SELECT try($$SELECT fm_train('')$$);
SELECT try($$SELECT fm_train(repeat('m', 51), ratings => 'ratings')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1}'::bigint[], '{5}', 3, 'nosuch')$$);
SELECT try($$SELECT * FROM fm_similar_items(1, 3, 'nosuch')$$);
SELECT try($$SELECT * FROM fm_top_users('1'::text, 3, 'nosuch')$$);
SELECT try($$SELECT * FROM fm_explain(1, 1, 'nosuch')$$);
SET fmtopx.model = 'nosuch';
SELECT try($$SELECT * FROM fm_top_x(1, 3)$$);
RESET fmtopx.model;

-- A table in the way, and schemas where tables may not be created.
CREATE TABLE fm_left_user (user_id int);
SELECT try($$SELECT fm_train('left', ratings => 'ratings')$$);
DROP TABLE fm_left_user;
CREATE ROLE fm_errors_guest;
GRANT USAGE ON SCHEMA errors TO fm_errors_guest;
GRANT SELECT ON ALL TABLES IN SCHEMA errors TO fm_errors_guest;
SET ROLE fm_errors_guest;
SELECT try($$SELECT fm_train('bad', ratings => 'ratings')$$);
SELECT try($$SELECT fm_write_top_x('errors.lists', 3, 'good')$$);
RESET ROLE;
DROP OWNED BY fm_errors_guest;
DROP ROLE fm_errors_guest;

-- A function in the way of the model's own, and names that are those of fmtopx.
CREATE FUNCTION fm_bad_top_x_all(bigint, boolean, regclass, regclass, jsonb, double precision) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT try($$SELECT fm_train('bad', ratings => 'ratings')$$);
DROP FUNCTION fm_bad_top_x_all;
SELECT try($$SELECT fm_train('matrix', ratings => 'ratings')$$);

-- Unknown relations, and relations that ratings cannot be read from.
SELECT try($$SELECT fm_train('bad', ratings => 'nosuch')$$);
SELECT try($$SELECT fm_train('bad', ratings => 999999999::oid::regclass)$$);
SELECT try($$SELECT fm_train('good', ratings => 999999999::oid::regclass)$$);
CREATE SEQUENCE numbers;
SELECT try($$SELECT fm_train('bad', ratings => 'numbers')$$);
CREATE INDEX ratings_user ON ratings (user_id);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings_user')$$);
SELECT try($$SELECT * FROM fm_evaluate('nosuch', 'good')$$);
SELECT try($$SELECT * FROM fm_evaluate('numbers', 'good')$$);

-- Unknown column.
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', user_column => 'customer')$$);
SELECT try($$SELECT fm_train('good', item_column => 'film')$$);
SELECT try($$SELECT fm_train('good', rating_column => 'stars')$$);
SELECT try($$SELECT fm_train('good', user_column => 'ctid')$$);
SELECT try($$SELECT * FROM fm_evaluate('kept', 'good')$$);

-- Unknown option, and values out of range.
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', factors => 3)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', task => 'cooking')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', solver => 'sgd')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', solver => 'ials')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', num_factors => 0)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', num_factors => -1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', num_factors => 1025)$$);
SELECT try($$SELECT fm_train('good', num_factors => 10000)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', iterations => 0)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', iterations => 100001)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', solver => 'als', l2_reg_w => -1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', solver => 'als', l2_reg_v => 'NaN')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', solver => 'als', l2_reg_v => 'Infinity')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', init_stdev => -0.1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', test_size => 1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', test_size => -0.1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', test_size => 'NaN')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', test_size => 0.9999)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', workers => -1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', workers => 1025)$$);
SELECT try($$CALL fm_refresh('good', 'perhaps')$$);

-- Options that the solver does not use.
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', l2_reg_w => 1)$$);
SELECT try($$SELECT fm_train('good', l2_reg_v => 1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', solver => 'als', unobserved_weight => 1)$$);

-- Ids of a type without hashing, and ratings that are not numbers.
CREATE VIEW places AS SELECT point(user_id, 0) AS user_id, item_id, rating FROM ratings;
CREATE VIEW documents AS SELECT user_id, json_build_object('id', item_id) AS item_id, rating FROM ratings;
CREATE VIEW words AS SELECT user_id, item_id, rating::text FROM ratings;
SELECT try($$SELECT fm_train('bad', ratings => 'places')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'documents')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'words')$$);
SELECT try($$SELECT * FROM fm_evaluate('words', 'good')$$);

-- Ids of another type than the model was made for.
CREATE VIEW by_text AS SELECT user_id::text, item_id, rating FROM ratings;
SELECT try($$SELECT * FROM fm_evaluate('by_text', 'good')$$);
SELECT try($$SELECT * FROM fm_top_x('one'::text, 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x('1'::text, 3, 'good', candidates => '{1,two}')$$);

-- Ratings that are not finite, or not finite as a real.
CREATE VIEW nans AS SELECT * FROM ratings UNION ALL SELECT 1, 1, 'NaN';
CREATE VIEW infinities AS SELECT * FROM ratings UNION ALL SELECT 1, 1, '-Infinity';
CREATE VIEW huge AS SELECT user_id, item_id, rating::float8 FROM ratings UNION ALL SELECT 1, 1, 1e300;
CREATE VIEW numeric_nans AS SELECT user_id, item_id, rating::numeric FROM ratings UNION ALL SELECT 1, 1, 'NaN';
SELECT try($$SELECT fm_train('bad', ratings => 'nans')$$);
SELECT try($$SELECT fm_train('good', ratings => 'infinities')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'huge')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'numeric_nans')$$);
SELECT try($$SELECT * FROM fm_evaluate('nans', 'good')$$);

-- Weights that cannot be used.
CREATE VIEW negatives AS SELECT *, 1 - item_id / 10 * 3 AS weight FROM ratings;
CREATE VIEW weight_nans AS SELECT *, 'NaN'::numeric AS weight FROM ratings;
CREATE VIEW weight_infinities AS SELECT *, CASE item_id WHEN 3 THEN 'Infinity' ELSE 1::real END AS weight FROM ratings;
CREATE VIEW weight_huge AS SELECT *, 1e39::float8 AS weight FROM ratings;
CREATE VIEW weight_words AS SELECT *, 'heavy' AS weight FROM ratings;
CREATE VIEW weightless AS SELECT *, 0 AS weight FROM ratings;
SELECT try($$SELECT fm_train('bad', ratings => 'negatives', weight_column => 'weight')$$);
SELECT try($$SELECT fm_train('good', ratings => 'weight_nans', weight_column => 'weight')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'weight_infinities', weight_column => 'weight')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'weight_huge', weight_column => 'weight')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'weight_words', weight_column => 'weight')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'weightless', weight_column => 'weight')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', weight_column => 'weight')$$);

-- what orders lists, and what is newer
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', rank_by => 'stars')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', rank_by => NULL)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', task => 'ranking', rank_by => 'interest')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'ratings', time_column => 'nosuch')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'weight_words', time_column => 'weight')$$);
DROP VIEW negatives, weight_nans, weight_infinities, weight_huge, weight_words, weightless;

-- Ratings that are not yes or no, and options that a classification does not have.
CREATE VIEW flags AS SELECT user_id, item_id, rating > 3 AS rating FROM ratings;
CREATE VIEW flag_words AS SELECT user_id, item_id, CASE WHEN rating > 3 THEN 'yes' ELSE 'no' END AS rating FROM ratings;
CREATE VIEW all_yes AS SELECT user_id, item_id, true AS rating FROM ratings;
CREATE VIEW three AS SELECT user_id, item_id, item_id % 3 - 1 AS rating FROM ratings;
CREATE VIEW many AS SELECT user_id, item_id, item_id / 2.0 AS rating FROM ratings;
CREATE VIEW dated AS SELECT user_id, item_id, current_date AS rating FROM ratings;
SELECT try($$SELECT fm_train('bad', ratings => 'flags')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flag_words', task => 'classification')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'dated', task => 'classification')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'all_yes', task => 'classification')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'three', task => 'classification')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'many', task => 'classification')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flags', task => 'classification', solver => 'als')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flags', task => 'classification', l2_reg_w => 1)$$);
-- Rankings, which have no ratings.
SELECT try($$SELECT fm_train('bad', ratings => 'flags', task => 'ranking', solver => 'mcmc')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flags', solver => 'ials')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flags', task => 'ranking', rating_column => 'stars')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flags', task => 'ranking', unobserved_weight => -1)$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flags', task => 'ranking', weight_column => 'stars')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'flags', unobserved_weight => 1)$$);
CREATE VIEW strengths AS SELECT user_id, item_id, -1 AS strength FROM ratings;
SELECT try($$SELECT fm_train('bad', ratings => 'strengths', task => 'ranking', weight_column => 'strength')$$);
CREATE VIEW nobody AS SELECT NULL::int AS user_id, item_id FROM ratings;
SELECT try($$SELECT fm_train('bad', ratings => 'nobody', task => 'ranking')$$);
DROP VIEW strengths, nobody;
SELECT try($$SELECT fm_evaluate('flags', 'good')$$);
SELECT version FROM fm_train('flagged', ratings => 'ratings', task => 'classification', num_factors => 4, iterations => 5);
SELECT try($$SELECT fm_evaluate('ratings', 'flagged')$$);
SELECT try($$SELECT fm_evaluate('flags', 'flagged')$$);
SELECT try($$SELECT fm_evaluate('three', 'flagged')$$);
SELECT try($$SELECT fm_evaluate('flag_words', 'flagged')$$);
SELECT fm_drop('flagged');
DROP VIEW flags, flag_words, all_yes, three, many, dated;

-- Nothing to train on, and nothing to learn.
CREATE VIEW nothing AS SELECT * FROM ratings WHERE false;
CREATE VIEW nulls AS SELECT user_id, item_id, NULL::real AS rating FROM ratings;
CREATE VIEW equals AS SELECT user_id, item_id, 4::real AS rating FROM ratings;
SELECT try($$SELECT fm_train('bad', ratings => 'nothing')$$);
SELECT try($$SELECT fm_train('good', ratings => 'nothing')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'nulls')$$);
SELECT try($$SELECT fm_train('bad', ratings => 'equals')$$);
SELECT try($$SELECT * FROM fm_evaluate('nothing', 'good')$$);
SELECT try($$SELECT * FROM fm_evaluate('nulls', 'good')$$);

-- An error while the ratings are read.
CREATE VIEW broken AS SELECT user_id, item_id, 1 / (item_id - 7) AS rating FROM ratings;
SELECT try($$SELECT fm_train('bad', ratings => 'broken')$$);
SELECT try($$SELECT fm_train('good', ratings => 'broken')$$);

-- x.
SELECT try($$SELECT * FROM fm_top_x(1, 0, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x(1, -1, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x('1'::text, -1, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 2147483647, 'good', exclude_seen => false)$$);
SELECT try($$SELECT * FROM fm_top_x(1, 2147483647, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_all(0, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_all(-1, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_all(2147483647, 'good', false)$$);
SELECT try($$SELECT fm_write_top_x('lists', -1, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'good', novelty => 'NaN')$$);
SELECT try($$SELECT * FROM fm_top_x('1'::text, 3, 'good', novelty => 1001)$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1}'::bigint[], '{5}', 3, 'good', novelty => '-Infinity')$$);
SELECT try($$SELECT * FROM fm_top_x_all(3, 'good', novelty => -1000.1)$$);
SELECT try($$SELECT fm_write_top_x('lists', 3, 'good', novelty => 'Infinity')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'good', novelty => 0)$$);
SELECT try($$SELECT * FROM fm_evaluate('ratings', 'good', 0)$$);
SELECT try($$SELECT * FROM fm_evaluate('ratings', 'good', -1)$$);
SELECT try($$SELECT * FROM fm_evaluate('ratings', 'good', 2147483647)$$);

-- NULL arguments.
SELECT try($$SELECT fm_train(NULL)$$);
SELECT try($$SELECT fm_train('bad', NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', user_column => NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', item_column => NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', rating_column => NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', task => NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', solver => NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', history => NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', test_size => NULL)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', seed => NULL)$$);
SELECT try($$SELECT * FROM fm_top_x(NULL::bigint, 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x(NULL::text, 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x(1, NULL, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'good', NULL)$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, NULL, true, NULL, NULL, NULL)$$);
SELECT try($$SELECT * FROM fm_top_x_all(NULL, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_all(3, 'good', NULL)$$);
SELECT try($$SELECT fm_write_top_x(NULL)$$);
SELECT try($$SELECT fm_write_top_x('lists', NULL, 'good')$$);
SELECT try($$SELECT fm_write_top_x('lists', 3, 'good', NULL)$$);
SELECT fm_predict(NULL, 1, 'good') IS NULL, fm_predict(1, NULL, 'good') IS NULL;
SELECT try($$SELECT * FROM fm_evaluate(NULL, 'good')$$);
SELECT try($$SELECT * FROM fm_evaluate('ratings', 'good', NULL)$$);
SELECT try($$CALL fm_refresh('good', NULL)$$);
SELECT try($$SELECT fm_drop(NULL)$$);

-- Relations that cannot be feature relations, and columns that cannot be features.
CREATE TABLE films (item_id int, genre text, length real);
INSERT INTO films SELECT i, 'genre ' || i % 2, i FROM generate_series(1, 12) i;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'nosuch')$$);
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 999999999::oid::regclass)$$);
SELECT try($$SELECT fm_train('bad', 'ratings', user_features => 'numbers')$$);
SELECT try($$SELECT fm_train('bad', 'ratings', user_features => 'films')$$);
CREATE VIEW no_features AS SELECT item_id FROM films;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'no_features')$$);
CREATE VIEW films_by_text AS SELECT item_id::text, genre FROM films;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'films_by_text')$$);
CREATE VIEW films_json AS SELECT item_id, json_build_object('genre', genre) AS facts FROM films;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'films_json')$$);
CREATE VIEW films_points AS SELECT item_id, ARRAY[point(length, 0)] AS places FROM films;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'films_points')$$);
CREATE VIEW films_nan AS SELECT item_id, 'NaN'::float8 AS length FROM films;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'films_nan')$$);
CREATE VIEW films_huge AS SELECT item_id, 1e40::numeric AS length FROM films;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'films_huge')$$);
CREATE TEMPORARY TABLE films_gone AS TABLE films;
SELECT try($$SELECT fm_train('bad', 'ratings', item_features => 'films_gone')$$);
-- A column of numbers that are all equal, or of values that all differ, is ignored with a notice.
CREATE VIEW films_idle AS SELECT item_id, 1.5 AS height, 'film ' || item_id AS title, ARRAY['x' || item_id, 'y' || item_id] AS more FROM films;
SET client_min_messages = notice;
SELECT features FROM fm_train('featured', 'ratings', item_features => 'films_idle', num_factors => 2, iterations => 5);
-- A relation of features of no rated item is reported, even if its ids do not fit those of the ratings.
CREATE VIEW films_elsewhere AS SELECT -item_id AS item_id, genre FROM films;
SELECT items FROM fm_train('featured', 'ratings', item_features => 'films_elsewhere', num_factors => 2, iterations => 5);
CREATE VIEW films_far AS SELECT item_id + 3000000000 AS item_id, genre FROM films;
SELECT items FROM fm_train('featured', 'ratings', item_features => 'films_far', num_factors => 2, iterations => 5);
SELECT features FROM fm_train('featured', 'ratings', item_features => 'films', num_factors => 2, iterations => 5);
SET client_min_messages = warning;
-- A feature relation that loses a column has one feature less. Without its key it is an error.
ALTER TABLE films DROP length CASCADE;
SELECT features FROM fm_train('featured');
ALTER TABLE films RENAME item_id TO film_id;
SELECT try($$SELECT fm_train('featured')$$);
DROP TABLE films CASCADE;
SELECT try($$SELECT fm_train('featured')$$);
SELECT count(*) FROM fm_top_x(1, 20, 'featured', exclude_seen => false);
SELECT fm_drop('featured');

-- Columns that cannot be context columns, and invalid values of context.
CREATE VIEW in_context AS SELECT *, 'device ' || user_id % 2 AS device, 0.5::real AS hour, ARRAY[user_id] AS bag, json_build_object('x', 1) AS facts FROM ratings;
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{nosuch}')$$);
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{device,NULL}')$$);
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{device,device}')$$);
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{device,rating}')$$);
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{hour}')$$);
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{bag}')$$);
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{facts}')$$);
SELECT try($$SELECT fm_train('bad', 'in_context', context_columns => '{device}', task => 'ranking')$$);
SELECT features FROM fm_train('situated', 'in_context', context_columns => '{device}', num_factors => 2, iterations => 5);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'situated', context => '{"weekday": 1}')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'situated', context => '{"device": "device 1", "weekday": 1}')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'situated', context => '{"device": ["device 1"]}')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'situated', context => '{"device": {"is": "device 1"}}')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'situated', context => '"device 1"')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'situated', context => '{"device"')$$);
SELECT try($$SELECT fm_predict(1, 1, 'situated', '{"weekday": 1}')$$);
SELECT try($$SELECT fm_predict(1, 1, 'situated', '{"device": "never seen"}')$$);
SELECT try($$SELECT fm_evaluate('ratings', 'situated')$$);
SELECT fm_drop('situated');
DROP VIEW in_context;

-- Context for a model without context columns.
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'good', context => '{"device": "phone"}')$$);
SELECT try($$SELECT * FROM fm_top_x(1, 3, 'good', context => '[1]')$$);
SELECT try($$SELECT fm_predict(1, 1, 'good', '{"device": "phone"}')$$);

-- A user who has rated everything, an unknown user, and ids out of range for their type.
INSERT INTO ratings SELECT 1, i, 3 FROM generate_series(1, 10) i;
SELECT count(*) FROM fm_top_x(1, 3, 'good');
DELETE FROM ratings WHERE user_id = 1 AND rating = 3;
SELECT count(*) FROM fm_top_x(99, 3, 'good');
SELECT count(*) FROM fm_top_x(9223372036854775807, 3, 'good');
SELECT count(*) FROM fm_top_x(1, 3, 'good', candidates => '{9223372036854775807, -9223372036854775808}');
SELECT fm_predict(9223372036854775807, 1, 'good') BETWEEN 1 AND 5;
SELECT fm_predict(1, 99999, 'good') IS NULL, fm_predict(1, 9223372036854775807, 'good') IS NULL,
       fm_predict('1', '99999', 'good') IS NULL;
SELECT count(*) FROM fm_explain(1, 99999, 'good');
SELECT try($$SELECT * FROM fm_top_x('9223372036854775807'::text, 3, 'good')$$);

-- What is no id of the model's type, wherever one is given.
SELECT try($$SELECT * FROM fm_top_x('customer-42', 5, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x('good', 5)$$);
SELECT try($$SELECT * FROM fm_top_x('1'::text, 5, 'good', candidates => '{1,two}')$$);
SELECT try($$SELECT fm_predict('1', 'two', 'good')$$);
SELECT try($$SELECT * FROM fm_explain('one', '2', 'good')$$);
SELECT try($$SELECT * FROM fm_similar_items('two', 5, 'good')$$);
SELECT try($$SELECT * FROM fm_top_users('two', 5, 'good')$$);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE typed AS
SELECT md5(user_id::text)::uuid AS who, item_id::positive AS item_id, rating FROM ratings;
SELECT status FROM fm_train('typed', 'typed', user_column => 'who', num_factors => 2, iterations => 2);
SELECT try($$SELECT * FROM fm_top_x('customer-42', 5, 'typed')$$);
SELECT try($$SELECT * FROM fm_top_x(md5('1'), 5, 'typed', exclude => '{-2}')$$);
SELECT try($$SELECT * FROM fm_typed_top_x('customer-42', 5)$$);
SELECT fm_drop('typed');
DROP TABLE typed;

-- Baskets with missing or invalid values.
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], NULL, 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for(NULL::bigint[], '{5}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,NULL}'::bigint[], '{5,1}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,NULL}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,NaN}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,Infinity}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,3e38}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,1e30}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{9,-3}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{9,-3.001}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,x}'::text[], '{5,1}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,1}', NULL, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,1}', -1, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,1}', 3, 'good', exclude_seen => NULL)$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{5,1}', 3, 'good', context => '{"device": "phone"}')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,9223372036854775807}'::bigint[], '{5,1}', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{}'::text[], x => 3, model => 'good')$$);
BEGIN;
CREATE VIEW yesno AS SELECT user_id, item_id, rating > 2 AS yes FROM ratings;
SELECT version FROM fm_train('yesno', 'yesno', rating_column => 'yes', task => 'classification', num_factors => 2, iterations => 5);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{1,0.5}', 3, 'yesno')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], x => 3, model => 'yesno')$$);
SELECT version FROM fm_train('there', 'ratings', task => 'ranking', num_factors => 2, iterations => 5);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], '{1,1}', 3, 'there')$$);
SELECT try($$SELECT * FROM fm_top_x_for('{1,2}'::bigint[], x => 3, model => 'there')$$);
ROLLBACK;
SELECT try($$SELECT * FROM fm_similar_items(1, NULL, 'good')$$);
SELECT try($$SELECT * FROM fm_similar_items(1, -1, 'good')$$);
SELECT try($$SELECT * FROM fm_similar_items('x', 3, 'good')$$);
SELECT try($$SELECT * FROM fm_top_users(1, -1, 'good')$$);
SELECT try($$SELECT * FROM fm_top_users('x'::text, 3, 'good')$$);
SELECT try($$SELECT * FROM fm_explain('x', '1', 'good')$$);

-- Targets that cannot be written.
CREATE TABLE other (user_id int, rank int, score real);
CREATE TABLE typed (user_id text, rank int, item_id int, score real);
CREATE TABLE rated (user_id int, rank int, item_id int, rating text);
CREATE VIEW seen AS SELECT user_id, 1 AS rank, item_id, 1::real AS score FROM ratings;
SELECT try($$SELECT fm_write_top_x('other', 3, 'good')$$);
SELECT try($$SELECT fm_write_top_x('typed', 3, 'good')$$);
SELECT try($$SELECT fm_write_top_x('rated', 3, 'good')$$);
SELECT try($$SELECT fm_write_top_x('seen', 3, 'good')$$);
SELECT try($$SELECT fm_write_top_x('ratings', 3, 'good')$$);
SELECT try($$SELECT fm_write_top_x('', 3, 'good')$$);
SELECT try($$SELECT fm_write_top_x('a.b.c.d', 3, 'good')$$);
SELECT try($$SELECT fm_write_top_x('nosuch.lists', 3, 'good')$$);

-- A name that is in use.
CREATE TABLE fm_taken_item ();
SELECT try($$SELECT fm_train('taken', ratings => 'ratings')$$);

-- The ratings relation altered between training and serving. Calls that do not need it still work.
DROP VIEW places, documents, words, by_text, nans, infinities, huge, numeric_nans, nothing, nulls, equals, broken, seen;
ALTER TABLE ratings RENAME item_id TO film;
SELECT fm_top_x(1, 3, 'good');
SELECT fm_top_x_all(3, 'good');
SELECT fm_train('good');
SELECT fm_evaluate('ratings', 'good');
SELECT count(*) FROM fm_top_x(1, 3, 'good', exclude_seen => false);
SELECT count(*) FROM fm_top_x_all(3, 'good', false);
SELECT fm_predict(1, 1, 'good') BETWEEN 1 AND 5;
ALTER TABLE ratings RENAME film TO item_id;
SELECT try('SELECT 1');

ALTER TABLE ratings ALTER item_id TYPE text;
SELECT fm_top_x(1, 3, 'good');
SELECT fm_top_x_all(3, 'good');
SELECT fm_train('good');
SELECT fm_fold_in('good');
SELECT count(*) FROM fm_top_x(1, 3, 'good', exclude_seen => false);
ALTER TABLE ratings ALTER item_id TYPE int USING item_id::int;
SELECT try('SELECT 1');

-- A relation that is renamed or moved is the same; another one of its old name is not.
ALTER TABLE ratings RENAME TO opinions;
SELECT try('SELECT 1');
CREATE SCHEMA elsewhere;
ALTER TABLE opinions SET SCHEMA elsewhere;
SELECT try('SELECT 1');
ALTER TABLE elsewhere.opinions SET SCHEMA errors;
CREATE TABLE ratings (user_id int, item_id int, rating real);
SELECT try('SELECT 1');
DROP TABLE ratings;

-- The same for the tables of the model.
ALTER TABLE fm_good_user RENAME TO renamed;
ALTER TABLE fm_good_version SET SCHEMA elsewhere;
SELECT try('SELECT 1');
SELECT version FROM fm_train('good');
SELECT try('SELECT 1');
ALTER TABLE renamed RENAME TO fm_good_user;
ALTER TABLE elsewhere.fm_good_version SET SCHEMA errors;

-- The ratings relation dropped.
DROP TABLE opinions;
DELETE FROM kept WHERE seen;
CREATE OR REPLACE VIEW served AS
SELECT false AS seen, l.* FROM
    (SELECT u, t.* FROM generate_series(0, 12) u, fm_top_x(u, 3, 'good', false) t
     UNION ALL SELECT user_id::int, rank, item_id::bigint, score, rating FROM fm_top_x_all(3, 'good', false)) l;
SELECT try($$SELECT fm_top_x(1, 3, 'good')$$);
SELECT try($$SELECT fm_top_x_all(3, 'good')$$);
SELECT try($$SELECT fm_train('good')$$);
SELECT try($$SELECT fm_fold_in('good')$$);
SELECT try($$SELECT fm_write_top_x('lists', 3, 'good', false)$$);
SELECT count(*) FROM lists;
\set VERBOSITY sqlstate
CALL fm_refresh('good');
\set VERBOSITY default
SELECT try('SELECT 1');
SELECT version, status, regexp_replace(message, 'OID \d+', 'OID ...') FROM fm_runs WHERE model = 'good' ORDER BY version;

-- A damaged table of the model: an error when it is read, before it can corrupt memory.
CREATE TABLE words (user_id text, item_id text, rating real);
INSERT INTO words SELECT u, i, 1 + (u * i) % 5 FROM generate_series(1, 6) u, generate_series(1, 6) i;
SELECT version FROM fm_train('words', ratings => 'words', num_factors => 2, iterations => 5);
INSERT INTO words VALUES ('new', '1', 3);
SELECT count(*) FROM fm_top_x('new', 10, 'words');
BEGIN;
UPDATE fm_words_item SET idx = 2000000000 WHERE item_id = '1';
SELECT try($$SELECT fm_top_x('new', 3, 'words')$$);
SELECT try($$SELECT fm_top_x('1'::text, 3, 'words', candidates => '{1}')$$);
SELECT try($$SELECT fm_top_x_all(3, 'words')$$);
SELECT try($$SELECT fm_predict('1'::text, '1'::text, 'words')$$);
UPDATE fm_words_item SET idx = -1 WHERE item_id = '1';
SELECT try($$SELECT fm_top_x('new', 3, 'words')$$);
ROLLBACK;
BEGIN;
ALTER TABLE fm_words_item ALTER idx TYPE text;
SELECT try($$SELECT fm_top_x('new', 3, 'words')$$);
SELECT try($$SELECT fm_top_x('1'::text, 3, 'words', candidates => '{1}')$$);
ROLLBACK;
BEGIN;
ALTER TABLE fm_words_user ALTER v TYPE text;
SELECT try($$SELECT fm_top_x('1'::text, 3, 'words')$$);
SELECT try($$SELECT fm_top_x_all(3, 'words')$$);
ROLLBACK;
BEGIN;
UPDATE fm_words_user SET v = '{1,2,3}' WHERE user_id = '1';
SELECT try($$SELECT fm_top_x('1'::text, 3, 'words')$$);
UPDATE fm_words_user SET v = '{1,NULL}' WHERE user_id = '1';
SELECT try($$SELECT fm_top_x('1'::text, 3, 'words')$$);
UPDATE fm_words_user SET v = '{1,NaN}' WHERE user_id = '1';
SELECT try($$SELECT fm_top_x('1'::text, 3, 'words')$$);
ROLLBACK;
DELETE FROM fm_words_item WHERE idx = 3;
UPDATE fm_good_version SET b = 'NaN';
ALTER TABLE fm_good_matrix RENAME TO renamed;
-- so that the loaded version is not used
UPDATE fm_model SET stamp = stamp + 1 WHERE model IN ('words', 'good');
\c -
SET search_path = errors, public;
\pset format unaligned
\pset tuples_only
SELECT fm_top_x('new', 3, 'words');
SELECT fm_top_x(1, 3, 'good', exclude_seen => false);
UPDATE fm_good_version SET b = 3;
ALTER TABLE renamed ALTER matrix TYPE bytea USING '\x00';
SELECT fm_top_x(1, 3, 'good', exclude_seen => false);

-- Dropped.
DROP TABLE renamed;
SELECT fm_top_x(1, 3, 'good', exclude_seen => false);
SELECT fm_write_top_x('lists', 3, 'good', false);
CALL fm_refresh('good');
SELECT fm_train('good', ratings => 'words');
SELECT fm_drop('good');
SELECT fm_top_x(1, 3, 'good', exclude_seen => false);
SELECT fm_drop('words');
SELECT fm_top_x(1);
SELECT relname FROM pg_class WHERE relname ~ '^fm_(good|words)_' AND relkind = 'r';
-- Tables written by fm_write_top_x stay.
SELECT count(*) FROM lists;

-- A training that needs more memory than allowed fails before it starts. The error says how much.
SET fmtopx.training_memory = '1MB';
CREATE TABLE many AS SELECT u AS user_id, i AS item_id, (u * i % 7)::real AS rating
FROM generate_series(1, 1000) u, generate_series(1, 100) i;
SELECT fm_train('many', 'many');
SELECT count(*) FROM fm_models WHERE model = 'many';
CREATE VIEW few AS SELECT * FROM many WHERE user_id <= 10;
CREATE TABLE wide AS SELECT i AS item_id, u AS part FROM generate_series(1, 100) i, generate_series(1, 300) u;
SELECT status FROM fm_train('few', 'few', iterations => 1, rank_by => 'rating');
SELECT fm_train('few', 'few', iterations => 1, rank_by => 'rating', item_features => 'wide');
CREATE VIEW each_its_own AS SELECT *, user_id || '/' || item_id AS moment FROM many WHERE user_id <= 100;
SELECT fm_train('few', 'each_its_own', iterations => 1, context_columns => '{moment}');
RESET fmtopx.training_memory;

SET client_min_messages = warning;
DROP SCHEMA errors CASCADE;
DROP SCHEMA elsewhere CASCADE;
