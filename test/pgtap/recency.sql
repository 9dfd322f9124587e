-- time_column: newer rows count more in lists, by whatever type the time has.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
CREATE EXTENSION IF NOT EXISTS pgtap;
BEGIN;
SELECT no_plan();

-- Everybody has moved from the items 1 to 10 to the items 11 to 20, whose ratings are alike. The times of some are not known.
CREATE TABLE moved AS
SELECT u AS user_id, i AS item_id, (3 + (u * 7 + i * 3) % 3)::real AS rating,
       CASE WHEN u % 10 > 0 THEN date '2020-01-01' + CASE WHEN i > 10 THEN 1000 + u ELSE u END END AS day
FROM generate_series(1, 60) u, generate_series(1, 20) i
WHERE (u * 31 + i * 17) % 4 > 0;
CREATE VIEW moved_alike AS SELECT user_id, item_id, rating, date '2020-01-01' AS day FROM moved;
CREATE VIEW moved_seconds AS SELECT user_id, item_id, rating, extract(epoch FROM day::timestamptz) / 1e6 AS day FROM moved;
CREATE VIEW moved_stamps AS SELECT user_id, item_id, rating, day::timestamptz AS day FROM moved;
CREATE VIEW moved_later AS SELECT user_id, item_id, rating, day + 100000 AS day FROM moved;

CREATE FUNCTION pg_temp.interest(relation regclass, options text) RETURNS TABLE (item_id integer, mean double precision)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT fm_train(''r'', %L, num_factors => 2, iterations => 10, rank_by => ''interest'' %s)', relation, options);
    RETURN QUERY SELECT i.item_id, avg(i.interest_w + (SELECT sum(a * b) FROM unnest(u.interest_v, i.interest_v) AS e(a, b)))
                 FROM fm_r_user u, fm_r_item i GROUP BY 1;
    PERFORM fm_drop('r');
END $$;
CREATE TEMP TABLE none AS SELECT * FROM pg_temp.interest('moved', '');
CREATE TEMP TABLE days AS SELECT * FROM pg_temp.interest('moved', ', time_column => ''day''');

SELECT cmp_ok(avg(d.mean) / avg(n.mean), '>', 1.2::float8 * (SELECT avg(d.mean) / avg(n.mean) FROM days d JOIN none n USING (item_id) WHERE item_id <= 10),
              'newer items gain on older ones')
FROM days d JOIN none n USING (item_id) WHERE item_id > 10;
SELECT results_eq('SELECT * FROM pg_temp.interest(''moved_alike'', '', time_column => ''''day'''''') ORDER BY 1', 'SELECT * FROM none ORDER BY 1',
                  'one day for all is as good as no time');
SELECT results_eq(format('SELECT * FROM pg_temp.interest(%L, '', time_column => ''''day'''''') ORDER BY 1', relation), 'SELECT * FROM days ORDER BY 1',
                  relation || ': only the order of the times matters')
FROM unnest('{moved_seconds,moved_stamps,moved_later}'::text[]) relation;

-- In a ranking, with weights and without, and for a user who is folded in. How much more the newer items score than the older:
CREATE TABLE ranked AS SELECT user_id, item_id, day, 1 + (user_id + item_id) % 3 AS pieces FROM moved;
CREATE FUNCTION pg_temp.gain(options text) RETURNS TABLE (trained double precision, folded double precision) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT fm_train(''r'', ''ranked'', task => ''ranking'', num_factors => 2, iterations => 10 %s)', options);
    INSERT INTO ranked SELECT 1001, item_id, date '2020-01-01' + item_id, 1 FROM generate_series(1, 20) item_id;
    PERFORM fm_fold_in('r');
    RETURN QUERY SELECT avg(score) FILTER (WHERE user_id < 1000 AND item_id > 10) / avg(score) FILTER (WHERE user_id < 1000 AND item_id <= 10),
                        avg(score) FILTER (WHERE user_id > 1000 AND item_id > 10) - avg(score) FILTER (WHERE user_id > 1000 AND item_id <= 10)
                 FROM (SELECT user_id, i.item_id, u.w + i.w + (SELECT sum(a * b) FROM unnest(u.v, i.v) AS e(a, b)) AS score
                       FROM fm_r_user u JOIN fm_r_item i USING (version) WHERE version = (SELECT active_version FROM fm_models WHERE model = 'r')) AS s;
    PERFORM fm_drop('r');
    DELETE FROM ranked WHERE user_id = 1001;
END $$;
CREATE TEMP TABLE gains AS
SELECT weighed, d.trained, d.folded, n.trained AS trained_without, n.folded AS folded_without
FROM unnest('{"", ", weight_column => ''pieces''"}'::text[]) weighed,
     pg_temp.gain(weighed || ', time_column => ''day''') d, pg_temp.gain(weighed) n;
SELECT cmp_ok(trained, '>', 1.2 * trained_without, 'newer items gain in a ranking' || weighed) FROM gains;
SELECT cmp_ok(folded, '>', folded_without + 0.01, '... and for a user folded in') FROM gains;
UPDATE ranked SET day = '2020-01-01' WHERE user_id < 1000;
SELECT is((SELECT trained FROM pg_temp.gain(', time_column => ''day''')), (SELECT trained FROM pg_temp.gain('')), 'one day for all is as good as no time');

-- The definition keeps it.
SELECT is(status, 'succeeded', 'a training with a time column') FROM fm_train('kept', 'moved', num_factors => 2, iterations => 5, rank_by => 'interest', time_column => 'day');
SELECT is(status, 'succeeded', 'again') FROM fm_train('kept');
SELECT is((SELECT time_column::text || ' ' || rank_by FROM fm_models WHERE model = 'kept'), 'day interest', 'the definition keeps both');
SELECT * FROM finish();
ROLLBACK;
