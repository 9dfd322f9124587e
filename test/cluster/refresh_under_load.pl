# Recommendations under load: while pg_cron and a loop refresh the model a hundred times, ten connections read,
# live and from the written table. No reader may see an error, an empty or partial list, or wait for a lock. Tables
# and indexes must not keep growing, whatever autovacuum does. Uses MovieLens 100k if it is present, else made-up
# ratings.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

# pg_cron 1.4 schedules by the minute. This is long enough for a minute to begin and its job to end.
my $seconds = 75;
my $refreshes = 100;
my $movielens = ($ENV{MOVIELENS} // '') . '/u.data';
my $users = -e $movielens ? 943 : 500;

chomp(my $sharedir = `$ENV{PG_CONFIG} --sharedir`);
plan(skip_all => 'pg_cron is not installed') if !-e "$sharedir/extension/pg_cron.control";

my $node = PostgreSQL::Test::Cluster->new('refresh');
$node->init;
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '@{[ $node->host ]}'
log_lock_waits = on
deadlock_timeout = 100ms
log_line_prefix = '%m [%p] %a '
fsync = off
});
$node->start;

$node->safe_psql(
	'postgres', qq{
CREATE EXTENSION pg_cron;
CREATE EXTENSION fmtopx;
CREATE TABLE ratings (user_id int, item_id int, rating real, at bigint);
}
	  . (-e $movielens ? "\\copy ratings FROM '$movielens'\n" : qq{
INSERT INTO ratings
SELECT u, i, 3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3)
FROM generate_series(1, $users) u, generate_series(1, 200) i
WHERE hashint8extended(u::bigint << 32 | i, 1) % 5 = 0;
}) . qq{
CREATE INDEX ON ratings (user_id);
CREATE TABLE sizes (refresh int, name text, pages int, at timestamptz DEFAULT clock_timestamp());
CREATE SEQUENCE refreshes;
SELECT fm_train('m', ratings => 'ratings', num_factors => 8, iterations => 5);
SELECT fm_write_top_x('recommendations', 10, 'm');
-- every table that a refresh writes to, its TOAST, their indexes
CREATE VIEW written AS
WITH tables AS (
	SELECT unnest(ARRAY[version_table, user_table, item_table, matrix_table, 'fm_model', 'fm_run', 'recommendations']::regclass[]) AS oid
	FROM fm_models
), heaps AS (
	TABLE tables UNION ALL SELECT reltoastrelid FROM pg_class JOIN tables USING (oid) WHERE reltoastrelid <> 0
)
SELECT oid::regclass::text AS name, pg_relation_size(oid) / current_setting('block_size')::int AS pages
FROM (TABLE heaps UNION ALL SELECT indexrelid FROM pg_index JOIN heaps ON indrelid = oid) relations;
SELECT fm_schedule('m', '* * * * *');
});

# A list is right if it has ranks 1 to 10, ten items, and descending scores. A mixture of two versions of the
# model would not.
my $is_right = q{1 / (count(*) = 10 AND count(DISTINCT rank) = 10 AND max(rank) = 10
       AND count(DISTINCT item_id) = 10 AND bool_and(coalesce(score <= previous, true)))::int};

sub script
{
	my ($name, $text) = @_;
	my $path = $node->basedir . "/$name.sql";
	PostgreSQL::Test::Utils::append_to_file($path, $text);
	return $path;
}

sub reader
{
	my ($name, $lists) = @_;
	return script($name, qq{\\set u random(1, $users)
SELECT $is_right
FROM (SELECT *, lag(score) OVER (ORDER BY rank) AS previous FROM $lists) list;
});
}

my $live = reader('live', q{fm_top_x(:u, 10, 'm')});
my $written = reader('written', q{recommendations WHERE user_id = :u});
my $refresh = script('refresh', qq{CALL fm_refresh('m', on_conflict => 'wait');
INSERT INTO sizes SELECT refresh, written.* FROM nextval('refreshes') refresh, written;
});
my $change = script('change', qq{\\set u random(1, $users)
UPDATE ratings SET rating = rating + 0.1 * (random() - 0.5) WHERE user_id = :u;
\\sleep 200 ms
});

# Checks fifty times a second whether a reader waits for a lock, and raises an error if one does. Advisory locks
# do not count: a reader takes one to wait for another reader that loads the new version for all of them.
my $watch = script('watch', qq{
DO \$\$
DECLARE
    stop timestamptz := clock_timestamp() + interval '$seconds s';
    looks int := 0;
    waits text := '';
BEGIN
    WHILE clock_timestamp() < stop LOOP
        COMMIT; -- or vacuum could remove nothing that is deleted meanwhile
        PERFORM pg_sleep(0.02), pg_stat_clear_snapshot();
        looks := looks + 1;
        waits := waits || (SELECT coalesce(string_agg(format('%s %s %s, ', l.locktype, l.mode, l.relation::regclass), ''), '')
                           FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
                           WHERE application_name = 'reader' AND wait_event_type = 'Lock' AND l.locktype <> 'advisory');
    END LOOP;
    RAISE NOTICE 'looks=% waits=%;', looks, waits;
END \$\$;
});

# All programs run at the same time. Their output is checked when all have ended.
sub start
{
	my ($name, @command) = @_;
	my $run = { name => $name, output => '' };
	local %ENV = $node->_get_env(PGAPPNAME => $name, PGDATABASE => 'postgres');
	$run->{handle} = IPC::Run::start(\@command, '<', \undef, '>&', \$run->{output},
		IPC::Run::timeout($seconds * 3));
	return $run;
}

my @pgbench = ('pgbench', '-n', '-T', $seconds);
my %run = (
	readers => start('reader', @pgbench, '-c', 10, '-j', 2, '-R', 500, '-f', $live, '-f', $written),
	refresh => start('refresh', 'pgbench', '-n', '-t', $refreshes, '-f', $refresh),
	change => start('change', @pgbench, '-c', 1, '-f', $change),
	watch => start('watch', 'psql', '-X', '-f', $watch));

for my $name (sort keys %run)
{
	ok(IPC::Run::finish($run{$name}{handle}), "$name: no error") or diag($run{$name}{output});
}

sub transactions
{
	return $_[0]{output} =~ /transactions actually processed: (\d+)/ ? $1 : 0;
}

cmp_ok(transactions($run{readers}), '>', 1000, 'the readers read');
is(transactions($run{refresh}), $refreshes, 'the loop refreshed');
my ($looks, $waits) = $run{watch}{output} =~ /looks=(\d+) waits=(.*);/;
cmp_ok($looks, '>', 10 * $seconds, 'the watch looked');
is($waits, '', 'no reader waited for a lock');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/\] reader .*still waiting for \S+ on (?!advisory)/, 'no reader waited for 100 ms');
is(scalar(grep { $_ > 1000 } $log =~ /\] reader .* acquired \S+ on advisory .* after ([\d.]+) ms/g), 0,
	'nor for a second for another reader to load a version');
unlike($log, qr/\] (refresh|pg_cron).* WARNING: /, 'no refresh warned of anything');

# While a reader sees a row, neither can it be removed nor its room be used again. The slower the machine, the longer
# that is, and the more versions stand side by side: a relation may come to twice its size under load. It must not
# grow with each of the ninety refreshes. A refresh that overlaps with pg_cron's is not counted: it writes lists while
# readers still see those that the other replaced. Four pages are for the runs, a row each.
is( $node->safe_psql('postgres', q{
	WITH steps AS (
		SELECT refresh, name, pages, pages - lag(pages) OVER previous AS growth, tstzrange(lag(at) OVER previous, at) AS during
		FROM sizes WINDOW previous AS (PARTITION BY name ORDER BY refresh)
	), totals AS (
		SELECT name, max(pages) FILTER (WHERE refresh = 10) AS tenth, sum(growth) FILTER (WHERE refresh > 10 AND NOT EXISTS (
			SELECT FROM cron.job_run_details WHERE tstzrange(start_time, end_time) && during)) AS growth
		FROM steps GROUP BY name
	)
	SELECT string_agg(format('%s: %s pages, then %s more', name, tenth, growth), '; ') FROM totals
	WHERE growth > greatest(tenth, 4)}), '', 'under load no table or index grows with each refresh');

# Without readers, pg_cron and autovacuum nothing keeps a row. What the load left behind has to be enough then. A job
# that is unscheduled while it runs never gets an end_time: wait for it first, and then for its connection to close.
sub wait_until
{
	$node->poll_query_until('postgres', "SELECT $_[0]") or die "does not come true: $_[0]";
	return;
}
wait_until(q{count(end_time) > 0 AND count(end_time) = count(*) FROM cron.job_run_details});
$node->safe_psql('postgres', $_)
  for q{SELECT cron.unschedule(jobid) FROM cron.job}, 'ALTER SYSTEM SET autovacuum = off', 'SELECT pg_reload_conf()';
wait_until(q{NOT EXISTS (SELECT FROM pg_stat_activity
	WHERE application_name = 'pg_cron' AND backend_type = 'client backend' OR backend_type LIKE 'autovacuum%')});
$node->safe_psql('postgres', "CALL fm_refresh('m')") for 1 .. 3;
$node->safe_psql('postgres', 'CREATE TABLE quiet AS SELECT * FROM written');
$node->safe_psql('postgres', "CALL fm_refresh('m')") for 1 .. 10;
is( $node->safe_psql('postgres', q{
	SELECT string_agg(format('%s: %s pages, then %s', name, quiet.pages, written.pages), '; ')
	FROM quiet JOIN written USING (name) WHERE written.pages > quiet.pages + (name LIKE '%fm_run%')::int}),
	'', 'without load no table or index grows at all');
cmp_ok($node->safe_psql('postgres', q{SELECT greatest((SELECT count(DISTINCT version) FROM fm_m_user),
	(SELECT count(DISTINCT version) FROM fm_m_item), (SELECT count(DISTINCT version) FROM fm_m_matrix))}),
	'<=', 3, 'and hold the versions kept, and at most the one that pg_cron is training');
note($node->safe_psql('postgres', q{SELECT name, max(pages) FILTER (WHERE refresh = 10) AS tenth, max(pages) FROM sizes
	GROUP BY 1 HAVING max(pages) > 2 ORDER BY 1}));

note(sprintf('%d lists read, %d refreshes, %d looks', transactions($run{readers}),
	transactions($run{refresh}), $looks // 0));

cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM cron.job_run_details WHERE status = 'succeeded'}),
	'>=', 1, 'pg_cron refreshed');
is($node->safe_psql('postgres', q{SELECT DISTINCT return_message FROM cron.job_run_details WHERE status = 'failed'}),
	'', 'and met no error');
cmp_ok($node->safe_psql('postgres', q{SELECT max(version) FROM fm_runs WHERE model = 'm'}),
	'>', 3, 'there are new versions');
is($node->safe_psql('postgres',
		"SELECT count(*) FROM (SELECT user_id FROM recommendations GROUP BY user_id HAVING count(*) = 10) u"),
	$users, 'every user has a full list at the end');

$node->stop;
done_testing();
