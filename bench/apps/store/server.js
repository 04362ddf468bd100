import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const page = readFileSync('page.txt', 'utf8');
createServer(async (request, response) => {
  const { rows } = await pool.query('select count(*) from products');
  response.end(`${page} ${rows[0].count}`);
}).listen(process.env.PORT);
