# pg_upgrade: models, runs and tables of lists are in the new cluster, here of the same version, and work.
use strict;
use warnings;
use Cwd qw(abs_path);
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my ($old, $new) = map {
	my $node = PostgreSQL::Test::Cluster->new($_);
	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\n");
	$node
} qw(old new);
my $bindir = $old->config_data('--bindir');
plan(skip_all => 'pg_upgrade is not here') unless -x "$bindir/pg_upgrade";

$old->start;
$old->safe_psql(
	'postgres', q{
CREATE TABLE gone (); -- so that relations are numbered otherwise than in a fresh cluster
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS
SELECT u AS user_id, 'item ' || i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 100) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
DROP TABLE gone;
SELECT fm_train('m', 'ratings', num_factors => 4, iterations => 10, rank_by => 'interest');
SELECT fm_write_top_x('lists', 5, 'm');
CREATE TABLE matrices AS SELECT fm_matrix_agg(i, ARRAY[sin(i), cos(i)]::real[], 1) AS matrix FROM generate_series(1, 100) i;
});
my $state = q{
SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(5, 'm') t;
SELECT md5(string_agg(t::text, ' ')) FROM matrices, fm_matrix_top_x(matrix, '{0.5, 0.1}', 20) t;
SELECT md5(matrix::text) FROM matrices;
SELECT model, active_version, ratings, version_table, user_table, item_table, matrix_table FROM fm_models;
SELECT model, version, status, ratings FROM fm_runs;
SELECT * FROM fm_target};
my $before = $old->safe_psql('postgres', $state);
$old->stop;

# It leaves files in its working directory.
my $work = PostgreSQL::Test::Utils::tempdir();
my ($from, $to, $socket) = map { abs_path($_) } $old->data_dir, $new->data_dir, $new->host;
my @options = ('-b', $bindir, '-B', $bindir, '-d', $from, '-D', $to, '-s', $socket, '-p', $old->port, '-P', $new->port);
my ($output) = PostgreSQL::Test::Utils::run_command([ 'sh', '-c', 'cd "$0" && pg_upgrade "$@" 2>&1', $work, @options ]);
like($output, qr/^Upgrade Complete/m, 'pg_upgrade runs');
$new->start;
is($new->safe_psql('postgres', $state), $before, 'all is as it was');
is($new->safe_psql('postgres', q{UPDATE ratings SET rating = 6 - rating; CALL fm_refresh('m'); SELECT active_version FROM fm_models;
	SELECT count(*) FROM (SELECT user_id::text, rank, item_id, score, rating FROM lists EXCEPT SELECT * FROM fm_top_x_all(5, 'm')) d}), "2\n0", 'and goes on');
$new->stop;
done_testing();
