import { Hono } from 'hono';
import { askCode, type Env, readForm, type SetupParts } from './forms.ts';
import { githubRoutes, githubSection } from './github.ts';
import { gitlabRoutes, gitlabSection } from './gitlab.ts';
import { show } from './page.ts';
import { overviewPage, problemPage } from './pages.ts';

/** `/setup`: connects forges in a browser, for whoever was let in by the code on the terminal. */
export function createSetup(parts: SetupParts): Hono<Env> {
  const { visits, codes, log } = parts;
  const app = new Hono<Env>();
  app.get('/', async (c) => {
    const visit = visits.of(c);
    if (visit?.kind !== 'admitted') return askCode(parts, c, null);
    const github = await githubSection(parts, visit, { server: c.req.query('server'), organisation: c.req.query('organisation') });
    return show(c, overviewPage({ github: github.section, gitlab: await gitlabSection(parts, visit), formsTo: github.formsTo }));
  });
  app.post('/code', async (c) => {
    const posted = await readForm(parts, c, 'stranger');
    if (posted instanceof Response) return posted;
    const came = await codes.redeem(posted.fields.get('code') ?? '');
    if (came !== 'right') {
      log.warn({ came }, 'a wrong code was typed at /setup');
      return askCode(parts, c, came);
    }
    visits.begin(c, 'admitted');
    log.info('somebody was let in to /setup by the code');
    return c.redirect('/setup', 303);
  });
  githubRoutes(app, parts);
  gitlabRoutes(app, parts);
  app.notFound((c) => show(c, problemPage('Page not found', 'There is no such page.', 404)));
  return app;
}
