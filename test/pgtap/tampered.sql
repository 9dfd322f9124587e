-- Hostile values in every column of a model's tables. Each question ends in an error that says so, or in numbers.
BEGIN;
CREATE SCHEMA tampered;
SELECT set_config('search_path', 'tampered, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
SELECT no_plan();

CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + u * i % 5)::real AS rating, (u + i) % 3 AS device
FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * 7 + i * 13) % 4 = 0;
CREATE TABLE films AS SELECT i AS item_id, 'genre ' || i % 4 AS genre, (i % 5)::real AS year FROM generate_series(1, 20) i;
CREATE VIEW words AS SELECT 'u' || user_id AS user_id, 'i' || item_id AS item_id, rating, device FROM ratings;
CREATE VIEW likes AS SELECT user_id, item_id FROM ratings;
SELECT fm_train('m', 'ratings', num_factors => 3, iterations => 3, context_columns => '{device}', item_features => 'films',
                rank_by => 'interest') \g /dev/null
SELECT fm_train('w', 'words', num_factors => 3, iterations => 3) \g /dev/null
SELECT fm_train('l', 'likes', num_factors => 3, iterations => 3, task => 'ranking') \g /dev/null
SELECT fm_write_top_x(m || '_lists', 5, m) FROM unnest('{m,w,l}'::text[]) m \g /dev/null

-- Each gives how many of its results are not as they must be.
CREATE TABLE question AS
SELECT m AS model, heavy, replace(replace(replace(q, '%u', u), '%i', i), '%m', m) AS q
FROM (VALUES ('m', '7', '3'), ('w', '''u7''', '''i3'''), ('l', '7', '3')) v (m, u, i),
     (VALUES (false, 'SELECT count(*) FROM fm_top_x(%u, 5, ''%m'') WHERE NOT score BETWEEN -3.5e38 AND 3.5e38 OR NOT rating BETWEEN -3.5e38 AND 3.5e38'),
             (false, 'SELECT count(*) FROM fm_top_x_all(5, ''%m'') WHERE NOT score BETWEEN -3.5e38 AND 3.5e38 OR num_nulls(user_id, item_id) > 0'),
             (false, 'SELECT count(*) FROM fm_top_users(%i, 5, ''%m'') WHERE NOT score BETWEEN -3.5e38 AND 3.5e38 OR user_id IS NULL'),
             (false, 'SELECT count(*) FROM fm_similar_items(%i, 5, ''%m'') WHERE NOT score BETWEEN -1 AND 1 OR item_id IS NULL'),
             (false, 'SELECT count(*) FROM (VALUES (fm_predict(%u, %i, ''%m''))) v (p) WHERE NOT p BETWEEN -3.5e38 AND 3.5e38'),
             (false, 'SELECT count(*) FROM fm_explain(%u, %i, ''%m'') WHERE contribution IN (''NaN'', ''Infinity'', ''-Infinity'')'),
             (false, 'SELECT count(*) FROM fm_user_vectors(''%m'') WHERE vector && ''{NaN,Infinity,-Infinity}'''),
             (false, 'SELECT count(*) FROM fm_item_vectors(''%m'') WHERE vector && ''{NaN,Infinity,-Infinity}'''),
             (false, 'SELECT 0 * fm_write_top_x(''%m_lists'', 5, ''%m'')'),
             (true, 'SELECT 0 * fm_write_top_x(''%m_new'', 5, ''%m'')'),
             (true, 'SELECT count(*) FROM fm_evaluate((SELECT ratings FROM fm_models WHERE model = ''%m''), ''%m'') WHERE value IN (''NaN'', ''Infinity'', ''-Infinity'')'),
             (true, 'SELECT 0 * version FROM fm_fold_in(''%m'')'),
             (true, 'SELECT 0 * version FROM fm_train(''%m'')'),
             (true, 'SELECT 0 * active_version FROM fm_health WHERE model = ''%m''')) t (heavy, q)
UNION ALL
SELECT 'm', false, 'SELECT count(*) FROM fm_top_x(7, 5, ''m'', novelty => -0.5) WHERE NOT score BETWEEN -3.5e38 AND 3.5e38'
UNION ALL
SELECT 'm', false, 'SELECT count(*) FROM fm_top_x(7, 5, ''m'', context => ''{"device": 1}'') WHERE NOT score BETWEEN -3.5e38 AND 3.5e38'
UNION ALL
SELECT 'l', false, 'SELECT count(*) FROM fm_top_x_for(''{1,2}''::bigint[], x => 5, model => ''l'') WHERE NOT score BETWEEN -3.5e38 AND 3.5e38'
UNION ALL
SELECT 'm', false, 'SELECT count(*) FROM fm_top_x_for(''{1,2}''::bigint[], ''{3,4}'', 5, ''m'') WHERE NOT score BETWEEN -3.5e38 AND 3.5e38';

-- Tamper, ask, undo. Return what must not be.
CREATE FUNCTION ask(tampering text, question text, model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    BEGIN
        EXECUTE tampering;
        UPDATE fm_model m SET stamp = (random() * 1e18)::bigint WHERE m.model = $3; -- so that no loaded version is used
        INSERT INTO ratings VALUES (7, 2, 5, 0), (1000, 3, 4, 0), (7, 9999, 2, 0);
        EXECUTE question INTO wrong;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = coalesce(wrong, 0);
    EXCEPTION
        WHEN SQLSTATE 'ZZ000' THEN
            RETURN CASE WHEN wrong <> 0 THEN format('%s: %s: %s wrong', tampering, question, wrong) END;
        -- damage, a number out of range, another type
        WHEN data_corrupted OR numeric_value_out_of_range OR datatype_mismatch THEN RETURN NULL;
        -- what queries say of columns, tables and levels that are gone, or are of another type
        WHEN undefined_column OR undefined_table OR undefined_function OR cannot_coerce OR invalid_text_representation THEN
            RETURN CASE WHEN tampering !~ 'ALTER|DROP|fm_m_level' THEN format('%s: %s: %s', tampering, question, SQLERRM) END;
        -- a user twice
        WHEN unique_violation THEN
            RETURN CASE WHEN tampering !~ 'user_id' THEN format('%s: %s: %s', tampering, question, SQLERRM) END;
        WHEN OTHERS THEN RETURN format('%s: %s: %s %s', tampering, question, SQLSTATE, SQLERRM);
    END;
END $$;

-- No constraint keeps an owner from anything.
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint WHERE conrelid::regclass::text ~ '^fm_[mwl]_' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname);
    END LOOP;
    FOR c IN SELECT attrelid::regclass AS t, attname FROM pg_attribute
             WHERE attrelid::regclass::text ~ '^fm_[mwl]_' AND attnum > 0 AND attnotnull AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r') LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', c.t, c.attname);
    END LOOP;
END $$;

CREATE TABLE hostile_value AS
SELECT type::regtype AS type, coalesce(value, 'NULL') AS value
FROM (VALUES ('integer', '{NULL,-1,2147483647,-2147483648,2000000000}'::text[]),
             ('bigint', '{NULL,-1,0,9223372036854775807,-9223372036854775808}'),
             ('real', '{NULL,''NaN'',''Infinity'',3.4e38,-3.4e38,1e-45}'),
             ('double precision', '{NULL,''NaN'',''-Infinity'',1e308,-1e308,5e-324}'),
             ('boolean', '{NULL,true,false}'),
             ('text', '{NULL,'''',''user'',''context'',''ranking'',''regression''}'),
             ('real[]', ARRAY['NULL', '''{}''', '''{{1,2,3}}''', '''[5:7]={1,2,3}''', '''{1,2,NULL}''', '''{1,2,NaN}''',
                              '''{3e38,3e38,3e38}''', 'array_fill(1::real, ARRAY[100000])', '%1$s || %1$s',
                              'array_fill(3.4e38::real, ARRAY[coalesce(cardinality(%1$s), 1)])']),
             ('fm_matrix', ARRAY['NULL', '''[[0,[1],1]]''', '''[[-1,[1,2,3],1]]''', '''[[0,[1,2,3],1],[9223372036854775807,[1,2,3],1]]'''])
     ) v (type, given), unnest(given) value;

CREATE TABLE tampering AS
SELECT substring(a.attrelid::regclass::text, 'fm_(.)_') AS model, a.attrelid::regclass::text AS t, a.attname::text AS c, sql
FROM pg_attribute a
JOIN pg_class r ON r.oid = a.attrelid AND r.relkind = 'r' AND r.relnamespace = 'tampered'::regnamespace AND r.relname ~ '^fm_[mwl]_'
CROSS JOIN LATERAL (
    SELECT format('UPDATE %s SET %I = %s%s', a.attrelid::regclass, a.attname, format(value, quote_ident(a.attname)), which)
    FROM hostile_value,
         (VALUES (''), (format(' WHERE ctid = (SELECT max(ctid) FROM %s)', a.attrelid::regclass))) w (which)
    WHERE type = a.atttypid
    UNION ALL
    SELECT format('ALTER TABLE %s ALTER %I TYPE %s USING NULL', a.attrelid::regclass, a.attname, type)
    FROM unnest('{text,numeric,bigint,real,bytea}'::text[]) type WHERE type::regtype <> a.atttypid
    UNION ALL
    SELECT format('ALTER TABLE %s DROP %I', a.attrelid::regclass, a.attname)) s (sql)
WHERE a.attnum > 0
UNION ALL
SELECT substring(relname, 'fm_(.)_'), relname, 'rows', format(sql, relname)
FROM pg_class, unnest('{INSERT INTO %1$s SELECT * FROM %1$s LIMIT 20,TRUNCATE %s,DROP TABLE %s,DELETE FROM %1$s WHERE ctid = (SELECT min(ctid) FROM %1$s)}'::text[]) sql
WHERE relkind = 'r' AND relnamespace = 'tampered'::regnamespace AND relname ~ '^fm_[mwl]_';

-- Of the slow questions, and of the tables that are alike in all models, a part.
SELECT is_empty(format('SELECT ask(t.sql, q.q, t.model) FROM tampering t JOIN question q USING (model)
WHERE t.t = %L AND t.c = %L AND hashtext(t.sql || q.q) %% CASE WHEN q.heavy THEN 30 ELSE 6 END = 0 AND ask(t.sql, q.q, t.model) IS NOT NULL', t, c), t || '.' || c)
FROM (SELECT DISTINCT t, c FROM tampering ORDER BY t, c) d;

-- The type of the ids is dropped, and the columns with it, while the version is loaded.
CREATE TYPE mood AS ENUM ('bad', 'good', 'fine');
CREATE TABLE moods (user_id integer, item_id mood, rating real);
INSERT INTO moods SELECT u, m, (u * ord) % 4 FROM generate_series(1, 20) u, unnest(enum_range(NULL::mood)) WITH ORDINALITY o (m, ord) WHERE (u + ord) % 3 > 0;
SELECT fm_train('moods', 'moods', num_factors => 2, iterations => 3) \g /dev/null
SELECT ok(count(*) > 0, 'ids of an enum') FROM fm_top_x('1', 3, 'moods', false);
DROP TYPE mood CASCADE;
SELECT throws_ok(q, '42703', NULL, q) FROM (VALUES ('SELECT fm_top_x(''1'', 3, ''moods'', false)'), ('SELECT fm_predict(''1'', ''bad'', ''moods'')'),
    ('SELECT fm_top_users(''bad'', 3, ''moods'')'), ('SELECT fm_top_x_all(3, ''moods'', false)')) c (q);

-- Their collation is dropped.
CREATE COLLATION old_order (locale = 'C');
CREATE TABLE named AS SELECT user_id, item_id COLLATE old_order AS item_id, rating FROM words;
SELECT fm_train('named', 'named', num_factors => 2, iterations => 3) \g /dev/null
SELECT ok(count(*) > 0, 'ids with a collation') FROM fm_top_x('u7', 3, 'named');
ALTER TABLE named ALTER item_id TYPE text COLLATE "POSIX";
ALTER TABLE fm_named_item ALTER item_id TYPE text COLLATE "POSIX";
DROP COLLATION old_order CASCADE;
SELECT lives_ok(q, q) FROM (VALUES ('SELECT fm_top_x(''u7'', 3, ''named'')'), ('SELECT fm_top_x_all(3, ''named'')'),
    ('SELECT fm_write_top_x(''named_lists'', 3, ''named'')'), ('SELECT fm_write_top_x(''named_lists'', 3, ''named'')'),
    ('SELECT fm_evaluate(''named'', ''named'')')) c (q);

-- What is read of the registry, which may be restored from a dump.
UPDATE fm_target_proof SET recent = '{1,NULL}';
SELECT throws_ok('SELECT fm_write_top_x(''m_lists'', 5, ''m'')', 'XX001', NULL, 'NULL in the record of a writing')
WHERE EXISTS (SELECT FROM fm_target_proof WHERE model = 'm' AND made_from <> '');

SELECT throws_ok(q, '23514', NULL, q) FROM (VALUES ('UPDATE fm_target SET x = -1'), ('UPDATE fm_model SET keep_versions = 0'),
    ('UPDATE fm_model SET num_factors = 2000000000'), ('UPDATE fm_model SET task = ''guess'''), ('UPDATE fm_model SET solver = ''me''')) c (q);

-- Relations given by an OID that does not exist.
SELECT throws_ok(q, '42P01', NULL, q) FROM (VALUES ('SELECT fm_train(''n'', 4000000000::oid::regclass)'), ('SELECT fm_evaluate(4000000000::oid::regclass, ''w'')'),
    ('SELECT fm_train(''n'', ''ratings'', item_features => 4000000000::oid::regclass)'), ('SELECT fm_forget_target(4000000000::oid::regclass)'),
    ('SELECT fm_attach(''n'', 4000000000::oid::regclass, version_table => ''fm_w_version'', user_table => ''fm_w_user'', item_table => ''fm_w_item'', matrix_table => ''fm_w_matrix'')'),
    ('SELECT fm_attach(''n'', NULL, version_table => 4000000000::oid::regclass, user_table => ''fm_w_user'', item_table => ''fm_w_item'', matrix_table => ''fm_w_matrix'')')) c (q);

-- A table of lists whose columns are of domains.
CREATE DOMAIN place AS integer;
CREATE DOMAIN points AS real;
CREATE TABLE domains (user_id text, rank place, item_id text, score points);
SELECT is(fm_write_top_x('domains', 3, 'w'), 90::bigint, 'columns of domains') FROM generate_series(1, 2);
SELECT results_eq('SELECT user_id, rank::integer, item_id, score::real FROM domains ORDER BY 1, 2', 'SELECT user_id, rank, item_id, score FROM fm_top_x_all(3, ''w'') ORDER BY 1, 2', 'hold the lists');

-- A sum of factors that real cannot hold.
UPDATE fm_m_user SET v = '{3e38,3e38,3e38}';
UPDATE fm_m_level SET v = '{3e38,3e38,3e38}';
SELECT throws_ok($$SELECT fm_top_x(7, 5, 'm', context => '{"device": 1}')$$, '22003', 'score Infinity is out of range for type real', 'a user in a context');

SELECT * FROM finish();
ROLLBACK;
