# Lists for the users of one relation, of the items of another, in a context: always what fm_top_x says, user by
# user; and tables of such lists, which follow both relations and compute no more than they must.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('mailings');
$node->init;
# The server's log shows when a worker starts.
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nlog_min_messages = debug1\njit = off\n");
$node->start;
my $workers = 'SET min_parallel_table_scan_size = 0; SET max_parallel_maintenance_workers = 2;';
my $alone = 'SET max_parallel_maintenance_workers = 0;';

# Return what statements return, or their error.
sub try
{
	my ($sql, $role) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, on_error_stop => 1, $role ? (extra_params => [ '-U', $role ]) : ());
	return $status == 0 ? $out : $err;
}

# Return how many workers a piece of code has started.
sub started
{
	my ($code) = @_;
	my $at = -s $node->logfile;
	$code->();
	return scalar(() = substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $at) =~
		  /starting background worker process "parallel worker/g);
}

# Ratings by 300 users of 60 items, with a context; features of some who have rated nothing. An id of each type
# for a number.
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE FUNCTION h(a int, b int, seed int) RETURNS int IMMUTABLE LANGUAGE sql AS
    $$ SELECT (hashint8extended(a * 100003 + b, seed) & 65535)::int $$;
CREATE FUNCTION id(n int, type text) RETURNS text IMMUTABLE LANGUAGE sql AS
    $$ SELECT CASE type WHEN 'integer' THEN n::text WHEN 'bigint' THEN (n * 10000000000)::text
              WHEN 'text' THEN 'id ' || n ELSE md5(n::text) END $$;
CREATE TABLE numbers AS
SELECT u, i, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3) + CASE WHEN h(u, i, 3) % 2 = 0 THEN sin(i) ELSE 0 END)::real AS rating,
       (ARRAY['phone', 'desk'])[1 + h(u, i, 3) % 2] AS device
FROM generate_series(1, 300) u, generate_series(1, 60) i WHERE h(u, i, 1) % 4 = 0 OR i = 1;
-- those who come later: 400 to 449 with some ratings, of which some do not count
CREATE TABLE later AS
SELECT u, i, CASE WHEN h(u, i, 6) % 9 > 0 THEN (3 + cos(u) * sin(i))::real END AS rating, 'desk' AS device
FROM generate_series(400, 449) u, generate_series(1, 64) i WHERE h(u, i, 5) % 5 = 0;
-- one who has rated so often that no block of users has room for it
INSERT INTO later SELECT 450, h(n, 1, 9) % 30, 1 + h(n, 2, 9) % 5, 'phone' FROM generate_series(1, 20000) n;
-- known by features alone, and now they rate
INSERT INTO later SELECT u, i, 4, 'phone' FROM generate_series(310, 319) u, generate_series(5, 20) i;
CREATE TABLE kinds (u int, kind text);
INSERT INTO kinds SELECT u, 'kind ' || u % 3 FROM generate_series(1, 330) u;

CREATE FUNCTION make(m text, type text, options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('CREATE TABLE %1$s_ratings AS SELECT id(u, %2$L)::%2$s AS who, id(i, %2$L)::%2$s AS what, rating, device FROM numbers', m, type);
    EXECUTE format('CREATE TABLE %1$s_kinds AS SELECT id(u, %2$L)::%2$s AS who, kind FROM kinds', m, type);
    EXECUTE format($q$ SELECT status FROM fm_train(%1$L, '%1$s_ratings', user_column => 'who', item_column => 'what', user_features => '%1$s_kinds',
                       iterations => 4, test_size => 0 %2$s) $q$, m, options) INTO result;
    EXECUTE format('INSERT INTO %1$s_ratings SELECT id(u, %2$L)::%2$s, id(i, %2$L)::%2$s, rating, device FROM later', m, type);
    EXECUTE format('CREATE INDEX ON %s_ratings (who)', m);
    RETURN result;
END $$;

-- Whom and what: some of everybody, known or not, with NULLs and repeats; of case n.
CREATE FUNCTION choose(m text, type text, n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE IF EXISTS whom, what;
    EXECUTE format('CREATE TABLE whom AS SELECT id(u, %1$L)::%1$s AS who FROM generate_series(1, 480) u, generate_series(1, 2) WHERE h(u, %2$s, 7) %% 3 = 0
                    UNION ALL SELECT NULL::%1$s', type, n);
    EXECUTE format('CREATE TABLE what AS SELECT 1 AS more, id(i, %1$L)::%1$s AS what FROM generate_series(1, 70) i WHERE h(i, %2$s, 8) %% %3$s = 0
                    UNION ALL SELECT 2, NULL::%1$s', type, n, 1 + n % 7);
END $$;

-- The lists of fm_top_x, user by user.
CREATE FUNCTION one_by_one(m text, x int, seen bool, users regclass, items regclass, context jsonb, novelty float8)
RETURNS TABLE (user_id text, rank int, item_id text, score real, rating real) LANGUAGE plpgsql AS $$
DECLARE candidates text[];
BEGIN
    IF items IS NOT NULL THEN
        EXECUTE format('SELECT coalesce(array_agg(what::text), %L) FROM %s', '{}', items) INTO candidates;
    END IF;
    RETURN QUERY EXECUTE format('SELECT u.id, t.* FROM (%s) u, LATERAL fm_top_x(u.id, $1, $2, $3, $4, NULL, $5, $6) t',
        CASE WHEN users IS NULL THEN 'SELECT id FROM fm_user_vectors($2)'
             ELSE format('SELECT DISTINCT who::text AS id FROM %s WHERE who IS NOT NULL', users) END)
        USING x, m, seen, candidates, context, novelty;
END $$;
CREATE FUNCTION unlike(a text, b text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('CREATE TEMP TABLE a ON COMMIT DROP AS %s', a);
    EXECUTE format('CREATE TEMP TABLE b ON COMMIT DROP AS %s', b);
    SELECT format('%s unlike', count(*)) INTO result FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d;
    RETURN result || CASE WHEN EXISTS (TABLE a) THEN '' ELSE ' of none' END;
END $$;
});

my @models = (
	[ 'whole', 'integer', q{, num_factors => 6, context_columns => '{device}', rank_by => 'rating'} ],
	[ 'large', 'bigint', q{, num_factors => 30, context_columns => '{device}'} ],
	[ 'words', 'text', q{, num_factors => 24, context_columns => '{device}', rank_by => 'rating'} ],
	[ 'marks', 'uuid', q{, num_factors => 9, task => 'ranking'} ]);
for my $case (@models)
{
	my ($model, $type, $options) = @$case;
	$options =~ s/'/''/g;
	is($node->safe_psql('postgres', "SELECT make('$model', '$type', '$options')"), 'succeeded', "$model: trained");
}

for my $n (1 .. 24)
{
	my ($model, $type, $options) = @{ $models[ $n % 4 ] };
	my $users = $n % 5 == 0 ? 'NULL' : "'whom'";
	my $items = $n % 3 == 0 ? 'NULL' : "'what'";
	my $seen = $n % 7 == 0 ? 'false' : 'true';
	my $context = $n % 2 && $options =~ /device/ ? q{'{"device": "phone"}'} : 'NULL';
	my $novelty = $n % 4 == 1 ? '0.7' : 'NULL';
	my $x = (3, 10, 100)[ $n % 3 ];
	my $given = "users => $users, items => $items, context => $context, novelty => $novelty";
	my $all = "SELECT * FROM fm_top_x_all($x, ''$model'', $seen, " . $given =~ s/'/''/gr . ')';
	my $one = "SELECT * FROM one_by_one(''$model'', $x, $seen, " . "$users, $items, $context, $novelty" =~ s/'/''/gr . ')';
	my $table = "SELECT user_id::text, rank, item_id::text, score, rating FROM target$n";
	my $what = "$model: case $n: $x of $items to $users, $seen, $context, $novelty";

	$node->safe_psql('postgres', "SELECT choose('$model', '$type', $n)");
	is(try("$alone SELECT unlike('$all', '$one')"), '0 unlike', $what);
	my $found;
	my $count = started(sub { $found = try("$workers SELECT unlike('$all', '$one')") });
	is($found, '0 unlike', 'and by workers');
	cmp_ok($count, '>', 0, 'of whom there are some');
	$node->safe_psql('postgres', ($n % 2 ? $workers : $alone) . "SELECT fm_write_top_x('target$n', $x, '$model', $seen, $given)");
	is(try("SELECT unlike('$table', '$one')"), '0 unlike', 'written');
	$node->safe_psql('postgres', "SELECT choose('$model', '$type', @{[$n + 100]})");
	$node->safe_psql('postgres', ($n % 3 ? $workers : $alone) . "SELECT fm_write_top_x('target$n', $x, '$model', $seen, $given)");
	is(try("SELECT unlike('$table', '$one')"), '0 unlike', 'rewritten with another filter');
}

# Everybody in the ratings, also those who came after the training.
is(try(q{SELECT count(DISTINCT user_id) = (SELECT count(DISTINCT who) FROM words_ratings) FROM fm_top_x_all(3, 'words', users => 'words_ratings')}),
	't', 'all of the ratings');
is(try(q{SELECT unlike('SELECT * FROM fm_top_x_all(3, ''words'', users => ''words_ratings'')',
	'SELECT * FROM one_by_one(''words'', 3, true, ''words_ratings'', NULL, NULL, NULL)')}), '0 unlike', 'with the lists of fm_top_x');

# A table that follows stock and subscribers computes no more than it must. 100 users, 640 items, no list of which
# is short.
$node->safe_psql(
	'postgres', q{
CREATE TABLE sales AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 100) u, generate_series(1, 640) i WHERE h(u, i, 1) % 20 = 0 OR u = 1 + i % 100;
CREATE INDEX ON sales (user_id);
SELECT fm_train('shop', 'sales', num_factors => 4, iterations => 6);
CREATE TABLE stock AS SELECT i AS item_id, 5 AS pieces FROM generate_series(1, 640) i;
CREATE VIEW on_sale AS SELECT item_id FROM stock WHERE pieces > 0;
CREATE TABLE subscribers AS SELECT u AS user_id FROM generate_series(1, 100) u WHERE u % 2 = 0;
CREATE TABLE strangers (user_id bigint);
});
my $mailing = "users => 'subscribers', items => 'on_sale'";

# Rewrite, check all rows, and return how many lists were known to be right and how many rows were touched.
sub rewrite
{
	my ($before, $given) = @_;
	$given //= $mailing;
	my ($status, $out, $error) = $node->psql('postgres', qq{
$workers $before;
CREATE TEMP TABLE old AS SELECT ctid AS at, user_id, rank FROM mailing;
SET client_min_messages = debug1;
SELECT fm_write_top_x('mailing', 10, 'shop', $given) \\g /dev/null
RESET client_min_messages;
SELECT (SELECT count(*) FROM mailing m WHERE NOT EXISTS (SELECT FROM old WHERE at = m.ctid AND old.user_id = m.user_id));
}, on_error_stop => 1);
	is($status, 0, 'rewritten') or diag($error);
	my $whom = $given =~ /users/ ? 'subscribers WHERE user_id IS NOT NULL' : 'fm_shop_user';
	my $one = "SELECT u.user_id::text, t.* FROM (SELECT DISTINCT user_id FROM $whom) u, fm_top_x(u.user_id, 10, ''shop''" .
	  ($given =~ /items/ ? ', candidates => ARRAY(SELECT item_id::bigint FROM on_sale)' : '') . ') t';
	like(try("SELECT unlike('SELECT user_id::text, rank, item_id::bigint, score, rating FROM mailing', '$one')"), qr/^0 unlike/, 'and right');
	my ($known) = $error =~ /(\d+) lists of table \S+ are known to be right/;
	return "$known known, $out rows";
}

# The lists that an item of the table is in, and a user of one of them.
sub holders { return $node->safe_psql('postgres', "SELECT count(*) FROM mailing WHERE item_id = $_[0]"); }

$node->safe_psql('postgres', "$workers SELECT fm_write_top_x('mailing', 10, 'shop', $mailing)");
is(rewrite('ANALYZE mailing'), '50 known, 0 rows', 'nothing has happened');
my $item = $node->safe_psql('postgres', 'SELECT item_id FROM mailing GROUP BY 1 HAVING count(*) < 20 ORDER BY count(*) DESC, 1 LIMIT 1');
my $holders = holders($item);
cmp_ok($holders, '>', 0, 'some lists hold the item');
like(rewrite("UPDATE stock SET pieces = 0 WHERE item_id = $item"), qr/^@{[50 - $holders]} known/, 'an item that leaves costs its lists');
is(holders($item), '0', 'and no list holds it');
# those who have bought it are computed, too, if they would have it
my ($back) = rewrite("UPDATE stock SET pieces = 1 WHERE item_id = $item") =~ /^(\d+)/;
ok($back <= 50 - $holders && $back >= 45 - $holders, "nearly the same when it comes back: $back, $holders");
is(holders($item), $holders, 'as it was');
is(rewrite('DELETE FROM stock WHERE item_id = (SELECT item_id FROM stock EXCEPT SELECT item_id FROM mailing ORDER BY 1 LIMIT 1)'),
	'50 known, 0 rows', 'an item that is in no list');
is(rewrite('DELETE FROM subscribers WHERE user_id IN (2, 4)'), '48 known, 0 rows', 'users who leave');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mailing WHERE user_id IN (2, 4)'), '0', 'have no list');
is(rewrite('INSERT INTO subscribers VALUES (4), (5), (4), (NULL)'), '48 known, 20 rows', 'users who come');
like(rewrite('INSERT INTO sales SELECT 6, item_id, 1 FROM mailing WHERE user_id = 6 AND rank = 1'), qr/^49 known/, 'one has bought');
is(rewrite('INSERT INTO subscribers VALUES (1000)'), '50 known, 10 rows', 'one whom the model does not know');
is(rewrite('ANALYZE mailing'), '50 known, 0 rows', 'computed again, to the same');
like(rewrite('INSERT INTO sales SELECT 1000, i, 5 FROM generate_series(1, 9) i'), qr/^50 known, [1-9]/, 'who has bought');
is(rewrite('DELETE FROM subscribers WHERE user_id > 100; DELETE FROM sales WHERE user_id > 100'), '0 known, 0 rows', 'and leaves without a trace');
like(rewrite('UPDATE stock SET pieces = 0 WHERE item_id % 3 = 0'), qr/ known/, 'many items leave');
like(rewrite('UPDATE stock SET pieces = 5'), qr/^0 known/, 'many come');
like(rewrite('ANALYZE mailing', "users => 'subscribers'"), qr/ known/, 'now without items');
like(rewrite('ANALYZE mailing', "items => 'on_sale'"), qr/^50 known/, 'now for all users');
like(rewrite("UPDATE stock SET pieces = 0 WHERE item_id % 50 = 0", $mailing), qr/ known/, 'and filtered again');
is(rewrite('TRUNCATE stock'), '0 known, 0 rows', 'nothing is left');
is($node->safe_psql('postgres', 'SELECT count(*) FROM mailing'), '0', 'so the lists are empty');
rewrite('INSERT INTO stock SELECT i, 1 FROM generate_series(1, 640) i');

# Random histories.
srand(42);
my $known = 0;
for my $step (1 .. 25)
{
	my @changes = (
		"UPDATE stock SET pieces = 1 - sign(pieces) WHERE h(item_id, $step, 11) % 64 = 0",
		"INSERT INTO stock SELECT item_id, 1 FROM mailing WHERE h(item_id, user_id, $step) % 50 = 0",
		"DELETE FROM stock WHERE item_id IN (SELECT item_id FROM mailing WHERE user_id = 2 * @{[int(rand(50))]} AND rank < 3)",
		"INSERT INTO sales SELECT user_id, item_id, 2 FROM mailing WHERE user_id = 2 * @{[int(rand(50))]} AND rank < 4",
		"DELETE FROM subscribers WHERE h(user_id, $step, 12) % 9 = 0",
		"INSERT INTO subscribers SELECT 1 + h(i, $step, 13) % 110 FROM generate_series(1, 5) i",
		"ANALYZE mailing");
	my $change = join(';', map { $changes[ rand @changes ] } 1 .. 2);
	my $result = rewrite($change, rand() < 0.1 ? "users => 'subscribers'" : $mailing);
	$known += $1 if $result =~ /^(\d+) known/;
}
cmp_ok($known, '>', 300, "$known lists of a history were known to be right");

# A refresh reads both relations anew, as the owner of the table; one that has been dropped spoils only its table.
$node->safe_psql(
	'postgres', qq{
CREATE ROLE clerk LOGIN; CREATE SCHEMA desk AUTHORIZATION clerk;
GRANT SELECT ON fm_shop_version, fm_shop_user, fm_shop_item, fm_shop_matrix, on_sale, subscribers TO clerk;
SELECT fm_write_top_x('mailing', 10, 'shop', $mailing);
CREATE VIEW gone AS TABLE on_sale;
SELECT fm_write_top_x('spoilt', 10, 'shop', items => 'gone');
});
is(try("SELECT fm_write_top_x('desk.lists', 10, 'shop', users => 'subscribers', items => 'on_sale') > 0", 'clerk'), 't', 'another role may read both');
$node->safe_psql('postgres', q{
UPDATE stock SET pieces = 0 WHERE item_id = (SELECT item_id FROM mailing ORDER BY user_id, rank LIMIT 1);
DROP VIEW gone;
REVOKE SELECT ON subscribers FROM clerk;
});
my ($status, $out, $error) = $node->psql('postgres', "CALL fm_refresh('shop')");
like($error, qr/the relation given as items \(OID \d+\) no longer exists.*writing the lists of table public\.spoilt/s, 'a dropped relation');
like($error, qr/WARNING:  table desk\.lists of another role was not written: permission denied for table subscribers/, 'as the owner of the table');
is($node->safe_psql('postgres', "SELECT count(*) FROM mailing WHERE item_id NOT IN (TABLE on_sale)"), '0', 'the other tables are written');
is(try("SELECT unlike('SELECT user_id::text, rank, item_id::bigint, score, rating FROM mailing', 'SELECT u.user_id::text, t.*
	FROM (SELECT DISTINCT user_id FROM subscribers WHERE user_id IS NOT NULL) u, fm_top_x(u.user_id, 10, ''shop'', candidates => ARRAY(SELECT item_id::bigint FROM on_sale)) t')"),
	'0 unlike', 'and right');
like($node->safe_psql('postgres', "SELECT users, items FROM fm_target WHERE target = 'mailing'::regclass"), qr/^subscribers\|on_sale$/, 'registered');

# What is wrong with a relation.
$node->safe_psql('postgres', q{
CREATE TABLE odd (user_id text, item_id numeric);
CREATE TABLE large (user_id bigint);
INSERT INTO large VALUES (5000000000);
CREATE SEQUENCE counter;
CREATE TABLE hidden (item_id int);
});
my $lists = q{SELECT count(*) FROM fm_top_x_all(5, 'shop', };
like(try("$lists users => 'odd')"), qr/ERROR:  column "user_id" of relation "odd", given as users, is of type text, but model "shop" has ids of type integer/, 'another type');
like(try("$lists items => 'odd')"), qr/ERROR:  column "item_id" of relation "odd", given as items, is of type numeric/, 'of items');
like(try("$lists items => 'large')"), qr/ERROR:  relation "large", given as items, has no column "item_id".*HINT:  Make a view/s, 'no column');
like(try("$lists users => 'counter')"), qr/ERROR:  "counter", given as users, is not a table or view/, 'no relation of rows');
like(try("$lists users => 'large')"), qr/ERROR:  column "user_id" of relation "large", given as users, holds the id 5000000000/, 'an id that no user can have');
like(try("$lists items => 'hidden')", 'clerk'), qr/ERROR:  permission denied for table hidden/, 'no right to read');
like(try(qq{$lists context => '{"device": "phone"}')}), qr/ERROR:  context has a key "device", but model "shop" has no context columns/, 'no context');
like(try("$lists context => '[]')"), qr/ERROR:  context must be a JSON object, not an array/, 'no object');
is(try("$lists items => 'hidden')"), '0', 'no item');
is(try("$lists users => 'strangers')"), '0', 'no user');
is(try("INSERT INTO strangers VALUES (7); $lists users => 'strangers', items => 'on_sale')"), '5', 'a wider type');
done_testing();
