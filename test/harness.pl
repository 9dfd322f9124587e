# Run tests as prove does, with less noise: test/harness.pl TEST...
#
# One line says how each test file went and how long it took. What a file prints goes to build/log/FILE.log, standard
# error included, and is shown only if the file fails, with the end of the logs of the servers that it started.
# HARNESS_VERBOSE=1 shows everything.
use strict;
use warnings;
use File::Basename;
use TAP::Harness;

my $most_lines = 150; # shown of one log

# The tests' own output is copied here under each file's name; PostgreSQL's test modules put their logs beside it.
$ENV{PERL_TEST_HARNESS_DUMP_TAP} = 'build/log';

# Print the last lines of a file.
sub show
{
	my ($path, $most) = @_;
	open(my $file, '<', $path) or return;
	my @lines = <$file>;
	my $left_out = @lines - $most;
	print "---- $path", $left_out > 0 ? " (without the first $left_out lines)" : '', "\n";
	print @lines[($left_out > 0 ? $left_out : 0) .. $#lines];
	return;
}

sub show_failure
{
	my ($test, $parser) = @_;
	return if !$parser->has_problems;
	my $name = basename($test);
	$name =~ s/\.[^.]*$//;
	show("build/log/$test", $most_lines);
	show($_, 40) for glob("{$ENV{TESTLOGDIR},$ENV{TESTDIR}/tmp_check/log}/${name}_*.log");
	print "----\n";
	return;
}

my $harness = TAP::Harness->new(
	{
		timer => 1,
		failures => 1,
		merge => 1,
		verbosity => $ENV{HARNESS_VERBOSE} ? 1 : 0,
		sources => {
			Perl => {},
			Executable => {},
			pgTAP => { suffix => '.sql', dbname => 'pgtap', set => { movielens => $ENV{MOVIELENS} // '' } },
		},
	});
$harness->callback(after_test => sub { show_failure($_[0][0], $_[1]) });
exit($harness->runtests(@ARGV)->all_passed ? 0 : 1);
