-- See run.sh. Users and items follow a power law; the model is rough, since only its shape matters here.
\set QUIET on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION fmtopx;
CREATE TABLE times (what text, run integer, ms double precision);

SELECT setseed(0.5) \g /dev/null
CREATE TABLE ratings AS
SELECT 1 + least(:users - 1, floor(:users * random() ^ 1.3))::integer AS user_id,
    least(:items, floor(:items ^ random()))::integer AS item_id, (1 + floor(5 * random()))::real AS rating
FROM generate_series(1, :ratings);
INSERT INTO ratings SELECT u, 1 + u % :items, 3 FROM generate_series(1, :users) u;
CREATE INDEX ON ratings (user_id);
VACUUM ANALYZE ratings;
\echo 'training'
SELECT status
FROM fm_train('m', 'ratings', solver => 'als', num_factors => 64, iterations => 2, rank_by => 'rating');

-- Two rows of each user to evaluate, of whatever items.
CREATE TABLE asked AS SELECT u AS user_id, 1 + (n * 7919 + u) % :items AS item_id, 5::real AS rating
FROM generate_series(1, :users) u, generate_series(1, 2) n;
VACUUM ANALYZE asked;

-- Written once to be the rows of the INSERT, in a plain table.
SELECT fm_write_top_x('ready', :x, 'm') \g /dev/null
ALTER TABLE ready DROP CONSTRAINT ready_pkey;
VACUUM ANALYZE ready;

-- Runs a statement and notes how long it took, to its commit.
CREATE PROCEDURE timed(what text, run integer, statement text) LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    COMMIT;
    INSERT INTO times VALUES (what, run, 1000 * extract(epoch FROM clock_timestamp() - began));
END $$;

CREATE FUNCTION equal_to_function(target regclass, x integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    differing bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT user_id::text, rank, item_id::text, score, rating FROM %s
        EXCEPT ALL SELECT * FROM fm_top_x_all(%s, ''m'')) d', target, x) INTO differing;
    IF differing = 0 THEN
        EXECUTE format('SELECT count(*) FROM (SELECT s.user_id, t.*
            FROM (SELECT DISTINCT user_id FROM %s ORDER BY 1 LIMIT 1000) s, fm_top_x(s.user_id, %s, ''m'') t
            EXCEPT ALL TABLE %s) d', target, x, target) INTO differing;
    END IF;
    IF differing > 0 THEN
        RAISE '% holds % wrong rows', target, differing;
    END IF;
    RETURN true;
END $$;

\set run 1
\ir round.sql
\set run 2
\ir round.sql
\set run 3
\ir round.sql

\echo
SELECT what, min(ms)::integer AS ms,
    round((min(ms) / (SELECT min(ms) FROM times WHERE what LIKE 'INSERT%'))::numeric, 2) AS of_insert,
    string_agg(ms::integer::text, ' ' ORDER BY run) AS all_ms
FROM times GROUP BY 1 ORDER BY min(ms) DESC;
