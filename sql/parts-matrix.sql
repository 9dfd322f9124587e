-- The type fm_matrix: item vectors in one value.

CREATE TYPE fm_matrix;

CREATE FUNCTION fm_matrix_in(cstring) RETURNS fm_matrix
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_in';

CREATE FUNCTION fm_matrix_out(fm_matrix) RETURNS cstring
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_out';

CREATE FUNCTION fm_matrix_recv(internal) RETURNS fm_matrix
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_recv';

CREATE FUNCTION fm_matrix_send(fm_matrix) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_send';

CREATE TYPE fm_matrix (
    INPUT = fm_matrix_in,
    OUTPUT = fm_matrix_out,
    RECEIVE = fm_matrix_recv,
    SEND = fm_matrix_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = external
);

COMMENT ON TYPE fm_matrix IS
'Items with ids (bigint, ascending, unique), vectors of 1 to 1024 factors, all of one length, and biases: at least one item, finite single-precision numbers, at most 1 GB. Text form: [[item_id,[v1,...,vk],w],...]. Made by fm_matrix_agg, scanned by fm_matrix_top_x.';

COMMENT ON FUNCTION fm_matrix_in(cstring) IS 'Text input of fm_matrix. An error when the text is not [[item_id,[v1,...,vk],w],...] with ascending ids, finite numbers and vectors of one length.';
COMMENT ON FUNCTION fm_matrix_out(fm_matrix) IS 'Text output of fm_matrix: [[item_id,[v1,...,vk],w],...], each number in the shortest form that reads back the same.';
COMMENT ON FUNCTION fm_matrix_recv(internal) IS 'Binary input of fm_matrix, with the checks of the text input.';
COMMENT ON FUNCTION fm_matrix_send(fm_matrix) IS 'Binary output of fm_matrix, in network byte order.';

CREATE FUNCTION fm_matrix_items(m fm_matrix) RETURNS bigint
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_items';

COMMENT ON FUNCTION fm_matrix_items(fm_matrix) IS 'The number of items of a matrix; does not read the vectors.';

CREATE FUNCTION fm_matrix_factors(m fm_matrix) RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_factors';

COMMENT ON FUNCTION fm_matrix_factors(fm_matrix) IS 'The number of factors of a matrix, which is the length of each item''s vector without its bias; does not read the vectors.';

-- The aggregate that makes one.

CREATE FUNCTION fm_matrix_agg_transfn(internal, bigint, real[], real) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_transfn';

CREATE FUNCTION fm_matrix_agg_combinefn(internal, internal) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_combinefn';

CREATE FUNCTION fm_matrix_agg_serialfn(internal) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_serialfn';

CREATE FUNCTION fm_matrix_agg_deserialfn(bytea, internal) RETURNS internal
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_deserialfn';

CREATE FUNCTION fm_matrix_agg_finalfn(internal) RETURNS fm_matrix
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fm_matrix_agg_finalfn';

COMMENT ON FUNCTION fm_matrix_agg_transfn(internal, bigint, real[], real) IS 'Transition function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_combinefn(internal, internal) IS 'Combine function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_serialfn(internal) IS 'Serialization function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_deserialfn(bytea, internal) IS 'Deserialization function of fm_matrix_agg.';
COMMENT ON FUNCTION fm_matrix_agg_finalfn(internal) IS 'Final function of fm_matrix_agg.';

CREATE AGGREGATE fm_matrix_agg(item_id bigint, v real[], w real) (
    SFUNC = fm_matrix_agg_transfn,
    STYPE = internal,
    FINALFUNC = fm_matrix_agg_finalfn,
    FINALFUNC_MODIFY = READ_ONLY,
    COMBINEFUNC = fm_matrix_agg_combinefn,
    SERIALFUNC = fm_matrix_agg_serialfn,
    DESERIALFUNC = fm_matrix_agg_deserialfn,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE fm_matrix_agg(bigint, real[], real) IS
'The matrix of the items given: one row per item with its id, its vector v (1 to 1024 elements, the same number for every item) and its bias w. The same value whatever the order of the rows. A row with a NULL argument is ignored; without rows the result is NULL. An error for an id that occurs twice, a vector of another length, of more than one dimension or with a NULL, a number that is not finite, and a result above 1 GB.';

-- The scan.

CREATE FUNCTION fm_matrix_top_x(m fm_matrix, query real[], x integer)
RETURNS TABLE (rank integer, item_id bigint, score real)
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000 ROWS 10
AS 'MODULE_PATHNAME', 'fm_matrix_top_x';

COMMENT ON FUNCTION fm_matrix_top_x(fm_matrix, real[], integer) IS
'The x items with the highest score, best first, ties by item id; fewer when the matrix has fewer. The score is the inner product of query and v, plus w; a query with one element more than the matrix has factors multiplies w by that element. Exact: always what a scan in double precision gives. No rows when m or query is NULL or x is 0. An error when x is NULL or negative, when query has another length, more than one dimension, a NULL or an element that is not finite, and when a score returned does not fit a real.';
