# Without free shared memory, trainings run without workers, give the same bits, and leave no segment.
#
# The server runs under a limit on the size of files, which the segment of a training exceeds, but tables and
# the write-ahead log do not.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('shared_memory');
$node->init(extra => ['--wal-segsize=1']);
# mmap: segments are files in the data directory, so the test sees any that are left
$node->append_conf('postgresql.conf',
	"fsync = off\nautovacuum = off\ndynamic_shared_memory_type = mmap\nmax_parallel_maintenance_workers = 2\n");

sub start_limited
{
	my ($kilobytes) = @_;
	my ($data, $log, $port) = ($node->data_dir, $node->logfile, $node->port);
	my $limit = defined $kilobytes ? 'ulimit -f ' . $kilobytes : ':';

	# bash counts in kilobytes
	return system('bash', '-c', "$limit; pg_ctl -s -w -D '$data' -l '$log' start >/dev/null") == 0;
}

sub stop_limited
{
	return system('pg_ctl', '-s', '-w', '-m', 'fast', '-D', $node->data_dir, 'stop') == 0;
}

sub query
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $sql ], '>' => \$out, '2>' => \$err);
	return ($out, $err);
}

sub segments
{
	my @files = glob($node->data_dir . '/pg_dynshmem/mmap.*');
	return scalar @files;
}

my $model = q{SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(5, 'm', false) t};
my $train = q{SELECT status FROM fm_train('m', 'ratings', num_factors => 4, iterations => 2, workers => 2)};

ok(start_limited(), 'a server without a limit');
query(
	q{
CREATE EXTENSION fmtopx;
CREATE VIEW ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 3000) u, generate_series(1, 200) i});
my ($out, $err) = query($train);
is("$out$err", "succeeded\n", 'trains with workers');
my ($with_workers) = query($model);
my $segments = segments();
stop_limited();

ok(start_limited(8 * 1024), 'a server that cannot make segments of more than 8 MB');
($out, $err) = query($train);
is($out, "succeeded\n", 'trains');
like($err, qr/training without workers: could not resize shared memory segment.*\n.*Give the system more shared memory/,
	'and says that it had to do without workers');
is((query($model))[0], $with_workers, 'to the same model');
is(segments(), $segments, 'no segment is left behind');
stop_limited();

done_testing();
