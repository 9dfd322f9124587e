-- fm_top_x against a scan of all items in SQL, in double precision: for every user, every way of
-- choosing the eligible items, and every kernel that this CPU runs.
BEGIN;
CREATE SCHEMA exact;
SELECT set_config('search_path', 'exact, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
-- Load the library: before that, its settings accept any value.
SELECT fm_matrix_items('[[1,[1],0]]') \g /dev/null
SELECT no_plan();

-- The kernels by name.
CREATE TABLE kernels AS SELECT kernel FROM fm_simd() UNION ALL SELECT 'auto';
SELECT is((SELECT string_agg(kernel, ' ') FROM fm_simd() WHERE in_use), (SELECT kernel FROM fm_simd() LIMIT 1),
          'the best kernel is in use');
SET LOCAL fmtopx.simd = 'c';
SELECT is((SELECT string_agg(kernel, ' ') FROM fm_simd() WHERE in_use), 'c', 'fmtopx.simd selects another kernel');
SET LOCAL fmtopx.simd = 'auto';
SELECT throws_ok($$SET fmtopx.simd = 'abacus'$$, '22023', NULL, 'an unknown kernel is refused');
SELECT cmp_ok((SELECT count(*) FROM kernels WHERE kernel IN ('auto', 'c')), '=', 2::bigint, 'auto and c exist on every CPU');

-- Ratings of a planted model, with shapes that leave lanes and blocks half full.
CREATE FUNCTION plant(users int, items int, seed int)
RETURNS TABLE (user_id int, item_id int, rating real) LANGUAGE sql AS $$
    SELECT u, i * 3, (3 + sin(u * seed) + cos(i) + 2 * sin(u * 0.7 + seed) * cos(i * 1.3))::real
    FROM generate_series(1, users) u, generate_series(1, items) i
    WHERE hashint8extended(u::bigint << 32 | i, seed) % 4 = 0 OR i = 1 + u % items OR u = 1 + i % users
$$;
CREATE TABLE shapes (model text, users int, items int, factors int);
INSERT INTO shapes VALUES ('wide', 40, 333, 7), ('narrow', 25, 16, 1), ('deep', 12, 65, 33), ('ties', 30, 150, 3);
CREATE TABLE ratings (model text, user_id int, item_id int, rating real);
INSERT INTO ratings SELECT model, p.* FROM shapes, plant(users, items, length(model)) p;
CREATE VIEW wide_ratings AS SELECT * FROM ratings WHERE model = 'wide';
CREATE VIEW narrow_ratings AS SELECT * FROM ratings WHERE model = 'narrow';
CREATE VIEW deep_ratings AS SELECT * FROM ratings WHERE model = 'deep';
CREATE VIEW ties_ratings AS SELECT * FROM ratings WHERE model = 'ties';
SELECT is(status, 'succeeded', 'train ' || shapes.model)
FROM shapes, fm_train(shapes.model, ratings => (shapes.model || '_ratings')::regclass, num_factors => factors,
                      iterations => 8, seed => users, rank_by => 'rating');

-- Vectors of small integers, so that scores are exact and most of them tie.
UPDATE fm_ties_version SET has_popularity = false, b = 6;
UPDATE fm_ties_user SET w = 0, v = ARRAY[user_id % 3 - 1, user_id % 2, user_id % 5 - 2]::real[];
UPDATE fm_ties_item SET w = item_id % 2, v = ARRAY[item_id % 2, (item_id / 3) % 3 - 1, 0]::real[];
UPDATE fm_ties_matrix SET matrix = (SELECT fm_matrix_agg(idx, v, w) FROM fm_ties_item);

-- Every score, summed in the order of the factors, and every rank. Eligible items are filtered later.
CREATE TABLE scores (model text, user_id int, item_id int, seen boolean, dot float8);
INSERT INTO scores
SELECT s.model, u.id::int, i.id::int,
       EXISTS (SELECT FROM ratings r WHERE r.model = s.model AND r.user_id = u.id::int AND r.item_id = i.id::int),
       (SELECT sum(a::float8 * b::float8 ORDER BY n) FROM unnest(u.vector, i.vector) WITH ORDINALITY AS f (a, b, n))
FROM shapes s, fm_user_vectors(s.model) u, fm_item_vectors(s.model) i;
SELECT is((SELECT count(*) FROM scores WHERE model = 'wide'), 40 * 333::bigint, 'every user and item has a vector');
SELECT cmp_ok((SELECT count(DISTINCT dot) FROM scores WHERE model = 'ties'), '<', 30::bigint, 'most scores tie');
CREATE TABLE bases (model text, user_id int, base float8);
INSERT INTO bases
SELECT 'wide', user_id, b + w FROM fm_wide_user, fm_wide_version UNION ALL
SELECT 'narrow', user_id, b + w FROM fm_narrow_user, fm_narrow_version UNION ALL
SELECT 'deep', user_id, b + w FROM fm_deep_user, fm_deep_version UNION ALL
SELECT 'ties', user_id, b + w FROM fm_ties_user, fm_ties_version;

-- The kinds of calls.
CREATE TABLE ways (way text, x int, exclude_seen boolean, candidates int[], exclude int[]);
INSERT INTO ways VALUES
    ('10', 10, false, NULL, NULL), ('1', 1, true, NULL, NULL), ('unseen', 10, true, NULL, NULL),
    ('all', 100000, false, NULL, NULL), ('all unseen', 2147483647, true, NULL, NULL),
    ('candidates', 5, false, (SELECT array_agg(i * 3 ORDER BY hashint4(i)) FROM generate_series(1, 400, 7) i), NULL),
    ('unseen candidates', 5, true, (SELECT array_agg(i * 3) FROM generate_series(1, 400, 2) i), NULL),
    ('candidates: unknown, twice, NULL', 20, false, '{3,3,NULL,4,-7,9,2147483647,9,3,12}', NULL),
    ('no candidates', 5, false, '{}', NULL), ('only NULL', 5, false, '{NULL}', NULL),
    ('excluded', 7, false, NULL, (SELECT array_agg(i) FROM generate_series(-3, 700) i)),
    ('excluded: unknown, twice, NULL', 7, true, NULL, '{6,6,NULL,7,-1}'), ('none excluded', 7, true, NULL, '{}'),
    ('all excluded', 7, true, NULL, (SELECT array_agg(i) FROM generate_series(1, 1000) i)),
    ('candidates but excluded', 6, true, (SELECT array_agg(i * 3) FROM generate_series(1, 60) i), '{3,6,9,30,300}');

CREATE FUNCTION expected(x int, exclude_seen boolean, candidates int[], exclude int[])
RETURNS TABLE (model text, user_id int, rank int, item_id int, score real) LANGUAGE sql STABLE AS $$
    SELECT model, user_id, rank::int, item_id, (base + dot)::real
    FROM (SELECT *, row_number() OVER (PARTITION BY model, user_id ORDER BY dot DESC, item_id) AS rank
          FROM scores
          WHERE NOT (seen AND $2) AND ($3 IS NULL OR item_id = ANY ($3))
              AND NOT coalesce(item_id = ANY (array_remove($4, NULL)), false)) s
    JOIN bases USING (model, user_id)
    WHERE rank <= $1
$$;
CREATE TABLE wanted AS SELECT way, e.* FROM ways, expected(x, exclude_seen, candidates, exclude) e;
ALTER TABLE wanted ADD PRIMARY KEY (model, way, user_id, rank);

-- Items that are not the expected ones, and scores that differ by more than about the last bit.
CREATE FUNCTION wrong(kernel text, which text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    PERFORM set_config('fmtopx.simd', kernel, true);
    SELECT string_agg(DISTINCT format('%s/%s', model, way), ', ') INTO result
    FROM (SELECT s.model, way, u AS user_id, t.rank, t.item_id, t.score, t.rating
          FROM shapes s, ways, generate_series(1, s.users) u,
              fm_top_x(u, x, s.model, exclude_seen, candidates, exclude) t) got
    FULL JOIN (SELECT * FROM wanted) w USING (model, way, user_id, rank)
    WHERE got.item_id IS DISTINCT FROM w.item_id
        OR abs(got.score - w.score) > 1e-6 * greatest(abs(w.score), 1);
    PERFORM set_config('fmtopx.simd', 'auto', true);
    RETURN result;
END $$;
SELECT is(wrong(kernel, 'bigint'), NULL, 'as a scan in SQL: ' || kernel) FROM kernels;

-- The text overload and fm_top_x_all.
SELECT is_empty($$
    SELECT * FROM
        (SELECT s.model, way, u AS user_id, t.rank, t.item_id, t.score, t.rating
         FROM shapes s, ways, generate_series(1, s.users) u,
             fm_top_x(u::text, x, s.model, exclude_seen, candidates::text[], exclude::text[]) t) a
    FULL JOIN
        (SELECT s.model, way, u AS user_id, t.rank, t.item_id, t.score, t.rating
         FROM shapes s, ways, generate_series(1, s.users) u,
             fm_top_x(u, x, s.model, exclude_seen, candidates, exclude) t) b
    USING (model, way, user_id, rank)
    WHERE a.item_id IS DISTINCT FROM b.item_id::text OR a.score IS DISTINCT FROM b.score OR a.rating IS DISTINCT FROM b.rating$$,
    'the text overload returns the same lists');
SELECT is_empty($$
    SELECT * FROM
        (SELECT s.model, way, user_id, t.rank, item_id, score, rating FROM shapes s, ways, fm_top_x_all(x, s.model, exclude_seen) t
         WHERE candidates IS NULL AND exclude IS NULL) a
    FULL JOIN
        (SELECT s.model, way, u::text AS user_id, t.rank, item_id, score, rating
         FROM shapes s, ways, generate_series(1, s.users) u, fm_top_x(u, x, s.model, exclude_seen) t
         WHERE candidates IS NULL AND exclude IS NULL) b
    USING (model, way, user_id, rank)
    WHERE a.item_id IS DISTINCT FROM b.item_id::text OR a.score IS DISTINCT FROM b.score OR a.rating IS DISTINCT FROM b.rating$$,
    'fm_top_x_all returns fm_top_x of each user');

-- fm_predict is the clipped score.
SELECT is_empty($$
    SELECT * FROM scores JOIN bases USING (model, user_id)
    JOIN (SELECT model, min(rating) AS low, max(rating) AS high FROM ratings GROUP BY model) r USING (model)
    WHERE abs(fm_predict(user_id, item_id, model) - least(high, greatest(low, base + dot))) > 1e-9$$,
    'fm_predict is the score, clipped to the range of the ratings');
SELECT cmp_ok((SELECT count(*) FROM scores JOIN bases USING (model, user_id)
               WHERE abs(fm_predict(user_id, item_id, model) - base - dot) > 0.1), '>', 0::bigint,
              'some predictions are clipped');

-- An unknown user gets the items in the order of their biases.
SELECT results_eq(
    $$SELECT rank, item_id FROM fm_top_x(-1, 1000, 'wide') ORDER BY rank$$,
    $$SELECT row_number() OVER (ORDER BY w DESC, item_id)::int, item_id::bigint FROM fm_wide_item ORDER BY 1$$,
    'an unknown user gets the items in the order of their biases');

-- exclude_seen is live: an item disappears from the list when it is rated, for known and unknown users,
-- and comes back when the rating is deleted.
CREATE TABLE best AS SELECT u, t.* FROM (VALUES (1), (2), (999)) v (u), fm_top_x(u, 1, 'wide') t;
INSERT INTO ratings SELECT 'wide', u, item_id, 1 FROM best;
SELECT is_empty($$SELECT FROM best, fm_top_x(u, 1000, 'wide') t WHERE t.item_id = best.item_id$$,
                'an item just rated is not recommended');
SELECT is_empty($$SELECT FROM best, fm_top_x_all(1000, 'wide') t WHERE t.item_id = best.item_id::text AND user_id = u::text$$,
                'an item just rated is not in fm_top_x_all');
SELECT is((SELECT count(*) FROM best, fm_top_x(u, 1000, 'wide', false) t WHERE t.item_id = best.item_id), 3::bigint,
          'with exclude_seen => false it is recommended');
DELETE FROM ratings WHERE model = 'wide' AND (user_id, item_id) IN (SELECT u, item_id FROM best) AND rating = 1;
SELECT set_eq($$SELECT u, t.* FROM (VALUES (1), (2), (999)) v (u), fm_top_x(u, 1, 'wide') t$$, 'SELECT * FROM best',
              'after its rating is deleted it is recommended again');

-- Tables of lists: only rows that differ are touched.
SELECT is(fm_write_top_x('written', 10, 'wide'), (SELECT count(*) FROM fm_top_x_all(10, 'wide')), 'a table of lists is written');
CREATE TABLE copy AS SELECT ctid AS place, * FROM written;
SELECT is(version, 2, 'train again') FROM fm_train('wide', seed => 7);
UPDATE ratings SET rating = rating WHERE model = 'wide'; -- the same values, in new row versions
SELECT is(fm_write_top_x('written', 9, 'wide'), 360::bigint, 'a table of lists is written with shorter lists');
SELECT set_eq($$SELECT user_id::text, rank, item_id::text, score, rating FROM written$$, $$SELECT * FROM fm_top_x_all(9, 'wide')$$,
              'the table holds the new lists');
SELECT is_empty($$SELECT * FROM copy c LEFT JOIN written w USING (user_id, rank)
    WHERE (w.ctid = place) IS DISTINCT FROM
        (CASE WHEN rank <= 9 THEN (w.item_id, w.score, w.rating) = (c.item_id, c.score, c.rating) END)$$,
    'exactly the rows that differ are touched');
SELECT isnt_empty('SELECT FROM copy JOIN written w USING (user_id, rank) WHERE w.ctid <> place', 'some rows are touched');

-- The planner expects x rows, if x is known.
CREATE FUNCTION rows_planned(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END $$;
SELECT is(rows_planned(query), rows, query)
FROM (VALUES ($$SELECT * FROM fm_top_x(1, 37, 'wide')$$, 37), ($$SELECT * FROM fm_top_x(1, model => 'wide', x => 30 + 8)$$, 38),
             ($$SELECT * FROM fm_top_x(1)$$, 10), ($$SELECT * FROM fm_top_x('1'::text, 39)$$, 39),
             ($$SELECT * FROM fm_matrix_top_x('[[1,[1],0]]', '{1}', 40)$$, 40),
             ($$SELECT * FROM fm_top_x(1, (SELECT 5))$$, 10)) q (query, rows);

SELECT * FROM finish();
ROLLBACK;
