# A Python with packages of PyPI, for tests: a virtual environment in build/python, which the first test that asks for
# it makes. PYTHON names the Python to make it with (python3).
package PyPI;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(python_with);

# What tests and pages import, and the packages that have it. All are installed at once, as binaries.
my %packages = (
	psycopg => 'psycopg[binary]',
	psycopg2 => 'psycopg2-binary',
	asyncpg => 'asyncpg',
	pg8000 => 'pg8000',
	numpy => 'numpy',
	pandas => 'pandas',
	sqlalchemy => 'sqlalchemy');

# Run a command; its output if it fails, nothing if it succeeds.
sub failure
{
	my $pid = open(my $pipe, '-|') // die "fork: $!";
	if (!$pid)
	{
		open(STDERR, '>&', \*STDOUT);
		exec(@_) or do { print "$_[0]: $!\n"; exit 127 };
	}
	my $output = do { local $/; <$pipe> } // '';
	close($pipe) and return;
	return $output || "$_[0] failed\n";
}

# Return a Python that can import everything; or undef and the reason, for a skip.
sub python_with
{
	my $python = 'build/python/bin/python';
	my @import = ($python, '-c', 'import ' . join(', ', sort keys %packages));
	return $python if -x $python && !failure(@import);
	my $error = failure($ENV{PYTHON} // 'python3', '-m', 'venv', '--clear', 'build/python')
	  // failure($python, qw(-m pip install --quiet --disable-pip-version-check --only-binary :all:),
		qw(--retries 1 --timeout 15), map { $packages{$_} } sort keys %packages)
	  // failure(@import)
	  // return $python;
	my ($last) = grep { /\S/ } reverse split /\n/, $error;
	return (undef, 'no Python with packages of PyPI: ' . ($last // ''));
}

1;
