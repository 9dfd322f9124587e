-- Whatever the owner of a model, of its ratings or of a table of lists does to them must not harm the
-- backends of others, and names are resolved at the time of the call.
BEGIN;
SET client_min_messages = warning;
SELECT plan(22);

CREATE TABLE ratings (user_id int, item_id text, rating real);
INSERT INTO ratings
    SELECT u, 'i' || i, (u * 7 + i * 3) % 5 FROM generate_series(1, 20) u, generate_series(1, 40) i
    WHERE (u + i) % 3 <> 0;
SELECT is(status, 'succeeded', 'train') FROM fm_train('tampered', 'ratings', iterations => 2);
SELECT is(count(*), 10::bigint, 'load') FROM fm_top_x('1'::text, model => 'tampered');

-- Tables altered by their owner: an error, which undoes the change, and no wild pointer.
SELECT throws_ok($$UPDATE fm_tampered_item SET idx = 2000000000 WHERE item_id IN ('i1', 'i3');
    SELECT * FROM fm_top_x('1'::text, model => 'tampered')$$, 'XX001', NULL, 'a seen item out of range');
SELECT throws_ok($$UPDATE fm_tampered_item SET idx = 2000000000 WHERE item_id IN ('i1', 'i3');
    SELECT fm_predict('1', 'i3', 'tampered')$$, 'XX001', NULL, 'an item out of range');
SELECT throws_ok($$ALTER TABLE fm_tampered_user ALTER v TYPE bigint USING 12345;
    SELECT * FROM fm_top_x('1'::text, model => 'tampered')$$, '42804', NULL, 'v of another type');
SELECT throws_ok($$ALTER TABLE fm_tampered_user ALTER v TYPE bigint USING 12345;
    SELECT * FROM fm_user_vectors('tampered')$$, '42804', NULL,
    'v of another type, in a walk over all users');
SELECT throws_ok($$SELECT fm_train('tampered', iterations => 2); -- a version that is not loaded yet
    ALTER TABLE fm_tampered_matrix ALTER matrix TYPE bigint USING 12345;
    SELECT * FROM fm_top_x('1'::text, model => 'tampered')$$, '42846', NULL, 'matrix of another type');
SELECT throws_ok($$SELECT fm_train('tampered', iterations => 2);
    DELETE FROM fm_tampered_item WHERE item_id = 'i3';
    SELECT * FROM fm_top_x('1'::text, model => 'tampered')$$, 'XX001', NULL, 'an item without a row');

-- An id column of a wider type: an error if a new id does not fit the stored type.
CREATE TABLE wide (user_id varchar(5), item_id int, rating real);
INSERT INTO wide
    SELECT 'u' || u, i, (u * 7 + i * 3) % 5 FROM generate_series(1, 20) u, generate_series(1, 40) i
    WHERE (u + i) % 3 <> 0;
SELECT is(status, 'succeeded', 'train on narrow ids') FROM fm_train('wide', 'wide', iterations => 2);
ALTER TABLE wide ALTER user_id TYPE varchar(20);
SELECT is(status, 'succeeded', 'train on wider ids that fit') FROM fm_train('wide', iterations => 2);
SELECT throws_ok($$INSERT INTO wide VALUES ('a longer id', 1, 1);
    SELECT fm_train('wide', iterations => 2)$$, '22001', NULL, 'an id that does not fit');

-- A table holds the lists of one model.
SELECT is(fm_write_top_x('lists', 2, 'tampered'), 40::bigint, 'a table of lists is written');
SELECT throws_ok($$SELECT fm_write_top_x('lists', 2, 'wide')$$, '42804', NULL,
                 'its columns have the types of the first model');
SELECT fm_train('again', 'ratings', iterations => 2);
SELECT is(fm_write_top_x('lists', 2, 'again'), 40::bigint, 'the table is written for another model');
SELECT is(array_agg(model), '{again}', 'only that model refreshes the table') FROM fm_target
    WHERE target = 'lists'::regclass;
CREATE TEMP TABLE temporary (LIKE lists);
SELECT fm_write_top_x('temporary', 2, 'again');
SELECT is(count(*), 0::bigint, 'a temporary table is not refreshed') FROM fm_target
    WHERE target = 'temporary'::regclass;

-- A run whose backend was killed does not stay running.
INSERT INTO fm_run (model, version, stamp, status, started_at) VALUES ('again', 90, 0, 'running', now());
SELECT fm_train('again', iterations => 2);
SELECT is(array_agg(status ORDER BY version), '{failed,succeeded}', 'a run that was cut off counts as failed')
    FROM fm_runs WHERE model = 'again' AND version >= 90;

-- The ratings are a view that calls a function, which renames the view and asks the model again.
CREATE TABLE switch AS SELECT false AS is_on;
CREATE FUNCTION rename_and_ask(item_id int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.switch SET is_on = false WHERE is_on;
    IF FOUND THEN
        ALTER VIEW public.renaming RENAME TO renamed;
        PERFORM * FROM public.fm_top_x(2, model => 'renaming');
    END IF;
    RETURN item_id;
END
$$;
CREATE VIEW renaming AS SELECT u AS user_id, rename_and_ask(i) AS item_id, (u * 7 + i * 3) % 5 AS rating
    FROM generate_series(1, 20) u, generate_series(1, 40) i WHERE (u + i) % 3 <> 0;
SELECT fm_train('renaming', 'renaming', iterations => 2);
SELECT count(*) FROM fm_top_x(1, model => 'renaming');
UPDATE switch SET is_on = true;
SELECT is(count(*), 10::bigint, 'a plan is replaced while it is running')
    FROM fm_top_x(1, model => 'renaming');

-- A model without its version table, which identifies it, can still be dropped by its owner.
DROP TABLE fm_again_version;
SELECT throws_ok($$SELECT fm_train('again')$$, '42P01', 'a table of model "again" has been dropped',
                 'the model cannot be trained again');
SELECT lives_ok($$SELECT fm_drop('again')$$, 'dropped');
SELECT is(status, 'succeeded', 'a model of the same name can be trained') FROM fm_train('again', 'ratings', iterations => 2);

-- Memory: what the solver needs is known before it starts.
CREATE TABLE many AS
    SELECT u AS user_id, i AS item_id, (u * i % 7)::real AS rating
    FROM generate_series(1, 2000) u, generate_series(1, 20) i;
SELECT throws_like($$SET LOCAL fmtopx.training_memory = '1MB'; SELECT fm_train('many', 'many', num_factors => 1024)$$,
                   'training on relation "many" needs about % of memory, but fmtopx.training_memory is 1024 kB',
                   'too many factors for the memory are an error');

SELECT * FROM finish();
ROLLBACK;
