# Who may do what, and in whose name it is done. The extension stands in a schema of its own, everybody's
# search_path is empty, and nobody but the administrator is a superuser.
use strict;
use warnings;
use Test::More;

BEGIN
{
	eval { require PostgreSQL::Test::Cluster; PostgreSQL::Test::Cluster->can('config_data') }
	  or plan(skip_all => 'PostgreSQL::Test::Cluster of PostgreSQL 15 or newer is not here');
}

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

# A role that owns neither the database nor the extension trains beside its own ratings.
is(as('trainer', q{SELECT status FROM ext.fm_train('m', 'shop.ratings', num_factors => 4, iterations => 10)}),
	'succeeded', 'an ordinary role trains with an empty search_path');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'fm\_m\_%' AND relkind = 'r'
	AND relnamespace = 'shop'::regnamespace AND relowner = 'trainer'::regrole}), '4', 'its tables are its own, beside the ratings');
is(as('trainer', q{SELECT count(*) FROM ext.fm_top_x(1, 5)}), '5', 'it serves');
is(as('trainer', q{SELECT ext.fm_write_top_x('shop.lists', 5)}), '250', 'it writes lists');
is(as('trainer', q{CALL ext.fm_refresh('m'); SELECT max(version) FROM ext.fm_runs}), '2', 'it refreshes');

# Others: nothing without a grant, the model with one, and never the ratings.
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
refused('reader', q{SELECT ext.fm_write_top_x('shop.mine', 5, 'm')}, 'create a table where it may not');
is(as('reader', q{SELECT ext.fm_write_top_x('mail.mine', 3, 'm')}), '150', 'a reader keeps lists of its own');
as('trainer', q{CALL ext.fm_refresh('m')});
is(as('reader', q{SELECT count(*) FROM mail.mine m WHERE EXISTS (SELECT FROM ext.fm_top_x(m.user_id, 3, 'm') t
	WHERE t.rank = m.rank AND t.item_id = m.item_id AND t.score = m.score)}), '150', 'which the refresh renews');

refused('stranger', q{SELECT ext.fm_train('s', 'shop.ratings')}, 'train on ratings it may not read');
is(as('trainer', q{GRANT SELECT ON shop.ratings TO stranger}), '', 'granted');
refused('stranger', q{SELECT ext.fm_train('s', 'shop.ratings')}, 'create tables where it may not');
for my $table (qw(fm_model fm_run fm_target))
{
	refused('trainer', "DELETE FROM ext.$table", "delete from $table");
	refused('trainer', "UPDATE ext.$table SET model = 'x'", "update $table");
	refused('trainer', "INSERT INTO ext.$table (model) VALUES ('x')", "insert into $table");
}
is(as('trainer', q{SELECT ext.fm_drop('m'); SELECT count(*) FROM ext.fm_models}), "\n0", 'the owner drops it');

# Whatever an owner plants on the ratings, the model's tables or the lists runs as the owner, and under the
# restrictions of a maintenance command, also when a superuser calls.
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
CREATE TRIGGER spy BEFORE INSERT ON shop.fm_trap_user FOR EACH ROW EXECUTE FUNCTION shop.spy_row();
CREATE TRIGGER spy BEFORE INSERT OR UPDATE OR DELETE ON shop.trap_lists FOR EACH ROW EXECUTE FUNCTION shop.spy_row();
});
$node->safe_psql('postgres', q{TRUNCATE shop.log});
$node->safe_psql('postgres', q{
UPDATE shop.ratings SET rating = 6 - rating;
CALL ext.fm_refresh('trap');
SELECT ext.fm_train('trap');
SELECT ext.fm_write_top_x('shop.trap_lists', 3, 'trap');
});
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT what, ', ' ORDER BY what) FROM shop.log}),
	'fm_trap_user as trainer, ratings as trainer, trap_lists as trainer', 'planted code runs as its owner');
$node->safe_psql('postgres', q{SELECT ext.fm_evaluate('shop.ratings', 'trap')});

# A function that tries to take the caller's rights.
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

# Row-level security that would hide rows from the caller is not passed by.
as('trainer', q{DROP VIEW shop.trap CASCADE; SELECT ext.fm_train('rls', 'shop.ratings', num_factors => 2, iterations => 5);
GRANT SELECT ON shop.fm_rls_version, shop.fm_rls_user, shop.fm_rls_item, shop.fm_rls_matrix TO reader;
ALTER TABLE shop.fm_rls_user ENABLE ROW LEVEL SECURITY});
refused('reader', q{SELECT ext.fm_top_x(1, 2, 'rls')}, 'pass row-level security by', qr/row-level security/);

$node->stop;
done_testing();
