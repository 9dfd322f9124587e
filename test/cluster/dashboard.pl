# The Grafana dashboard: what Grafana sends to PostgreSQL runs, and has the columns that its panels need. The script for psql
# asks the same.
use strict;
use warnings;
use Cwd qw(abs_path);
use JSON::PP;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $folder = abs_path("$FindBin::Bin/../../docs/operate");

sub contents
{
	my ($path) = @_;
	open(my $file, '<:raw', $path) or die "$path: $!";
	local $/ = undef;
	return scalar <$file>;
}

my $node = PostgreSQL::Test::Cluster->new('dashboard');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * 7 + i * 3) % 5)::real AS rating
FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u * i) % 3 <> 1;
SELECT fm_train('it''s', 'ratings', num_factors => 4, iterations => 12, test_size => 0.2);
SELECT fm_train('it''s');
SELECT fm_write_top_x('lists', 5, 'it''s');
SELECT fm_train('r', 'ratings', task => 'ranking', num_factors => 4, test_size => 0.2);
CREATE ROLE watcher LOGIN IN ROLE pg_read_all_stats;
SELECT fm_grant(model, 'watcher') FROM fm_models});

my $dashboard = decode_json(contents("$folder/grafana.json"));
my ($variable) = grep { $_->{name} eq 'model' } @{ $dashboard->{templating}{list} };
is($node->safe_psql('postgres', $variable->{query}), "it's\nr", 'the variable has all models');

# Return what Grafana makes of a query: its macros, and the variable as quoted strings.
sub expand
{
	my ($sql) = @_;
	$sql =~ s/\$__timeFilter\((\w+)\)/$1 BETWEEN '2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'/g;
	$sql =~ s/\$\{model:sqlstring\}/'it''s','r'/g;
	return $sql;
}

my %rows = ('Models that need attention' => 1, 'Health' => 2, 'Quality on held-out ratings' => 5, 'Better than without a model' => 5, 'Duration of trainings' => 3,
	'Running now' => 0, 'Runs' => 3, 'Tables of lists' => 1);
for my $panel (@{ $dashboard->{panels} })
{
	my ($title, $target) = ($panel->{title}, $panel->{targets}[0]);
	my $sql = expand($target->{rawSql});
	unlike($sql, qr/\$/, "$title: no macro is left");
	my ($status, $out, $error) = $node->psql('postgres', $sql, extra_params => [ '-U', 'watcher', '-P', 'tuples_only=off', '-P', 'footer=off' ]);
	is("$status $error", '0 ', "$title: the query runs as a role that may only look");
	my ($head, @found) = split(/\n/, $out);
	my @columns = split(/\|/, $head);
	is(scalar @found, $rows{$title}, "$title: rows") if exists $rows{$title};
	is("@columns", 'time metric value', "$title: the columns of a time series") if $target->{format} eq 'time_series';
	ok(@found > 1 && "@columns" eq 'iteration training held_out', "$title: a row an iteration") if $panel->{type} eq 'trend';
	my %has = map { $_ => 1 } @columns;
	my @named = map { $_->{matcher}{options} } @{ $panel->{fieldConfig}{overrides} };
	is(join(' ', grep { !$has{$_} } @named), '', "$title: it has the columns whose units are set");
}

# The script, for all models and for one.
my $script = "$folder/dashboard.sql";
my @titles = contents($script) =~ /^\\echo '(.*)'$/mg;
is_deeply(\@titles, [ map { $_->{title} } @{ $dashboard->{panels} } ], 'the script has the same questions');
for my $case ([ 'all models' => [], qr/^r\|/m ], [ 'one model' => [ '-v', "model=it's" ], qr/^it's\|/m ])
{
	my ($name, $options, $row) = @$case;
	my ($out, $error) = PostgreSQL::Test::Utils::run_command([ 'psql', '-XAt', '-v', 'ON_ERROR_STOP=1', @$options, '-d', $node->connstr('postgres'), '-f', $script ]);
	is($error, '', "the script runs for $name");
	like($out, $row, 'and has rows of it');
	unlike($out, qr/^r\|/m, 'of no other') if @$options;
}

$node->stop;
done_testing();
