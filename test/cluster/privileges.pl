# Which role may do what, and as which role it is done. The extension is in a schema of its own, search_path
# is empty for all roles, and only the administrator is a superuser.
use strict;
use warnings;
use Test::More;
use FindBin;
use lib $FindBin::Bin;
use NeedCluster;

my $node = PostgreSQL::Test::Cluster->new('privileges');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nsearch_path = ''\n");
$node->start;
$node->safe_psql(
	'postgres', q{
CREATE ROLE trainer LOGIN;
CREATE ROLE reader LOGIN;
CREATE ROLE stranger LOGIN;
CREATE SCHEMA ext;
CREATE EXTENSION fmtopx SCHEMA ext;
GRANT USAGE ON SCHEMA ext TO PUBLIC;
CREATE SCHEMA shop AUTHORIZATION trainer;
CREATE SCHEMA mail AUTHORIZATION reader;
CREATE TABLE shop.log (what text);
GRANT ALL ON shop.log TO PUBLIC;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.ratings AS
SELECT u AS user_id, i AS item_id, (3 + sin(u) + cos(i) + sin(u * 0.7) * cos(i * 1.3))::real AS rating
FROM generate_series(1, 50) u, generate_series(1, 40) i WHERE hashint8extended(u * 1000 + i, 1) % 3 = 0;
ALTER TABLE shop.ratings OWNER TO trainer;
});

sub as
{
	my ($role, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	return $status == 0 ? $out : $err;
}

sub refused
{
	my ($role, $sql, $what, $pattern) = @_;
	like(as($role, $sql), $pattern || qr/42501/, "$role may not $what");
}

# A role that owns neither the database nor the extension trains, with tables beside its own ratings.
is(as('trainer', q{SELECT status FROM ext.fm_train('m', 'shop.ratings', num_factors => 4, iterations => 10)}),
	'succeeded', 'an ordinary role trains with an empty search_path');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'fm\_m\_%' AND relkind = 'r'
	AND relnamespace = 'shop'::regnamespace AND relowner = 'trainer'::regrole}), '4', 'its tables are its own, beside the ratings');
is(as('trainer', q{SELECT count(*) FROM ext.fm_top_x(1, 5)}), '5', 'it serves');
is(as('trainer', q{SELECT ext.fm_write_top_x('shop.lists', 5)}), '250', 'it writes lists');
is(as('trainer', q{SELECT ext.fm_write_similar_items('shop.alike', 5)}), '200', 'and similar items');
is(as('trainer', q{CALL ext.fm_refresh('m'); SELECT max(version) FROM ext.fm_runs}), '2', 'it refreshes');

# Other roles may use the model only with a grant, and never read the ratings.
refused('reader', q{SELECT ext.fm_top_x(1, 5, 'm')}, 'ask a model without SELECT on its tables');
refused('reader', q{SELECT ext.fm_predict(1, 5, 'm')}, 'predict with it');
is(as('reader', 'SELECT (SELECT count(*) FROM ext.fm_models) + (SELECT count(*) FROM ext.fm_runs) + (SELECT count(*) FROM ext.fm_model)'),
	'0', 'nor is it shown');
as('trainer', 'GRANT SELECT ON shop.fm_m_version, shop.fm_m_user, shop.fm_m_item TO reader');
refused('reader', q{SELECT ext.fm_top_x(1, 5, 'm')}, 'ask a model with SELECT on some of its tables');
as('trainer', 'GRANT SELECT ON shop.fm_m_matrix TO reader');
my $unseen = q{SELECT string_agg(item_id::text, ' ' ORDER BY rank) FROM ext.fm_top_x(1, 40, 'm')};
is(as('reader', $unseen), as('trainer', $unseen), 'with SELECT on all a reader gets the same lists, seen items left out');
refused('reader', 'SELECT count(*) FROM shop.ratings', 'read the ratings all the same');
is(as('reader', 'SELECT count(*) FROM ext.fm_runs'), '2', 'the reader sees the runs');
refused('reader', q{SELECT ext.fm_train('m')}, 'retrain');
refused('reader', q{CALL ext.fm_refresh('m')}, 'refresh');
refused('reader', q{SELECT ext.fm_drop('m')}, 'drop');
refused('reader', q{SELECT ext.fm_write_top_x('shop.lists', 5, 'm')}, q{overwrite another's lists});
refused('reader', q{SELECT ext.fm_write_similar_items('shop.alike', 5, 'm')}, q{overwrite another's similar items});
refused('reader', q{SELECT ext.fm_write_top_x('shop.mine', 5, 'm')}, 'create a table where it may not');
refused('reader', q{SELECT ext.fm_write_similar_items('shop.mine', 5, 'm')}, 'create a table of similar items there');
is(as('reader', q{SELECT ext.fm_write_similar_items('mail.alike', 3, 'm')}), '120', 'a reader keeps similar items of its own');
is(as('reader', q{SELECT ext.fm_write_top_x('mail.mine', 3, 'm')}), '150', 'a reader keeps lists of its own');
as('trainer', q{CALL ext.fm_refresh('m')});
is(as('reader', q{SELECT count(*) FROM mail.mine m WHERE EXISTS (SELECT FROM ext.fm_top_x(m.user_id, 3, 'm') t
	WHERE t.rank = m.rank AND t.item_id = m.item_id AND t.score = m.score)}), '150', 'which the refresh renews');
is(as('reader', q{SELECT count(*) FROM mail.alike m WHERE EXISTS (SELECT FROM ext.fm_similar_items(m.item_id, 3, 'm') t
	WHERE t.rank = m.rank AND t.item_id = m.similar_item_id AND t.score = m.score)}), '120', 'with the similar items');

refused('stranger', q{SELECT ext.fm_train('s', 'shop.ratings')}, 'train on ratings it may not read');
is(as('trainer', q{GRANT SELECT ON shop.ratings TO stranger}), '', 'granted');
refused('stranger', q{SELECT ext.fm_train('s', 'shop.ratings')}, 'create tables where it may not');
for my $table (qw(fm_model fm_run fm_run_curve fm_target))
{
	refused('trainer', "DELETE FROM ext.$table", "delete from $table");
	refused('trainer', "UPDATE ext.$table SET model = 'x'", "update $table");
	refused('trainer', "INSERT INTO ext.$table (model) VALUES ('x')", "insert into $table");
}
is(as('trainer', q{SELECT ext.fm_drop('m'); SELECT count(*) FROM ext.fm_models}), "\n0", 'the owner drops it');

# Code that an owner plants on the ratings, the model's tables or the lists runs as the owner, and in a
# security-restricted operation, also if a superuser calls.
as('trainer', q{
CREATE FUNCTION shop.spy(what text) RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
    INSERT INTO shop.log VALUES (what || ' as ' || current_user);
    RETURN true;
END $f$;
CREATE FUNCTION shop.spy_row() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
    PERFORM shop.spy(TG_TABLE_NAME);
    RETURN new;
END $f$;
CREATE VIEW shop.trap AS SELECT * FROM shop.ratings WHERE shop.spy('ratings');
SELECT ext.fm_train('trap', 'shop.trap', num_factors => 2, iterations => 5);
SELECT ext.fm_write_top_x('shop.trap_lists', 2, 'trap');
SELECT ext.fm_write_similar_items('shop.trap_alike', 2, 'trap');
CREATE TRIGGER spy BEFORE INSERT OR UPDATE OR DELETE ON shop.trap_alike FOR EACH ROW EXECUTE FUNCTION shop.spy_row();
CREATE TRIGGER spy BEFORE INSERT ON shop.fm_trap_user FOR EACH ROW EXECUTE FUNCTION shop.spy_row();
CREATE TRIGGER spy BEFORE INSERT OR UPDATE OR DELETE ON shop.trap_lists FOR EACH ROW EXECUTE FUNCTION shop.spy_row();
});
$node->safe_psql('postgres', q{TRUNCATE shop.log});
$node->safe_psql('postgres', q{
UPDATE shop.ratings SET rating = 6 - rating;
CALL ext.fm_refresh('trap');
SELECT ext.fm_train('trap');
SELECT ext.fm_write_top_x('shop.trap_lists', 3, 'trap');
SELECT ext.fm_write_similar_items('shop.trap_alike', 3, 'trap');
});
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT what, ', ' ORDER BY what) FROM shop.log}),
	'fm_trap_user as trainer, ratings as trainer, trap_alike as trainer, trap_lists as trainer', 'planted code runs as its owner');
$node->safe_psql('postgres', q{SELECT ext.fm_evaluate('shop.ratings', 'trap')});

# A function that tries to gain the caller's privileges.
as('trainer', q{
CREATE FUNCTION shop.attack() RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
    EXECUTE 'ALTER ROLE trainer SUPERUSER';
    RETURN true;
END $f$;
CREATE FUNCTION shop.escape() RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
    EXECUTE 'RESET SESSION AUTHORIZATION';
    RETURN true;
END $f$;
CREATE FUNCTION shop.undo() RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
    EXECUTE 'RESET ROLE';
    RETURN true;
END $f$;
});
for my $attack (qw(attack escape undo))
{
	as('trainer', "CREATE OR REPLACE VIEW shop.trap AS SELECT * FROM shop.ratings WHERE shop.$attack()");
	for my $call (q{SELECT ext.fm_top_x(1, 2, 'trap')}, q{SELECT ext.fm_top_x_all(2, 'trap')},
		q{SELECT ext.fm_train('trap')}, q{CALL ext.fm_refresh('trap')},
		q{SELECT ext.fm_write_top_x('shop.trap_lists', 2, 'trap')}, q{SELECT ext.fm_evaluate('shop.ratings', 'trap')})
	{
		my ($status, $out, $err) = $node->psql('postgres', $call);
		like($err, qr/permission denied|must be superuser|security-restricted/, "a superuser's $call gives $attack nothing");
	}
}
is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'trainer'}), 'f', 'nobody has become a superuser');

# Row-level security that hides rows from the caller is not bypassed.
as('trainer', q{DROP VIEW shop.trap CASCADE; SELECT ext.fm_train('rls', 'shop.ratings', num_factors => 2, iterations => 5);
GRANT SELECT ON shop.fm_rls_version, shop.fm_rls_user, shop.fm_rls_item, shop.fm_rls_matrix TO reader;
ALTER TABLE shop.fm_rls_user ENABLE ROW LEVEL SECURITY});
refused('reader', q{SELECT ext.fm_top_x(1, 2, 'rls')}, 'pass row-level security by', qr/row-level security/);

# An attack suite: code planted wherever an owner can, which tries to make its owner a superuser when another
# role is connected. Each piece must run (or it would prove nothing), as its owner, and must fail.
as('trainer', q{
SELECT ext.fm_drop('rls');
CREATE FUNCTION shop.grab_it() RETURNS integer LANGUAGE plpgsql AS $f$
BEGIN
    IF session_user <> 'trainer' THEN
        EXECUTE 'ALTER ROLE trainer SUPERUSER';
    END IF;
    RETURN 1;
END $f$;
CREATE FUNCTION shop.grab() RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $f$
BEGIN
    RETURN shop.grab_it(); -- a volatile one, behind the back of whoever asked for an immutable one
END $f$;
CREATE FUNCTION shop.grab_row() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
    PERFORM shop.grab();
    RETURN new;
END $f$;
CREATE DOMAIN shop.id AS integer CHECK (shop.grab() = 1);
CREATE FUNCTION shop.stay() RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
    EXECUTE 'DECLARE left_behind CURSOR WITH HOLD FOR SELECT shop.grab()';
    RETURN true;
END $f$;
CREATE FUNCTION shop.become() RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN
    PERFORM set_config('role', 'postgres', false);
    RETURN true;
END $f$;
});
my @attacks = (
	[ 'a default of a column', q{ALTER TABLE shop.fm_a_user ADD more integer; ALTER TABLE shop.fm_a_user ALTER more SET DEFAULT shop.grab()} ],
	[ 'a generated column', q{ALTER TABLE shop.fm_a_item ADD more integer GENERATED ALWAYS AS (shop.grab()) STORED} ],
	[ 'a check constraint', q{ALTER TABLE shop.fm_a_version ADD CHECK (shop.grab() = 1)} ],
	[ 'an index expression', q{CREATE FUNCTION shop.grab_of(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT shop.grab()';
		CREATE INDEX ON shop.fm_a_user (shop.grab_of(idx))} ],
	[ 'a predicate of an index', q{CREATE INDEX ON shop.fm_a_matrix (block) WHERE shop.grab() = 1} ],
	[ 'a trigger of rows', q{CREATE TRIGGER grab BEFORE INSERT ON shop.fm_a_item FOR EACH ROW EXECUTE FUNCTION shop.grab_row()} ],
	[ 'a trigger of statements', q{CREATE TRIGGER grab AFTER DELETE ON shop.fm_a_user EXECUTE FUNCTION shop.grab_row()} ],
	[ 'a deferred trigger', q{CREATE CONSTRAINT TRIGGER grab AFTER INSERT ON shop.fm_a_version DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION shop.grab_row()} ],
	[ 'a rule', q{CREATE RULE grab AS ON INSERT TO shop.fm_a_version DO ALSO SELECT shop.grab()} ],
	[ 'a policy', q{ALTER TABLE shop.source ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.source FORCE ROW LEVEL SECURITY;
		CREATE POLICY grab ON shop.source USING (shop.grab() = 1)} ],
	[ 'a view', q{CREATE OR REPLACE VIEW shop.trap AS SELECT * FROM shop.source WHERE shop.grab() = 1} ],
	[ 'a cursor that is left behind', q{CREATE OR REPLACE VIEW shop.trap AS SELECT * FROM shop.source WHERE shop.stay()} ],
	[ 'a change of role', q{CREATE OR REPLACE VIEW shop.trap AS SELECT * FROM shop.source WHERE shop.become()} ],
	[ 'a trigger of a table of lists', q{CREATE TRIGGER grab BEFORE INSERT OR UPDATE ON shop.a_lists FOR EACH ROW EXECUTE FUNCTION shop.grab_row()} ],
	[ 'a constraint of a table of lists', q{ALTER TABLE shop.a_lists ADD CHECK (shop.grab() = 1)} ]);
my $no = qr/permission denied|must be superuser|security-restricted|must be owner/i;
for my $attack (@attacks)
{
	my ($what, $plant) = @$attack;
	my $planted = as('trainer', qq{
CREATE TABLE shop.source AS TABLE shop.ratings;
CREATE VIEW shop.trap AS TABLE shop.source;
SELECT ext.fm_train('a', 'shop.trap', num_factors => 2, iterations => 5) \\g /dev/null
SELECT ext.fm_write_top_x('shop.a_lists', 2, 'a') \\g /dev/null
UPDATE shop.source SET rating = 6 - rating;
SELECT ext.fm_set('a', keep_versions => 1) \\g /dev/null
$plant});
	is($planted, '', "$what is planted");
	my ($status, $out, $err) = $node->psql('postgres', q{CALL ext.fm_refresh('a')});
	like($err, $no, "$what: a superuser's refresh gives it nothing");
	is($node->safe_psql('postgres', q{SELECT rolsuper, (SELECT count(*) FROM pg_cursors) FROM pg_roles WHERE rolname = 'trainer'}),
		'f|0', "$what: nobody has become a superuser");
	$node->safe_psql('postgres', q{SELECT ext.fm_drop('a'); DROP TABLE IF EXISTS shop.source, shop.a_lists CASCADE});
}

# The worker that vacuums for a refresh is a superuser's process. The trainer would attack it by an index that
# VACUUM summarizes. The worker acts as the owner of each table, and only works for a refresh.
is(as('trainer', q{
SELECT ext.fm_train('a', 'shop.ratings', num_factors => 2, iterations => 5) \g /dev/null
CREATE FUNCTION shop.grab_at(idx integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $f$
BEGIN
    RETURN shop.grab();
END $f$;
CREATE INDEX summary ON shop.fm_a_item USING brin (shop.grab_at(idx)) WITH (pages_per_range = 1);
SELECT pg_catalog.brin_desummarize_range('shop.summary', 0) \g /dev/null
}), '', 'an index that vacuum summarises is planted');
is(as('trainer', q{CALL ext.fm_refresh('a')}), '', 'its owner, who could do it himself, refreshes');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/table "fm_a_item" was not vacuumed: (permission denied|must be superuser)/,
	'in the worker, too, it runs as the owner');
is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'trainer'}), 'f', 'and gains nothing');
$node->safe_psql('postgres', q{SELECT ext.fm_drop('a')});
my $worker = q{CREATE FUNCTION shop.worker(oid) RETURNS void LANGUAGE c AS '$libdir/fmtopx', 'fm_vacuum_worker'};
refused('trainer', $worker, 'call its main function');
my ($no_function, $nothing, $why) = $node->psql('postgres', $worker);
like($why, qr/could not find function information/, 'nor may a superuser, who would do harm to himself');

# Ids of a domain with code in its check: this runs as the owner, also for the caller's literal.
as('trainer', q{CREATE TABLE shop.source AS SELECT user_id::shop.id, item_id, rating FROM shop.ratings;
	SELECT ext.fm_train('a', 'shop.source', num_factors => 2, iterations => 5)});
for my $call (q{SELECT ext.fm_top_x('1'::text, 2, 'a')}, q{SELECT ext.fm_predict('1'::text, '1', 'a')})
{
	my ($status, $out, $err) = $node->psql('postgres', $call);
	like($err, qr/permission denied|must be superuser|^$/i, "a domain gains nothing by $call");
}
$node->psql('postgres', $_) for q{SELECT ext.fm_top_x(1, 2, 'a')}, q{SELECT ext.fm_write_top_x('shop.by_admin', 2, 'a')}, q{CALL ext.fm_refresh('a')};
is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'trainer'}), 'f', 'nor by any other');
$node->safe_psql('postgres', q{SELECT ext.fm_drop('a'); DROP TABLE shop.source; DROP TABLE IF EXISTS shop.by_admin});

# Objects planted in the caller's search_path are not found.
as('trainer', q{
CREATE FUNCTION shop.same(integer, integer) RETURNS boolean LANGUAGE sql AS $$SELECT shop.spy('operator')$$;
CREATE OPERATOR shop.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = shop.same);
CREATE FUNCTION shop.less(integer, integer) RETURNS boolean LANGUAGE sql AS $$SELECT shop.spy('operator')$$;
CREATE OPERATOR shop.>= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = shop.less);
CREATE FUNCTION shop.has_table_privilege(oid, text) RETURNS boolean LANGUAGE sql AS $$SELECT shop.spy('function')$$;
CREATE FUNCTION shop.fm_matrix_agg(integer, real[], real) RETURNS ext.fm_matrix LANGUAGE sql AS $$SELECT NULL::ext.fm_matrix FROM shop.spy('function')$$;
CREATE FUNCTION shop.format(text, text, text, text, integer, numeric) RETURNS text LANGUAGE sql AS $$SELECT 'x' FROM shop.spy('function')$$;
SELECT ext.fm_train('a', 'shop.ratings', num_factors => 2, iterations => 5, test_size => 0.2);
SELECT ext.fm_write_top_x('shop.a_lists', 2, 'a');
});
$node->safe_psql('postgres', q{TRUNCATE shop.log; SET search_path = shop, pg_catalog, ext, public;
	SELECT fm_set('a', 2, 0.5); CALL fm_refresh('a'); SELECT fm_train('a', seed => 3); SELECT fm_top_x(1, 5, 'a');
	SELECT fm_write_top_x('shop.a_lists', 2, 'a'); SELECT count(*) FROM fm_top_x_all(2, 'a');
	SELECT fm_evaluate('shop.ratings', 'a'); SELECT fm_activate('a', 2); SELECT * FROM fm_models; SELECT * FROM fm_health;
	INSERT INTO shop.ratings VALUES (1000001, 1, 5), (1000001, 2, 1);
	SELECT fm_top_x(1000001, 5, 'a'); SELECT fm_top_x_for('{1,2}'::bigint[], '{5,1}', 5, 'a');
	SELECT fm_similar_items(1, 2, 'a'); SELECT fm_top_users(1, 2, 'a'); SELECT fm_explain(1000001, 1, 'a');
	SELECT fm_fold_in('a'); SELECT fm_grant('a', 'reader')});
is($node->safe_psql('postgres', 'SELECT count(*) FROM shop.log'), '0', 'operators and functions in search_path are not called');
$node->safe_psql('postgres', 'DELETE FROM shop.ratings WHERE user_id = 1000001');

# Settings changed by planted code do not stay.
as('trainer', q{
CREATE FUNCTION shop.lure() RETURNS boolean LANGUAGE plpgsql AS $f$
BEGIN PERFORM set_config('search_path', 'shop', false); RETURN true; END $f$;
CREATE VIEW shop.trap AS SELECT * FROM shop.ratings WHERE shop.lure();
SELECT ext.fm_train('b', 'shop.trap', num_factors => 2, iterations => 5)});
is($node->safe_psql('postgres', q{SET search_path = ext; SELECT fm_train('b') \g /dev/null
	SELECT fm_top_x(1, 5, 'b') \g /dev/null
	SHOW search_path}), 'ext', 'a search_path set by planted code is not left behind');

# Objects that a role may not create or name.
as('trainer', q{CREATE TYPE shop.rate AS (x real);
	CREATE FUNCTION shop.as_number(shop.rate) RETURNS float8 LANGUAGE sql AS $$SELECT 1::float8 FROM shop.spy('cast')$$;
	CREATE CAST (shop.rate AS float8) WITH FUNCTION shop.as_number(shop.rate);
	CREATE TABLE shop.rated AS SELECT user_id, item_id, ROW(rating)::shop.rate AS rating FROM shop.ratings});
refused('trainer', q{SELECT ext.fm_train('c', 'shop.rated')}, 'train on a rating that only a planted cast makes a number', qr/not a number/);
refused('trainer', q{CREATE EVENT TRIGGER grab ON ddl_command_end EXECUTE FUNCTION shop.grab()}, 'create an event trigger');
refused('reader', q{SELECT ext.fm_activate('a', 1)}, 'activate');
refused('reader', q{SELECT ext.fm_set('a', 1)}, 'set');
refused('reader', q{SELECT ext.fm_fold_in('a')}, 'fold in');
refused('reader', q{SELECT ext.fm_grant('a', 'stranger')}, 'grant');
refused('reader', q{SELECT ext.fm_forget_target('shop.a_lists')}, q{forget another's lists});
is(as('reader', q{SELECT count(*) FROM ext.fm_health}), '1', 'a reader sees the health of what it may read');
is(as('stranger', q{SELECT count(*) FROM ext.fm_health}), '0', 'a stranger of nothing');

# Roles with one task each: read lists, ask, or train.
$node->safe_psql('postgres', q{CREATE ROLE lister LOGIN; CREATE ROLE asker LOGIN; CREATE ROLE apprentice LOGIN IN ROLE trainer;
	CREATE ROLE own_trainer LOGIN; CREATE SCHEMA lab AUTHORIZATION own_trainer; GRANT SELECT ON shop.ratings TO own_trainer;
	GRANT SELECT ON shop.a_lists TO lister; SELECT ext.fm_grant('a', 'asker')});
is(as('lister', 'SELECT count(*) FROM shop.a_lists'), '100', 'who may read lists reads them');
refused('lister', q{SELECT ext.fm_top_x(1, 2, 'a')}, 'ask');
is(as('asker', q{SELECT count(*) FROM ext.fm_top_x(1, 2, 'a')}), '2', 'who may ask asks');
refused('asker', 'SELECT count(*) FROM shop.a_lists', 'read lists');
refused('asker', q{SELECT ext.fm_train('a')}, 'train');
is(as('apprentice', q{SELECT status FROM ext.fm_train('a', seed => 4)}), 'succeeded', 'a member of the owner trains');
is(as('own_trainer', q{SET search_path = lab; SELECT status FROM ext.fm_train('lab', 'shop.ratings', num_factors => 2, iterations => 5)}),
	'succeeded', 'who may read the ratings trains a model of his own');
refused('own_trainer', q{SELECT ext.fm_top_x(1, 2, 'a')}, q{ask another's});

# ALTER and DROP of objects that a model depends on.
my $list = q{SELECT string_agg(item_id::text, ' ' ORDER BY rank) FROM ext.fm_top_x(1, 5, 'a')};
my $before = as('asker', $list);
$node->safe_psql('postgres', q{CREATE SCHEMA store AUTHORIZATION trainer;
	ALTER TABLE shop.fm_a_item SET SCHEMA store; ALTER TABLE shop.ratings SET SCHEMA store; ALTER TABLE store.ratings RENAME user_id TO customer});
like(as('asker', $list), qr/column "user_id" of relation "ratings" no longer exists/, 'a column renamed: said so');
$node->safe_psql('postgres', q{ALTER TABLE store.ratings RENAME customer TO user_id});
is(as('asker', $list), $before, 'tables in another schema: the same list');
is(as('trainer', q{ALTER TABLE shop.a_lists RENAME TO b_lists; ALTER TABLE shop.b_lists SET SCHEMA store; CALL ext.fm_refresh('a');
	SELECT count(*) FROM store.b_lists; SELECT target FROM ext.fm_target WHERE model = 'a'}), "100\nstore.b_lists", 'a table of lists renamed and moved is written on');
$node->safe_psql('postgres', q{ALTER TABLE store.b_lists OWNER TO stranger});
like(as('trainer', q{CALL ext.fm_refresh('a')}), qr/^$/, 'a table of lists given to one who may not read the model: no error');
like($node->safe_psql('postgres', q{SELECT message FROM ext.fm_runs WHERE model = 'a' ORDER BY version DESC LIMIT 1}),
	qr/store.b_lists was not written: permission denied/, 'but the run says so');
$node->safe_psql('postgres', q{DROP TABLE store.b_lists});
as('trainer', q{CALL ext.fm_refresh('a')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM ext.fm_target WHERE model = 'a'}), '0', 'dropped, it is forgotten');
$node->safe_psql('postgres', q{ALTER TABLE shop.fm_a_user OWNER TO stranger});
like(as('asker', $list), qr/permission denied for table fm_a_user/, 'one table given away: the model is not served');
$node->safe_psql('postgres', q{ALTER TABLE shop.fm_a_user OWNER TO trainer; DROP TABLE store.ratings CASCADE});
like(as('asker', $list), qr/ratings relation of model "a" .* no longer exists/, 'the ratings dropped: said so');
is(as('asker', q{SELECT count(*) FROM ext.fm_top_x(1, 5, 'a', exclude_seen => false)}), '5', 'and served without them');
like(as('trainer', q{CALL ext.fm_refresh('a')}), qr/ratings relation .* does not exist/, 'but not trained');
as('trainer', 'DROP TABLE store.fm_a_item');
like(as('asker', $list), qr/a table of model "a" has been dropped/, 'a table of the model dropped: said so');
is(as('trainer', q{SELECT ext.fm_drop('a'); SELECT count(*) FROM pg_class WHERE relname LIKE 'fm\_a\_%'}), "\n0", 'which fm_drop clears away');

$node->stop;
done_testing();
