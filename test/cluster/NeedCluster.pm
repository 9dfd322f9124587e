# use NeedCluster; loads PostgreSQL's module for tests with clusters of their own; use NeedCluster 'BackgroundPsql';
# that for sessions beside the test's, too. Where one is not here, or is of a version with another interface (before
# 15), the test skips.
package NeedCluster;
use strict;
use warnings;
use Test::More;

sub import
{
	my ($class, @modules) = @_;
	eval { require PostgreSQL::Test::Cluster; PostgreSQL::Test::Cluster->can('config_data') }
	  or plan(skip_all => 'PostgreSQL::Test::Cluster of PostgreSQL 15 or newer is not here');
	require PostgreSQL::Test::Utils;
	for my $module (@modules)
	{
		eval "require PostgreSQL::Test::$module" or plan(skip_all => "PostgreSQL::Test::$module is not here");
	}
	return;
}

1;
