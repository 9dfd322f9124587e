# Every call as drivers of Python send it: drivers.py, with the drivers from PyPI. Skips where these cannot be had.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use PyPI qw(python_with);

my ($python, $why) = python_with();
plan(skip_all => $why) if !$python;
system('createdb', 'drivers') == 0 or BAIL_OUT('no database');
$ENV{PGDATABASE} = 'drivers';
exec($python, "$FindBin::Bin/drivers.py") or BAIL_OUT("$python: $!");
