-- See similar.sh. Users and items follow a power law; the model is rough, since only its shape matters here.
\set QUIET on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION fmtopx;
CREATE TABLE times (what text, run integer, ms double precision);

SELECT setseed(0.5) \g /dev/null
CREATE TABLE ratings AS
SELECT 1 + least(:items - 1, floor(:items * random() ^ 1.3))::integer AS user_id,
    least(:items, floor(:items ^ random()))::integer AS item_id, (1 + floor(5 * random()))::real AS rating
FROM generate_series(1, :ratings);
INSERT INTO ratings SELECT n, 1 + (7919 * n::bigint) % :items, 1 + n % 5 FROM generate_series(1, :items) n;
INSERT INTO ratings SELECT 1 + (104729 * n::bigint) % :items, n, 1 + n % 5 FROM generate_series(1, :items) n;
VACUUM ANALYZE ratings;
\echo 'training'
SELECT status
FROM fm_train('m', 'ratings', solver => 'als', num_factors => 64, iterations => 2, rank_by => 'rating');

-- Runs a statement and notes how long it took, to its commit.
CREATE PROCEDURE timed(what text, run integer, statement text) LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    EXECUTE statement;
    COMMIT;
    INSERT INTO times VALUES (what, run, 1000 * extract(epoch FROM clock_timestamp() - began));
END $$;

CREATE FUNCTION equal_to_function(x integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    differing bigint;
BEGIN
    SELECT count(*) INTO differing FROM (
        SELECT i.item_id, t.* FROM (SELECT DISTINCT item_id FROM alike WHERE item_id % 20 = 0) i,
            fm_similar_items(i.item_id, x, 'm') t
        EXCEPT ALL SELECT item_id, rank, similar_item_id, score FROM alike) d;
    IF differing > 0 OR (SELECT n * least(x, n - 1) <> total
                         FROM (SELECT count(DISTINCT item_id) AS n, count(*) AS total FROM alike) s) THEN
        RAISE 'the table of similar items holds wrong rows';
    END IF;
    RETURN true;
END $$;

\set run 1
\ir similar_round.sql
\set run 2
\ir similar_round.sql
\set run 3
\ir similar_round.sql

\echo
SELECT what, min(ms)::integer AS ms,
    round((min(ms) / (SELECT min(ms) FROM times WHERE what LIKE 'the lists of%'))::numeric, 2) AS of_lists,
    string_agg(ms::integer::text, ' ' ORDER BY run) AS all_ms
FROM times GROUP BY 1 ORDER BY min(ms) DESC;
