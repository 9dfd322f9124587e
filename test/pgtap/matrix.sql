-- Properties of fm_matrix: its scan against brute force in SQL, its aggregate in every plan against
-- itself, its text and binary forms against each other. Requires a superuser, because it writes a file.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS fmtopx;

SELECT plan(43);
SELECT setseed(0.42);

-- Seeded random matrices of many shapes, scales and numbers of ties.

CREATE TABLE matrix_cases (case_id integer PRIMARY KEY, name text, num_items integer,
                           num_factors integer, scale float8, digits integer);
INSERT INTO matrix_cases VALUES
    (1, 'one item, one factor', 1, 1, 1, 6),
    (2, 'one factor', 300, 1, 1, 6),
    (3, 'a whole block', 16, 3, 1, 6),
    (4, 'a block and one item', 17, 5, 1, 6),
    (5, 'many items', 3000, 8, 1, 6),
    (6, 'many factors', 70, 200, 1, 6),
    (7, 'as many factors as there may be', 20, 2050, 1, 6),
    (8, 'many ties', 2000, 2, 1, 0),
    (9, 'huge numbers', 500, 7, 1e37, 6),
    (10, 'tiny numbers', 500, 7, 1e-38, 6);

CREATE FUNCTION pg_temp.random_vector(length integer, scale float8, digits integer) RETURNS real[]
LANGUAGE sql VOLATILE AS $$
    SELECT array_agg((round((2 * random() - 1)::numeric, digits)::float8 * scale)::real)
      FROM generate_series(1, length)
$$;

CREATE TABLE matrix_items AS
    SELECT case_id, item * 1000 - 500 AS item_id,
           pg_temp.random_vector(num_factors, scale, digits) AS v,
           (pg_temp.random_vector(1, scale, digits))[1] AS w
      FROM matrix_cases, generate_series(1, num_items) AS item ORDER BY random();
CREATE TABLE matrix_values AS
    SELECT case_id, fm_matrix_agg(item_id, v, w) AS m FROM matrix_items GROUP BY case_id;
CREATE TABLE matrix_queries AS
    SELECT case_id, query_id, pg_temp.random_vector(num_factors + query_id % 2, 1, digits) AS q
      FROM matrix_cases, generate_series(1, 4) AS query_id;

-- The terms in index order, in double precision, the bias last.
CREATE TABLE matrix_scores AS
    SELECT case_id, query_id, item_id,
           (SELECT sum(a::float8 * b::float8 ORDER BY f)
              FROM unnest(v || w, q || CASE WHEN cardinality(q) = cardinality(v) THEN 1::real END)
                   WITH ORDINALITY AS t (a, b, f) WHERE a IS NOT NULL AND b IS NOT NULL) AS score
      FROM matrix_items JOIN matrix_queries USING (case_id);

SELECT is(count(*), (SELECT count(*) * 4 FROM matrix_items), 'there is a score for every pair')
  FROM matrix_scores WHERE score IS NOT NULL;

CREATE FUNCTION pg_temp.differences(id integer, x integer) RETURNS SETOF record LANGUAGE sql AS $$
    WITH brute AS (
        SELECT query_id, rank() OVER w::integer AS rank, item_id::bigint, score::real
          FROM matrix_scores WHERE case_id = id
        WINDOW w AS (PARTITION BY query_id ORDER BY score DESC, item_id)
    ), scanned AS (
        SELECT query_id, t.* FROM matrix_values JOIN matrix_queries USING (case_id),
               fm_matrix_top_x(m, q, x) AS t
         WHERE case_id = id
    )
    (SELECT * FROM brute WHERE rank <= x EXCEPT ALL SELECT * FROM scanned)
    UNION ALL
    (SELECT * FROM scanned EXCEPT ALL SELECT * FROM brute WHERE rank <= x)
$$;

SELECT is_empty(format('SELECT x, d.* FROM unnest(ARRAY[1, 7, 50, 5000]) AS x,
                        pg_temp.differences(%s, x)
                        AS d (query_id integer, rank integer, item_id bigint, score real)', case_id),
                'the scan equals brute force: ' || name)
  FROM matrix_cases ORDER BY case_id;

-- One call in one statement with many matrices, several times each, alternating or in a row.
SELECT is_empty(format($$
    WITH brute AS (
        SELECT case_id, query_id, rank() OVER w::integer AS rank, item_id::bigint, score::real FROM matrix_scores
        WINDOW w AS (PARTITION BY case_id, query_id ORDER BY score DESC, item_id)
    ), scanned AS (
        SELECT case_id, query_id, t.* FROM (SELECT * FROM matrix_values JOIN matrix_queries USING (case_id) ORDER BY %s OFFSET 0) c,
               fm_matrix_top_x(m, q, 9) AS t
    )
    (SELECT * FROM brute WHERE rank <= 9 EXCEPT ALL SELECT * FROM scanned)
    UNION ALL
    (SELECT * FROM scanned EXCEPT ALL SELECT * FROM brute WHERE rank <= 9)$$, sort), 'many matrices by ' || sort)
  FROM unnest('{"case_id, query_id","query_id, case_id"}'::text[]) AS sort;

SELECT is(array_agg(rank), '{1,2,3}', 'rows come in the order of their ranks')
  FROM matrix_values, fm_matrix_top_x(m, '{1, 1}', 3) WHERE case_id = 8;

-- Sizes, and how the value is stored.

SELECT results_eq('SELECT case_id, fm_matrix_items(m), fm_matrix_factors(m)
                     FROM matrix_values ORDER BY case_id',
                  'SELECT case_id, num_items::bigint, num_factors FROM matrix_cases ORDER BY case_id',
                  'fm_matrix_items and fm_matrix_factors');
SELECT cmp_ok(pg_column_size(m), '>=', 3000 * (8 + 9 * 4), 'a large matrix is stored uncompressed')
  FROM matrix_values WHERE case_id = 5;

-- The aggregate gives the same value in every order and every plan.

CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    lines text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        lines := lines || line || E'\n';
    END LOOP;
    RETURN lines;
END
$$;

SELECT ok(fm_matrix_send(m) = (SELECT fm_matrix_send(fm_matrix_agg(item_id, v, w ORDER BY random()))
                                 FROM matrix_items WHERE case_id = 5),
          'the order of the rows does not matter')
  FROM matrix_values WHERE case_id = 5;

ANALYZE matrix_items;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
ALTER TABLE matrix_items SET (parallel_workers = 2);
SELECT alike(pg_temp.plan_of('SELECT fm_matrix_agg(item_id, v, w) FROM matrix_items WHERE case_id = 5'),
             '%Finalize Aggregate%Workers Planned: 2%Partial Aggregate%',
             'the aggregate runs in parallel');
SELECT ok(fm_matrix_send(m) = (SELECT fm_matrix_send(fm_matrix_agg(item_id, v, w))
                                 FROM matrix_items WHERE case_id = 5),
          'in parallel the result is the same')
  FROM matrix_values WHERE case_id = 5;
SET LOCAL parallel_leader_participation = off;
SELECT ok(fm_matrix_send(m) = (SELECT fm_matrix_send(fm_matrix_agg(item_id, v, w))
                                 FROM matrix_items WHERE case_id = 5),
          'in workers alone the result is the same')
  FROM matrix_values WHERE case_id = 5;
SELECT is((SELECT fm_matrix_agg(item_id, v, w)::text FROM matrix_items WHERE case_id = 1), m::text,
          'a worker may have no rows')
  FROM matrix_values WHERE case_id = 1;
SELECT is((SELECT fm_matrix_agg(item_id, v, w)::text FROM matrix_items WHERE case_id = 0), NULL,
          'no rows give NULL in parallel, too');
SELECT ok(bool_and(fm_matrix_send(m) = fm_matrix_send(again)), 'in parallel by group the result is the same')
  FROM matrix_values JOIN (SELECT case_id, fm_matrix_agg(item_id, v, w) AS again
                             FROM matrix_items GROUP BY case_id) AS s USING (case_id);
SELECT throws_ok('SELECT fm_matrix_agg(item_id % 7000, v, w) FROM matrix_items WHERE case_id = 5',
                 '23505', NULL, 'a duplicate id in two workers is an error');
SELECT throws_ok('SELECT fm_matrix_agg(item_id, v, w) FROM matrix_items WHERE case_id IN (3, 5)',
                 '22000', 'v must have the same number of elements for every item',
                 'a different length in another worker is an error');
RESET max_parallel_workers_per_gather;

SELECT is_empty($$
    SELECT item_id FROM (
        SELECT item_id, fm_matrix_agg(item_id, v, w) OVER f AS m, array_agg(item_id) OVER f AS ids
          FROM matrix_items WHERE case_id = 4
        WINDOW f AS (ORDER BY item_id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)) AS framed
     WHERE m::text IS DISTINCT FROM (SELECT fm_matrix_agg(i.item_id, i.v, i.w)::text
                                       FROM matrix_items AS i
                                      WHERE case_id = 4 AND i.item_id = ANY (ids))
    $$, 'over a moving window the result is that of the same rows');
SELECT is_empty($$
    SELECT item_id FROM (
        SELECT item_id, fm_matrix_items(fm_matrix_agg(item_id, v, w) OVER (ORDER BY item_id)) AS items,
               count(*) OVER (ORDER BY item_id) AS expected
          FROM matrix_items WHERE case_id = 5 LIMIT 200) AS growing
     WHERE items <> expected
    $$, 'over a growing window it continues after giving a value');

-- Text and binary forms.

SELECT is_empty('SELECT case_id FROM matrix_values
                  WHERE fm_matrix_send(m::text::fm_matrix) <> fm_matrix_send(m)',
                'the text form reads back as the same bits');
SELECT lives_ok('SELECT m::text::jsonb FROM matrix_values', 'the text form is JSON');
SELECT is(jsonb_path_query_array(m::text::jsonb, '$[*][0]'),
          (SELECT jsonb_agg(item_id ORDER BY item_id) FROM matrix_items WHERE case_id = 4),
          'the text form lists the items by id')
  FROM matrix_values WHERE case_id = 4;

-- Receive a value through binary COPY: a header, one row of one column, and a trailer.
CREATE FUNCTION pg_temp.copy_file() RETURNS text LANGUAGE sql AS $$
    SELECT current_setting('data_directory') || '/fmtopx_matrix_test.copy'
$$;
CREATE TEMP TABLE received (m fm_matrix);
CREATE FUNCTION pg_temp.receive(value bytea) RETURNS fm_matrix LANGUAGE plpgsql AS $$
DECLARE
    object oid := lo_from_bytea(0, '\x5047434f50590aff0d0a000000000000000000'::bytea || int2send(1::int2)
                                   || int4send(length(value)) || value || int2send((-1)::int2));
BEGIN
    PERFORM lo_export(object, pg_temp.copy_file()), lo_unlink(object);
    TRUNCATE received;
    EXECUTE format('COPY received FROM %L (FORMAT binary)', pg_temp.copy_file());
    RETURN (SELECT m FROM received);
END
$$;
SELECT is_empty('SELECT case_id FROM matrix_values
                  WHERE fm_matrix_send(pg_temp.receive(fm_matrix_send(m))) <> fm_matrix_send(m)',
                'the binary form reads back as the same value');
SELECT is(pg_temp.receive('\x464d58010000000200000001ffffffffffffffff3f800000400000000000000000000005bf80000000000001')::text,
          '[[-1,[1],2],[5,[-1],1e-45]]', 'the binary form has the documented layout');

CREATE FUNCTION pg_temp.throws_on_receive(value bytea, code text, message text, description text)
RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(format('SELECT pg_temp.receive(%L)', value), code::char(5), message, description)
$$;
SELECT pg_temp.throws_on_receive('\x464d5802000000010000000100000000000000013f80000040000000', '22P03',
    'unknown binary format 464D5802 of type fm_matrix', 'another format is refused');
SELECT pg_temp.throws_on_receive('\x464d58010000000000000001', '22P03',
    'fm_matrix of 0 items', 'a matrix without items is refused');
SELECT pg_temp.throws_on_receive('\x464d5801ffffffff00000001', '22P03',
    'fm_matrix of -1 items', 'a negative number of items is refused');
SELECT pg_temp.throws_on_receive('\x464d58010000000100000000', '22P03',
    'fm_matrix of 0 factors', 'a matrix without factors is refused');
SELECT pg_temp.throws_on_receive('\x464d58010000000100000803', '22P03',
    'fm_matrix of 2051 factors', 'too many factors are refused');
SELECT pg_temp.throws_on_receive('\x464d58017fffffff00000400', '54000',
    'fm_matrix of 2147483647 items with 1024 factors is too large',
    'a size above the limit is refused before anything is allocated');
SELECT pg_temp.throws_on_receive('\x464d5801000000010000000100000000000000013f800000400000', '22P03',
    'fm_matrix of 1 items with 1 factors is followed by 15 bytes instead of 16',
    'a truncated message is refused');
SELECT pg_temp.throws_on_receive('\x464d5801000000010000000100000000000000013f8000004000000000', '22P03',
    'fm_matrix of 1 items with 1 factors is followed by 17 bytes instead of 16',
    'extra bytes are refused');
SELECT pg_temp.throws_on_receive('\x464d5801000000010000000100000000000000013f8000007fc00000', '22P03',
    'fm_matrix must be finite, but item id 1 has NaN', 'NaN is refused');
SELECT pg_temp.throws_on_receive('\x464d580100000001000000010000000000000001ff80000040000000', '22P03',
    'fm_matrix must be finite, but item id 1 has -Infinity', 'infinity is refused');
SELECT pg_temp.throws_on_receive(decode('464d58010000000200000001' || repeat('0000000000000001' || repeat('00', 8), 2), 'hex'),
    '22P03', 'item ids of an fm_matrix must ascend, but 1 follows 1', 'a repeated id is refused');

DO $$
BEGIN
    EXECUTE format('COPY (SELECT) TO PROGRAM %L', format('rm -f %L', pg_temp.copy_file()));
END
$$;

SELECT * FROM finish();
ROLLBACK;
