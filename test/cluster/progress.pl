# What fm_progress shows of lists: their phases, who is done, to whom; and that COPY keeps its own progress.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

my $node = PostgreSQL::Test::Cluster->new('progress');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE ROLE other LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats;
CREATE TABLE rows AS
SELECT u AS user_id, i AS item_id, (1 + u * i % 5)::real AS rating
FROM generate_series(1, 2000) u, generate_series(1, 1500) i WHERE (u * 7 + i * 13) % 101 = 0;
CREATE FUNCTION pass(door int) RETURNS boolean LANGUAGE plpgsql STABLE AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared(door); RETURN true; END $$;
CREATE VIEW ratings AS SELECT * FROM rows OFFSET 0;
SELECT fm_train('m', 'ratings', num_factors => 2, iterations => 2);
CREATE OR REPLACE VIEW ratings AS SELECT * FROM rows WHERE (SELECT pass(1)) OFFSET 0;
CREATE TABLE lists (user_id int, rank int, item_id int, score real);
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.pass(2); RETURN NULL; END $$;
CREATE TRIGGER wait BEFORE INSERT ON lists FOR EACH STATEMENT EXECUTE FUNCTION wait();
});

sub value { return $node->safe_psql('postgres', $_[0], extra_params => $_[1] // []) }

my $session = $node->background_psql('postgres', on_error_stop => 1);
my $doors = $node->background_psql('postgres', on_error_stop => 1);

# Start a statement in the session, and wait until fm_progress shows something.
sub start_until
{
	my ($sql, $shown) = @_;
	$session->query_until(qr/started/, "\\echo started\n$sql;\n");
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM fm_progress WHERE $shown") or die "waited for $shown";
	return;
}

# At each door a writing shows its phase, and goes on when the door opens.
$doors->query_safe('SELECT pg_advisory_lock(1), pg_advisory_lock(2)');
start_until(q{SELECT fm_write_top_x('lists', 3, 'm')}, q{phase = 'loading ratings'});
my $row = q{SELECT model, iteration, iterations, metric, elapsed < now() - started_at + interval '1 minute', time_left
	FROM fm_progress WHERE phase };
is(value("$row = 'loading ratings'"), 'm||||t|', 'lists begin with the ratings');
is(value("$row = 'loading ratings'", [ '-U', 'watcher' ]), 'm||||t|', 'others see it if they may see all');
is(value('SELECT count(*) FROM fm_progress', [ '-U', 'other' ]), '0', 'and else do not');
my $started = value('SELECT started_at FROM fm_progress');
$doors->query_safe('SELECT pg_advisory_unlock(1)');
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM fm_progress WHERE phase = 'writing lists'}) or die 'it does not write';
is(value("$row = 'writing lists'"), 'm||||t|', 'they end with the table');
is(value('SELECT started_at FROM fm_progress'), $started, 'all of this is one writing');
$doors->query_safe('SELECT pg_advisory_unlock(2)');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fm_progress}) or die 'it does not end';
is(value(q{SELECT rows, count FROM fm_target, (SELECT count(*) FROM lists) l}), '6000|6000', 'and then nothing is shown');

# Each block of users counts while lists are computed.
$session->query_until(qr/started/, "\\echo started\n"
	. "DO \$\$ BEGIN LOOP PERFORM count(*) FROM fm_top_x_all(1500, 'm', exclude_seen => false); END LOOP; END \$\$;\n");
my $some = q{iteration > 0 AND iteration < 2000};
my $counting = q{SELECT phase, iterations, metric IS NULL, time_left > '0' FROM fm_progress WHERE };
my $seen = '';
for (1 .. 2000)
{
	$seen = value($counting . $some);
	last if $seen ne '';
}
is($seen, 'computing lists|2000|t|t', 'users are counted while their lists are computed');
value('SELECT pg_cancel_backend(pid) FROM fm_progress');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fm_progress}) or die 'it is not cancelled';
pass('a cancelled call is not shown any more');

# COPY has its place back, with its counts.
is(value(q{COPY (SELECT (SELECT command FROM pg_stat_progress_copy WHERE pid = pg_backend_pid())
	FROM fm_top_x_all(1, 'm') LIMIT 1) TO STDOUT}), 'COPY TO', 'COPY shows its own progress after that');

# Notices to the session itself.
sub notices
{
	my ($sql) = @_;
	my ($out, $err);
	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err);
	$err =~ s/^psql:.*?: //mg;
	$err =~ s/(rmse|error|auc) \S+(?=,)/$1 #/g;
	return $err;
}
$node->safe_psql('postgres', 'CREATE VIEW plain AS SELECT * FROM rows');
my $train = q{SELECT fm_train('n', 'plain', num_factors => 2, iterations => 5, test_size => 0.2, rank_by => 'rating')};
my $heard = notices("SET fmtopx.progress = on; $train");
like($heard, qr/^NOTICE:  model "n": loading ratings\nNOTICE:  model "n": training\n/m, 'notices of phases');
like($heard, qr/^NOTICE:  model "n": iteration 5 of 5, rmse #, test rmse #, about 0 s left$/m, 'and of the last iteration');
unlike($heard, qr/iteration [1-4] of 5/, 'others would come too soon after it');
unlike(notices($train), qr/model "n": /, 'none unless asked for');

done_testing();
