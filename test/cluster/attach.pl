# Attached models: in a database whose tables a logical subscription fills, and in one into which a dump of
# their schema was restored. The lists are those of the origin, whatever is published there. A version is not
# served before all of it has arrived. Only the owner of the tables can attach them.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster qw(BackgroundPsql);

my $origin = PostgreSQL::Test::Cluster->new('origin');
$origin->init(allows_streaming => 'logical');
$origin->append_conf('postgresql.conf', "fsync = off\n");
$origin->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', "fsync = off\n");
$subscriber->start;

# Ids of three kinds: integers, text, and transaction ids, which have no order and so no primary key. And
# a model with features. All but the first have an interest head.
$origin->safe_psql(
	'postgres', q{
CREATE EXTENSION fmtopx;
CREATE SCHEMA shop;
CREATE TABLE shop.ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 100) u, generate_series(1, 60) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
CREATE INDEX ON shop.ratings (user_id);
CREATE VIEW shop.words AS SELECT 'user ' || user_id AS user_id, 'item ' || item_id AS item_id, rating FROM shop.ratings;
CREATE VIEW shop.xids AS SELECT user_id::text::xid AS user_id, item_id::text::xid AS item_id, rating FROM shop.ratings;
SET search_path = shop, public;
SELECT fm_train('ints', 'ratings', num_factors => 4, iterations => 10, rank_by => 'rating');
SELECT fm_train('words', 'words', num_factors => 4, iterations => 10, rank_by => 'interest');
SELECT fm_train('xids', 'xids', num_factors => 4, iterations => 10, rank_by => 'interest');
CREATE TABLE films AS SELECT item_id, item_id % 3 = 0 AS funny FROM generate_series(1, 60) item_id;
SELECT fm_train('features', 'ratings', num_factors => 4, iterations => 10, item_features => 'films', history => true, rank_by => 'interest');
SELECT fm_train('ranked', 'ratings', num_factors => 4, iterations => 5, task => 'ranking');
});
my @models = qw(ints words xids features ranked);
sub tables_of { my ($model) = @_; return map { "shop.fm_${model}_$_" } qw(version user item matrix) }

sub fails
{
	my ($node, $sql, $pattern, $what, @params) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [@params]);
	like($err, $pattern, $what);
}

# All answers of a model, without exclude_seen.
sub answers
{
	my ($node, $model, $database) = @_;
	return $node->safe_psql($database // 'postgres', qq{
SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(20, '$model', exclude_seen => false) t;
SELECT md5(string_agg(t::text, ' ' ORDER BY t.id)) FROM fm_user_vectors('$model') t;
SELECT md5(string_agg(t::text, ' ' ORDER BY t.id)) FROM fm_item_vectors('$model') t;
SELECT active_version FROM fm_models WHERE model = '$model'});
}

# The subscriber gets the tables from a dump, without rows, and a role that owns them.
$subscriber->safe_psql('postgres', q{CREATE EXTENSION fmtopx; CREATE SCHEMA shop; CREATE ROLE server LOGIN; CREATE ROLE reader LOGIN;
	GRANT USAGE ON SCHEMA shop TO PUBLIC; GRANT ALL ON SCHEMA public TO PUBLIC; ALTER ROLE ALL SET search_path = shop, public});
my $schema = $origin->basedir . '/schema.sql';
PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-s', '-O', '-t', 'shop.fm_*', '-f', $schema, $origin->connstr('postgres'));
PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $schema,
	$subscriber->connstr('postgres'));
for my $table (map { tables_of($_) } @models) { $subscriber->safe_psql('postgres', "ALTER TABLE $table OWNER TO server") }

# Attached models have no version until there is a subscription.
my ($status, $out, $err) = $subscriber->psql('postgres', q{SELECT fm_attach('ints', NULL)}, extra_params => [ '-U', 'server' ]);
is($status, 0, 'the owner of the tables attaches them');
like($err, qr/NOTICE: .*nothing counts as seen/, 'a notice says what attaching without ratings means');
$subscriber->safe_psql('postgres', "SELECT fm_attach('$_', NULL)", extra_params => [ '-U', 'server' ]) for qw(words xids features ranked);
fails($subscriber, q{SELECT fm_top_x(1, 5, 'ints')}, qr/model "ints" has no version yet/, 'there is no version yet');
is($subscriber->safe_psql('postgres', q{SELECT count(*), count(active_version), bool_and(attached) FROM fm_models}), '5|0|t', 'fm_models shows an attached model without a version');

$origin->safe_psql('postgres', 'CREATE PUBLICATION models FOR TABLE ' . join(', ', map { tables_of($_) } @models));
$subscriber->safe_psql('postgres', q{CREATE SUBSCRIPTION models CONNECTION '} . $origin->connstr . q{ dbname=postgres' PUBLICATION models});
$subscriber->wait_for_subscription_sync($origin, 'models');
is(answers($subscriber, $_), answers($origin, $_), "$_: the subscriber gives the same answers") for @models;

# A session that has used a version gets the next one as soon as it has arrived, from a training or an
# activation.
my $session = $subscriber->background_psql('postgres', on_error_stop => 0);
my $list = q{SELECT string_agg(item_id || ':' || score, ' ' ORDER BY rank) FROM fm_top_x(7, 10, 'ints', exclude_seen => false)};
sub list_of
{
	my ($asking) = @_;
	my $rows = $asking->query($list);
	chomp $rows; # the first minor versions of 16 leave the newline
	return $rows;
}
is(list_of($session), $origin->safe_psql('postgres', $list), 'a session uses the first version');
sub follows
{
	my ($what) = @_;
	$origin->wait_for_catchup('models');
	is(answers($subscriber, $_), answers($origin, $_), "$what, $_: the subscriber follows") for @models;
	is(list_of($session), $origin->safe_psql('postgres', $list), "$what: a session follows");
	for my $table (map { tables_of($_) } @models)
	{
		my $rows = "SELECT version, count(*) FROM $table GROUP BY 1 ORDER BY 1";
		is($subscriber->safe_psql('postgres', $rows), $origin->safe_psql('postgres', $rows), "$what, $table: the same rows");
	}
}
my $first = list_of($session);
$origin->safe_psql('postgres', q{UPDATE shop.ratings SET rating = 6 - rating});
$origin->safe_psql('postgres', "CALL fm_refresh('$_')") for @models;
follows('a new version');
isnt(list_of($session), $first, 'the second version has other lists');
$origin->safe_psql('postgres', q{SELECT fm_activate('ints', 1)});
follows('the first activated');
is(list_of($session), $first, 'the first version is served again');
$origin->safe_psql('postgres', q{SELECT fm_activate('ints', 2)});
$origin->safe_psql('postgres', "CALL fm_refresh('$_')") for @models, @models;
follows('more versions, and old ones deleted');
is($subscriber->safe_psql('postgres', q{SELECT max(active_version), count(*) FROM fm_models}), '4|5', 'the views show the version');
is($subscriber->safe_psql('postgres', q{SELECT bool_and(active_version = 4) FROM fm_health}), 't', 'both of them');
my $old = $subscriber->background_psql('postgres', on_error_stop => 0);
$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $then = list_of($old);
$origin->safe_psql('postgres', q{UPDATE shop.ratings SET rating = 6 - rating; CALL fm_refresh('ints')});
$origin->wait_for_catchup('models');
isnt(list_of($session), $then, 'a newer version');
is(list_of($old), $then, 'a newer version is not served to an older snapshot');
$old->quit;

# Seen items: none, or those of a local relation.
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM fm_top_x(7, 100, 'ints')}), '60', 'without ratings, lists exclude nothing');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM fm_top_x_all(100, 'ints')}), '6000', 'without ratings, fm_top_x_all excludes nothing');
$subscriber->safe_psql('postgres', q{CREATE TABLE public.plain AS SELECT 7 AS user_id, i AS item_id, 5 AS rating FROM generate_series(1, 10) i});
is($subscriber->safe_psql('postgres', q{SELECT count(value) > 0, count(baseline) FROM fm_evaluate('plain', 'ints')}), 't|0', 'without ratings, fm_evaluate has no baseline');
$subscriber->safe_psql('postgres', q{CREATE TABLE public.seen AS SELECT u AS user_id, u % 60 + 1 AS item_id FROM generate_series(1, 100) u;
	CREATE TABLE public.purchases AS SELECT 7 AS customer, i AS film, 5 AS stars FROM generate_series(1, 10) i;
	SELECT fm_drop('ints'); SELECT fm_attach('ints', 'purchases', user_column => 'customer', item_column => 'film', rating_column => 'stars')},
	extra_params => [ '-U', 'server' ]);
is($subscriber->safe_psql('postgres', q{SELECT count(*), min(item_id) FROM fm_top_x(7, 100, 'ints')}), '50|11', 'with ratings, lists exclude what the relation holds');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM fm_top_x_all(100, 'ints')}), '5990', 'with ratings, fm_top_x_all excludes the same');
like($subscriber->safe_psql('postgres', q{SELECT value FROM fm_evaluate('purchases', 'ints') WHERE metric = 'rmse'}), qr/^\d/, 'fm_evaluate works');
is($subscriber->safe_psql('postgres', q{SELECT count(*) - count(baseline) FROM fm_evaluate('purchases', 'ints')}), '0', 'with ratings, it has');
like($subscriber->safe_psql('postgres', q{SELECT value FROM fm_evaluate('seen', 'ranked') WHERE metric = 'auc'}), qr/^0\.\d/, 'fm_evaluate of a ranking needs no rating column');
is(answers($subscriber, 'ints'), answers($origin, 'ints'), 'dropped and attached again, it gives the same answers');
is($subscriber->safe_psql('postgres', q{SELECT fm_write_top_x('public.lists', 5, 'ints'); SELECT DISTINCT target FROM fm_target}), "500\nlists", 'fm_write_top_x works');

# What can only be done at the origin.
for my $call (q{SELECT fm_train('ints')}, q{SELECT fm_train('ints', 'purchases')}, q{CALL fm_refresh('ints')},
	q{SELECT fm_set('ints', keep_versions => 3)}, q{SELECT fm_activate('ints', 4)})
{
	fails($subscriber, $call, qr/model "ints" is attached: its versions come from elsewhere/, "not here: $call");
}

# Who may attach, and what.
my @reader = ('-U', 'reader');
fails($subscriber, q{SELECT fm_top_x(7, 5, 'ints')}, qr/permission denied for table/, 'a reader needs a grant', @reader);
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM fm_models}, extra_params => \@reader), '0', 'a role without SELECT does not see the model');
is($subscriber->safe_psql('postgres', q{SELECT fm_served_version('fm_ints_version') IS NULL}, extra_params => \@reader), 't', 'a role without SELECT does not see its version');
$subscriber->safe_psql('postgres', q{SELECT fm_grant('ints', 'reader')});
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM fm_top_x(7, 5, 'ints'); SELECT active_version FROM fm_models}, extra_params => \@reader),
	"5\n5", 'with SELECT, a role is served');
fails($subscriber, q{SELECT fm_drop('ints')}, qr/must be owner of model "ints"/, 'a reader does not drop it', @reader);
fails($subscriber, q{SELECT fm_attach('mine', NULL, 'user_id', 'item_id', 'rating', 'fm_ints_version', 'fm_ints_user', 'fm_ints_item', 'fm_ints_matrix')},
	qr/must be owner of table fm_ints_version/, 'nor attaches it under a name of its own', @reader);
$subscriber->safe_psql('postgres', q{CREATE TABLE public.fm_mine_version (LIKE shop.fm_ints_version); CREATE TABLE public.fm_mine_user (LIKE shop.fm_ints_user);
	CREATE TABLE public.fm_mine_item (LIKE shop.fm_ints_item)}, extra_params => \@reader);
fails($subscriber, q{SELECT fm_attach('mine', NULL, matrix_table => 'fm_ints_matrix')}, qr/must be owner of table fm_ints_matrix/, 'nor a part of it', @reader);
fails($subscriber, q{SELECT fm_attach('mine', NULL)}, qr/table "fm_mine_matrix" does not exist/, 'nor what is not there', @reader);
$subscriber->safe_psql('postgres', q{CREATE TABLE public.fm_mine_matrix (LIKE shop.fm_ints_matrix)}, extra_params => \@reader);
fails($subscriber, q{SELECT fm_attach('mine', 'purchases', 'customer', 'film')}, qr/permission denied for table purchases/, 'nor reads what it may not', @reader);
fails($subscriber, q{SELECT fm_attach('ints', NULL, version_table => 'fm_mine_version', user_table => 'fm_mine_user', item_table => 'fm_mine_item',
	matrix_table => 'fm_mine_matrix')}, qr/model "ints" already exists/, 'nor takes a name that is taken', @reader);
fails($subscriber, q{SELECT fm_attach('other', NULL, 'user_id', 'item_id', 'rating', 'fm_ints_version', 'fm_ints_user', 'fm_ints_item', 'fm_ints_matrix')},
	qr/a table given for model "\w+" belongs to model "ints"/, 'tables cannot be attached twice');
fails($subscriber, q{SELECT fm_attach('mine', NULL, version_table => 'fm_mine_user')}, qr/has no column "stamp" of type bigint/, 'the tables must be of a model', @reader);
fails($subscriber, q{SELECT fm_attach('mine', 'purchases', 'customer', 'stars'), fm_attach('mine', NULL, matrix_table => 'pg_class')},
	qr/ERROR/, 'and tables of the user', @reader);
fails($subscriber, q{SELECT fm_attach('mine', 'pg_class', 'relname', 'oid')}, qr/column "relname" of relation "pg_class" is of type name, but model "mine" has ids of type integer/,
	'the ratings must have such ids', @reader);
fails($subscriber, q{SELECT fm_attach('mine', NULL, user_table => 'fm_ints_user')}, qr/belong to different roles/, 'the tables must have one owner');

# The views work whatever the owner does to the tables of an attached model.
my $mine = q{SELECT fm_attach('mine', NULL)};
is($subscriber->safe_psql('postgres', "$mine; SELECT count(*) FROM fm_models", extra_params => \@reader), "\n2", 'a model of the reader');
$subscriber->safe_psql('postgres', q{INSERT INTO fm_mine_version SELECT * FROM fm_ints_version}, extra_params => \@reader);
my $views = q{SELECT string_agg(active_version::text, ',' ORDER BY model) FROM fm_models};
is($subscriber->safe_psql('postgres', $views), '4,5,5,4,4,4', 'is shown');
fails($subscriber, q{SELECT fm_top_x(7, 5, 'mine')}, qr/version 5 of model "mine" is not complete: it has 0 of 100 users/, 'a model without its users is not served');
$subscriber->safe_psql('postgres', q{INSERT INTO fm_mine_user SELECT * FROM fm_ints_user; INSERT INTO fm_mine_item SELECT * FROM fm_ints_item WHERE item_id > 1;
	INSERT INTO fm_mine_matrix SELECT * FROM fm_ints_matrix}, extra_params => \@reader);
fails($subscriber, q{SELECT fm_top_x(7, 5, 'mine')}, qr/version 5 of model "mine" is not complete: it has 59 of 60 items/, 'a model without an item is not served');
$subscriber->safe_psql('postgres', q{INSERT INTO fm_mine_item SELECT * FROM fm_ints_item WHERE item_id = 1}, extra_params => \@reader);
is(answers($subscriber, 'mine'), answers($origin, 'ints'), 'a complete copy gives the answers of the original');
for my $harm (
	q{ALTER TABLE fm_mine_version ALTER stamp DROP NOT NULL; UPDATE fm_mine_version SET stamp = NULL},
	q{ALTER TABLE fm_mine_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY trap ON fm_mine_version USING (1 / (version - version) = 1)},
	q{REVOKE ALL ON fm_mine_version FROM reader; GRANT SELECT ON fm_mine_version TO server},
	q{ALTER TABLE fm_mine_version ALTER activation TYPE text},
	q{ALTER TABLE fm_mine_version DROP COLUMN activation},
	q{DROP TABLE fm_mine_version})
{
	$subscriber->safe_psql('postgres', $harm, extra_params => \@reader);
	like($subscriber->safe_psql('postgres', $views), qr/^4,5,(5,)?4,4,4$/, "the views go on: $harm");
	fails($subscriber, q{SELECT fm_top_x(7, 5, 'mine')}, qr/ERROR/, 'the model does not');
}
is($subscriber->safe_psql('postgres', q{SELECT fm_drop('mine'); DROP TABLE fm_mine_user, fm_mine_item, fm_mine_matrix}, extra_params => \@reader), '', 'what is left is cleared away');

# fm_drop leaves the tables of an attached model to the subscription.
$subscriber->safe_psql('postgres', q{SELECT fm_drop('words')}, extra_params => [ '-U', 'server' ]);
$origin->safe_psql('postgres', q{CALL fm_refresh('words')});
$origin->wait_for_catchup('models');
$subscriber->safe_psql('postgres', q{SELECT fm_attach('words', NULL)});
is(answers($subscriber, 'words'), answers($origin, 'words'), 'a model that was forgotten is attached again');

# The subscriber database can be dumped and restored with its attached models.
sub copy
{
	my ($node, $database, $prepare, @options) = @_;
	my $dump = $node->basedir . "/$database.sql";
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, $prepare) if $prepare ne '';
	PostgreSQL::Test::Utils::system_or_bail('pg_dump', @options, '-f', $dump, $node->connstr('postgres'));
	PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-o', '/dev/null', $node->connstr($database));
}
copy($subscriber, 'restored', '', '--no-subscriptions');
is(answers($subscriber, $_, 'restored'), answers($origin, $_), "$_: a copy of the subscriber gives the same answers") for @models;

# A dump of the schema alone, restored into a database with the extension.
copy($origin, 'copied', 'CREATE EXTENSION fmtopx', '-n', 'shop', '--no-publications');
is($origin->safe_psql('copied', 'SELECT count(*) FROM fm_models'), '0', 'a dump of a schema does not bring the registry');
$origin->safe_psql('copied', "SET search_path = shop, public; SELECT fm_attach('$_->[0]', '$_->[1]')")
  for [ 'ints', 'ratings' ], [ 'words', 'words' ], [ 'xids', 'xids' ], [ 'features', 'ratings' ], [ 'ranked', 'ratings' ];
is(answers($origin, $_, 'copied'), answers($origin, $_), "$_: a copy of the schema gives the same answers") for @models;
my $unseen = q{SELECT md5(string_agg(t::text, ' ' ORDER BY t.user_id, t.rank)) FROM fm_top_x_all(100, 'words') t};
is($origin->safe_psql('copied', $unseen), $origin->safe_psql('postgres', $unseen), 'the restored model excludes the same items');
is($origin->safe_psql('copied', q{SELECT fm_drop('ints'); DROP TABLE shop.fm_ints_version, shop.fm_ints_user, shop.fm_ints_item, shop.fm_ints_matrix;
	SELECT status, version FROM fm_train('ints', 'shop.ratings', num_factors => 4, iterations => 10)}), "\nsucceeded|1", 'it can be trained there instead');

$session->quit;
$subscriber->stop;
$origin->stop;
done_testing();
