update mayfly.repositories set launched_at = '2026-07-15 09:00:00+00';
