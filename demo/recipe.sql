-- From the artefact of a cloud service to lists: docs/from-sagemaker.md. Run with psql in an empty database:
--
--     psql -d recipe -v model=/path/of/model.tar.gz -f demo/recipe.sql
--
-- Without a model of your own, one is made up here: 30 users, then 40 items, with 4 factors, as a list of
-- arrays in the form of MXNet.
\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS fmtopx;

-- Which row of the model is whose. In the published recipe users come first, then items.
CREATE TABLE encoded_users AS SELECT u AS user_id, u - 1 AS idx FROM generate_series(1, 30) u;
CREATE TABLE encoded_items AS SELECT i AS item_id, 30 + i - 1 AS idx FROM generate_series(1, 40) i;
CREATE TABLE films AS SELECT i AS item_id, 'Film ' || i AS title FROM generate_series(1, 40) i;

\if :{?model}
\lo_import :model
SELECT lo_get(:LASTOID) AS artefact \gset
CREATE TABLE ratings (user_id integer, item_id integer, rating real); -- yours
\else
-- A record of the list has a magic number, storage type, dimensions, context, type, and the numbers.
CREATE FUNCTION pg_temp.little(value bigint, size integer) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(set_byte('\x00', 0, ((value >> 8 * b) & 255)::integer), '' ORDER BY b)
    FROM generate_series(0, size - 1) b
$$;
CREATE FUNCTION pg_temp.float(value float8) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(substr(float4send(value::real), b, 1), '' ORDER BY b DESC)
    FROM generate_series(1, 4) b
$$;
CREATE FUNCTION pg_temp.array(row_count integer, columns integer, numbers float8[]) RETURNS bytea
LANGUAGE sql AS $$
    SELECT pg_temp.little(x'F993FAC9'::bigint, 4) || pg_temp.little(0, 4) || pg_temp.little(2, 4)
        || pg_temp.little(row_count, 8) || pg_temp.little(columns, 8) || pg_temp.little(1, 4)
        || pg_temp.little(0, 8) || string_agg(pg_temp.float(n), '' ORDER BY place)
    FROM unnest(numbers) WITH ORDINALITY AS u (n, place)
$$;
CREATE FUNCTION pg_temp.name(name text) RETURNS bytea LANGUAGE sql AS $$
    SELECT pg_temp.little(length(name), 8) || convert_to(name, 'UTF8')
$$;
SELECT pg_temp.little(x'112'::bigint, 8) || pg_temp.little(0, 8) || pg_temp.little(3, 8)
    || pg_temp.array(70, 4, ARRAY(SELECT sin(r * 4 + f)
                                  FROM generate_series(0, 69) r, generate_series(1, 4) f ORDER BY r, f))
    || pg_temp.array(70, 1, ARRAY(SELECT cos(r) / 2 FROM generate_series(0, 69) r ORDER BY r))
    || pg_temp.array(1, 1, ARRAY[3])
    || pg_temp.little(3, 8) || pg_temp.name('v') || pg_temp.name('w1_weight') || pg_temp.name('w0_weight')
    AS artefact \gset

-- What has been rated, about as the model predicts: it is not recommended again.
CREATE TABLE ratings AS
SELECT u.user_id, i.item_id,
       least(5, greatest(1, 3 + cos(u.idx) / 2 + cos(i.idx) / 2 + cos(u.user_id * i.item_id) / 2
           + (SELECT sum(sin(u.idx * 4 + f) * sin(i.idx * 4 + f))
              FROM generate_series(1, 4) f)))::real AS rating
FROM encoded_users u CROSS JOIN encoded_items i
WHERE (u.user_id * 7 + i.item_id * 3) % 4 = 0;
\endif

\echo
\echo 'The artefact becomes a model:'
SELECT users, items, num_factors, train_metrics ->> 'rmse' AS rmse
FROM fm_import('films', :'artefact', 'encoded_users', 'encoded_items', 'ratings');

\echo 'A list, live, without what the user has rated:'
SELECT t.rank, f.title, t.rating::numeric(6, 2)
FROM fm_top_x(7, 5, 'films') t JOIN films f USING (item_id) ORDER BY rank;

\echo 'Lists of all users in a table, which a refresh keeps fresh:'
SELECT fm_write_top_x('recommendations', 5, 'films') AS rows;
INSERT INTO ratings SELECT 7, item_id, 4 FROM recommendations WHERE user_id = 7 AND rank = 1;
CALL fm_refresh('films');
SELECT r.rank, f.title FROM recommendations r JOIN films f USING (item_id) WHERE r.user_id = 7 ORDER BY rank;

\echo 'A user whom the service has not seen:'
INSERT INTO ratings VALUES (1000, 3, 5), (1000, 4, 1), (1000, 9, 5);
SELECT t.rank, f.title, t.rating::numeric(6, 2)
FROM fm_top_x(1000, 3, 'films') t JOIN films f USING (item_id) ORDER BY rank;

\echo 'The batch output of the service, best first:'
SELECT fm_export_jsonl('films', 3) LIMIT 2;

\echo 'And from here on it is trained where the ratings are:'
SELECT version, solver, users, items FROM fm_train('films', ratings => 'ratings', num_factors => 4);
