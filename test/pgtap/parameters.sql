-- Parameters of the types that drivers send, and of none.
BEGIN;
SELECT plan(17);
SET client_min_messages = error;

CREATE TABLE rated AS
    SELECT u::bigint AS user_id, i AS item_id, (1 + (u * 7 + i * 3) % 5)::real AS rating
    FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * i) % 3 <> 1;

-- as psycopg 3 and JDBC send numbers
PREPARE train(text, regclass, double precision, double precision, double precision) AS
    SELECT status FROM fm_train($1, $2, test_size => $3, l2_reg_v => $4, l2_reg_w => $5, solver => 'als');
SELECT results_eq($$EXECUTE train('p', 'rated', 0.2, 1.0, 1.5)$$, $$VALUES ('succeeded'::text)$$, 'options of double precision');
PREPARE set_worse(double precision) AS SELECT fm_set('p', max_worse => $1);
SELECT lives_ok('EXECUTE set_worse(0.5)', 'fm_set');
SELECT is((SELECT max_worse FROM fm_models WHERE model = 'p'), 0.5::real, 'fm_set sets it');
SELECT throws_ok('EXECUTE set_worse(-0.5)', '22023', 'option max_worse must be at least 0, not -0.5', 'its range is checked');

-- x of type bigint
SELECT is((SELECT count(*) FROM fm_top_x(1::bigint, (SELECT count(*) FROM generate_series(1, 3)))), 3::bigint, 'x from count(*)');
SELECT is((SELECT count(*) FROM fm_top_x('1'::text, 9223372036854775807, exclude_seen => false)), 30::bigint, 'the largest x means all');
SELECT throws_ok('SELECT fm_top_x(1, -9223372036854775808)', '22023', 'x must not be negative, but is -9223372036854775808', 'a negative x is an error');
SELECT is((SELECT count(*) FROM fm_similar_items(1, 4::bigint)), 4::bigint, 'fm_similar_items');
SELECT is((SELECT count(*) FROM fm_top_users(1, 4::bigint)), 4::bigint, 'fm_top_users');
SELECT is(fm_write_top_x('rated_lists', 2::bigint, exclude_seen => false), 80::bigint, 'fm_write_top_x');

-- baskets
SELECT set_eq($$SELECT item_id::text, score FROM fm_top_x_for(ARRAY[1, 2], ARRAY[5, 3]::double precision[])$$,
              $$SELECT item_id, score FROM fm_top_x_for('{1,2}', '{5,3}')$$, 'an untyped basket is not ambiguous');
PREPARE basket AS SELECT item_id, score FROM fm_top_x_for($1, $2);
SELECT set_eq($$EXECUTE basket('{1,2}', '{5,3}')$$, $$SELECT item_id, score FROM fm_top_x_for(ARRAY['1', '2'], ARRAY[5, 3])$$,
              'nor is one of untyped parameters');
SELECT throws_ok($$SELECT fm_top_x_for('{1,2}', '{1e300,3}')$$, '22003', 'ratings must be finite, but one is 1e+300', 'a rating too large for real');

-- vectors
PREPARE matrix AS SELECT t.* FROM (SELECT fm_matrix_agg($1, $2, $3) AS m) a, fm_matrix_top_x(m, $4, $5) t;
SELECT set_eq($$EXECUTE matrix(7, '{1,2}', 0.5, '{3,4}', 1)$$, $$VALUES (1, 7::bigint, 11.5::real)$$, 'untyped vectors are not ambiguous');
SELECT set_eq($$SELECT item_id, score FROM fm_matrix_top_x((SELECT fm_matrix_agg(7, ARRAY[1, 2]::float8[], 0.5::float8)), ARRAY[3, 4]::real[], 1)$$,
              $$VALUES (7::bigint, 11.5::real)$$, 'vectors of double precision and of real');
SELECT throws_ok($$SELECT fm_matrix_agg(7, ARRAY[1, 1e300], 0)$$, '22003', 'v must fit type real, but element 2 is 1e+300', 'an element too large for real');

-- of no type at all: every function can be prepared, with any number of its arguments
CREATE FUNCTION not_prepared() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    call record;
BEGIN
    FOR call IN
        SELECT format('%I(%s)', f.proname, (SELECT string_agg('$' || i, ', ' ORDER BY i) FROM generate_series(1, n) i)) AS text
        FROM (SELECT p.proname, min(p.pronargs - p.pronargdefaults)::int AS fewest, max(p.pronargs)::int AS most
              FROM pg_proc p
              JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
              JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'fmtopx'
              WHERE p.prokind <> 'p' AND NOT 'internal'::regtype = ANY (p.proargtypes)
              GROUP BY p.proname) f,
             generate_series(fewest, most) n
    LOOP
        BEGIN
            EXECUTE 'PREPARE probe AS SELECT ' || call.text;
            DEALLOCATE probe;
        EXCEPTION WHEN OTHERS THEN
            RETURN NEXT call.text || ': ' || SQLERRM;
        END;
    END LOOP;
END $$;
SELECT is_empty('SELECT not_prepared()', 'no function is ambiguous to parameters without a type');

SELECT * FROM finish();
ROLLBACK;
