-- The beginning of a test on MovieLens 100k: a transaction, and a schema of its own in front of the search path.
-- Where the data is not here, only the plan that skips all; the test is to \quit if :absent.
\if :{?movielens}
\else
\set movielens ''
\endif
SELECT :'movielens' = '' AS absent \gset
\if :absent
\echo 1..0 # SKIP MovieLens 100k is not here (make test DATA=dir)
\else
BEGIN;
CREATE SCHEMA movielens;
SELECT set_config('search_path', 'movielens, ' || current_setting('search_path'), true) \g /dev/null
SET client_min_messages = warning;
\endif
