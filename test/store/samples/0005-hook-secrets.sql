insert into mayfly.hooks (forge, repository, name, hook, secrets) values ('gitlab', '42', 'acme/blog', '8', 'own');
