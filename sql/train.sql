-- Training: what fm_train returns and stores, and what a retrain changes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fmtopx;
CREATE SCHEMA train;
SET search_path = train, public;
RESET client_min_messages;

-- Users 1 to 6 like odd items, and users 7 to 12 even ones. All have left some items unrated.
CREATE TABLE ratings (user_id int, item_id int, rating real);
INSERT INTO ratings
SELECT u, i, CASE WHEN (u <= 6) = (i % 2 = 1) THEN 5 ELSE 1 END
FROM generate_series(1, 12) u, generate_series(1, 10) i WHERE (u + i) % 4 <> 0;
INSERT INTO ratings VALUES (NULL, 1, 3), (1, NULL, 3), (1, 4, NULL), (NULL, NULL, NULL);

-- The first training.
SELECT model, version, status, task, solver, num_factors, iterations, users, items, features, ratings, skipped,
       test_metrics, message, finished_at >= started_at AS ended
FROM fm_train('likes', ratings => 'ratings', num_factors => 4, iterations => 30);
SELECT (train_metrics ->> 'rmse')::float8 < 0.5 AS close, (train_metrics ->> 'ratings')::int AS ratings,
       (SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(train_metrics) key) AS keys
FROM fm_runs WHERE model = 'likes';

-- Its tables, which belong to the caller.
SELECT c.relname, pg_get_userbyid(c.relowner) = current_user AS mine,
       obj_description(c.oid) AS comment
FROM pg_class c WHERE relnamespace = 'train'::regnamespace AND relkind = 'r' AND relname LIKE 'fm\_%' ORDER BY 1;
SELECT c.relname, a.attname, format_type(atttypid, atttypmod) AS type, attnotnull
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = 'train'::regnamespace AND relkind = 'r' AND relname LIKE 'fm\_%' AND attnum > 0
ORDER BY 1, attnum;
SELECT version, task, num_factors, rating_min, rating_max, round(rating_mean::numeric, 4) AS mean
FROM fm_likes_version;
SELECT count(*), min(idx), max(idx), min(user_id), max(user_id), min(cardinality(v)), max(cardinality(v))
FROM fm_likes_user;
SELECT count(*), min(idx), max(idx), min(item_id), max(item_id), min(cardinality(v)), max(cardinality(v))
FROM fm_likes_item;
SELECT version, block, fm_matrix_items(matrix) AS items, fm_matrix_factors(matrix) AS factors FROM fm_likes_matrix;

-- The views.
SELECT model, owner = current_user AS mine, active_version, task, solver, num_factors, ratings, user_column,
       item_column, rating_column, users, items, rating_count, version_table, user_table, item_table, matrix_table
FROM fm_models WHERE model = 'likes';

-- A retrain from the stored definition, then with one option changed. Two versions are kept.
SELECT version, solver, num_factors, iterations, ratings, skipped FROM fm_train('likes');
SELECT version, solver, num_factors, iterations FROM fm_train('likes', num_factors => 3);
SELECT version, solver, num_factors, iterations FROM fm_train('likes');
SELECT array_agg(DISTINCT version ORDER BY version) FROM fm_likes_version;
SELECT version, count(*) FROM fm_likes_user GROUP BY 1 ORDER BY 1;
SELECT version, count(*) FROM fm_likes_item GROUP BY 1 ORDER BY 1;
SELECT version, fm_matrix_factors(matrix) FROM fm_likes_matrix ORDER BY 1;
SELECT version, status FROM fm_runs WHERE model = 'likes' ORDER BY version;

-- Another solver starts from its own defaults, not from the options of mcmc.
SELECT version, solver, num_factors, iterations = 30 AS inherited FROM fm_train('likes', solver => 'als', l2_reg_v => 2);
SELECT version, solver, num_factors FROM fm_train('likes', l2_reg_w => 1);

-- If ratings are named, the whole definition is new.
SELECT version, solver, num_factors FROM fm_train('likes', ratings => 'ratings', iterations => 5);

-- Other names for the columns; a view; some rows held out and scored.
CREATE VIEW opinions AS SELECT user_id AS who, item_id AS "What", rating::numeric AS stars FROM ratings;
SELECT version, users, items, ratings, skipped, ratings + (test_metrics ->> 'ratings')::int AS all_ratings,
       (SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(test_metrics) key) AS keys
FROM fm_train('opinions', ratings => 'opinions', user_column => 'who', item_column => 'What',
              rating_column => 'stars', num_factors => 2, iterations => 5, test_size => 0.25);
SELECT version, test_metrics IS NOT NULL AS held_out FROM fm_train('opinions');
SELECT ratings, user_column, item_column, rating_column FROM fm_models WHERE model = 'opinions';

-- Partitioned tables and materialized views.
CREATE TABLE parts (LIKE ratings) PARTITION BY HASH (user_id);
CREATE TABLE part0 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE part1 PARTITION OF parts FOR VALUES WITH (modulus 2, remainder 1);
INSERT INTO parts SELECT * FROM ratings;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM ratings;
SELECT users, items, ratings, skipped FROM fm_train('parts', ratings => 'parts', num_factors => 2, iterations => 2);
SELECT users, items, ratings, skipped FROM fm_train('stored', ratings => 'stored', num_factors => 2, iterations => 2);

-- A name that has to be quoted.
SELECT model, version FROM fm_train('Likes "%s" too', ratings => 'ratings', num_factors => 2, iterations => 2);
SELECT model, version FROM fm_train('Likes "%s" too');
SELECT count(*) FROM fm_top_x(1, 3, 'Likes "%s" too');
SELECT fm_drop('Likes "%s" too');

-- One user, one item, and many ratings of one pair.
CREATE VIEW one_user AS SELECT * FROM ratings WHERE user_id = 1;
CREATE VIEW one_item AS SELECT * FROM ratings WHERE item_id = 1;
CREATE VIEW one_pair AS SELECT 7 AS user_id, 8 AS item_id, g AS rating FROM generate_series(1, 5) g;
SELECT users, items, ratings FROM fm_train('one_user', ratings => 'one_user', iterations => 5);
SELECT rank, item_id % 2 AS odd FROM fm_top_x(1, 3, 'one_user', exclude_seen => false);
SELECT users, items, ratings FROM fm_train('one_item', ratings => 'one_item', iterations => 5);
SELECT rank, item_id FROM fm_top_x(2, 3, 'one_item', exclude_seen => false);
SELECT users, items, ratings FROM fm_train('one_pair', ratings => 'one_pair', iterations => 5);
SELECT rank, item_id, rating BETWEEN 1 AND 5 AS within FROM fm_top_x(7, 3, 'one_pair', exclude_seen => false);
SELECT rank, item_id FROM fm_top_x(7, 3, 'one_pair');
SELECT users, items, ratings FROM fm_train('one_pair', ratings => 'one_pair', solver => 'als', iterations => 5);

-- A million rows of one user, and a few of another: they are the ratings of a few pairs.
CREATE VIEW busy AS
SELECT 1 AS user_id, g % 5 AS item_id, 1 + g / 7 % 5 AS rating FROM generate_series(1, 1000000) g
UNION ALL SELECT 2, g, 1 + g % 5 FROM generate_series(1, 20) g;
SELECT users, items, ratings FROM fm_train('busy', ratings => 'busy', num_factors => 4, iterations => 2);
SELECT count(*) AS rest FROM fm_top_x(1, 100, 'busy');
CREATE VIEW eager AS
SELECT 1 AS user_id, g % 50 AS item_id, 1 + g % 5 AS rating FROM generate_series(1, 1000000) g
UNION ALL SELECT 2, g, 1 + g % 5 FROM generate_series(1, 20) g;
SELECT users, items, ratings FROM fm_train('eager', ratings => 'eager', num_factors => 4, iterations => 4);
SELECT count(*) AS all_rated FROM fm_top_x(1, 10, 'eager');
SELECT count(*) AS some_left FROM fm_top_x(2, 100, 'eager');

-- The limits of the options.
SELECT num_factors FROM fm_train('edge', ratings => 'ratings', num_factors => 1, iterations => 1);
SELECT num_factors FROM fm_train('edge', ratings => 'one_pair', num_factors => 1024, iterations => 1);
SELECT rank, item_id FROM fm_top_x(7, 3, 'edge', exclude_seen => false);
SELECT ratings FROM fm_train('edge', ratings => 'ratings', num_factors => 2, iterations => 1, seed => -9223372036854775808);
SELECT ratings FROM fm_train('edge', ratings => 'ratings', num_factors => 2, iterations => 1, seed => 9223372036854775807,
                             workers => 0);
SELECT ratings FROM fm_train('edge', ratings => 'ratings', num_factors => 2, iterations => 1, workers => 1024);
SELECT solver FROM fm_train('edge', ratings => 'ratings', num_factors => 2, solver => 'als', init_stdev => 0, l2_reg_v => 1e6,
                            l2_reg_w => 0);

-- In a schema of choice. Later, the tables must be there.
CREATE SCHEMA "the models";
SELECT version FROM fm_train('placed', ratings => 'ratings', num_factors => 2, iterations => 2, schema => 'the models');
SELECT relname FROM pg_class WHERE relnamespace = '"the models"'::regnamespace AND relkind = 'r' ORDER BY 1;
SELECT proname FROM pg_proc WHERE pronamespace = '"the models"'::regnamespace ORDER BY 1;
SELECT version FROM fm_train('placed', schema => 'the models');
SELECT version FROM fm_train('placed');
SELECT fm_train('placed', schema => 'train');
ALTER TABLE "the models".fm_placed_version SET SCHEMA train;
ALTER TABLE "the models".fm_placed_user SET SCHEMA train;
ALTER TABLE "the models".fm_placed_item SET SCHEMA train;
ALTER TABLE "the models".fm_placed_matrix SET SCHEMA train;
ALTER FUNCTION "the models".fm_placed_top_x SET SCHEMA train;
SELECT version FROM fm_train('placed', schema => 'train');
SELECT count(*) FROM fm_placed_top_x(1, 2, false);
SELECT fm_drop('placed');
SELECT count(*) FROM pg_proc WHERE proname LIKE 'fm\_placed%';
SELECT fm_train('placed', ratings => 'ratings', schema => 'nosuch');
SELECT fm_train('placed', ratings => 'ratings', schema => 'pg_temp');
DROP SCHEMA "the models";

-- A dropped model leaves nothing.
SELECT fm_drop('edge');
SELECT count(*) FROM pg_class WHERE relname LIKE 'fm\_edge\_%';
SELECT count(*) FROM fm_runs WHERE model = 'edge';
SELECT count(*) FROM fm_models WHERE model = 'edge';

SELECT fm_drop(model) FROM fm_models ORDER BY model;
SET client_min_messages = warning;
DROP SCHEMA train CASCADE;
