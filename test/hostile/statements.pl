# Hostile statements, from several sessions at once (Generator.pm): none may crash the server, end in an internal error,
# leave a session that does not answer, or give a list that cannot be right.
#
# Environment: HOSTILE_STATEMENTS, how many (1500); HOSTILE_SEED; HOSTILE_SECONDS, how long an answer may take (60). What
# was sent, and what was found, stands in TESTLOGDIR: hostile-SEED.sql and hostile-SEED.findings.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time usleep);
use File::Path qw(make_path);
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/../cluster";
use NeedCluster;
use Generator;
use Session;

my $count = $ENV{HOSTILE_STATEMENTS} // 1500;
my $seed = $ENV{HOSTILE_SEED} // 1;
my $patience = $ENV{HOSTILE_SECONDS} // 60;
my $limit = $ENV{HOSTILE_TIMEOUT} // '1s';
my $epoch = 400;    # statements between two worlds

my $directory = $ENV{TESTLOGDIR} // 'build/log/cluster';
make_path($directory);
open(my $log, '>', "$directory/hostile-$seed.sql") or die "$directory: $!";
$log->autoflush(1);

my $node = PostgreSQL::Test::Cluster->new('hostile');
$node->init;
$node->append_conf('postgresql.conf', qq{
fsync = off
jit = off
autovacuum = off
lock_timeout = 200ms
deadlock_timeout = 50ms
idle_in_transaction_session_timeout = 60s
restart_after_crash = off
max_parallel_maintenance_workers = 1
log_min_messages = warning
log_statement = none
log_min_error_statement = panic
});
$node->start;
my ($host, $port) = ($node->host, $node->port);
$node->safe_psql('postgres', qq{
CREATE ROLE owner LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE stranger LOGIN;
GRANT CREATE ON SCHEMA public TO PUBLIC;
CREATE EXTENSION fmtopx; CREATE EXTENSION postgres_fdw;
CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE USER MAPPING FOR owner SERVER loopback OPTIONS (user 'owner', password_required 'false');
CREATE USER MAPPING FOR postgres SERVER loopback OPTIONS (user 'postgres');
GRANT USAGE ON FOREIGN SERVER loopback TO PUBLIC;
CREATE SEQUENCE a_sequence;
ALTER DATABASE postgres SET search_path = world, public;
SET ROLE stranger;
SET search_path = public;
CREATE TABLE stranger_ratings (user_id integer, item_id integer, rating real);
CREATE TABLE stranger_lists (user_id integer, rank integer, item_id integer, score real)});

my $world = do { local $/; open(my $file, '<', "$FindBin::Bin/world.sql") or die $!; <$file> };
my $hello = "SET statement_timeout = '$limit'; SET client_min_messages = warning; SET search_path = world, public;";
my @sessions = map {
	Session->new(connstr => $node->connstr('postgres'), role => $_, hello => $hello)
} qw(owner owner reader postgres);
my $maker = Session->new(connstr => $node->connstr('postgres'), role => 'owner');

# Internal errors that are PostgreSQL's own, of rows of the catalogue that others change meanwhile. (A failed look-up in the
# catalogue is none of them: where a relation or a type may be gone, this library must ask.)
my @known = (
	qr/tuple concurrently (updated|deleted)/,
	(map { qr/$_/ } split /\n/, $ENV{HOSTILE_KNOWN} // ''),
);

# An error that comes of the arguments alone.
my %argument_error = map { $_ => 1 } qw(42601 42883 42725 42P01 42703 42704 42P02 22P02 22P03 22003 22004 22023 42804 42809 22007 22008 42P18 42846 42602 42622 0A000 2BP01 25P02 42P07 42501 42939 22000 2202E 22026 42P13 42P17 42P20 42712 42P08 428C9 23502 54023 3F000 42939 25001);
my (%findings, %codes, @order);
my ($sent, $through, $errors) = (0, 0, 0);

sub find
{
	my ($session, $kind, $what, $location) = @_;
	(my $key = "$kind $what") =~ s/\d+|"[^"]*"/#/g;

	# lists are wrong for many reasons: one of each question about each model
	$key = join(' ', $kind, $session->{sql} =~ /\bfm_\w+|'[a-z]\w*'/g) if $kind eq 'wrong';
	return if $findings{$key}++;
	my $number = $session->{statement} // '';
	push @order, "$kind: $what" . ($location ? " [$location]" : '') . "\n    of $session->{role} $number: " . ($session->{sql} =~ s/\n/\n        /gr) . "\n";
	note("$kind: $what");
	return;
}

# Look at an answer.
sub judge
{
	my ($session) = @_;
	my $answer = $session->{answer};
	return if !defined $answer;
	print $log sprintf("-- %s: %s after %.3f s\n", $session->{role}, $session->{state}, $session->{took} // 0);
	while ($answer =~ /^(?:psql:[^ ]* )?(ERROR|FATAL|PANIC|WARNING):  (\w{5}): (.*)\n((?:(?:DETAIL|HINT|CONTEXT|QUERY|LINE|STATEMENT).*\n|(?!ERROR|WARNING|LOCATION).*\n)*?)(?:LOCATION:  (.*)\n)?/mg)
	{
		my ($level, $code, $message, $location) = ($1, $2, $3, $5 // '');
		if ($level eq 'WARNING')
		{
			find($session, 'warning', $message, $location) if $message =~ /leak|still active|inconsisten|corrupt/;
			next;
		}
		$codes{$code}++;
		next if $code ne 'XX000';    # not data_corrupted, which is what a tampered table is
		find($session, 'internal error', $message, $location) if !grep { $message =~ $_ } @known;
	}
	find($session, 'wrong', $1) if $answer =~ /^(WRONG:.{0,300})/m;
	my $state = $session->{state};
	if ($state eq 'gone')
	{
		find($session, 'connection lost', substr($answer, -300)) if $answer =~ /FATAL:  (?!57P01|25P03)/ || !-e $node->data_dir . '/postmaster.pid';
		$session->quit;
		$session->connect;
	}
	elsif ($state eq '00000' || !$argument_error{$state}) { $through++ }
	if ($state ne '00000') { $errors++ }
	delete $session->{answer};
	return;
}

sub make_world
{
	$_->wait_for($patience) && judge($_) for @sessions;
	$_->run('ROLLBACK; RESET ROLE; RESET ALL; UNLISTEN *; DISCARD TEMP; ' . $hello) for @sessions;
	# with the rows of models whose tables are gone: a training of that name should replace them, and does not always
	$node->psql('postgres', "SET client_min_messages = error; SET lock_timeout = '60s'; DROP SCHEMA IF EXISTS world CASCADE; DELETE FROM fm_model;
		CREATE SCHEMA world AUTHORIZATION owner; GRANT ALL ON SCHEMA world TO PUBLIC");
	my $said = $maker->run("BEGIN;\n$world\nCOMMIT;", 300);
	if ($said =~ /ERROR/) { my ($error) = $said =~ m{(ERROR:(?:.*\n){1,5})}; die "the world cannot be made: $error" if !$sent; find($maker, "world", $error); }
	return;
}

my $generator = Generator->new($seed);
my $started = time;
while ($sent < $count)
{
	make_world() if $sent % $epoch == 0;
	my $session = $sessions[ $generator->below(scalar @sessions) ];
	if (!$session->wait_for($patience))
	{
		find($session, 'no answer', "within $patience s");
		last if $node->psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()") != 0;
		if (!$session->wait_for(20)) { find($session, 'does not end', 'after pg_terminate_backend'); last }
		$session->{state} = '57P01';
		$session->quit;
		$session->connect;
		next;
	}
	judge($session);
	my $sql = $generator->statement;
	$sql =~ s/\@LIMIT\@/'$limit'/g;
	$sql =~ s/\@HELLO\@/$hello/g;
	print $log "-- $sent: $session->{role}\n$sql;\n";
	$session->ask($sql);
	$session->{statement} = $sent++;
	if ($generator->chance(3))    # somebody is cancelled, or rarely ended, in the middle of whatever he does
	{
		usleep($generator->below(20000));
		my $what = $generator->chance(97) ? 'cancel' : 'terminate';
		$maker->run("SELECT pg_${what}_backend(pid) FROM pg_stat_activity WHERE usename IN ('owner', 'reader') AND state = 'active' AND pid <> pg_backend_pid() LIMIT 1");
		$maker->{gone} && $maker->connect;
	}
	last if $session->{gone} && !-e $node->data_dir . '/postmaster.pid';
}
$_->wait_for($patience) && judge($_) for @sessions;
my $seconds = time - $started;

# What the server says, and that it still does.
my $server_log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
my %said;
while ($server_log =~ /^.*(was terminated by signal|PANIC:|TRAP:|runtime error|AddressSanitizer|leaked|reference leak|leak:).*$/mg)
{
	(my $line = $&) =~ s/^\S+ \S+ \S+ \[\d+\] //;
	push @order, "server: $line\n" if !$said{ $line =~ s/\d+/#/gr }++;
}
is($node->psql('postgres', 'SELECT 1'), 0, 'the server lives');
if (@order)
{
	open(my $file, '>', "$directory/hostile-$seed.findings") or die $!;
	print $file join("\n", @order);
	diag($_) for @order;
}
is(scalar @order, 0, sprintf('%d hostile statements, %d%% past the checks of arguments, %d errors, %.0f s (seed %d)', $sent, 100 * $through / ($sent || 1), $errors, $seconds, $seed));
cmp_ok($through, '>=', $sent / 2, 'at least half get past the checks of arguments');
note('errors by code: ' . join(', ', map { "$_ $codes{$_}" } sort { $codes{$b} <=> $codes{$a} } keys %codes));
$_->quit for @sessions, $maker;
$node->stop('immediate');
done_testing();
