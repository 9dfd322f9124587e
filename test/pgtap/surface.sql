-- The contract: the names, arguments, defaults and columns that users' queries rely on.
BEGIN;
SELECT plan(14);

CREATE FUNCTION pg_temp.signature(name text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(pg_get_function_arguments(oid), '\mIN ', '', 'g') || coalesce(' -> ' || pg_get_function_result(oid), '')
    FROM pg_proc WHERE proname = name AND prokind <> 'a' ORDER BY proargtypes::text DESC
$$;

CREATE FUNCTION pg_temp.columns(name text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(attname, ' ' ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0
$$;

SELECT is(ARRAY(SELECT pg_temp.signature('fm_train')), ARRAY[
    'model text, ratings regclass DEFAULT NULL::regclass, user_column name DEFAULT ''user_id''::name, '
    'item_column name DEFAULT ''item_id''::name, rating_column name DEFAULT ''rating''::name, '
    'weight_column name DEFAULT NULL::name, time_column name DEFAULT NULL::name, '
    'context_columns name[] DEFAULT NULL::name[], '
    'user_features regclass DEFAULT NULL::regclass, item_features regclass DEFAULT NULL::regclass, '
    'task text DEFAULT ''regression''::text, solver text DEFAULT ''auto''::text, '
    'num_factors integer DEFAULT NULL::integer, iterations integer DEFAULT NULL::integer, '
    'l2_reg_w double precision DEFAULT NULL::double precision, l2_reg_v double precision DEFAULT NULL::double precision, '
    'unobserved_weight double precision DEFAULT NULL::double precision, '
    'init_stdev double precision DEFAULT NULL::double precision, '
    'history boolean DEFAULT false, test_size double precision DEFAULT 0, seed bigint DEFAULT 42, '
    'workers integer DEFAULT NULL::integer, rank_by text DEFAULT ''auto''::text, schema name DEFAULT NULL::name -> fm_runs'], 'fm_train');

SELECT is(ARRAY(SELECT pg_temp.signature('fm_refresh')), ARRAY[
    'model text, on_conflict text DEFAULT ''skip''::text'], 'fm_refresh');

SELECT is(ARRAY(SELECT pg_temp.signature('fm_top_x')), ARRAY[
    'user_id text, x bigint DEFAULT 10, model text DEFAULT NULL::text, exclude_seen boolean DEFAULT true, '
    'candidates text[] DEFAULT NULL::text[], exclude text[] DEFAULT NULL::text[], '
    'context jsonb DEFAULT NULL::jsonb, novelty double precision DEFAULT NULL::double precision '
    '-> TABLE(rank integer, item_id text, score real, rating real)',
    'user_id bigint, x bigint DEFAULT 10, model text DEFAULT NULL::text, exclude_seen boolean DEFAULT true, '
    'candidates bigint[] DEFAULT NULL::bigint[], exclude bigint[] DEFAULT NULL::bigint[], '
    'context jsonb DEFAULT NULL::jsonb, novelty double precision DEFAULT NULL::double precision '
    '-> TABLE(rank integer, item_id bigint, score real, rating real)'], 'fm_top_x');

SELECT is(ARRAY(SELECT pg_temp.signature('fm_write_top_x')), ARRAY[
    'target text, x bigint DEFAULT 10, model text DEFAULT NULL::text, exclude_seen boolean DEFAULT true, '
    'users regclass DEFAULT NULL::regclass, items regclass DEFAULT NULL::regclass, context jsonb DEFAULT NULL::jsonb, '
    'novelty double precision DEFAULT NULL::double precision -> bigint'], 'fm_write_top_x');

SELECT is(ARRAY(SELECT pg_temp.signature('fm_write_similar_items')), ARRAY[
    'target text, x bigint DEFAULT 10, model text DEFAULT NULL::text, items regclass DEFAULT NULL::regclass -> bigint'],
    'fm_write_similar_items');

SELECT is(ARRAY(SELECT pg_temp.signature('fm_top_x_all')), ARRAY[
    'x bigint DEFAULT 10, model text DEFAULT NULL::text, exclude_seen boolean DEFAULT true, '
    'users regclass DEFAULT NULL::regclass, items regclass DEFAULT NULL::regclass, context jsonb DEFAULT NULL::jsonb, '
    'novelty double precision DEFAULT NULL::double precision '
    '-> TABLE(user_id text, rank integer, item_id text, score real, rating real)'], 'fm_top_x_all');

SELECT is(ARRAY(SELECT pg_temp.signature('fm_matrix_top_x')), ARRAY[
    'm fm_matrix, query double precision[], x bigint -> TABLE(rank integer, item_id bigint, score real)'],
    'fm_matrix_top_x');

SELECT has_function('fm_predict'::name);
SELECT bag_eq($$SELECT pg_get_function_arguments(oid) FROM pg_proc WHERE proname = 'fm_matrix_agg' AND prokind = 'a'$$,
              $$VALUES ('item_id bigint, v real[], w real'), ('item_id bigint, v double precision[], w double precision')$$,
              'fm_matrix_agg');

SELECT is(pg_temp.columns('fm_runs'),
    'model version status started_at finished_at task solver num_factors iterations users items features '
    'ratings skipped train_metrics test_metrics message', 'fm_runs');
SELECT has_view('fm_models'::name, 'fm_models is a view');

SELECT is(ARRAY(SELECT proname::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
                JOIN pg_extension e ON e.oid = d.refobjid
                WHERE d.classid = 'pg_proc'::regclass AND extname = 'fmtopx' AND prosecdef), '{}',
          'no function is SECURITY DEFINER');
SELECT is(ARRAY(SELECT proname::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
                JOIN pg_extension e ON e.oid = d.refobjid
                WHERE d.classid = 'pg_proc'::regclass AND extname = 'fmtopx' AND proname !~ '^fm_'), '{}',
          'every function name starts with fm_');

-- Any call loads the library, which reserves the prefix of its settings.
SELECT fm_matrix_agg(1, '{1}', 0) \g /dev/null
SELECT CASE WHEN current_setting('server_version_num')::int < 150000
            THEN skip('prefixes of settings are reserved from PostgreSQL 15 on', 1)
            ELSE throws_ok('SET fmtopx.nosuch = 1', '42602', NULL, 'an unknown setting is refused') END;

SELECT * FROM finish();
ROLLBACK;
