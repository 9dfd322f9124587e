-- The type fm_matrix, the aggregate that builds a matrix and the function that scans one.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
RESET client_min_messages;

CREATE TEMP TABLE items (item_id bigint, v real[], w real);
INSERT INTO items VALUES
    (30, '{1, 0}', 0.5),
    (10, '{0, 1}', 0),
    (20, '{0.1, -2.5e-3}', -1),
    (40, NULL, 1),
    (NULL, '{1, 1}', 1),
    (50, '{1, 1}', NULL);

-- In ascending order of id, without rows with a NULL.
SELECT fm_matrix_agg(item_id, v, w) FROM items;
SELECT fm_matrix_agg(item_id, v, w ORDER BY item_id DESC) FROM items;
SELECT fm_matrix_items(m), fm_matrix_factors(m)
  FROM (SELECT fm_matrix_agg(item_id, v, w) AS m FROM items) AS s;
SELECT fm_matrix_agg(item_id, v, w) IS NULL AS no_rows FROM items WHERE false;
SELECT fm_matrix_agg(item_id, v, w) IS NULL AS only_nulls FROM items WHERE item_id = 40;

-- As a window aggregate.
SELECT item_id, fm_matrix_agg(item_id, v, w) OVER (ORDER BY item_id ROWS 1 PRECEDING)
  FROM items WHERE v IS NOT NULL AND w IS NOT NULL AND item_id IS NOT NULL ORDER BY item_id;

-- Text form.
SELECT ' [ [ -7 , [ 1e2 , -0.25 ] , 3.40282347E+38 ] , [ 9223372036854775807,[1E-45,-0],0.1 ] ] '::fm_matrix;

-- The best items.
CREATE TEMP TABLE matrices AS SELECT fm_matrix_agg(item_id, v, w) AS m FROM items;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, 2}', 2) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, 2}', 10) AS t;
-- The last element multiplies the bias.
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, 2, 0}', 10) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, 2, -4}', 10) AS t;
-- Ties by item id.
SELECT * FROM fm_matrix_top_x('[[-1,[1],0],[1,[0],1],[2,[2],-1],[3,[5],1]]', '{1}', 3);
SELECT count(*) FROM matrices, fm_matrix_top_x(m, '{1, 2}', 0);
SELECT count(*) FROM fm_matrix_top_x(NULL, '{1, 2}', 1);
SELECT count(*) FROM matrices, fm_matrix_top_x(m, NULL, 1);

-- Errors of the aggregate.
SELECT fm_matrix_agg(i % 3, '{1}', 1) FROM generate_series(1, 5) AS i;
SELECT fm_matrix_agg(7, '{}', 1);
SELECT fm_matrix_agg(7, array_fill(1::real, '{2051}'), 1);
SELECT fm_matrix_agg(7, '{{1, 2}}', 1);
SELECT fm_matrix_agg(7, '{1, NULL}', 1);
SELECT fm_matrix_agg(7, '{1, NaN}', 1);
SELECT fm_matrix_agg(7, '{-Infinity, 1}', 1);
SELECT fm_matrix_agg(7, '{1}', 'Infinity');
SELECT fm_matrix_agg(i, array_fill(1::real, ARRAY[i]), 1) FROM generate_series(2, 3) AS i;

-- Errors of the text form.
SELECT ''::fm_matrix;
SELECT '[]'::fm_matrix;
SELECT '[[1,[],2]]'::fm_matrix;
SELECT '[[1,[2],3]'::fm_matrix;
SELECT '[[1,[2],3]] and more than can be shown'::fm_matrix;
SELECT '[[1,[2]]]'::fm_matrix;
SELECT '[[1,[2],3,4]]'::fm_matrix;
SELECT '[["a",[2],3]]'::fm_matrix;
SELECT '[[1.5,[2],3]]'::fm_matrix;
SELECT '[[9223372036854775808,[2],3]]'::fm_matrix;
SELECT '[[1,[NaN],3]]'::fm_matrix;
SELECT '[[1,[-inf],3]]'::fm_matrix;
SELECT '[[1,[0x10],3]]'::fm_matrix;
SELECT '[[1,[1e39],3]]'::fm_matrix;
SELECT '[[1,[2],-1e-60]]'::fm_matrix;
SELECT '[[1,[2],3],[2,[2,2],3]]'::fm_matrix;
SELECT '[[1,[2],3],[1,[2],3]]'::fm_matrix;
SELECT '[[1,[2],3],[-1,[2],3]]'::fm_matrix;
SELECT ('[[1,[' || repeat('1,', 2050) || '1],3]]')::fm_matrix;

-- Errors of the scan.
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, 2}', NULL) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, 2}', -1) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{}', 1) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, 2, 3, 4}', 1) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{{1, 2}}', 1) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, NULL}', 1) AS t;
SELECT t.* FROM matrices, fm_matrix_top_x(m, '{1, Infinity}', 1) AS t;
SELECT * FROM fm_matrix_top_x('[[1,[3e38],3e38]]', '{1}', 1);

DROP TABLE items, matrices;
