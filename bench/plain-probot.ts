// What our answers to webhooks are held against: a Probot app that stores nothing. `node bench/plain-probot.ts <app id>`, the private
// key and the secret on the standard input.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { createNodeMiddleware, Probot } from 'probot';
import { z } from 'zod';

const { privateKey, secret } = z.object({ privateKey: z.string(), secret: z.string() }).parse(await json(process.stdin));
const probot = new Probot({ appId: process.argv[2] ?? '', privateKey, secret, logLevel: 'fatal' });
const middleware = await createNodeMiddleware((app) => void app.on('pull_request', async () => {}), { probot, webhooksPath: '/' });
const server = createServer((request, response) => void middleware(request, response));
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(typeof address === 'object' ? `http://127.0.0.1:${address?.port}/` : '');
});
