# A background worker vacuums the tables that a refresh is about to write to: the model's, the registry's, and tables
# of lists. Without autovacuum, all soon have a constant size, to the page. If the worker cannot vacuum a table, or
# cannot start, nothing fails.
use strict;
use warnings;
use Test::More;

BEGIN
{
	eval { require PostgreSQL::Test::Cluster; PostgreSQL::Test::Cluster->can('config_data') }
	  or plan(skip_all => 'PostgreSQL::Test::Cluster of PostgreSQL 15 or newer is not here');
	require PostgreSQL::Test::Utils;
}

my $node = PostgreSQL::Test::Cluster->new('vacuum');
$node->init;
$node->append_conf('postgresql.conf', qq{
fsync = off
autovacuum = off
log_min_messages = debug1
max_prepared_transactions = 1
});
$node->start;

sub value { return $node->safe_psql('postgres', $_[0]) }

# The model's owner is a role that cannot log in, as owners of tables often are.
value(q{
CREATE EXTENSION fmtopx;
CREATE ROLE owner NOLOGIN;
CREATE ROLE reader NOLOGIN;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE ratings AS
SELECT 'user ' || u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 400) u, generate_series(1, 100) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE TABLE films AS SELECT item_id, 'year ' || item_id % 9 AS year FROM generate_series(1, 100) item_id;
CREATE TABLE parted (user_id text, rank integer, item_id integer, score real) PARTITION BY HASH (user_id);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE ratings OWNER TO owner;
ALTER TABLE films OWNER TO owner;
ALTER TABLE parted OWNER TO owner;
ALTER TABLE parted_0 OWNER TO owner;
ALTER TABLE parted_1 OWNER TO reader;
SET ROLE owner;
SELECT fm_train('m', 'ratings', num_factors => 8, iterations => 3, seed => 1, item_features => 'films');
SELECT fm_write_top_x('lists', 5, 'm'), fm_write_top_x('parted', 5, 'm');
SELECT fm_grant('m', 'reader');
SET ROLE reader;
SELECT fm_write_top_x('others', 5, 'm');
RESET ROLE;
CREATE VIEW tables AS SELECT oid, relname FROM pg_class
WHERE relkind = 'r' AND (relname LIKE 'fm\_m\_%' OR relname IN ('fm_model', 'fm_run', 'lists', 'parted_0'));
CREATE VIEW pages AS
WITH heaps AS (
	SELECT oid FROM tables UNION ALL SELECT reltoastrelid FROM pg_class WHERE oid IN (SELECT oid FROM tables) AND reltoastrelid <> 0
)
SELECT string_agg(format('%s: %s', oid::regclass, pg_relation_size(oid)), E'\n' ORDER BY oid::regclass::text) AS pages
FROM (TABLE heaps UNION ALL SELECT indexrelid FROM pg_index JOIN heaps ON indrelid = oid) relations;
});

# Change ratings before each refresh, so that it has lists to rewrite.
my $change = 'UPDATE ratings SET rating = 6 - rating;';

sub refresh
{
	my ($settings) = @_;
	my ($status, $out, $err) = $node->psql('postgres', ($settings // '') . "$change CALL fm_refresh('m')");
	return $status == 0 ? $err : "failed: $err";
}

# Return how often each table has been vacuumed.
my $counts = q{SELECT coalesce(string_agg(relname || ' ' || pg_stat_get_vacuum_count(oid), ', ' ORDER BY relname), 'none')
	FROM pg_class WHERE pg_stat_get_vacuum_count(oid) > 0 AND relnamespace = 'public'::regnamespace};

sub is_vacuumed
{
	my ($count, $what, %but) = @_;
	is(value($counts), join(', ', map { "$_ " . ($but{$_} // $count) }
		qw(fm_m_item fm_m_level fm_m_matrix fm_m_user fm_m_version fm_model fm_run lists parted_0)), $what);
}

is(refresh(), '', 'a refresh says nothing of it') for 1 .. 10;
my $pages = value('TABLE pages');
refresh() for 11 .. 20;
is(value('TABLE pages'), $pages, 'after the tenth of 20 refreshes no table or index has grown by a page');
is_vacuumed(20, 'every table has been vacuumed each time, except those of other roles');
is(value(q{SELECT count(DISTINCT version) FROM fm_m_user}), '2', 'old versions are deleted');

# Switched off, and in a transaction block.
is(refresh('SET fmtopx.vacuum = off;'), '', 'off');
is($node->safe_psql('postgres', "BEGIN; $change CALL fm_refresh('m'); COMMIT"), '', 'in a transaction block');
is_vacuumed(20, 'there is no vacuum');
isnt(value('TABLE pages'), $pages, 'without vacuum, tables grow');

# Another session holds a lock, as another VACUUM would.
my $offset = -s $node->logfile;
value(q{BEGIN; LOCK TABLE fm_m_item IN SHARE UPDATE EXCLUSIVE MODE; PREPARE TRANSACTION 'holder'});
is(refresh(), '', 'a locked table does not keep the refresh waiting');
is_vacuumed(21, 'only the locked table is not vacuumed', fm_m_item => 20);

# Cancelled while it waits for the worker, which waits for one lock after the other: the run fails, and the
# worker ends.
value(q{COMMIT PREPARED 'holder'});
value(q{BEGIN; LOCK TABLE fm_m_version, fm_m_user, fm_m_item, fm_m_matrix, fm_m_level, fm_model, fm_run
	IN SHARE UPDATE EXCLUSIVE MODE; PREPARE TRANSACTION 'holder'});
for my $end (qw(cancel terminate))
{
	my $err = '';
	my $run = IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('postgres'), '-c', q{CALL fm_refresh('m')} ], '2>' => \$err);
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fmtopx vacuum' AND wait_event_type = 'Lock'})
	  or die "no worker waits: $err";
	value("SELECT pg_${end}_backend(pid) FROM pg_stat_activity WHERE wait_event = 'BgWorkerShutdown' OR wait_event = 'BgworkerShutdown'");
	$run->finish;
	like($err, $end eq 'cancel' ? qr/canceling statement/ : qr/terminating connection/, "$end: the refresh ends");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'fmtopx vacuum'}),
		"$end: so does the worker");
}
is(value(q{SELECT string_agg(status, ' ' ORDER BY version DESC) FROM fm_run WHERE version > 24}), 'running failed', 'the runs have the error');
value(q{COMMIT PREPARED 'holder'});
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset), qr/LOG:.*was not vacuumed/, 'a locked table is not logged');

# An error in the worker is logged, and nothing else fails: here an index that calls planted code when VACUUM
# summarizes it.
value(q{
SET SESSION AUTHORIZATION owner;
CREATE FUNCTION spoil_it(integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	IF session_user <> 'owner' THEN
		RAISE EXCEPTION 'spoilt';
	END IF;
	RETURN $1;
END $$;
CREATE FUNCTION spoil(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.spoil_it($1); END';
CREATE INDEX spoilt ON fm_m_user USING brin (spoil(idx)) WITH (pages_per_range = 1);
SELECT count(brin_desummarize_range('spoilt', page)) FROM generate_series(0, pg_relation_size('fm_m_user') / 8192 - 1) page;
});
$offset = -s $node->logfile;
is(refresh('SET SESSION AUTHORIZATION owner;'), '', 'a failed vacuum does not fail the refresh');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset),
	qr/LOG:  table "fm_m_user" was not vacuumed: spoilt\n/, 'but is logged');
is(value(q{SELECT pg_stat_get_vacuum_count('lists'::regclass)}), '22', 'the other tables are vacuumed');
value('DROP INDEX spoilt');

# More tables than fit into the entry of one worker.
value(q{SET ROLE owner; SELECT fm_write_top_x('list_' || i, 1, 'm') FROM generate_series(1, 24) i});
is(refresh(), '', 'two dozen more tables of lists') for 1 .. 2;
is(value(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'list\__%' AND pg_stat_get_vacuum_count(oid) = 2}), '24', 'all tables are vacuumed');
value(q{DO $$BEGIN EXECUTE (SELECT string_agg(format('DROP TABLE %I;', relname), '') FROM pg_class WHERE relname LIKE 'list\__' OR relname LIKE 'list\___'); END$$});
is(refresh(), '', 'tables that have been dropped do no harm');

# No free background worker.
$node->append_conf('postgresql.conf', "max_worker_processes = 0\n");
$node->restart;
$offset = -s $node->logfile;
my $before = value($counts);
is(refresh(), '', 'without a worker it refreshes') for 1 .. 5;
is(value($counts), $before, 'there is no vacuum');
is(value(q{SELECT greatest((SELECT count(DISTINCT version) FROM fm_m_user), (SELECT count(DISTINCT version) FROM fm_m_item),
	(SELECT count(DISTINCT version) FROM fm_m_matrix), (SELECT count(DISTINCT version) FROM fm_m_level))}),
	'2', 'there are rows of the versions kept, and of no other');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset);
like($log, qr/DEBUG:  no background worker is free to vacuum/, 'a missing worker is a debug message');
unlike($log, qr/(WARNING|ERROR|FATAL):|was not vacuumed/, 'a missing worker is not logged otherwise');

$node->stop;
done_testing();
