"""The model that every system serves, its vectors, and the exact answers.

Ratings of a planted model are drawn, loaded and trained from with fm_train, so that the vectors are as skewed as
those of a real model: many items have few ratings and short vectors. That is easy for an approximate index, and
for a scan that may stop early. So there is also the other extreme: independent normal numbers in the place of what
was trained. All systems get the same vectors, as fm_item_vectors and fm_user_vectors give them: their inner
product orders items as fm_top_x does.
"""

import os
import subprocess
import tempfile

import numpy as np

QUERIES = 1000  # users that are asked for, with ids from 1; also the fewest that there are
SEEN = 100  # ratings of each user
RATINGS_PER_ITEM, RATINGS_MOST = 20, 20_000_000
PLANTED_RANK = 16
ITERATIONS = 5  # of als: what matters here is the shape of the vectors, not the last digit of the error


def psql(sql, settings=""):
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    environment = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning " + settings}
    return subprocess.run(command, input=sql, text=True, check=True, stdout=subprocess.PIPE, env=environment).stdout


def draw_ratings(num_items):
    """(users, items, ratings): SEEN different items a user, each item at least once, the rest by Zipf popularity."""
    rng = np.random.default_rng(num_items)
    num_users = max(QUERIES, min(num_items * RATINGS_PER_ITEM, RATINGS_MOST) // SEEN)
    weight = 1 / np.arange(1, num_items + 1) ** 0.8
    popular = rng.permutation(num_items)  # the most popular first
    drawn = popular[rng.choice(num_items, (num_users, 3 * SEEN), p=weight / weight.sum())]
    once = rng.permutation(num_items)
    items = np.empty((num_users, SEEN), np.int32)
    for user in range(num_users):
        items[user] = list(dict.fromkeys(np.concatenate([once[user::num_users], drawn[user]]).tolist()))[:SEEN]

    users, items = np.repeat(np.arange(num_users, dtype=np.int32), SEEN), items.ravel()
    user_v = rng.normal(0, 0.4, (num_users, PLANTED_RANK)).astype(np.float32)
    item_v = rng.normal(0, 0.4, (num_items, PLANTED_RANK)).astype(np.float32)
    user_w, item_w = rng.normal(0, 0.4, num_users), rng.normal(0, 0.4, num_items)
    ratings = 3.5 + user_w[users] + item_w[items] + rng.normal(0, 0.7, len(users))
    ratings += np.einsum("rk,rk->r", user_v[users], item_v[items])
    order = rng.permutation(len(users))  # as rows lie in a table that has grown with time
    return users[order] + 1, items[order] + 1, ratings[order].astype(np.float32)


# A row of COPY's binary format is the number of fields and, before each field, its length in bytes.
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
RATING_ROW = np.dtype([("fields", ">i2"), ("user_len", ">i4"), ("user", ">i4"), ("item_len", ">i4"), ("item", ">i4"),
                       ("rating_len", ">i4"), ("rating", ">f4")])


def vector_row(length):
    element = [("len", ">i4"), ("value", ">f4")]
    return np.dtype([("fields", ">i2"), ("id_len", ">i4"), ("id", ">i4"), ("vector_len", ">i4"), ("header", ">i4", 5),
                     ("vector", element, length)])


def copy_in(table, rows):
    with tempfile.NamedTemporaryFile() as file:
        file.write(COPY_HEADER + rows.tobytes() + COPY_TRAILER)
        file.flush()
        psql(f"\\copy {table} FROM {file.name} (FORMAT binary)")


def load_ratings(num_items):
    users, items, ratings = draw_ratings(num_items)
    rows = np.empty(len(users), RATING_ROW)
    rows["fields"], rows["user_len"], rows["item_len"], rows["rating_len"] = 3, 4, 4, 4
    rows["user"], rows["item"], rows["rating"] = users, items, ratings
    psql("CREATE UNLOGGED TABLE ratings (user_id int, item_id int, rating real)")
    copy_in("ratings", rows)
    psql("ALTER TABLE ratings ADD PRIMARY KEY (user_id, item_id); VACUUM ANALYZE ratings")


def train(num_factors):
    """Make the model bench; give the seconds that took."""
    return float(psql(f"""
SELECT extract(epoch FROM finished_at - started_at)
FROM fm_train('bench', 'ratings', solver => 'als', num_factors => {num_factors}, iterations => {ITERATIONS},
              rank_by => 'rating')
""", "-c fmtopx.training_memory=16GB"))


def replace_by_normal(num_items, num_factors):
    """Put normal numbers into the tables of the model, before any connection has used it."""
    for side, count in ("user", QUERIES), ("item", num_items):
        rows = np.empty(count, vector_row(num_factors + 1))
        rows["fields"], rows["id_len"], rows["id"] = 2, 4, np.arange(1, count + 1)
        rows["vector_len"], rows["vector"]["len"] = 20 + 8 * (num_factors + 1), 4
        rows["header"] = 1, 0, 700, num_factors + 1, 1  # one dimension, no NULL, real, its length, from 1
        rows["vector"]["value"] = np.random.default_rng(count).normal(0, 0.3, (count, num_factors + 1))
        psql("DROP TABLE IF EXISTS normal; CREATE UNLOGGED TABLE normal (id int PRIMARY KEY, v real[])")
        copy_in("normal", rows)
        psql(f"UPDATE fm_bench_{side} SET v = n.v[:{num_factors}], w = n.v[{num_factors + 1}] "
             f"FROM normal n WHERE n.id = {side}_id")
    psql("""
UPDATE fm_bench_version SET has_popularity = false;
UPDATE fm_bench_matrix m SET matrix = n.matrix
FROM (SELECT idx / (SELECT max(fm_matrix_items(matrix)) FROM fm_bench_matrix) AS block,
             fm_matrix_agg(idx, v, w) AS matrix
      FROM fm_bench_item GROUP BY 1) n
WHERE n.block = m.block;
DROP TABLE normal""")


def make_vector_tables():
    psql(f"""
CREATE UNLOGGED TABLE item_array AS SELECT id::int AS item_id, vector AS v FROM fm_item_vectors('bench');
CREATE UNLOGGED TABLE query_array AS
    SELECT id::int AS user_id, vector AS v FROM fm_user_vectors('bench') WHERE id::int <= {QUERIES};
ALTER TABLE query_array ADD PRIMARY KEY (user_id);
""")
    for table in "item_array", "query_array", "fm_bench_version", "fm_bench_user", "fm_bench_item", "fm_bench_matrix":
        psql(f"VACUUM ANALYZE {table}")


def read_vectors(table, id_column, count):
    """The vectors of a table whose ids are 1 to count, in that order."""
    length = int(psql(f"SELECT array_length(v, 1) FROM {table} LIMIT 1"))
    with tempfile.NamedTemporaryFile() as file:
        psql(f"\\copy (SELECT {id_column}, v FROM {table}) TO {file.name} (FORMAT binary)")
        rows = np.memmap(file.name, vector_row(length), "r", len(COPY_HEADER), (count,))
        vectors = np.empty((count, length), np.float32)
        vectors[rows["id"] - 1] = rows["vector"]["value"]
    return vectors


class Truth:
    """What a scan of all items in double precision answers."""

    def __init__(self, items, queries, x):
        self.items, self.queries, self.x = items, queries.astype(np.float64), x
        self.seen = [set() for _ in queries]
        for line in psql(f"SELECT user_id, item_id FROM ratings WHERE user_id <= {len(queries)}").split():
            user, item = line.split("|")
            self.seen[int(user) - 1].add(int(item))
        self.ranked = self.rank(np.arange(1, len(items) + 1))

    def rank(self, ids):
        """For each query, the best of these ids: enough of them to leave out what the user has seen."""
        most = self.x + SEEN
        best = [[] for _ in self.queries]
        for begin in range(0, len(ids), 500_000):
            part = ids[begin:begin + 500_000]
            for query, scores in enumerate(self.queries @ self.items[part - 1].astype(np.float64).T):
                top = np.argpartition(-scores, most)[:most] if most < len(scores) else np.arange(len(scores))
                best[query] += zip(-scores[top], part[top].tolist())
        return [[item for _, item in sorted(rows)[:most]] for rows in best]

    def answer(self, query, ranked, without_seen):
        seen = self.seen[query] if without_seen else ()
        return [item for item in ranked[query] if item not in seen][:self.x]

    def compare(self, answers, exact_to, ranked=None, without_seen=False):
        """(recall, rows that differ) of the answers to the first queries. Where an item's score is within exact_to
        of the one that stands there in truth, in units of the product of the norms, the row does not differ."""
        hits = wrong = 0
        for query, found in enumerate(answers):
            expected = self.answer(query, ranked or self.ranked, without_seen)
            hits += len(set(found) & set(expected)) / len(expected)
            wrong += abs(len(found) - len(expected))
            vector = self.queries[query]
            for ours, theirs in zip(expected, found):
                pair = self.items[[ours - 1, theirs - 1]].astype(np.float64)
                unit = np.linalg.norm(vector) * np.linalg.norm(pair, axis=1).max()
                wrong += ours != theirs and abs(pair[0] @ vector - pair[1] @ vector) > exact_to * unit
        return hits / len(answers), int(wrong)
