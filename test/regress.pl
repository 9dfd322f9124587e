# pg_regress (sql/ against expected/) as a TAP test.
use strict;
use warnings;
use Test::More;

my $output = `make -s installcheck PG_CONFIG=$ENV{PG_CONFIG} 2>&1`;
my $status = $?;

# "test name ... ok 12 ms" up to PostgreSQL 15, TAP from 16 on.
for my $line (split /\n/, $output)
{
	if ($line =~ /^(?:test\s+| {5,})?(\S+)\s+\.\.\. (ok|FAILED)/)
	{
		is($2, 'ok', $1);
	}
	elsif ($line =~ /^(not )?ok \d+\s+[-+] (\S+)/)
	{
		ok(!$1, $2);
	}
}
is($status, 0, 'pg_regress finished') or diag($output);

if (open(my $diffs, '<', 'regression.diffs'))
{
	diag($_) while <$diffs>;
}
done_testing();
