import type { Context } from 'hono';
import { Hono } from 'hono';
import { isObject, type JsonObject, parseJson } from '../json.ts';
import { RELAY, REPOSITORY } from './emulator.ts';
import { PAGE_POLICY, type PullPage, renderPullPage } from './page.ts';

export type Pages = {
  readonly show: (number: number) => Promise<PullPage>;
  readonly act: (number: number, action: string) => Promise<void>;
};

/** What a browser opens, and where the emulator leaves its events. */
export function createSite(pages: () => Pages | undefined, relay: (event: string, payload: JsonObject) => void): Hono {
  const site = new Hono();
  const at = `/${REPOSITORY}/pull/:number{[0-9]+}`;
  const pullOf = (c: Context) => Number(c.req.param('number'));
  site.get('/', (c) => c.redirect(`/${REPOSITORY}/pull/1`));
  site.get(at, async (c) => {
    const page = await pages()?.show(pullOf(c));
    return page === undefined ? c.notFound() : c.html(renderPullPage(page), 200, { 'content-security-policy': PAGE_POLICY });
  });
  site.post(`${at}/:action{push|extend|close|reopen}`, async (c) => {
    await pages()?.act(pullOf(c), c.req.param('action'));
    return c.redirect(`/${REPOSITORY}/pull/${pullOf(c)}`, 303);
  });
  site.post(RELAY, async (c) => {
    const payload = parseJson(await c.req.text());
    if (isObject(payload)) relay(c.req.header('x-github-event') ?? '', payload);
    return c.body(null, 202);
  });
  return site;
}
