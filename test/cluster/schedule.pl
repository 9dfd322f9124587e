# fm_schedule, fm_unschedule and fm_schedules with pg_cron: who may, what a wrong set-up is told, what runs, and what the
# view says of a job that succeeded, one that failed and one that had nothing to do.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

chomp(my $sharedir = `$ENV{PG_CONFIG} --sharedir`);
plan(skip_all => 'pg_cron is not installed') if !-e "$sharedir/extension/pg_cron.control";

my $node = PostgreSQL::Test::Cluster->new('schedule');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'postgres'
cron.use_background_workers = on
fsync = off
});
$node->start;

# Return what psql prints in a database, as a role: output and messages, one after the other.
sub as
{
	my ($role, $sql, $database) = @_;
	my ($status, $out, $error) = $node->psql($database // 'postgres', $sql, on_error_stop => 0, timeout => 60,
		extra_params => [ '-U', $role ]);
	return join("\n", grep { $_ ne '' } $out, $error);
}

sub value { return $node->safe_psql('postgres', $_[0]) }

my $make = q{
CREATE EXTENSION fmtopx;
GRANT ALL ON SCHEMA public TO PUBLIC;
SET ROLE owner;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + u * i % 5)::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u * 7 + i * 13) % 4 = 0;
CREATE TABLE lost AS TABLE ratings;
SELECT version FROM unnest('{good,held}'::text[]) m, fm_train(m, 'ratings', num_factors => 2, iterations => 2);
SELECT version FROM fm_train('bad', 'lost', num_factors => 2, iterations => 2);
};
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE shop');
$node->safe_psql($_, $make) for qw(postgres shop);
value(q{SELECT fm_grant('good', 'reader')});

# What is missing.
like(as('owner', q{SELECT fm_schedule('good')}),
	qr/ERROR:  extension "pg_cron" does not exist in database "postgres"\nHINT:  .*CREATE EXTENSION pg_cron/, 'without the extension');
is(as('owner', 'SELECT count(*) FROM fm_schedules'), '0', 'the view is there, and empty');
value('CREATE EXTENSION pg_cron');
like(as('owner', q{SELECT fm_schedule('good')}),
	qr/ERROR:  permission denied for schema cron\nHINT:  .*GRANT USAGE ON SCHEMA cron TO owner/, 'without the privilege');
value('GRANT USAGE ON SCHEMA cron TO owner, other, reader');
like(as('other', q{SELECT fm_schedule('good')}), qr/must be owner of model "good"/, 'by another role');
like(as('other', q{SELECT fm_unschedule('good')}), qr/must be owner of model "good"/, 'which cannot end it either');
like(as('owner', q{SELECT fm_schedule('good', 'at four')}),
	qr/ERROR:  invalid schedule: at four\n(?:.*\n)*CONTEXT:  (?:.*\n)*scheduling the refresh of model "good"/, 'a wrong cron expression');
like(as('owner', q{SELECT fm_schedule('good', on_conflict => 'perhaps')}), qr/on_conflict must be skip, wait or error, not "perhaps"/,
	'a wrong on_conflict');
value('ALTER ROLE owner NOLOGIN');
like(as('postgres', q{SET ROLE owner; SELECT fm_schedule('good')}),
	qr/ERROR:  pg_cron cannot run jobs as role "owner", which may not log in/, 'as a role that cannot log in');
value('ALTER ROLE owner LOGIN');
my $elsewhere = as('owner', q{SELECT fm_schedule('good', '5 4 * * *')}, 'shop');
like($elsewhere, qr/ERROR:  pg_cron keeps its jobs in database "postgres", not in "shop"/, 'in another database');
my ($statement) = $elsewhere =~ /HINT:  In that database, run: (.*)/;
like(value($statement), qr/^\d+$/, 'the hint says what to run there');
is(value('SELECT jobname, schedule, command, database, username FROM cron.job'),
	q{fmtopx: good in shop|5 4 * * *|CALL public.fm_refresh('good', on_conflict => 'skip')|shop|owner}, 'which makes the job');
($statement) = as('owner', q{SELECT fm_unschedule('good')}, 'shop') =~ /HINT:  In that database, run: (.*)/;
is(as('owner', $statement), 't', 'and ends it');

# One job for each model.
my $jobs = q{SELECT jobname, schedule, command, database, username, active FROM cron.job ORDER BY jobid};
my $job = as('owner', q{SELECT fm_schedule('good')});
like($job, qr/^\d+$/, 'the job has a number, and nothing is wrong with the settings');
my $good = q{CALL public.fm_refresh('good', on_conflict => 'skip')};
is(value($jobs), "fmtopx: good|0 4 * * *|$good|postgres|owner|t", 'it refreshes the model at four');
is(as('owner', q{SELECT fm_schedule('good', '30 4 * * *')}), $job, 'another schedule is the same job');
is(value($jobs), "fmtopx: good|30 4 * * *|$good|postgres|owner|t", 'and replaces the first');
my $named = as('other', qq{SELECT cron.schedule('fmtopx: good', '1 1 1 1 *', 'SELECT 1')});
is(as('owner', q{SELECT count(*) FROM fm_schedules}), '1', q{another's job of that name is not the model's});
like(as('postgres', q{SELECT fm_schedule('good', '0 5 * * *')}), qr/^\d+$/, 'a superuser schedules, too');
is(value($jobs), "fmtopx: good|1 1 1 1 *|SELECT 1|postgres|other|t\nfmtopx: good|0 5 * * *|$good|postgres|postgres|t",
	'which ends the job of the owner, not that of the other');
like(as('owner', q{SELECT fm_schedule('good', '0 6 * * *', 'wait')}), qr/^\d+$/, 'and the owner again');
value("SELECT cron.unschedule($named)");
is(value($jobs), q{fmtopx: good|0 6 * * *|CALL public.fm_refresh('good', on_conflict => 'wait')|postgres|owner|t}, 'with another on_conflict');

# Jobs run: one succeeds, one fails, one finds its model being trained.
is(value(q{SELECT model, schedule, active, role, started_at, status, version, last_version, last_status FROM fm_schedules}),
	'good|0 6 * * *|t|owner||||1|succeeded', 'before its first run a job has no outcome');
as('owner', 'DROP TABLE lost');
my $holder = $node->background_psql('postgres', on_error_stop => 1, extra_params => [ '-U', 'owner' ]);
$holder->query_safe(q{BEGIN; SELECT FROM fm_train('held', iterations => 1)});
as('owner', q{SELECT fm_schedule(m, '* * * * *') FROM unnest('{good,held,bad}'::text[]) m});
$node->poll_query_until('postgres', q{SELECT count(finished_at) = 3 FROM fm_schedules}) or die 'no job has run';
$holder->query_safe('ROLLBACK');
as('owner', q{SELECT fm_unschedule('held'), fm_schedule('good', '0 4 * * *'), fm_schedule('bad', '0 4 * * *')});
is(value(q{SELECT s.schedule, s.status, s.version, s.last_version, s.last_status, s.last_message, r.status,
		r.started_at > s.started_at - interval '1 second' AND r.finished_at < s.finished_at + interval '1 second'
	FROM fm_schedules s JOIN fm_runs r USING (model, version) WHERE model = 'good'}),
	'0 4 * * *|succeeded|2|2|succeeded||succeeded|t', 'a job that succeeded: the view has its training');
is(value(q{SELECT active_version FROM fm_models WHERE model = 'good'}), '2', 'which is served');
like(value(q{SELECT status, version, last_version, last_status, message, last_message FROM fm_schedules WHERE model = 'bad'}),
	qr/^failed\|2\|2\|failed\|ERROR: *(the ratings relation \(OID \d+\) does not exist)\n.*\|\g1$/s, 'a job that failed: the view says why, twice');
is(value(q{SELECT d.status, count(r.version) FROM cron.job_run_details d LEFT JOIN fm_runs r ON r.model = 'held' AND r.version > 1
	WHERE d.command ~ 'held' GROUP BY 1}), 'succeeded|0', 'a job that skipped: it made no training');
is(as('reader', 'SELECT model, status FROM fm_schedules'), 'good|succeeded', 'who may read a model sees its schedule');
is(as('other', 'SELECT count(*) FROM fm_schedules'), '0', 'who may not, does not');

# Ends.
is(as('owner', q{SELECT fm_unschedule('bad'), fm_unschedule('bad')}), 't|f', 'a schedule ends once');
is(as('owner', q{SELECT fm_drop('good'); SELECT count(*) FROM cron.job}), "\n0", 'dropping the model ends its schedule');
as('owner', q{SELECT cron.schedule('fmtopx: gone', '0 4 * * *', 'SELECT 1')});
is(as('other', q{SELECT fm_unschedule('gone')}), 'f', 'the job of a model that is gone: not by others');
is(as('owner', q{SELECT fm_unschedule('gone')}), 't', 'but by its role');
like(as('owner', q{SELECT fm_schedule('gone')}), qr/model "gone" does not exist/, 'and it cannot be made');

# Settings that keep jobs from running.
sub restarted
{
	my ($settings) = @_;
	$node->append_conf('postgresql.conf', $settings);
	$node->restart;
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'logical replication launcher'});
	return;
}
restarted('max_worker_processes = 2');
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'pg_cron launcher'});
like(as('owner', q{SELECT fm_schedule('held')}), qr/WARNING:  no background worker is left.*\nHINT:  .*max_worker_processes, which is 2/, 'no worker');
restarted("max_worker_processes = 8\ncron.max_running_jobs = 0");
like(as('owner', q{SELECT fm_schedule('held')}), qr/WARNING:  cron.max_running_jobs is 0/, 'no jobs');
restarted("shared_preload_libraries = ''");
like(as('owner', q{SELECT fm_schedule('held')}), qr/ERROR:  pg_cron is not loaded into this server\nHINT:  .*cron.database_name = 'postgres'/, 'not loaded');
is(as('owner', 'SELECT count(*) FROM fm_schedules'), '0', 'then nothing is scheduled');
is(as('owner', q{SELECT fm_drop('held')}), '', 'and a model can be dropped');

done_testing();
