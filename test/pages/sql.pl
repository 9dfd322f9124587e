# The documentation tells the truth: the SQL and Python blocks of every page run, and give the output that the page
# shows.
#
# The blocks of a page run in order, in one session, in a database of the page's own. That of README.md begins empty;
# that of another page is a copy of what the page named in its <!-- run after: PAGE --> leaves behind, or what the SQL
# file named there does. A Python block is a program that the session calls, with libpq's environment variables; it
# needs packages of PyPI, and skips without them. Pages.pm lists what else a page can say.
use strict;
use warnings;
use Test::More;
use File::Temp;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/../drivers";
use Pages qw(pages read_page);
use PyPI qw(python_with);

my %pages = map { $_ => read_page($_) } pages();
my %databases;
my ($python, $no_python) = (grep { $_->{kind} eq 'python' } map { @{ $_->{blocks} } } values %pages) ? python_with() : ();

sub squeeze
{
	my ($text) = @_;
	return join '', map { s/\s+$//r . "\n" } grep { /\S/ } split /\n/, $text;
}

# What psql has to read to run a block. A program that fails says so at its end.
sub statements
{
	my ($block) = @_;
	return $block->{text} if $block->{kind} eq 'sql';
	my $program = $block->{program} = File::Temp->new(SUFFIX => '.py');
	binmode($program, ':encoding(UTF-8)');
	print $program $block->{text};
	close($program);
	return "\\set printed `$python $program 2>&1 || echo the program failed`\n\\echo :printed";
}

# Run a page, after the page that it comes after; false if that cannot be.
sub run_page
{
	my ($path) = @_;
	return $databases{$path} if exists $databases{$path};
	$databases{$path} = undef;
	my $page = $pages{$path};
	my ($template, $file) = ('template1');
	if ($path ne 'README.md')
	{
		my $after = $page->{after};
		ok($after && ($pages{$after} || -e $after), "$path says after what it runs") or return;
		$pages{$after} ? $template = run_page($after) : ($file = $after);
		ok($template, "$path can run after $after") or return;
	}
	my $database = lc $path =~ s/\.md$//r =~ s/\W+/_/gr;
	system('createdb', '-T', $template, $database) == 0 or BAIL_OUT("no database $database");
	if (defined $file)
	{
		is(system("psql -X -q -d $database -f $file >/dev/null"), 0, "$path can run after $file") or return;
	}

	# Before and after each block psql says so; the first error of SQL ends the session.
	my @blocks = @{ $page->{blocks} };
	my $script = File::Temp->new(SUFFIX => '.sql');
	binmode($script, ':encoding(UTF-8)');
	for my $number (0 .. $#blocks)
	{
		$blocks[$number]{skip} //= $no_python if $blocks[$number]{kind} eq 'python';
		next if defined $blocks[$number]{skip};
		print $script "\\echo block $number begins\n", statements($blocks[$number]), "\n\\echo block $number ends\n";
	}
	close($script);
	local $ENV{PGDATABASE} = $database;
	open(my $psql, '-|:encoding(UTF-8)', "psql -X -q -v ON_ERROR_STOP=1 -d $database <$script 2>&1") or die $!;
	my $output = do { local $/; <$psql> } // '';
	close($psql);

	for my $number (0 .. $#blocks)
	{
		my ($block, $name) = ($blocks[$number], "the $blocks[$number]{kind} block at line $blocks[$number]{line} of $path");
	  SKIP:
		{
			skip("$name: $block->{skip}", 1) if defined $block->{skip};
			my ($printed) = $output =~ /^block $number begins\n(.*?)^block $number ends$/ms;
			if (!ok(defined $printed && $printed !~ /^the program failed$/m, "$name runs"))
			{
				diag($output =~ /^block $number begins\n(.*)/ms ? $1 : 'another failed before it');
				last;
			}
			next if !defined $block->{output} || defined $block->{uncompared};
			is(squeeze($printed), squeeze($block->{output}), "$name gives the output shown");
		}
	}
	return $databases{$path} = $database;
}

run_page($_) for sort grep { @{ $pages{$_}{blocks} } } keys %pages;
done_testing();
