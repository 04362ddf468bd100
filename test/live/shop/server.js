import { createServer } from 'node:http';
import { accent, title } from './shop.js';

const goods = ['Wool blanket', 'Tin kettle', 'Folding stool'];
const page = `<!doctype html><title>${title}</title><h1 style="color: ${accent}">${title}</h1><ul>${goods.map((one) => `<li>${one}`).join('')}</ul>`;

createServer((_request, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page)).listen(
  Number(process.env.PORT ?? 3000),
);
