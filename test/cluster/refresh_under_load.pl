# Recommendations under load: while pg_cron and a loop refresh the model, ten connections read, live and
# from the written table. No reader may meet an error, an empty or partial list, or a lock.
use strict;
use warnings;
use Test::More;

BEGIN
{
	# Before PostgreSQL 15 the module has another name and interface.
	eval { require PostgreSQL::Test::Cluster; PostgreSQL::Test::Cluster->can('config_data') }
	  or plan(skip_all => 'PostgreSQL::Test::Cluster of PostgreSQL 15 or newer is not here');
	require PostgreSQL::Test::Utils;
}

# pg_cron 1.4 counts in minutes: long enough that a minute begins, and its job ends, within it.
my $seconds = 75;
my $users = 500;

my $node = PostgreSQL::Test::Cluster->new('refresh');
$node->init;
$node->append_conf(
	'postgresql.conf', qq{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.host = '@{[ $node->host ]}'
fsync = off
});
eval { $node->start; 1 } or plan(skip_all => 'pg_cron is not installed');

$node->safe_psql(
	'postgres', qq{
CREATE EXTENSION pg_cron;
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id,
       (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, $users) u, generate_series(1, 200) i
WHERE hashint8extended(u::bigint << 32 | i, 1) % 5 = 0;
CREATE INDEX ON ratings (user_id);
SELECT fm_train('m', ratings => 'ratings', num_factors => 8, iterations => 20);
SELECT fm_write_top_x('recommendations', 10, 'm');
SELECT cron.schedule('refresh', '* * * * *', \$\$CALL fm_refresh('m')\$\$);
});

# A list is right when it has ranks 1 to 10, ten items, and scores that descend: a mixture of two
# versions of the model would not.
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
my $refresh = script('refresh', qq{CALL fm_refresh('m');\n});
my $change = script('change', qq{\\set u random(1, $users)
UPDATE ratings SET rating = rating + 0.1 * (random() - 0.5) WHERE user_id = :u;
\\sleep 200 ms
});

# Looks fifty times a second whether a reader waits for a lock; raises what it saw.
my $watch = script('watch', qq{
DO \$\$
DECLARE
    stop timestamptz := clock_timestamp() + interval '$seconds s';
    looks int := 0;
    waits int := 0;
BEGIN
    WHILE clock_timestamp() < stop LOOP
        PERFORM pg_sleep(0.02), pg_stat_clear_snapshot();
        looks := looks + 1;
        waits := waits + (SELECT count(*) FROM pg_stat_activity
                          WHERE application_name = 'reader' AND wait_event_type = 'Lock');
    END LOOP;
    RAISE NOTICE 'looks=% waits=%', looks, waits;
END \$\$;
});

# Each program runs beside the others; its output is looked at when all have ended.
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
	readers => start('reader', @pgbench, '-c', 10, '-j', 2, '-f', $live, '-f', $written),
	refresh => start('refresh', @pgbench, '-c', 1, '-f', $refresh),
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
cmp_ok(transactions($run{refresh}), '>', 3, 'the loop refreshed');
my ($looks, $waits) = $run{watch}{output} =~ /looks=(\d+) waits=(\d+)/;
cmp_ok($looks, '>', 10 * $seconds, 'the watch looked');
is($waits, 0, 'no reader waited for a lock');

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
