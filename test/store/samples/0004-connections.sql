insert into mayfly.connections (forge, sealed) values ('gitlab', '\x00010203');
insert into mayfly.hooks (forge, repository, name, hook) values ('gitlab', '41', 'acme/shop', '7');
insert into mayfly.tickets (digest, kind, about, expires_at) values (repeat('a', 64), 'code', '', now() + interval '1 day');
