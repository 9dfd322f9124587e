# Models of other systems: artefacts that this test writes from the description of their format, in every version,
# layout, storage and compression; text of libFM and xLearn; arrays in tables. Their lists are those that this test
# computes from the same numbers. Imported models are models like others: versions, tables of lists, users folded in,
# grants, dumps. What is exported and imported again has the same lists, bit for bit.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;
use Compress::Zlib;
use IO::Uncompress::Unzip;

my $node = PostgreSQL::Test::Cluster->new('import');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = none\nlog_min_error_statement = panic\n");
$node->start;

sub ask { return $node->safe_psql('postgres', shift); }

sub refused
{
	my ($sql, $pattern, $what) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql);
	ok($status != 0 && $error =~ $pattern, $what) or diag($error, $out);
	return;
}

# The true model: 30 users, then 40 items, and one more feature in some files. Ids are row + 100 and row + 500; those of
# items in another order than the rows.
my ($users, $items, $k, $bias) = (30, 40, 5, 3.25);
my $rows = $users + $items;
srand(17);
sub random_real { return unpack('f<', pack('f<', rand() - 0.5)); }
my @w = map { random_real() } 1 .. $rows;
my @v = map { [map { random_real() } 1 .. $k] } 1 .. $rows;
sub user_row { return $_[0] - 100; }
sub item_row { return $users + ($_[0] - 500) * 7 % $items; }
ask(qq{
CREATE EXTENSION fmtopx;
CREATE TABLE users AS SELECT r + 100 AS user_id, r AS idx FROM generate_series(0, @{[$users - 1]}) r;
CREATE TABLE items AS SELECT r + 500 AS item_id, $users + r * 7 % $items AS idx FROM generate_series(0, @{[$items - 1]}) r;
CREATE TABLE ratings (user_id integer, item_id integer, rating real);
});

sub score
{
	my ($user, $item, $scale) = @_;
	my ($u, $i) = (user_row($user), item_row($item));
	my $sum = $bias + ($w[$u] + $w[$i]) * $scale;
	$sum += $scale**2 * $v[$u][$_] * $v[$i][$_] for 0 .. $k - 1;
	return $sum;
}

# Compare the lists of all users with brute force.
sub same_lists
{
	my ($model, $what, $scale) = (@_, 1);
	my %list;
	push @{$list{$_->[0]}}, $_ for map { [split /\|/] } split /\n/, ask("SELECT user_id, item_id, score FROM fm_top_x_all(7, '$model')");
	my $wrong = 0;
	for my $user (100 .. 99 + $users)
	{
		my %score = map { $_ => score($user, $_, $scale) } 500 .. 499 + $items;
		my @best = (sort { $score{$b} <=> $score{$a} || $a <=> $b } keys %score)[0 .. 6];
		for my $r (0 .. 6)
		{
			my $row = $list{$user}[$r] // [0, 0, 0];
			$wrong++ if $row->[1] != $best[$r] || abs($row->[2] - $score{$best[$r]}) > 1e-5;
		}
	}
	is($wrong, 0, $what);
	return;
}

# ---- writing artefacts

my @magic = (undef, 0xF993FAC8, 0xF993FAC9, 0xF993FACA);

sub shape
{
	my ($version, @dims) = @_;
	return pack('V', scalar @dims) . pack($version == 0 ? 'V*' : 'Q<*', @dims);
}

# An array of rows; row_sparse leaves out those that are zero.
sub array
{
	my ($version, $sparse, $matrix) = @_;
	my @stored = grep { !$sparse || grep { $_ != 0 } @{$matrix->[$_]} } 0 .. $#$matrix;
	my $columns = scalar @{$matrix->[0]};
	return ($version > 0 ? pack('V', $magic[$version]) : '')
		. ($version >= 2 ? pack('V', $sparse) : '')
		. ($sparse ? shape($version, scalar @stored, $columns) : '')
		. shape($version, scalar @$matrix, $columns)
		. pack('VVV', 1, 0, 0)
		. ($sparse ? pack('V', 6) . shape($version, scalar @stored) : '')
		. join('', map { pack('f<*', @{$matrix->[$_]}) } @stored)
		. ($sparse ? pack('Q<*', @stored) : '');
}

sub list
{
	my ($version, $dense_layout, $sparse, $prefix) = @_;
	my $transposed = [map { my $f = $_; [map { $_->[$f] } @v] } 0 .. $k - 1];
	my @arrays = $dense_layout
		? (v => $transposed, Linear_Plus_Bias_weight => [[@w]], Linear_Plus_Bias_bias => [[$bias]])
		: (v => \@v, w1_weight => [map { [$_] } @w], w0_weight => [[$bias]]);
	my ($records, $names) = ('', '');
	while (my ($name, $matrix) = splice(@arrays, 0, 2))
	{
		$records .= array($version, $sparse, $matrix);
		$names .= pack('Q< a*', length("$prefix$name"), "$prefix$name");
	}
	return pack('Q<3', 0x112, 0, 3) . $records . pack('Q<', 3) . $names;
}

sub deflated
{
	my $deflate = deflateInit(-WindowBits => -15);
	return join('', map { (@$_)[0] } [$deflate->deflate($_[0])], [$deflate->flush]);
}

sub zip
{
	my ($deflate, %members) = @_;
	my ($local, $central) = ('', '');
	for my $name (sort keys %members)
	{
		my $data = $deflate ? deflated($members{$name}) : $members{$name};
		my $common = pack('v5 V3 v2', 20, 0, $deflate ? 8 : 0, 0, 0, crc32($members{$name}), length $data, length $members{$name}, length $name, 0);
		$central .= "PK\1\2" . pack('v', 20) . $common . pack('v3 V2', 0, 0, 0, 0, length $local) . $name;
		$local .= "PK\3\4$common$name$data";
	}
	return $local . $central . "PK\5\6" . pack('v4 V2 v', 0, 0, scalar keys %members, scalar keys %members, length $central, length $local, 0);
}

sub tar_gz
{
	my %members = @_;
	my $tar = '';
	for my $name (sort keys %members)
	{
		my $header = pack('a100 a8 a8 a8 a12 a12 A8 a1 a100 a6 a2 a247', $name, '0000644', '0000000', '0000000',
			sprintf('%011o', length $members{$name}), '00000000000', '', '0', '', 'ustar', '00', '');
		substr($header, 148, 8) = sprintf("%06o\0 ", unpack('%32C*', $header));
		$tar .= $header . $members{$name} . "\0" x (-length($members{$name}) % 512);
	}
	return Compress::Zlib::memGzip($tar . "\0" x 1024);
}

sub import_sql
{
	my ($model, $bytes, @more) = @_;
	return "SELECT status FROM fm_import(" . join(', ', "'$model'", "'\\x" . unpack('H*', $bytes) . "'", "'users'", "'items'", @more) . ')';
}

# Rows of one item are zero, so that row_sparse has something to leave out.
@w[35, 36] = (0, 0);
@v[35, 36] = ([(0) x $k], [(0) x $k]);
for my $version (0 .. 3)
{
	for my $dense_layout (0, 1)
	{
		for my $sparse (0 .. ($version == 2 ? 1 : 0))
		{
			my $list = list($version, $dense_layout, $sparse, $sparse ? 'arg:' : '');
			my %files = (
				'a list of arrays' => $list,
				'a stored ZIP' => zip(0, 'meta.json' => '{}', params => $list),
				'a deflated ZIP' => zip(1, 'meta.json' => '{}', params => $list),
				'a tar of a ZIP' => tar_gz('model_algo-1' => zip(0, params => $list, 'symbol.json' => '{}')),
				'a tar of a list' => tar_gz('model_algo-1' => $list, state => 'x' x 700),
			);
			for my $file (sort keys %files)
			{
				my $model = "m$version$dense_layout$sparse";
				ask(import_sql($model, $files{$file}, "'ratings'"));
				same_lists($model, "$file, version $version, the " . ($dense_layout ? 'dense' : 'sparse') . ' layout, '
						. ($sparse ? 'row_sparse' : 'dense storage'));
			}
			ask("SELECT fm_drop('m$version$dense_layout$sparse')") if $version < 3 || $dense_layout;
		}
	}
}

# ---- text

sub libfm { return join("\n", '#global bias W0', $bias, '#unary interactions Wj', @w, '#pairwise interactions Vj,f', map { "@$_" } @v) . "\n"; }
my $xlearn = join("\n", "bias: $bias", (map { "i_$_: $w[$_]" } 0 .. $rows - 1), (map { "v_$_: @{$v[$_]} " } 0 .. $rows - 1)) . "\n";
ask(import_sql('lib', libfm(), "'ratings'"));
same_lists('lib', 'libFM');
ask(import_sql('lib_scores', libfm()));
my $worst = 0;
for my $row (map { [split /\|/] } split /\n/, ask("SELECT user_id, item_id, fm_predict(user_id, item_id, 'lib') FROM users, items"))
{
	my $error = abs($row->[2] - score($row->[0], $row->[1], 1));
	$worst = $error if $error > $worst;
}
ok($worst < 1e-6, "predictions of all pairs are those of libFM: off by at most $worst");
ask(import_sql('xl', $xlearn, "'ratings'"));
same_lists('xl', 'xLearn, which has normalised its instances', sqrt(0.5));
ask(import_sql('xl', $xlearn, "'ratings'", 'normalised => false'));
same_lists('xl', 'xLearn without');

# ---- arrays

my $arrays = '';
for my $side (['user', 100, $users, \&user_row], ['item', 500, $items, \&item_row])
{
	my ($name, $first, $count, $row) = @$side;
	$arrays .= "CREATE TABLE ${name}_arrays (${name}_id integer, v double precision[], w real);\nINSERT INTO ${name}_arrays VALUES "
		. join(', ', map { my $r = $row->($_); "($_, '{" . join(',', @{$v[$r]}) . "}', $w[$r])" } $first .. $first + $count - 1) . ";\n";
}
ask($arrays);
ask("SELECT status FROM fm_import_arrays('arr', 'user_arrays', 'item_arrays', 'ratings', bias_column => 'w', global_bias => $bias)");
same_lists('arr', 'arrays in tables');
is(ask(q{SELECT count(*) FROM (SELECT * FROM fm_top_x_all(40, 'arr') EXCEPT SELECT * FROM fm_top_x_all(40, 'lib')) x}), 0, 'their lists are those of the text, bit for bit');
ask(q{CREATE VIEW plain_items AS SELECT item_id, v::real[] || w AS v FROM item_arrays;
CREATE VIEW plain_users AS SELECT user_id, v::real[] || 1::real AS v FROM user_arrays;
SELECT status FROM fm_import_arrays('plain', 'plain_users', 'plain_items', 'ratings')});
is(ask(q{SELECT count(*) FROM (SELECT user_id, rank, item_id FROM fm_top_x_all(40, 'arr') EXCEPT SELECT user_id, rank, item_id FROM fm_top_x_all(40, 'plain')) x}),
	0, 'without biases, and with the bias of an item as a factor');

# ---- out and in again

ask(q{CREATE VIEW users_again AS SELECT user_id, idx FROM fm_lib_user WHERE version = 1;
CREATE VIEW items_again AS SELECT item_id, idx + (SELECT count(*) FROM users_again) AS idx FROM fm_lib_item WHERE version = 1;
SELECT status FROM fm_import('again', (SELECT convert_to(string_agg(line, E'\n'), 'UTF8') FROM fm_export_libfm('lib') line), 'users_again', 'items_again', 'ratings')});
is(ask(q{SELECT count(*) FROM (SELECT * FROM fm_top_x_all(40, 'lib') EXCEPT SELECT * FROM fm_top_x_all(40, 'again')) x}), 0, 'exported and imported again: the same lists, bit for bit');
is(ask(q{SELECT count(*) FROM (SELECT line, n FROM fm_export_libfm('lib') WITH ORDINALITY l(line, n) EXCEPT SELECT line, n FROM fm_export_libfm('again') WITH ORDINALITY l(line, n)) x}), 0, 'and the same text');
is(ask(q{SELECT count(*) FROM (SELECT (j ->> 'user_id')::text, array_agg(l.value ORDER BY ordinality), (j -> 'predicted_label')::text FROM (SELECT fm_export_jsonl('lib', 4)::jsonb) s(j), jsonb_array_elements_text(j -> 'labels') WITH ORDINALITY l GROUP BY 1, 3
EXCEPT SELECT user_id, array_agg(item_id ORDER BY rank), (array_agg(item_id ORDER BY rank))[1] FROM fm_top_x_all(4, 'lib') GROUP BY 1) x}), 0, 'lists as lines of JSON');

# NumPy's arrays: each member's name, type and shape, and its numbers.
sub npz
{
	my $file = pack('H*', ask("SELECT encode(fm_export_npz('$_[0]'), 'hex')"));
	my $zip = IO::Uncompress::Unzip->new(\$file, Strict => 1) or die $IO::Uncompress::Unzip::UnzipError;
	my %arrays;
	for (my $status = 1; $status > 0; $status = $zip->nextStream())
	{
		my ($npy, $name) = ('', $zip->getHeaderInfo()->{Name});
		1 while $zip->read($npy, 65536, length $npy) > 0;
		my ($magic, $length) = unpack('a8 v', $npy);
		die $name if $magic ne "\x93NUMPY\1\0" || (10 + $length) % 64 != 0;
		my ($type, $shape) = substr($npy, 10, $length) =~ /^\{'descr': '(.*)', 'fortran_order': False, 'shape': (\(.*\)), \} *\n$/ or die $name;
		$arrays{$name} = {type => $type, shape => $shape, data => substr($npy, 10 + $length)};
	}
	return \%arrays;
}
my $npz = npz('lib');
is(join(' ', map { "$_ $npz->{$_}{type} $npz->{$_}{shape}" } sort keys %$npz),
	'b.npy <f8 () item_id.npy <i8 (40,) item_list.npy <f4 (40, 6) item_v.npy <f4 (40, 5) item_w.npy <f4 (40,) '
		. 'user_id.npy <i8 (30,) user_list.npy <f4 (30, 6) user_v.npy <f4 (30, 5) user_w.npy <f4 (30,)', 'the arrays of NumPy');
is(unpack('d<', $npz->{'b.npy'}{data}), $bias, 'the global bias');
is(join(',', unpack('q<*', $npz->{'user_id.npy'}{data})), join(',', 100 .. 129), 'the ids');
is($npz->{'user_v.npy'}{data}, join('', map { pack('f<*', @{$v[user_row($_)]}) } 100 .. 129), 'the factors of users');
is($npz->{'item_w.npy'}{data}, join('', map { pack('f<', $w[item_row($_)]) } 500 .. 539), 'the biases of items');
is($npz->{'item_list.npy'}{data}, join('', map { pack('f<*', @{$v[item_row($_)]}, $w[item_row($_)]) } 500 .. 539), 'the vectors that order lists');

# ---- a model like others

is(ask(q{SELECT model, solver, task, rank_by, users, items FROM fm_models WHERE model = 'lib'}), 'lib|import|regression|rating|30|40', 'it is in fm_models');
is(ask(q{SELECT rank, item_id FROM fm_lib_top_x(103, 5)}), ask(q{SELECT rank, item_id FROM fm_top_x(103, 5, 'lib')}), 'and has functions of its own');
my $before = ask(q{SELECT fm_export_libfm('lib')});
ask("INSERT INTO ratings SELECT u, i, 1 + (u + i) % 5 FROM generate_series(100, 129) u, generate_series(500, 539) i WHERE (u * 7 + i * 3) % 4 = 0");
my ($status, $out, $error) = $node->psql('postgres', import_sql('lib', libfm(), "'ratings'"));
is($status, 0, 'imported again, with ratings');
like($error, qr/WARNING:  the model does not fit the ratings/, 'ratings that say nothing of the model are told') or diag($error);
is(ask(q{SELECT active_version FROM fm_models WHERE model = 'lib'}), 2, 'which is a new version');
is(ask(q{SELECT train_metrics ->> 'ratings' FROM fm_runs WHERE model = 'lib' AND version = 2}), 300, 'whose metrics are those of the ratings');
is(ask(q{SELECT count(*) FROM fm_top_x(103, 100, 'lib') t JOIN ratings r USING (item_id) WHERE r.user_id = 103}), 0, 'items that are rated are not in lists');
ask(q{SELECT fm_activate('lib', 1)});
is(ask(q{SELECT fm_export_libfm('lib')}), $before, 'the first version is there to go back to');
ask(q{SELECT fm_activate('lib', 2)});
ask(q{SELECT fm_write_top_x('lists', 5, 'lib')});
ask(q{INSERT INTO ratings SELECT 100, item_id, 3 FROM lists WHERE user_id = 100 AND rank = 1});
ask(q{CALL fm_refresh('lib')});
is(ask(q{SELECT count(*) FROM lists l JOIN ratings r USING (user_id, item_id)}), 0, 'fm_refresh rewrites its tables of lists');
is(ask(q{SELECT max(version) FROM fm_runs WHERE model = 'lib'}), 2, 'and trains nothing');
ask(q{INSERT INTO ratings VALUES (900, 501, 5), (900, 502, 1), (900, 503, 5)});
my $folded = ask(q{SELECT rank, item_id FROM fm_top_x(900, 5, 'lib')});
isnt($folded, ask(q{SELECT rank, item_id FROM fm_top_x(901, 5, 'lib')}), 'a new user is folded in');
like(ask(q{SELECT message FROM fm_fold_in('lib')}), qr/users: 1 added, 1 updated; items: 0 added/, 'fm_fold_in adds them, and solves whoever has new ratings');
is(ask(q{SELECT rank, item_id FROM fm_top_x(900, 5, 'lib')}), $folded, 'with the same list');
refused(q{SELECT fm_train('lib')}, qr/model "lib" was imported: there is no training to repeat/, 'fm_train without ratings');
refused(q{CALL fm_tune('lib')}, qr/model "lib" was imported/, 'fm_tune');
refused(q{SELECT fm_train('x', 'ratings', solver => 'import')}, qr/option solver must be/, 'import is no solver to train with');

ask(q{CREATE ROLE reader; CREATE ROLE other; GRANT CREATE ON SCHEMA public TO other; SELECT fm_grant('lib', 'reader')});
is(ask(q{SET ROLE reader; SELECT count(*) FROM fm_top_x(103, 5, 'lib')}), 5, 'a role may be granted it');
refused('SET ROLE other; ' . import_sql('lib', libfm(), "'ratings'"), qr/must be owner of model "lib"/, 'only the owner imports again');
refused('SET ROLE other; ' . import_sql('mine', libfm()), qr/permission denied for (?:table|relation) users/, 'the relations are read with the rights of the owner');
is(ask(q{GRANT SELECT ON users, items TO other; SET ROLE other; } . import_sql('mine', libfm())), 'succeeded', 'who may read them makes a model');
is(ask(q{SELECT count(*) FROM fm_top_x(103, 100, 'mine')}), 40, 'without ratings nothing counts as seen');
refused(q{SELECT fm_fold_in('mine')}, qr/no relation of ratings to fold in/, 'nor is there anything to fold in');
is(ask(q{SELECT count(*) FROM fm_top_x_for('{501,502}'::bigint[], '{5,1}'::real[], 5, 'mine')}), 5, 'a basket is');

my $dump = $node->basedir . '/dump.sql';
$node->command_ok(['pg_dump', '-f', $dump, $node->connstr('postgres')], 'a dump');
ask('CREATE DATABASE restored');
$node->command_ok(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump], 'restored');
is($node->safe_psql('restored', q{SELECT * FROM fm_top_x_all(5, 'lib')}), ask(q{SELECT * FROM fm_top_x_all(5, 'lib')}), 'has the same lists');
is(ask(q{SELECT fm_drop('mine'); SELECT count(*) FROM fm_models WHERE model = 'mine'}), "\n0", 'fm_drop');

is(ask(q{SELECT status FROM fm_train('lib', 'ratings', num_factors => 4, iterations => 10)}), 'succeeded', 'given ratings, it can be trained here');

ask(q{CREATE VIEW named_users AS SELECT 'user ' || user_id AS user_id, idx FROM users;
CREATE VIEW named_ratings AS SELECT 'user ' || user_id AS user_id, item_id, rating FROM ratings});
is(ask(import_sql('arr', libfm(), "'named_ratings'") =~ s/'users'/'named_users'/r), 'succeeded', 'imported again with ids of another type');
is(ask(q{SELECT count(*) FROM fm_arr_top_x('user 103', 5)}), 5, 'which its functions have, too');
$npz = npz('arr');
is($npz->{'user_id.npy'}{type} . substr($npz->{'user_id.npy'}{data}, 8, 8), '|S8user 101', 'and NumPy\'s arrays');

# A classification: the logistic function is met to 0.01.
ask(import_sql('yes', libfm(), "task => 'classification'"));
$worst = 0;
for my $row (map { [split /\|/] } split /\n/, ask("SELECT user_id, item_id, fm_predict(user_id, item_id, 'yes') FROM users, items"))
{
	my $error = abs($row->[2] - 1 / (1 + exp(-score($row->[0], $row->[1], 1))));
	$worst = $error if $error > $worst;
}
ok($worst < 0.01, "probabilities are off by at most $worst");

ask(q{CREATE SCHEMA elsewhere});
ask(import_sql('placed', libfm(), q{schema => 'elsewhere'}));
is(ask(q{SELECT version_table, (SELECT count(*) FROM elsewhere.fm_placed_top_x(103, 5)) FROM fm_models WHERE model = 'placed'}), 'elsewhere.fm_placed_version|5', 'in a schema of its own');
refused(import_sql('placed', libfm(), q{schema => 'public'}), qr/the tables of model "placed" are in schema "elsewhere"/, 'where it stays');

ask(q{CREATE TABLE liked AS SELECT user_id, item_id, true AS rating FROM ratings WHERE user_id < 110});
ask(import_sql('yes', libfm(), "'liked'", "task => 'classification'"));
ask(q{INSERT INTO liked VALUES (960, 501, true), (960, 502, false)});
is(ask(q{SELECT count(*) FROM fm_top_x(960, 5, 'yes')}), 5, 'labels that are all the same leave no and yes as they are');

# A ranking, whose rows have no values.
ask(q{CREATE TABLE bought AS SELECT user_id, item_id FROM ratings WHERE user_id < 130; SELECT status FROM fm_import_arrays('choice', 'user_arrays', 'item_arrays', 'bought', bias_column => 'w', task => 'ranking')});
is(ask(q{SELECT m.task, m.rank_by IS NULL, r.ratings = (SELECT count(DISTINCT (user_id, item_id)) FROM bought) FROM fm_models m JOIN fm_runs r USING (model) WHERE model = 'choice'}), 'ranking|t|t', 'a ranking');
is(ask(q{SELECT count(*) FROM (SELECT rank, item_id FROM fm_top_x(105, 40, 'choice') EXCEPT SELECT row_number() OVER (ORDER BY t.rank), item_id FROM fm_top_x(105, 40, 'lib_scores', exclude_seen => false) t WHERE NOT EXISTS (SELECT FROM bought b WHERE b.user_id = 105 AND b.item_id = t.item_id)) x}), 0, 'orders by the same scores');
ask(q{INSERT INTO bought VALUES (950, 501), (950, 502), (950, 503)});
isnt(ask(q{SELECT item_id FROM fm_top_x(950, 5, 'choice')}), ask(q{SELECT item_id FROM fm_top_x(951, 5, 'choice', exclude => '{501,502,503}')}), 'a new user is folded in');
like(ask(q{SELECT message FROM fm_fold_in('choice')}), qr/users: 1 added, 0 updated; items: 0 added, 0 updated/, 'and by fm_fold_in');

# ---- what is refused

refused(import_sql('bad', substr(libfm(), 0, 400)), qr/cannot be imported/, 'half a text');
refused(import_sql('bad', 'hello'), qr/neither a model of Amazon SageMaker/, 'something else');
my $list = list(2, 0, 0, '');
my $accepted = 0;
for my $length (map { $_ * 97 } 0 .. length($list) / 97 - 1)
{
	$accepted++ if ($node->psql('postgres', import_sql('bad', substr($list, 0, $length))))[0] == 0;
}
is($accepted, 0, 'a list of arrays that ends early');
refused(import_sql('bad', tar_gz('model_algo-1' => "\0" x 100_000_000), "format => 'sagemaker'") =~ s/^/SET fmtopx.training_memory = '16MB'; /r, qr/decompresses to more than/, 'a bomb');
refused(import_sql('bad', libfm() =~ s/(-?\d\S*)\n$/1e39\n/r), qr/expected a number of type real/, 'a number out of range');
refused(import_sql('bad', $xlearn =~ s/v_(\d+):/v_$1_0:/gr), qr/field-aware/, 'a field-aware model');
push @w, 0.5;
push @v, [(0.25) x $k];
refused(import_sql('bad', libfm()), qr/1 row of the model is neither a user nor an item/, 'a row that is nobody\'s');
is(ask(import_sql('more', libfm(), 'ignore_others => true')), 'succeeded', 'unless it is to be ignored');
same_lists('more', 'then the lists are the same');
refused(import_sql('bad', libfm(), 'ignore_others => true') =~ s/'items'/'users'/r, qr/column "item_id" of relation "users" does not exist/, 'a relation without the column');
refused(q{CREATE TEMP TABLE twice AS SELECT user_id AS item_id, idx FROM users; } . import_sql('bad', libfm(), 'ignore_others => true') =~ s/'items'/'twice'/r,
	qr/names row 0, which is that of another/, 'a row of two');
refused(q{CREATE TEMP TABLE far AS SELECT item_id, idx + 1000 AS idx FROM items; } . import_sql('bad', libfm(), 'ignore_others => true') =~ s/'items'/'far'/r,
	qr/names row \d+, but the model has rows 0 to 70/, 'a row that is not there');
refused(q{CREATE TEMP TABLE twin AS SELECT 500 AS item_id, idx FROM items; } . import_sql('bad', libfm(), 'ignore_others => true') =~ s/'items'/'twin'/r,
	qr/has the id 500 twice/, 'an id that comes twice');
refused(q{CREATE TEMP TABLE none AS SELECT NULL::integer AS item_id, idx FROM items; } . import_sql('bad', libfm(), 'ignore_others => true') =~ s/'items'/'none'/r,
	qr/has a row with NULL in column "item_id"/, 'an id that is NULL');
refused(q{CREATE TEMP TABLE empty AS SELECT item_id, idx FROM items LIMIT 0; } . import_sql('bad', libfm(), 'ignore_others => true') =~ s/'items'/'empty'/r,
	qr/has no items/, 'no items');
refused(q{CREATE TEMP TABLE t AS TABLE ratings; } . import_sql('bad', libfm(), "'t'", 'ignore_others => true'), qr/cannot be read from temporary relation/, 'temporary ratings');
refused(q{CREATE VIEW words AS SELECT user_id::text, item_id, rating FROM ratings; } . import_sql('bad', libfm(), "'words'", 'ignore_others => true'), qr/has ids of type/, 'ids of another type');
refused(import_sql('bad', libfm(), "task => 'choice'"), qr/task must be regression, classification or ranking/, 'a task that is not known');
refused(import_sql('bad', libfm(), "task => 'ranking'", 'ignore_others => true'), qr/needs a relation of ratings/, 'a ranking without ratings');
refused(import_sql('bad', libfm(), 'unobserved_weight => 0.1'), qr/task => 'regression' does not use option unobserved_weight/, 'an option of rankings');
refused(q{CREATE VIEW nothing AS SELECT * FROM ratings LIMIT 0; } . import_sql('bad', libfm(), "'nothing'", "task => 'ranking'", 'ignore_others => true'), qr/has no rows of users and items of the model/, 'a ranking with no rows');
refused(import_sql('bad', libfm(), "format => 'mxnet'"), qr/format must be/, 'a format that is not known');
refused(import_sql('bad', libfm(), 'rating_min => 1'), qr/must be given together/, 'half a range');
refused(import_sql('bad', libfm(), 'rating_min => 2', 'rating_max => 1'), qr/must be less than/, 'an empty range');
refused(q{CREATE TEMP VIEW short AS SELECT item_id, v[1:3] AS v FROM item_arrays; SELECT fm_import_arrays('bad', 'user_arrays', 'short')}, qr/has an array that is not of 5 numbers/, 'arrays of two lengths');
refused(q{CREATE TEMP VIEW nan AS SELECT item_id, v || 'NaN'::float8 AS v FROM item_arrays; SELECT fm_import_arrays('bad', 'nan', 'nan', user_column => 'item_id')}, qr/has an array with the number nan/i, 'NaN');
refused(q{SELECT fm_import_arrays('bad', 'user_arrays', 'item_arrays', bias_column => 'bias')}, qr/column "bias" of relation "item_arrays" does not exist/, 'a bias that neither has');
is(ask(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'fm\_bad%'}), 0, 'nothing is left of what was refused');

# ---- the recipe of docs/from-sagemaker.md, with the artefact that it makes and with one of a file

ask('CREATE DATABASE recipe');
my @psql = ('psql', '-XqAt', '-d', $node->connstr('recipe'), '-f', "$FindBin::Bin/../../demo/recipe.sql");
my $recipe = '';
my $recipe_errors = '';
IPC::Run::run([@psql], '>', \$recipe, '2>', \$recipe_errors);
is($recipe_errors, '', 'demo/recipe.sql runs');
like($recipe, qr/^30\|40\|4\|0\.\d+$/m, 'its artefact is imported, and fits its ratings') or diag($recipe);
like($recipe, qr/^150$/m, 'it writes lists');
like($recipe, qr/^\{"user_id": 1, "predicted_label": \d+, /m, 'and lines of JSON');
like($recipe, qr/^2\|mcmc\|31\|40$/m, 'and trains the model here');
my $file = $node->basedir . '/model.tar.gz';
open(my $out_file, '>:raw', $file) or die "$file: $!";
@w = @w[0 .. 69];
@v = @v[0 .. 69];
print $out_file tar_gz('model_algo-1' => zip(0, 'meta.json' => '{}', params => list(2, 0, 0, '')));
close($out_file);
ask('CREATE DATABASE recipe_of_file');
($recipe, $recipe_errors) = ('', '');
IPC::Run::run(['psql', '-XqAt', '-d', $node->connstr('recipe_of_file'), '-v', "model=$file", '-f', "$FindBin::Bin/../../demo/recipe.sql"], '>', \$recipe, '2>', \$recipe_errors);
like($recipe, qr/^30\|40\|5\|$/m, 'it takes a model of a file') or diag($recipe_errors);

$node->stop;
done_testing();
