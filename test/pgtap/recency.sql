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

-- The definition keeps it.
SELECT is(status, 'succeeded', 'a training with a time column') FROM fm_train('kept', 'moved', num_factors => 2, iterations => 5, rank_by => 'interest', time_column => 'day');
SELECT is(status, 'succeeded', 'again') FROM fm_train('kept');
SELECT is((SELECT time_column::text || ' ' || rank_by FROM fm_models WHERE model = 'kept'), 'day interest', 'the definition keeps both');
SELECT * FROM finish();
ROLLBACK;
