insert into mayfly.sites (id, forge, repository, number, host, status, sha, region, observation, version, ends_at, created_at, state, report_due, said_version, placed, queued_at)
values ('01JWAITS', 'github', '41', 13, 'pr-13-shop-k3f9abce', 'queued', repeat('b', 40), 'europe-west1', 4, 1, now() + interval '3 days', now() - interval '1 day',
  '{"since":"2026-11-20T10:00:00.000Z","terms":{"ttlMs":259200000,"maxTtlMs":1209600000},"clockStart":"2026-11-20T10:00:00.000Z","pushedAt":"2026-11-20T09:59:00.000Z","moved":false,"live":null,"closedAs":null,"approval":null,"wishes":{"kept":false,"region":null,"newest":{"life":0,"rest":0,"region":0}},"place":"refused","rebuild":false,"endNears":false,"notice":null,"head":{"branch":"tax","base":"main","title":"Tax","commitTitle":"tax","author":"ada","repository":"41","trust":"trusted","draft":false}}',
  1, 1, false, now());
insert into mayfly.commands (forge, comment, line, repository, number, typed, by_id, by_login, permission, answer)
values ('github', '501', 0, '41', 12, '/preview extend 2d', '7', 'ada', 'write', '{"code":"done","details":{}}');
