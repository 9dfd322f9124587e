"""Every call as psycopg 3, psycopg2, asyncpg and pg8000 send it; prints TAP. Called by drivers.pl.

Statements are written with %s. What one must return is given by the same question in plain SQL, asked of a model
that plain SQL has trained (world.sql).
"""
import asyncio
import contextlib
import decimal
import io
import json
import os
import pathlib
import re
import uuid

import asyncpg
import numpy
import pg8000.dbapi
import psycopg
import psycopg.types.json
import psycopg2
import psycopg2.extensions
import psycopg2.extras

count = 0


def ok(passed, name, *details):
    global count
    count += 1
    print(f"{'' if passed else 'not '}ok {count} - {name.replace('#', '')}", flush=True)
    if not passed:
        for detail in details:
            print("# " + str(detail)[:1000].replace("\n", "\n# "), flush=True)


def plain(value):
    """A value as all drivers can be compared: lists for rows, the nearest real for floats, text for uuids."""
    if isinstance(value, float):
        return float(numpy.float32(value))
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (list, tuple, asyncpg.Record)):
        return [plain(element) for element in value]
    return value


class Psycopg:
    """psycopg 3: typed by the values, strings untyped."""

    name = "psycopg"
    typed = True
    options = {}

    def __init__(self):
        self.connection = psycopg.connect(autocommit=True)

    def rows(self, sql, *params):
        cursor = self.connection.execute(sql, params, **self.options)
        return cursor.fetchall() if cursor.description else []

    def copy(self, sql):
        with self.connection.cursor().copy(sql) as copy:
            return b"".join(bytes(block) for block in copy).decode()

    @staticmethod
    def json(value):
        return psycopg.types.json.Jsonb(value)

    def close(self):
        self.connection.close()


class PsycopgPrepared(Psycopg):
    """psycopg 3 with statements prepared at once, and results in binary form."""

    name = "psycopg, prepared"
    options = {"prepare": True, "binary": True}


class PsycopgClientSide(Psycopg):
    """psycopg 3 with parameters put into the statement, as literals."""

    name = "psycopg, client-side"

    def __init__(self):
        self.connection = psycopg.connect(autocommit=True, cursor_factory=psycopg.ClientCursor)


class Psycopg2:
    """psycopg2: literals."""

    name = "psycopg2"
    typed = True

    def __init__(self):
        psycopg2.extras.register_uuid()
        for number in (numpy.int64, numpy.float64):  # it knows neither
            psycopg2.extensions.register_adapter(number, lambda value: psycopg2.extensions.AsIs(value.item()))
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True

    def rows(self, sql, *params):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else []

    def copy(self, sql):
        file = io.StringIO()
        with self.connection.cursor() as cursor:
            cursor.copy_expert(sql, file)
        return file.getvalue()

    @staticmethod
    def json(value):
        return psycopg2.extras.Json(value)

    def close(self):
        self.connection.close()


class Asyncpg:
    """asyncpg: prepared, all parameters untyped, then sent as the server has typed them."""

    name = "asyncpg"
    typed = False

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.connection = self.loop.run_until_complete(self.connect())

    async def connect(self):
        connection = await asyncpg.connect()
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        return connection

    def rows(self, sql, *params):
        numbers = iter(range(1, len(params) + 1))
        sql = re.sub("%s", lambda match: f"${next(numbers)}", sql)
        return self.loop.run_until_complete(self.connection.fetch(sql, *params))

    def copy(self, sql):
        file = io.BytesIO()
        query = re.fullmatch(r"COPY \((.*)\) TO STDOUT", sql).group(1)
        self.loop.run_until_complete(self.connection.copy_from_query(query, output=file))
        return file.getvalue().decode()

    @staticmethod
    def json(value):
        return value

    def close(self):
        self.loop.run_until_complete(self.connection.close())
        self.loop.close()


class Pg8000:
    """pg8000: untyped, as text."""

    name = "pg8000"
    typed = False

    def __init__(self):
        self.connection = pg8000.dbapi.connect(
            user=os.environ["PGUSER"], database=os.environ["PGDATABASE"],
            unix_sock=f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}")
        self.connection.autocommit = True

    def rows(self, sql, *params):
        with contextlib.closing(self.connection.cursor()) as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else []

    def copy(self, sql):
        file = io.BytesIO()
        with contextlib.closing(self.connection.cursor()) as cursor:
            cursor.execute(sql, stream=file)
        return file.getvalue().decode()

    @staticmethod
    def json(value):
        return value

    def close(self):
        self.connection.close()


def key(letter, number):
    """The uuid that world.sql makes of a user or an item."""
    return uuid.UUID(admin.execute("SELECT md5(%s)", [f"{letter}{number}"]).fetchone()[0])


def asked_in_sql(sql):
    return admin.execute(sql).fetchall()


def same(driver, name, sql, params, expected):
    """The driver's answer to sql with params must be that of the query expected."""
    name = f"{driver.name}: {name}"
    try:
        got = plain(driver.rows(sql, *params))
    except Exception as error:  # whatever a driver raises
        ok(False, name, sql, params, error)
        return
    expected = plain(asked_in_sql(expected))
    ok(got == expected and len(got) > 0, name, sql, params, f"got {got}", f"instead of {expected}")


def train(driver):
    """Train a model of each sort of ids, with options that are not integers."""
    version = "SELECT 1, 'succeeded'"
    same(driver, "train", "SELECT version, status FROM fm_train(%s, ratings => %s, solver => %s, test_size => %s,"
         " l2_reg_v => %s, seed => %s)", ["movies", "ratings", "als", 0.1, 1.5, 7], version)
    same(driver, "train by position and name", "SELECT version, status FROM fm_train(%s, %s, user_column => %s,"
         " item_column => %s, iterations => %s)", ["reviewed", "reviews", "customer", "film", 5], version)
    same(driver, "train with integers and decimals for double precision", "SELECT version, status"
         " FROM fm_train(%s, %s, iterations => %s, test_size => %s, init_stdev => %s)",
         ["uuids", "by_uuid", 5, decimal.Decimal("0.0"), 1], version)
    same(driver, "train with a list of columns, and numpy.float64", "SELECT version, status"
         " FROM fm_train(%s, %s, context_columns => %s, iterations => %s, test_size => %s)",
         ["visits", "visits", ["device"], 5, numpy.float64(0)], version)
    same(driver, "NULLs", "SELECT version FROM fm_train(%s, %s, weight_column => %s, num_factors => %s, l2_reg_w => %s)",
         ["nulls", "ratings", None, None, None], "SELECT 1")
    driver.rows("CREATE SCHEMA ml")
    same(driver, "a schema", "SELECT version FROM fm_train(%s, %s, schema => %s)", ["elsewhere", "ratings", "ml"], "SELECT 1")
    same(driver, "the tables in it", "SELECT to_regclass(%s) IS NOT NULL", ["ml.fm_elsewhere_version"], "SELECT true")
    same(driver, "fm_drop of it", "SELECT fm_drop(%s) IS NOT NULL", ["elsewhere"], "SELECT true")
    driver.rows("DROP SCHEMA ml")
    same(driver, "fm_drop", "SELECT fm_drop(%s) IS NOT NULL", ["nulls"], "SELECT true")


def ask(driver):
    """Questions that every driver can ask like this: a cast says of which type an id is."""
    user, device = str(key("u", 42)), driver.json({"device": "phone"})
    for name, sql, params, expected in [
        ("top_x by int", "SELECT * FROM fm_top_x(%s::bigint, %s, %s)", [42, 3, "movies"],
         "SELECT * FROM fm_top_x(42, 3, 'sql_movies')"),
        ("top_x joined", "SELECT rank, title FROM fm_top_x(%s::bigint, %s, %s) JOIN films USING (item_id) ORDER BY rank",
         [42, 5, "movies"], "SELECT rank, title FROM fm_top_x(42, 5, 'sql_movies') JOIN films USING (item_id)"
         " ORDER BY rank"),
        ("top_x by str", "SELECT * FROM fm_top_x(%s, %s, %s)", ["customer-42", 3, "reviewed"],
         "SELECT * FROM fm_top_x('customer-42', 3, 'sql_reviewed')"),
        ("top_x by uuid", "SELECT * FROM fm_top_x(%s::uuid::text, %s, %s)", [key("u", 42), 3, "uuids"],
         "SELECT * FROM fm_top_x(md5('u42')::uuid::text, 3, 'sql_uuids')"),
        ("top_x by uuid, cast once", f"SELECT * FROM fm_top_x(%s::{'text' if driver.typed else 'uuid::text'}, %s, %s)",
         [key("u", 42), 3, "uuids"], "SELECT * FROM fm_top_x(md5('u42')::uuid::text, 3, 'sql_uuids')"),
        ("top_x by the text of a uuid", "SELECT * FROM fm_top_x(%s, %s, %s)", [user, 3, "uuids"],
         "SELECT * FROM fm_top_x(md5('u42')::uuid::text, 3, 'sql_uuids')"),
        ("numpy.int64", "SELECT * FROM fm_top_x(%s::bigint, %s, %s)", [numpy.int64(42), numpy.int64(3), "movies"],
         "SELECT * FROM fm_top_x(42, 3, 'sql_movies')"),
        ("x from count(*)", "SELECT * FROM fm_top_x(%s::bigint, (SELECT count(*) FROM films WHERE item_id <= %s), %s)",
         [42, 4, "movies"], "SELECT * FROM fm_top_x(42, 4, 'sql_movies')"),
        ("candidates and exclude", "SELECT * FROM fm_top_x(%s::bigint, %s, %s, candidates => %s, exclude => %s)",
         [42, 9, "movies", list(range(1, 20)), [3, 2147483648]],
         "SELECT * FROM fm_top_x(42, 9, 'sql_movies', candidates => ARRAY(SELECT generate_series(1, 19)), exclude => '{3}')"),
        ("candidates of numpy's numbers", "SELECT * FROM fm_top_x(%s::bigint, %s, %s, candidates => %s)",
         [42, 9, "movies", list(numpy.arange(1, 20))],
         "SELECT * FROM fm_top_x(42, 9, 'sql_movies', candidates => ARRAY(SELECT generate_series(1, 19)))"),
        ("candidates and exclude of str", "SELECT * FROM fm_top_x(%s, %s, %s, candidates => %s, exclude => %s)",
         ["customer-42", 9, "reviewed", [f"film-{i}" for i in range(1, 20)], ["film-3", "no {such}, \"film\""]],
         "SELECT * FROM fm_top_x('customer-42', 9, 'sql_reviewed', candidates => ARRAY(SELECT 'film-' || i"
         " FROM generate_series(1, 19) i), exclude => '{film-3}')"),
        ("no candidates", "SELECT count(*) FROM fm_top_x(%s::bigint, %s, %s, candidates => %s)", [42, 9, "movies", []],
         "SELECT 0"),
        ("NULL candidates", "SELECT * FROM fm_top_x(%s::bigint, %s, %s, candidates => %s, context => %s)",
         [42, 3, "movies", None, None], "SELECT * FROM fm_top_x(42, 3, 'sql_movies')"),
        ("integer items of a uuid", "SELECT * FROM fm_top_x(%s, %s, %s, candidates => %s::bigint[]::text[])",
         [user, 5, "visits", list(range(1, 20))],
         "SELECT * FROM fm_top_x(md5('u42')::uuid::text, 5, 'sql_visits', candidates => ARRAY(SELECT"
         " generate_series(1, 19)::text))"),
        ("novelty and exclude_seen", "SELECT * FROM fm_top_x(%s::bigint, %s, %s, exclude_seen => %s, novelty => %s)",
         [42, 9, "movies", False, 0.2], "SELECT * FROM fm_top_x(42, 9, 'sql_movies', false, novelty => 0.2)"),
        ("a dict as context", "SELECT * FROM fm_top_x(%s, %s, %s, context => %s)", [user, 3, "visits", device],
         "SELECT * FROM fm_top_x(md5('u42')::uuid::text, 3, 'sql_visits', context => '{\"device\": \"phone\"}')"),
        ("basket", "SELECT * FROM fm_top_x_for(%s::bigint[], %s, %s, %s)", [[3, 14, 25], [5.0, 4.5, 1.0], 3, "movies"],
         "SELECT * FROM fm_top_x_for(ARRAY[3, 14, 25], ARRAY[5, 4.5, 1], 3, 'sql_movies')"),
        ("basket of integers", "SELECT * FROM fm_top_x_for(%s::bigint[], %s, %s, %s)", [[3, 14], [5, 1], 3, "movies"],
         "SELECT * FROM fm_top_x_for(ARRAY[3, 14], ARRAY[5, 1], 3, 'sql_movies')"),
        ("basket of numpy's numbers", "SELECT * FROM fm_top_x_for(%s::bigint[], ratings => %s, model => %s)",
         [list(numpy.array([3, 14])), list(numpy.array([5, 4.5])), "movies"],
         "SELECT * FROM fm_top_x_for(ARRAY[3, 14], ARRAY[5, 4.5], 10, 'sql_movies')"),
        ("basket of str", "SELECT * FROM fm_top_x_for(%s::text[], %s, %s, %s)",
         [["film-3", "film-14"], [5.0, 4.5], 3, "reviewed"],
         "SELECT * FROM fm_top_x_for('{film-3,film-14}'::text[], '{5,4.5}', 3, 'sql_reviewed')"),
        ("basket of uuids", "SELECT * FROM fm_top_x_for(%s::uuid[]::text[], %s, %s, %s)",
         [[key("i", 3), key("i", 14)], [5.0, 4.5], 3, "uuids"],
         "SELECT * FROM fm_top_x_for(ARRAY[md5('i3')::uuid::text, md5('i14')::uuid::text], '{5,4.5}', 3, 'sql_uuids')"),
        ("empty basket", "SELECT * FROM fm_top_x_for(%s::bigint[], %s, %s, %s)", [[], [], 3, "movies"],
         "SELECT * FROM fm_top_x_for('{}'::bigint[], '{}', 3, 'sql_movies')"),
        ("predict by int", "SELECT fm_predict(%s::bigint, %s, %s)", [42, 7, "movies"],
         "SELECT fm_predict(42, 7, 'sql_movies')"),
        ("predict by str", "SELECT fm_predict(%s, %s, %s)", ["customer-42", "film-7", "reviewed"],
         "SELECT fm_predict('customer-42', 'film-7', 'sql_reviewed')"),
        ("predict with a dict as context", "SELECT fm_predict(%s, %s::bigint::text, %s, %s)",
         [user, 7, "visits", device],
         "SELECT fm_predict(md5('u42')::uuid::text, '7', 'sql_visits', '{\"device\": \"phone\"}')"),
        ("similar items", "SELECT * FROM fm_similar_items(%s::bigint, %s, %s)", [7, 3, "movies"],
         "SELECT * FROM fm_similar_items(7, 3, 'sql_movies')"),
        ("similar items of str", "SELECT * FROM fm_similar_items(%s, %s, %s)", ["film-7", 3, "reviewed"],
         "SELECT * FROM fm_similar_items('film-7', 3, 'sql_reviewed')"),
        ("users for an item", "SELECT * FROM fm_top_users(%s::bigint, %s, %s)", [7, 3, "movies"],
         "SELECT * FROM fm_top_users(7, 3, 'sql_movies')"),
        ("explain", "SELECT * FROM fm_explain(%s::bigint, %s, %s)", [41, 7, "movies"],
         "SELECT * FROM fm_explain(41, 7, 'sql_movies')"),
        ("evaluate", "SELECT * FROM fm_evaluate(%s, %s, %s)", ["ratings", "movies", 5],
         "SELECT * FROM fm_evaluate('ratings', 'sql_movies', 5)"),
        ("similar items, filtered", "SELECT * FROM fm_similar_items(%s::bigint, %s, %s, candidates => %s, exclude => %s)",
         [7, 5, "movies", list(range(1, 20)), [3]],
         "SELECT * FROM fm_similar_items(7, 5, 'sql_movies', ARRAY(SELECT generate_series(1, 19)), '{3}')"),
        ("users for an item, filtered", "SELECT * FROM fm_top_users(%s::bigint, %s, %s, exclude => %s, exclude_seen => %s)",
         [7, 5, "movies", [3, 4], True],
         "SELECT * FROM fm_top_users(7, 5, 'sql_movies', exclude => '{3,4}', exclude_seen => true)"),
        ("top_x_all of some users and items", "SELECT * FROM fm_top_x_all(%s, %s, users => %s, items => %s, context => %s)",
         [3, "visits", "some_users", "films", device],
         "SELECT * FROM fm_top_x_all(3, 'sql_visits', users => 'some_users', items => 'films',"
         " context => '{\"device\": \"phone\"}')"),
        ("vectors", "SELECT * FROM fm_item_vectors(%s)", ["reviewed"], "SELECT * FROM fm_item_vectors('sql_reviewed')"),
        ("top_x_all", "SELECT * FROM fm_top_x_all(%s, %s, novelty => %s)", [3, "movies", 0.1],
         "SELECT * FROM fm_top_x_all(3, 'sql_movies', novelty => 0.1)"),
        ("matrix of floats", "SELECT t.* FROM fm_matrix_top_x((SELECT fm_matrix_agg(item_id, %s, %s) FROM films), %s, %s) t",
         [[1.0, 2.0], 0.5, [3.0, 4.0], 2], "SELECT r, r::bigint, 11.5 FROM generate_series(1, 2) r"),
        ("matrix of integers", "SELECT t.* FROM fm_matrix_top_x((SELECT fm_matrix_agg(%s, %s, %s)), %s, %s) t",
         [7, [1, 2], 0, [3, 4], numpy.int64(1)], "SELECT 1, 7::bigint, 11.0"),
        ("matrix of numpy's arrays", "SELECT t.* FROM fm_matrix_top_x((SELECT fm_matrix_agg(%s, %s, %s)), %s, %s) t",
         [7, numpy.array([1, 2], dtype="float32").tolist(), 0.25, list(numpy.array([3.0, 4.0])), 1],
         "SELECT 1, 7::bigint, 11.25"),
    ]:
        same(driver, name, sql, params, expected)


def ask_without_casts(driver):
    """Drivers that send the types of numbers and lists need no cast but for uuids."""
    for name, sql, params, expected in [
        ("top_x", "SELECT * FROM fm_top_x(%s, %s, %s)", [42, 3, "movies"], "SELECT * FROM fm_top_x(42, 3, 'sql_movies')"),
        ("top_x of large ids", "SELECT * FROM fm_top_x(%s, %s, %s)", [2 ** 40, 2 ** 40, "movies"],
         f"SELECT * FROM fm_top_x({2 ** 40}, 40, 'sql_movies')"),
        ("numpy.int64", "SELECT * FROM fm_top_x(%s, %s, %s)", [numpy.int64(42), numpy.int64(3), "movies"],
         "SELECT * FROM fm_top_x(42, 3, 'sql_movies')"),
        ("basket", "SELECT * FROM fm_top_x_for(%s, %s, %s, %s)", [[3, 14, 25], [5.0, 4.5, 1.0], 3, "movies"],
         "SELECT * FROM fm_top_x_for(ARRAY[3, 14, 25], ARRAY[5, 4.5, 1], 3, 'sql_movies')"),
        ("basket of str", "SELECT * FROM fm_top_x_for(%s, %s, %s, %s)",
         [["film-3", "film-14"], [5.0, 4.5], 3, "reviewed"],
         "SELECT * FROM fm_top_x_for('{film-3,film-14}'::text[], '{5,4.5}', 3, 'sql_reviewed')"),
        ("empty basket", "SELECT item_id::bigint FROM fm_top_x_for(%s, %s, %s, %s)", [[], [], 3, "movies"],
         "SELECT item_id FROM fm_top_x_for('{}'::bigint[], '{}', 3, 'sql_movies')"),
        ("predict", "SELECT fm_predict(%s, %s, %s)", [42, 7, "movies"], "SELECT fm_predict(42, 7, 'sql_movies')"),
        ("similar items", "SELECT * FROM fm_similar_items(%s, %s, %s)", [7, 3, "movies"],
         "SELECT * FROM fm_similar_items(7, 3, 'sql_movies')"),
        ("users for an item", "SELECT * FROM fm_top_users(%s, %s, %s)", [7, 3, "movies"],
         "SELECT * FROM fm_top_users(7, 3, 'sql_movies')"),
    ]:
        same(driver, name + ", no cast", sql, params, expected)


def ask_the_models_own(driver):
    """The functions of a model need no cast from any driver, whatever its ids are."""
    device = driver.json({"device": "phone"})
    some = list(range(1, 20))
    for name, sql, params, expected in [
        ("int", "SELECT * FROM fm_movies_top_x(%s, %s)", [42, 3], "SELECT * FROM fm_top_x(42, 3, 'sql_movies')"),
        ("int, joined", "SELECT rank, title FROM fm_movies_top_x(%s, %s) JOIN films USING (item_id) ORDER BY rank", [42, 3],
         "SELECT rank, title FROM fm_top_x(42, 3, 'sql_movies') JOIN films USING (item_id) ORDER BY rank"),
        ("int, all arguments", "SELECT * FROM fm_movies_top_x(%s, %s, %s, %s, %s, %s, %s)",
         [42, numpy.int64(9), False, some, [3], None, 0.2],
         "SELECT * FROM fm_top_x(42, 9, 'sql_movies', false, ARRAY(SELECT generate_series(1, 19)), '{3}', NULL, 0.2)"),
        ("numpy.int64", "SELECT * FROM fm_movies_top_x(%s, %s, candidates => %s)",
         [numpy.int64(42), numpy.int64(9), list(numpy.arange(1, 20))],
         "SELECT * FROM fm_top_x(42, 9, 'sql_movies', candidates => ARRAY(SELECT generate_series(1, 19)))"),
        ("int, larger than any id", "SELECT * FROM fm_movies_top_x(%s, %s)", [2 ** 40, 3],
         f"SELECT * FROM fm_top_x({2 ** 40}, 3, 'sql_movies')"),
        ("int, no candidates", "SELECT count(*) FROM fm_movies_top_x(%s, candidates => %s)", [42, []], "SELECT 0"),
        ("str", "SELECT * FROM fm_reviewed_top_x(%s, %s, exclude => %s)", ["customer-42", 3, ["film-3"]],
         "SELECT * FROM fm_top_x('customer-42', 3, 'sql_reviewed', exclude => '{film-3}')"),
        ("uuid", "SELECT * FROM fm_uuids_top_x(%s, %s, candidates => %s)",
         [key("u", 42), 5, [key("i", item) for item in some]],
         "SELECT rank, item_id::uuid, score, rating FROM fm_top_x(md5('u42')::uuid::text, 5, 'sql_uuids', candidates =>"
         " ARRAY(SELECT md5('i' || i)::uuid::text FROM generate_series(1, 19) i))"),
        ("uuid and int", "SELECT * FROM fm_visits_top_x(%s, %s, candidates => %s, context => %s)",
         [key("u", 42), 5, some, device],
         "SELECT rank, item_id::integer, score, rating FROM fm_top_x(md5('u42')::uuid::text, 5, 'sql_visits', candidates =>"
         " ARRAY(SELECT generate_series(1, 19)::text), context => '{\"device\": \"phone\"}')"),
        ("all", "SELECT * FROM fm_visits_top_x_all(%s, exclude_seen => %s, novelty => %s)", [3, False, 0.1],
         "SELECT user_id::uuid, rank, item_id::integer, score, rating FROM fm_top_x_all(3, 'sql_visits', false, novelty => 0.1)"),
    ]:
        same(driver, "the model's own function: " + name, sql, params, expected)


def write(driver):
    """Tables of lists, COPY, and what keeps models."""
    lists = "SELECT user_id, rank, item_id FROM"
    same(driver, "fm_write_top_x", "SELECT fm_write_top_x(%s, %s, %s, novelty => %s)", ["lists", 4, "movies", 0.1],
         "SELECT 240::bigint")
    same(driver, "the table of lists", f"{lists} lists ORDER BY 1, 2", [],
         f"{lists.replace('user_id', 'user_id::int').replace('item_id', 'item_id::int')}"
         " fm_top_x_all(4, 'sql_movies', novelty => 0.1) ORDER BY 1, 2")
    same(driver, "fm_write_top_x for some users and items", "SELECT fm_write_top_x(%s, %s, %s, users => %s, items => %s)",
         ["some_lists", numpy.int64(2), "visits", "some_users", "films"], "SELECT 20::bigint")
    same(driver, "fm_write_similar_items", "SELECT fm_write_similar_items(%s, %s, %s, items => %s)",
         ["related", numpy.int64(3), "movies", "films"], "SELECT 120::bigint")
    copied = driver.copy("COPY (SELECT * FROM fm_top_x_all(3, 'movies')) TO STDOUT").splitlines()
    expected = [line.split("\t") for line in copied]
    got = [[str(cell) for cell in row] for row in asked_in_sql(
        "SELECT user_id, rank::text, item_id, score::text, rating::text FROM fm_top_x_all(3, 'sql_movies')")]
    ok(expected == got and len(copied) == 180, f"{driver.name}: COPY of fm_top_x_all", *copied[:3])
    same(driver, "fm_set", "SELECT fm_set(%s, max_worse => %s, keep_versions => %s) IS NOT NULL", ["movies", 0.5, 3],
         "SELECT true")
    ok(asked_in_sql("SELECT max_worse, keep_versions FROM fm_models WHERE model = 'movies'") == [(0.5, 3)],
       f"{driver.name}: what fm_set has set")
    driver.rows("CALL fm_refresh(%s, on_conflict => %s)", "movies", "error")
    same(driver, "CALL fm_refresh", "SELECT version, status FROM fm_runs WHERE model = %s ORDER BY version", ["movies"],
         "SELECT * FROM (VALUES (1, 'succeeded'), (2, 'succeeded')) v")
    same(driver, "fm_activate", "SELECT fm_activate(%s, %s) IS NOT NULL", ["movies", 1], "SELECT true")
    same(driver, "fm_fold_in", "SELECT status FROM fm_fold_in(%s)", ["movies"], "SELECT 'succeeded'")
    same(driver, "fm_forget_target", "SELECT fm_forget_target(%s)", ["lists"], "SELECT true")
    same(driver, "fm_grant", "SELECT fm_grant(%s, %s) IS NOT NULL", ["movies", "pg_monitor"], "SELECT true")
    driver.rows("CALL fm_tune(%s, trials => %s, validation_size => %s)", "movies", 1, 0.2)
    same(driver, "CALL fm_tune", "SELECT count(*) > 0 FROM fm_trials WHERE model = %s", ["movies"], "SELECT true")


def exchange(driver):
    """Models from bytes, and from lists of floats."""
    lines = [line for (line,) in map(tuple, driver.rows("SELECT * FROM fm_export_libfm(%s)", "sql_movies"))]
    same(driver, "fm_import of bytes", "SELECT status FROM fm_import(%s, %s, %s, %s, rating_min => %s, rating_max => %s)",
         ["imported", "\n".join(lines).encode(), "numbered_users", "numbered_items", 1.0, 5], "SELECT 'succeeded'")
    # libFM has digits of a real
    same(driver, "what it predicts", "SELECT round(fm_predict(%s::bigint, %s, %s)::numeric, 4)::float8", [42, 7, "imported"],
         "SELECT round(fm_predict(42, 7, 'sql_movies')::numeric, 4)::float8")
    for table, row in [("vectors_of_users", [1, [2.0, 0.25]]), ("vectors_of_items", [3, numpy.array([0.5, -1]).tolist()])]:
        driver.rows(f"INSERT INTO {table} VALUES (%s, %s)", *row)
    same(driver, "fm_import_arrays", "SELECT status FROM fm_import_arrays(%s, %s, %s, global_bias => %s)",
         ["arrays", "vectors_of_users", "vectors_of_items", 0.5], "SELECT 'succeeded'")
    same(driver, "what it predicts", "SELECT fm_predict(%s::bigint, %s, %s)", [1, 3, "arrays"], "SELECT 1.25::float8")
    for model in ("imported", "arrays"):
        driver.rows("SELECT fm_drop(%s)", model)
    driver.rows("TRUNCATE vectors_of_users, vectors_of_items")


def drop(driver):
    for model in ("movies", "reviewed", "uuids", "visits"):
        same(driver, f"drop {model}", "SELECT fm_drop(%s) IS NOT NULL", [model], "SELECT true")
    driver.rows("DROP TABLE lists, some_lists, related")


def psycopg_only():
    """Transactions, cursors, pipelines and COPY with parameters, of psycopg 3."""
    list_of_42 = asked_in_sql("SELECT * FROM fm_top_x(42, 3, 'sql_movies')")
    with psycopg.connect(options="-c fmtopx.model=sql_movies") as connection:
        got = connection.execute("SELECT * FROM fm_top_x(%s, %s)", (42, 3)).fetchall()
        ok(got == list_of_42, "psycopg: the setting fmtopx.model among the options of a connection")
        with connection.cursor("lists") as cursor:
            cursor.itersize = 50
            cursor.execute("SELECT * FROM fm_top_x_all(%s)", (3,))
            ok(len(list(cursor)) == 180, "psycopg: a cursor of the server's")
        with connection.pipeline():
            cursors = [connection.execute("SELECT * FROM fm_top_x(%s, 3)", (user,)) for user in (41, 42)]
        ok(cursors[1].fetchall() == list_of_42, "psycopg: a pipeline")
        cursor = connection.cursor()
        cursor.executemany("SELECT * FROM fm_top_x(%s, %s)", [(41, 3), (42, 3)], returning=True)
        cursor.nextset()
        ok(cursor.fetchall() == list_of_42, "psycopg: executemany")
        connection.execute("CALL fm_refresh(%s)", ["sql_movies"])
        ok(connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS,
           "psycopg: CALL fm_refresh in a transaction block")
        connection.rollback()
        try:
            connection.execute("SELECT * FROM fm_top_x(%s, %s)", (42, -1))
            ok(False, "psycopg: an error")
        except psycopg.errors.InvalidParameterValue as error:
            ok(error.diag.message_primary == "x must not be negative, but is -1", "psycopg: an error", error)


admin = psycopg.connect(autocommit=True)
admin.execute(pathlib.Path(__file__).with_name("world.sql").read_text())
for driver in map(lambda kind: kind(), (Psycopg, PsycopgPrepared, PsycopgClientSide, Psycopg2, Asyncpg, Pg8000)):
    train(driver)
    ask(driver)
    if driver.typed:
        ask_without_casts(driver)
    ask_the_models_own(driver)
    write(driver)
    exchange(driver)
    drop(driver)
    driver.close()
psycopg_only()
print(f"1..{count}")
