import { createServer } from 'node:http';
import pg from 'pg';
import { renderPage } from './page.js';

const database = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
database.on('error', (error) => console.error('database:', error.message));

async function answer(path) {
  if (path === '/healthz') {
    await database.query('SELECT 1');
    return { status: 200, type: 'text/plain', body: 'ok\n' };
  }
  if (path !== '/') return { status: 404, type: 'text/plain', body: 'Nothing here.\n' };
  const { rows } = await database.query('SELECT name, note, hue, cents FROM product ORDER BY id');
  return { status: 200, type: 'text/html', body: renderPage(rows) };
}

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, 'http://shop');
  const { status, type, body } = await answer(pathname).catch((error) => {
    console.error(error);
    return { status: 500, type: 'text/plain', body: 'The shop is closed for a moment.\n' };
  });
  response.writeHead(status, { 'content-type': `${type}; charset=utf-8` }).end(body);
});

server.listen(Number(process.env.PORT ?? 3000), () => console.log('the shop is open'));
process.on('SIGTERM', () => server.close(() => database.end()));
