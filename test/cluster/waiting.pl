# Who waits for whom: a training that is left open says so to the next one, shows in fm_progress, and keeps no other
# model waiting. A locked table of one model keeps nobody from other models, nor from the views.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

my $node = PostgreSQL::Test::Cluster->new('waiting');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_prepared_transactions = 2\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE owner LOGIN;
CREATE ROLE other LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats;
GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE ratings AS
SELECT u AS user_id, i AS item_id, (1 + u * i % 5)::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u * 7 + i * 13) % 4 = 0;
GRANT SELECT ON ratings TO PUBLIC;
SELECT fm_train('shared', 'ratings', num_factors => 2, iterations => 2);
SELECT fm_grant('shared', 'public');
CREATE FUNCTION give_to_owner() RETURNS void LANGUAGE plpgsql AS $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY '{version,user,item,matrix}'::text[] LOOP EXECUTE format('ALTER TABLE fm_shared_%s OWNER TO owner', t); END LOOP;
END $$;
SELECT give_to_owner();
});

# Return what psql prints as a role: output and messages, one after the other.
sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql, on_error_stop => 0, timeout => 60,
		extra_params => [ '-U', $role ]);
	return join("\n", grep { $_ ne '' } $out, $error);
}

my $train = q{SELECT status FROM fm_train('shared', num_factors => 2, iterations => 2)};
my $holder = $node->background_psql('postgres', on_error_stop => 1, extra_params => [ '-U', 'owner' ]);
my $pid = $holder->query_safe('SELECT pg_backend_pid()');
chomp $pid;

# A training that was left open.
$holder->query_safe("BEGIN; $train");
my $said = as('owner', "SET lock_timeout = 300; $train");
like($said, qr/NOTICE:  model "shared" is being trained or dropped by process $pid: waiting/, 'a notice says for which process');
like($said, qr/DETAIL:  It has been idle in transaction since \d{4}-/, 'what that does, and since when');
like($said, qr/HINT:  .*lock_timeout/, 'and what helps');
like($said, qr/ERROR:  canceling statement due to lock timeout/, 'lock_timeout is respected');
like(as('owner', q{SET statement_timeout = 300; SELECT fm_drop('shared')}), qr/by process $pid.*ERROR:  canceling statement due to statement timeout/s,
	'a drop waits in the same way, and can be interrupted');
$said = as('owner', q{SET lock_timeout = 300; SELECT fm_fold_in('shared')});
like($said, qr/by process $pid.*lock timeout/s, 'as does folding in');
for my $call (q{fm_set('shared', 3)}, q{fm_activate('shared', 1)})
{
	like(as('owner', "SET lock_timeout = 300; SELECT $call"), qr/NOTICE:  model "shared" is being trained or changed by process $pid: waiting.*idle in transaction.*lock timeout/s,
		"$call waits and says so");
}
$said = as('owner', q{CALL fm_refresh('shared')});
like($said, qr/NOTICE:  model "shared" is being trained already\nDETAIL:  It is locked by process $pid\. It has/, 'a refresh that skips names the process');
like($said, qr/idle in transaction since/, 'and what it does');
like(as('owner', q{SET lock_timeout = 300; CALL fm_refresh('shared', 'wait')}), qr/by process $pid: waiting.*lock timeout/s,
	'one that waits says so');

my ($out, $error) = ('', '');
my $waiting = IPC::Run::start([ 'psql', '-XAtq', '-U', 'owner', '-d', $node->connstr('postgres'), '-c', $train ], '>' => \$out, '2>' => \$error);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted}) or die $error;
my $progress = q{SELECT model, phase, iteration, elapsed > '0s' FROM fm_progress};
is(as('owner', $progress), "shared|waiting for process $pid||t", 'fm_progress shows that it waits, and for what');
is(as('watcher', $progress), "shared|waiting for process $pid||t", 'also to those who see all');
is(as('other', $progress), '', 'but not to others');
$waiting->pump_nb for 1 .. 10;
like($error, qr/NOTICE: .*by process $pid/, 'the notice comes before the wait ends');
$holder->query_safe('ROLLBACK');
$waiting->finish;
is($out, "succeeded\n", 'then it goes on');
is(as('owner', $progress), '', 'and is over');

# The process is no secret, but what it does is shown only to those who may see it.
$node->safe_psql('postgres', 'GRANT owner TO other');
$holder->query_safe("SET ROLE NONE; BEGIN; $train");
$node->safe_psql('postgres', 'REVOKE owner FROM other; ALTER ROLE other NOINHERIT; GRANT owner TO other');
$said = as('other', "SET lock_timeout = 300; $train");
like($said, qr/must be owner/, 'a role that does not inherit the rights of the owner does not even wait');
$holder->query_safe('ROLLBACK');
$node->safe_psql('postgres', 'REVOKE owner FROM other; ALTER ROLE other INHERIT');

# A first training keeps others from its name only.
my $first = q{SELECT status FROM fm_train('%s', 'ratings', num_factors => 2, iterations => 2)};
$holder->query_safe('BEGIN; ' . sprintf($first, 'first'));
$said = as('other', 'SET lock_timeout = 300; ' . sprintf($first, 'first'));
like($said, qr/NOTICE:  model "first" is being created by process $pid: waiting.*lock timeout/s, 'a first training of the same name waits');
unlike($said, qr/DETAIL/, 'and is not told what another role does');
like(as('watcher', 'SET lock_timeout = 300; ' . sprintf($first, 'first')), qr/DETAIL:  It has been idle in transaction since/,
	'which those who see all are told');
like(as('owner', q{SET lock_timeout = 300; SELECT fm_attach('first', NULL, version_table => 'fm_shared_version', user_table => 'fm_shared_user',
	item_table => 'fm_shared_item', matrix_table => 'fm_shared_matrix')}), qr/is being created by process $pid/, 'attaching under that name waits, too');
is(as('other', 'SET lock_timeout = 300; ' . sprintf($first, 'second')), 'succeeded', 'one of another name does not');
is(as('other', q{SET lock_timeout = 300; SELECT count(*) FROM fm_health UNION ALL SELECT count(*) FROM fm_models}), "2\n2", 'nor do the views');
is(as('other', q{SET lock_timeout = 300; CALL fm_refresh('second'); SELECT count(*) FROM fm_top_x(1, 3, 'second')}), '3', 'nor anything with another model');
$holder->query_safe('ROLLBACK');

# A lock that a prepared transaction holds.
$node->safe_psql('postgres', q{CREATE TABLE IF NOT EXISTS spare (); BEGIN; SELECT fm_drop('second'); PREPARE TRANSACTION 'drop'});
like(as('other', q{SET lock_timeout = 300; SELECT fm_drop('second')}), qr/by a prepared transaction.*pg_prepared_xacts.*lock timeout/s, 'a prepared transaction is named as one');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'drop'});

# LOCK TABLE on one's own public model.
my $all = q{SELECT string_agg(model || ' ' || (active_version IS NOT NULL) || ' ' || (size > 0)::text, ', ' ORDER BY model) FROM fm_health};
is(as('other', $all), 'second true true, shared true true', 'fm_health shows all');
for my $table (qw(fm_shared_version fm_shared_matrix))
{
	$holder->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	is(as('other', "SET lock_timeout = 2000; SELECT count(*), count(size) FROM fm_health"), '2|1', "$table is locked: fm_health leaves its size out");
	is(as('other', q{SET lock_timeout = 2000; SELECT size > 0 FROM fm_health WHERE model = 'second'}), 't', "$table: and has that of the other");
	is(as('other', 'SET lock_timeout = 2000; SELECT count(active_version) FROM fm_models'), '2', "$table: fm_models shows both");
	is(as('other', q{SET lock_timeout = 2000; SELECT count(*) FROM fm_top_x(1, 3, 'second')}), '3', "$table: the other model serves");
	like(as('other', q{SET lock_timeout = 2000; SELECT count(*) FROM fm_top_x(1, 3)}), qr/there are 2 models and none was named/, "$table: and without a name, one is asked for it");
	$holder->query_safe('ROLLBACK');
}
my $index = $node->safe_psql('postgres', q{SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'fm_shared_user'::regclass LIMIT 1});
$holder->query_safe("BEGIN; REINDEX INDEX $index");
is(as('other', 'SET lock_timeout = 2000; SELECT count(*), count(size) FROM fm_health'), '2|1', 'an index that is built keeps nobody, either');
$holder->query_safe('ROLLBACK');

# The row of a model whose tables are gone leaves nothing behind.
$node->safe_psql('postgres', q{
CREATE TABLE films AS SELECT i AS item_id, i % 3 AS kind FROM generate_series(1, 40) i;
SELECT fm_train('dead', 'ratings', item_features => 'films', num_factors => 2, iterations => 2);
DROP TABLE fm_dead_version, fm_dead_user, fm_dead_item, fm_dead_matrix, fm_dead_level});
is($node->safe_psql('postgres', q{SELECT status FROM fm_train('dead', 'ratings', item_features => 'films', num_factors => 2, iterations => 2)}),
	'succeeded', 'a model whose tables were dropped is trained anew under its name');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM fm_dead_level}), 't', 'with its table of levels');

$holder->quit;
$node->stop;
done_testing();
