# README.md tells the truth: its ```sql blocks run, in order, in one session on a fresh database.
#
# A block right after a line <!-- not run: reason --> is skipped.
use strict;
use warnings;
use Test::More;
use File::Temp;

my @blocks;
my $block;
my $skip;
open(my $readme, '<', 'README.md') or plan(skip_all => 'there is no README.md');
while (my $line = <$readme>)
{
	if ($block)
	{
		$block = undef, next if $line =~ /^\s*```\s*$/;
		$block->{sql} .= $line;
	}
	elsif ($line =~ /^\s*```sql\s*$/)
	{
		$block = { line => $., sql => '', skip => $skip };
		push @blocks, $block;
	}
	elsif ($line =~ /^\s*<!-- not run: (.*) -->\s*$/)
	{
		$skip = $1;
		next;
	}
	$skip = undef if $line =~ /\S/;
}
plan(skip_all => 'README.md has no SQL') unless @blocks;

# After each block psql says so; the first error ends the session.
my $script = File::Temp->new(SUFFIX => '.sql');
for my $number (0 .. $#blocks)
{
	print $script $blocks[$number]->{sql}, "\n" unless $blocks[$number]->{skip};
	print $script "\\echo block $number done\n";
}
close($script);

system('createdb', 'readme') == 0 or BAIL_OUT('no database');
my $output = `psql -X -v ON_ERROR_STOP=1 -d readme -f $script 2>&1`;
my @done;
$done[$1] = 1 while $output =~ /^block (\d+) done$/mg;

for my $number (0 .. $#blocks)
{
	my ($line, $reason) = @{ $blocks[$number] }{qw(line skip)};
  SKIP:
	{
		skip("line $line: $reason", 1) if defined $reason;
		ok($done[$number], "the SQL block at line $line of README.md runs");
	}
}
diag($output) if grep { !$done[$_] } 0 .. $#blocks;
done_testing();
