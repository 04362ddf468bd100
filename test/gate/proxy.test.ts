import { expect, test } from 'vitest';
import { createWorld } from './world.ts';

test('a request goes to the app, its answer to the visitor, and search engines are told to stay out', async () => {
  await using w = await createWorld((request, response) => {
    response.writeHead(201, { 'X-Robots-Tag': 'all', 'Set-Cookie': ['a=1', 'b=2'] });
    request.pipe(response);
  });
  const answer = await w.ask('/x?y=1', { method: 'POST', send: 'hello' });
  expect(answer).toMatchObject({ status: 201, body: 'hello' });
  expect(answer.headers['x-robots-tag']).toBe('noindex, nofollow');
  expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  await expect.poll(() => w.runner.visits).toBe(0);
});
