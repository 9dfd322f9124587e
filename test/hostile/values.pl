# Mangled values of fm_matrix: as COPY BINARY receives them, as text, and as they stand in a table, in a model's, too. Each
# is refused, with an errcode, or harmless: then it comes out as it went in.
#
# Environment: HOSTILE_VALUES, how many (600); HOSTILE_SEED.
use strict;
use warnings;
use Test::More;
use Cwd qw(abs_path);
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/../cluster";
use NeedCluster;
use Generator;
use Session;

my $count = $ENV{HOSTILE_VALUES} // 600;
my $generator = Generator->new($ENV{HOSTILE_SEED} // 1);
my $node = PostgreSQL::Test::Cluster->new('values');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nrestart_after_crash = off\nlog_statement = none\n");
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION fmtopx;
CREATE TYPE raw;
CREATE FUNCTION raw_in(cstring) RETURNS raw LANGUAGE internal STRICT IMMUTABLE AS 'byteain';
CREATE FUNCTION raw_out(raw) RETURNS cstring LANGUAGE internal STRICT IMMUTABLE AS 'byteaout';
CREATE TYPE raw (INPUT = raw_in, OUTPUT = raw_out, INTERNALLENGTH = VARIABLE, ALIGNMENT = double, STORAGE = external);
CREATE CAST (raw AS fm_matrix) WITHOUT FUNCTION;
CREATE CAST (fm_matrix AS raw) WITHOUT FUNCTION;
CREATE TABLE received (m fm_matrix);
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, (u * i % 5)::real AS rating FROM generate_series(1, 40) u, generate_series(1, 20) i WHERE (u + i) % 3 = 0;
SELECT FROM fm_train('m', 'ratings', num_factors => 3, iterations => 2);
SELECT FROM fm_train('m');
CREATE TABLE good AS SELECT n, k, fm_matrix_agg(i * n, v, i) AS m FROM (VALUES (1, 1), (2, 3), (7, 8), (30, 5), (100, 16), (17, 33)) s (n, k),
	LATERAL (SELECT i, array_agg((i * f % 7)::real) AS v FROM generate_series(1, n) i, generate_series(1, k) f GROUP BY i) r GROUP BY n, k;
INSERT INTO good SELECT 0, 0, matrix FROM fm_m_matrix LIMIT 1;
});
my @sent = split /\n/, $node->safe_psql('postgres', q{SELECT encode(fm_matrix_send(m), 'hex') FROM good ORDER BY n, k});
my @stored = split /\n/, $node->safe_psql('postgres', q{SELECT substr(m::raw::text, 3) FROM good ORDER BY n, k});
my @texts = split /\n/, $node->safe_psql('postgres', q{SELECT m FROM good ORDER BY n, k});
my $model = $stored[0];

my @words = map { pack 'N', $_ } (0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff, 1024, 1025, 65536, 0x10000000, 0x3fffffff);
my @floats = ("\x7f\x80\0\0", "\xff\x80\0\0", "\x7f\xc0\0\0", "\0\0\0\1", "\x7f\x7f\xff\xff", "\0\0\x80\x7f", "\0\0\xc0\x7f", "\xff\xff\x7f\x7f");

# Change a string of bytes here and there.
sub mangle
{
	my ($bytes) = @_;
	for (0 .. $generator->below(3))
	{
		my $n = $generator->below(100);
		my $at = $generator->below(length($bytes) || 1);
		my $early = 4 * $generator->below(length($bytes) < 32 ? 1 : 8);
		if ($n < 25) { substr($bytes, $at, 1) = chr($generator->below(256)) if length $bytes }
		elsif ($n < 60) { substr($bytes, $early, 4) = $generator->chance(50) ? $generator->one(@words) : scalar reverse $generator->one(@words) if length($bytes) >= $early + 4 }
		elsif ($n < 75) { $at -= $at % 4; substr($bytes, $at, 4) = $generator->one(@floats) if length($bytes) >= $at + 4 }
		elsif ($n < 85) { $bytes = substr($bytes, 0, $at) }
		elsif ($n < 92) { $bytes .= join '', map { chr $generator->below(256) } 0 .. $generator->below(20) }
		else { $bytes = substr($bytes, 0, $at) . substr($bytes, $at + 4) if length($bytes) >= $at + 4 }
	}
	return $bytes;
}

sub mangle_text
{
	my ($text) = @_;
	for (0 .. $generator->below(2))
	{
		my $at = $generator->below(length($text) || 1);
		my $what = $generator->one('', '[', ']', ',', '-', 'e', '1e400', 'NaN', '9223372036854775808', ' ', '.', "\x{c3}\x{a9}", '0x1', '1e-50', '+', '[[', ']]', '1' x 400);
		substr($text, $at, $generator->below(4)) = $what if $at + 4 <= length $text;
	}
	return $text;
}

my $session = Session->new(connstr => $node->connstr('postgres'), hello => "SET statement_timeout = '60s'; SET bytea_output = hex;");
my (%findings, %codes);
my ($refused, $accepted) = (0, 0);

# Ask, and see that what comes is no internal error.
sub ask
{
	my ($sql) = @_;
	my $answer = $session->run($sql, 120);
	BAIL_OUT("the server is gone after $sql") if $session->{gone};
	while ($answer =~ /ERROR:  (\w{5}): (.*)\n(?:(?!LOCATION).*\n)*(?:LOCATION:  (.*))?/g)
	{
		$codes{$1}++;
		$findings{ "$2 [" . ($3 // '') . ']' =~ s/\d+/#/gr } //= $sql if $1 eq 'XX000';
	}
	return $answer;
}

my $file = abs_path($node->basedir) . '/value';

# One value of every kind.
sub try_received
{
	my $bytes = mangle(pack 'H*', $generator->one(@sent));
	open(my $out, '>:raw', $file) or die $!;
	print $out "PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0) . pack('nN', 1, length $bytes) . $bytes . pack('n', 0xffff);
	close $out;
	my $answer = ask("TRUNCATE received; COPY received FROM '$file' (FORMAT binary)");
	if ($answer =~ /ERROR/) { $refused++; return }
	$accepted++;
	$answer = ask(q{SELECT 'sent ' || encode(fm_matrix_send(m), 'hex') FROM received; SELECT count(*) FROM received, fm_matrix_top_x(m, array_fill(1::real, ARRAY[fm_matrix_factors(m)]), 5); SELECT 'same ' || (m::text::fm_matrix::text = m::text) FROM received});
	$findings{'it does not come out as it went in'} //= unpack 'H*', $bytes if $answer !~ /^sent @{[ unpack 'H*', $bytes ]}$/m || $answer !~ /^same t/m;
	return;
}

sub try_text
{
	my $text = mangle_text($generator->one(@texts));
	my $answer = ask("SELECT 'same ' || (t = t::fm_matrix::text) FROM (SELECT '$text'::fm_matrix::text AS t) s");
	if ($answer =~ /ERROR/) { $refused++; return }
	$accepted++;
	$findings{'text does not come out as it went in'} //= $text if $answer !~ /^same t/m;
	return;
}

sub try_stored
{
	my $hex = unpack 'H*', mangle(pack 'H*', $generator->one(@stored));
	my $value = "('\\x$hex'::raw)::fm_matrix";
	my $answer = ask("SELECT fm_matrix_items($value), fm_matrix_factors($value)");
	$answer =~ /ERROR/ ? $refused++ : $accepted++;
	ask("SELECT length(($value)::text)");
	ask("SELECT length(fm_matrix_send($value))");
	ask("SELECT count(*) FROM fm_matrix_top_x($value, array_fill(1::real, ARRAY[" . $generator->one(1, 3, 5, 8, 16, 33) . ']), 7)');
	return;
}

sub try_model
{
	my $hex = unpack 'H*', mangle(pack 'H*', $model);
	my $tamper = "BEGIN; UPDATE fm_m_matrix SET matrix = ('\\x$hex'::raw)::fm_matrix; SELECT fm_activate('m', 1)";    # or what is in the cache would do
	my $answer = ask("$tamper; SELECT count(*) FROM fm_top_x(1, 5, 'm'); ROLLBACK");
	$answer =~ /ERROR/ ? $refused++ : $accepted++;
	ask("$tamper; SELECT " . $generator->one(q{count(*) FROM fm_top_x_all(3, 'm')}, q{fm_write_top_x('lists', 3, 'm')}, q{count(*) FROM fm_similar_items(3, 3, 'm')}, q{fm_predict(1, 2, 'm')}, q{count(*) FROM fm_item_vectors('m')}) . '; ROLLBACK');
	return;
}

my @kinds = (\&try_received, \&try_received, \&try_text, \&try_stored, \&try_model);
$kinds[ $_ % @kinds ]->() for 1 .. $count;
is($node->psql('postgres', 'SELECT 1'), 0, 'the server lives');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/was terminated by signal|PANIC:|TRAP:|runtime error|AddressSanitizer/, 'and says nothing bad');
is(join("\n", map { "$_\n    " . substr($findings{$_}, 0, 1500) } sort keys %findings), '', sprintf('%d mangled values: %d refused, %d harmless', $count, $refused, $accepted));
note('errors by code: ' . join(', ', map { "$_ $codes{$_}" } sort { $codes{$b} <=> $codes{$a} } keys %codes));
$session->quit;
$node->stop;
done_testing();
