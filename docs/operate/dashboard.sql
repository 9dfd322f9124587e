-- What docs/operate/grafana.json shows, for psql: all models, or with -v model=NAME one of them.
--
--   psql -X -v model=movies -f docs/operate/dashboard.sql
\if :{?model}
\else
    \set model '%'
\endif

\echo 'Models that need attention'
SELECT count(*) AS models FROM fm_health
WHERE (failures > 0 OR age > interval '2 days') AND model LIKE :'model';

\echo 'Health'
SELECT model, active_version AS version, trained_at, extract(epoch FROM age)::float8 AS age,
       ratings_since, last_status, failures, size, last_message
FROM fm_health
WHERE model LIKE :'model'
ORDER BY model;

\echo 'Quality on held-out ratings'
SELECT finished_at AS time, model || ' ' || metric AS metric, value
FROM fm_metrics
WHERE set = 'test' AND metric IN ('rmse', 'log_loss', 'ndcg_at_10')
  AND finished_at > now() - interval '30 days' AND model LIKE :'model'
ORDER BY finished_at;

\echo 'Better than without a model'
SELECT finished_at AS time, model || ' ' || metric AS metric,
       CASE WHEN metric = 'ndcg_at_10' THEN value / nullif(baseline, 0)
            ELSE baseline / nullif(value, 0) END AS value
FROM fm_metrics
WHERE set = 'test' AND metric IN ('rmse', 'log_loss', 'ndcg_at_10')
  AND finished_at > now() - interval '30 days' AND model LIKE :'model'
ORDER BY finished_at;

\echo 'Duration of trainings'
SELECT started_at AS time, model AS metric, extract(epoch FROM finished_at - started_at)::float8 AS value
FROM fm_runs
WHERE finished_at IS NOT NULL AND started_at > now() - interval '30 days' AND model LIKE :'model'
ORDER BY started_at;

\echo 'Learning curve of the last training'
SELECT iteration, train_value AS training, test_value AS held_out
FROM fm_curve c
WHERE head <> 'interest' AND model LIKE :'model'
  AND (model, version) = (SELECT r.model, r.version FROM fm_runs r
                          WHERE r.solver <> 'fold-in' AND r.model LIKE :'model'
                          ORDER BY r.started_at DESC LIMIT 1)
ORDER BY iteration;

\echo 'Running now'
SELECT model, phase, iteration, iterations, metric, extract(epoch FROM elapsed)::float8 AS elapsed,
       extract(epoch FROM time_left)::float8 AS time_left, pid
FROM fm_progress
ORDER BY started_at;

\echo 'Runs'
SELECT model, version, status, started_at, extract(epoch FROM finished_at - started_at)::float8 AS duration,
       solver, users, items, ratings, message
FROM fm_runs
WHERE started_at > now() - interval '30 days' AND model LIKE :'model'
ORDER BY started_at DESC
LIMIT 100;

\echo 'Tables of lists'
SELECT model, target::text AS target, kind, x, version, written_at,
       extract(epoch FROM duration)::float8 AS duration, rows
FROM fm_target
WHERE model LIKE :'model'
ORDER BY model, target;

\echo 'Models in memory'
SELECT database, model, version, shared, size, hits, in_use, loaded_at
FROM fm_cache
ORDER BY size DESC;
