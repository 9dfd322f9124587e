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

my $target = 0;
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
done_testing();
